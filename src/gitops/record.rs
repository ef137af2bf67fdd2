//! What the loop knows and writes down, and what commands ask of it. Data only:
//! [`super::decide`] changes it, [`super::store`] keeps it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::gates::Gates;

/// Form of the record.
pub const VERSION: u32 = 1;

/// How many revisions are kept.
pub const KEPT: usize = 5;

/// How much of a commit's name is shown.
const SHORT: usize = 10;

/// A commit, as people speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its whole name.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
}

/// What the loop knows. Written before anything is done for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Form of this file.
    pub version: u32,
    /// What is followed, in words: `main of https://host/shop.git`.
    pub follows: String,
    /// What is in place.
    pub running: Option<Running>,
    /// The last revision that was complete and healthy.
    pub good: Option<Revision>,
    /// The newest that was fetched.
    pub head: Option<Head>,
    /// What is being done; found by whoever comes after a kill.
    pub intention: Option<Intention>,
    /// The last revisions that were put in place, newest first.
    pub history: Vec<Past>,
    /// The last fetch.
    pub fetch: Option<Fetch>,
    /// Which wishes were taken in.
    pub taken: u64,
    /// Which wishes were acted on, until nothing was left to do.
    pub heard: u64,
}

/// A revision in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Which one.
    pub revision: Revision,
    /// Since when.
    pub since: Timestamp,
    /// Why this one.
    pub why: String,
}

/// The newest revision of the ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which one.
    pub revision: Revision,
    /// When it was fetched first.
    pub seen: Timestamp,
    /// It does not descend from this, which was in place: history was rewritten.
    pub rewrites: Option<String>,
    /// What somebody has agreed to, of what was shown.
    pub approved: Option<Gates>,
    /// How far it came.
    pub standing: Standing,
    /// What stood in its way, as it was said last: nothing is said twice.
    pub said: Option<String>,
}

/// How far a revision came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Standing {
    /// It is judged next.
    New,
    /// Its files are wrong: it stays so until there is another commit.
    Wrong {
        /// What is wrong, each thing at its place.
        reason: String,
    },
    /// This host cannot do it now; it is tried again with each fetch.
    Blocked {
        /// Why.
        reason: String,
    },
    /// Somebody must agree.
    Waits {
        /// To what.
        gates: Gates,
    },
    /// It may be put in place.
    Cleared {
        /// What was agreed to.
        approved: Gates,
    },
    /// It is in place.
    InPlace,
    /// It was in place and was not well.
    Failed {
        /// What was wrong.
        reason: String,
    },
}

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intention {
    /// What.
    pub act: Act,
    /// Of which revision.
    pub revision: Revision,
    /// Why.
    pub why: String,
    /// What somebody has agreed to.
    pub approved: Gates,
}

/// What can be done with a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Put it in place.
    Deploy,
    /// Put it in place again, after another one was not well.
    RollBack,
    /// It is in place; have it up.
    BringUp,
    /// Put its files in place again; nothing was changed yet.
    Restore,
}

/// A revision that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Which one.
    pub revision: Revision,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub came: Came,
}

/// What came of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Came {
    /// It was complete and healthy.
    Good,
    /// It was not.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetch {
    /// When.
    pub at: Timestamp,
    /// When the last one that succeeded was.
    pub succeeded: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What commands ask of the loop. They write it; the loop reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Form of this file.
    pub version: u32,
    /// Grows with each wish.
    pub serial: u64,
    /// Nothing is fetched or changed.
    pub suspended: bool,
    /// The last `sync`, by its serial.
    pub sync: u64,
    /// The last `approve`.
    pub approval: Option<Approval>,
}

/// Somebody agrees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// By its serial.
    pub serial: u64,
    /// To which commit.
    pub commit: String,
    /// To what of it, as it was shown.
    pub gates: Gates,
}

impl Revision {
    /// Enough of its name to tell it from others.
    pub fn short(&self) -> &str {
        short(&self.commit)
    }
}

/// Enough of a commit's name to tell it from others.
pub fn short(commit: &str) -> &str {
    commit.get(..SHORT).unwrap_or(commit)
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.short(), self.subject)
    }
}

impl Record {
    /// Nothing is known yet.
    pub fn new(follows: String) -> Self {
        Self {
            version: VERSION,
            follows,
            running: None,
            good: None,
            head: None,
            intention: None,
            history: Vec::new(),
            fetch: None,
            taken: 0,
            heard: 0,
        }
    }

    /// Commits that must not be lost.
    pub fn kept(&self) -> Vec<&str> {
        let past = self.history.iter().map(|past| &past.revision);
        let of_intention = self.intention.iter().map(|it| &it.revision);
        let others = self.running.iter().map(|running| &running.revision);
        let head = self.head.iter().map(|head| &head.revision);
        let all = past.chain(of_intention).chain(others).chain(&self.good).chain(head);
        let mut kept: Vec<&str> = all.map(|revision| revision.commit.as_str()).collect();
        kept.sort_unstable();
        kept.dedup();
        kept
    }
}
