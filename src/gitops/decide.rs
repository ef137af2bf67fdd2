//! What is done next, and why: a function of what is written down and what was
//! asked. What comes of it is told to [`learn`], which changes the record and
//! says each thing once. No clock, no disk, no git.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod acted;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::file::Policy;
use super::gates::Gates;
use super::record::{
    Act, Approval, Came, Fetch, Head, Intention, Record, Revision, Standing, Wishes,
};

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, until something is heard.
    Rest,
    /// Find out what a revision would do.
    Judge(Revision),
    /// Write this down, then do it.
    Act(Intention),
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The ref is at this revision.
    Fetched {
        /// Which one.
        revision: Revision,
        /// What is in place and is not among its ancestors.
        rewrites: Option<String>,
    },
    /// It could not be fetched.
    NotFetched(Trouble),
    /// What a revision would do.
    Judged(Verdict),
    /// Somebody agrees.
    Approved(Approval),
    /// Everything is to be looked at again: somebody asked, or the loop has begun.
    Afresh,
    /// An intention was carried out.
    Acted(Intention, Outcome),
}

/// What a revision would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its files are wrong.
    Wrong {
        /// In a line.
        summary: String,
        /// Each thing at its place.
        details: String,
    },
    /// It cannot be done here, now.
    Blocked(Trouble),
    /// It can, where somebody agrees to this.
    Possible(Gates),
}

/// What came of an intention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is there and healthy.
    Healthy,
    /// It is not.
    Failed(String),
    /// The plan has become another one, that nobody agreed to. Nothing was changed.
    Refused(Gates),
    /// The loop was told to end first.
    Stopped,
}

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Message and causes, outermost first.
    pub chain: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// What happens.
    Said(String),
    /// Worth a second look.
    Warned(String),
    /// What is wrong in files, as it was rendered.
    Shown(String),
    /// What went wrong.
    Failed(Trouble),
}

impl Trouble {
    /// One message, and what to do.
    pub fn new(message: impl Into<String>, help: Option<&str>) -> Self {
        Self { chain: vec![message.into()], help: help.map(str::to_owned) }
    }

    /// All of it in a line.
    pub fn line(&self) -> String {
        self.chain.join(": ")
    }
}

/// What is done next. `settled`: what is in place was brought up since the loop
/// began.
pub fn next(record: &Record, wishes: &Wishes, settled: bool) -> Next {
    if wishes.suspended {
        return Next::Rest;
    }
    // Whatever a kill has left half done comes first.
    if let Some(intention) = &record.intention {
        return Next::Act(intention.clone());
    }
    if let Some(head) = &record.head {
        match &head.standing {
            Standing::New => return Next::Judge(head.revision.clone()),
            Standing::Cleared { approved } => {
                return Next::Act(Intention {
                    act: Act::Deploy,
                    revision: head.revision.clone(),
                    why: why(record, approved),
                    approved: approved.clone(),
                });
            }
            Standing::Wrong { .. }
            | Standing::Blocked { .. }
            | Standing::Waits { .. }
            | Standing::InPlace
            | Standing::Failed { .. } => {}
        }
    }
    match &record.running {
        Some(running) if !settled => Next::Act(Intention {
            act: Act::BringUp,
            revision: running.revision.clone(),
            why: running.why.clone(),
            approved: Gates::default(),
        }),
        _ => Next::Rest,
    }
}

fn why(record: &Record, approved: &Gates) -> String {
    let newest = format!("newest of {}", record.follows);
    if approved.is_empty() { newest } else { format!("{newest}, approved") }
}

/// Takes in what was found out; what there is to say about it.
pub fn learn(record: &mut Record, policy: &Policy, now: Timestamp, news: News) -> Vec<Line> {
    match news {
        News::Fetched { revision, rewrites } => fetched(record, now, revision, rewrites),
        News::NotFetched(trouble) => not_fetched(record, now, trouble),
        News::Judged(verdict) => judged(record, verdict),
        News::Approved(approval) => approved(record, &approval),
        News::Afresh => {
            afresh(record);
            Vec::new()
        }
        News::Acted(intention, outcome) => acted::acted(record, policy, now, &intention, outcome),
    }
}

fn fetched(
    record: &mut Record,
    now: Timestamp,
    revision: Revision,
    rewrites: Option<String>,
) -> Vec<Line> {
    let mut lines = Vec::new();
    let failed_before = record.fetch.as_ref().is_some_and(|fetch| fetch.error.is_some());
    if failed_before {
        lines.push(Line::Said(format!("{} can be fetched again", record.follows)));
    }
    record.fetch = Some(Fetch { at: now, succeeded: Some(now), error: None });
    if let Some(head) = &mut record.head
        && head.revision.commit == revision.commit
    {
        // The host may have changed: what it could not do is tried again.
        if matches!(head.standing, Standing::Blocked { .. }) {
            head.standing = Standing::New;
        }
        return lines;
    }
    let is = |other: Option<&Revision>| other.is_some_and(|it| it.commit == revision.commit);
    let in_place = is(record.running.as_ref().map(|it| &it.revision)) && is(record.good.as_ref());
    lines.push(Line::Said(format!("{} is at {revision}", record.follows)));
    let standing = if in_place { Standing::InPlace } else { Standing::New };
    record.head =
        Some(Head { revision, seen: now, rewrites, approved: None, standing, said: None });
    lines
}

fn not_fetched(record: &mut Record, now: Timestamp, trouble: Trouble) -> Vec<Line> {
    let before = record.fetch.take();
    let succeeded = before.as_ref().and_then(|fetch| fetch.succeeded);
    let known = before.and_then(|fetch| fetch.error);
    let said = known.as_deref() == Some(&trouble.line());
    record.fetch = Some(Fetch { at: now, succeeded, error: Some(trouble.line()) });
    if said { Vec::new() } else { vec![Line::Failed(trouble), Line::Said(kept(record))] }
}

/// What is not touched by what went wrong.
fn kept(record: &Record) -> String {
    match &record.running {
        Some(running) => format!("{} stays in place", running.revision),
        None => "nothing is in place yet".to_owned(),
    }
}

fn judged(record: &mut Record, verdict: Verdict) -> Vec<Line> {
    let stays = kept(record);
    let Some(head) = &mut record.head else { return Vec::new() };
    let revision = head.revision.clone();
    match verdict {
        Verdict::Wrong { summary, details } => {
            head.standing = Standing::Wrong { reason: details.clone() };
            if head.said.replace(details.clone()).as_ref() == Some(&details) {
                return Vec::new();
            }
            let title = format!("{revision} cannot be used: {summary}");
            vec![Line::Shown(details), Line::Failed(Trouble::new(title, None)), Line::Said(stays)]
        }
        Verdict::Blocked(mut trouble) => {
            let reason = trouble.line();
            head.standing = Standing::Blocked { reason: reason.clone() };
            if head.said.replace(reason.clone()) == Some(reason) {
                return Vec::new();
            }
            trouble.chain.insert(0, format!("{revision} cannot be put in place now"));
            vec![Line::Failed(trouble), Line::Said(stays)]
        }
        Verdict::Possible(gates) => {
            let agreed = head.approved.take();
            if gates.is_empty() || agreed.is_some_and(|agreed| agreed.covers(&gates)) {
                head.standing = Standing::Cleared { approved: gates };
                return Vec::new();
            }
            let mut lines = vec![Line::Warned(format!("{revision} waits for approval"))];
            lines.extend(
                gates.reasons().into_iter().map(|reason| Line::Said(format!("  {reason}"))),
            );
            lines.push(Line::Said(format!(
                "  `windlass gitops approve {}` lets it through; {stays}",
                revision.short()
            )));
            head.standing = Standing::Waits { gates };
            lines
        }
    }
}

fn approved(record: &mut Record, approval: &Approval) -> Vec<Line> {
    let Some(head) = record.head.as_mut().filter(|it| it.revision.commit == approval.commit) else {
        let commit = super::record::short(&approval.commit);
        return vec![Line::Warned(format!("{commit} was approved, but is no longer the newest"))];
    };
    match head.standing {
        Standing::Waits { .. } | Standing::Failed { .. } => {
            head.approved = Some(approval.gates.clone());
            head.standing = Standing::New;
            vec![Line::Said(format!("{} is approved", head.revision))]
        }
        _ => Vec::new(),
    }
}

/// What depends on this host, and not on the commit alone, is judged again.
fn afresh(record: &mut Record) {
    if let Some(head) = &mut record.head
        && matches!(head.standing, Standing::Blocked { .. } | Standing::Wrong { .. })
    {
        head.standing = Standing::New;
    }
}

/// Why a commit cannot be approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// Too short to be a commit.
    #[error("`{0}` is not a commit")]
    NoCommit(String),
    /// Nothing waits.
    #[error("nothing waits for approval")]
    Nothing,
    /// Something else waits.
    #[error("`{asked}` does not wait for approval; {waits} does")]
    Other {
        /// As it was written.
        asked: String,
        /// What waits.
        waits: Revision,
    },
}

/// The least of a commit's name that means it.
const LEAST: usize = 7;

/// Which commit `asked` approves, and what of it, as it was shown.
pub fn approvable(record: &Record, asked: &str) -> Result<(Revision, Gates), NotApproved> {
    let is_hex = asked.bytes().all(|byte| byte.is_ascii_hexdigit());
    if asked.len() < LEAST || !is_hex {
        return Err(NotApproved::NoCommit(asked.to_owned()));
    }
    let head = record.head.as_ref().ok_or(NotApproved::Nothing)?;
    let gates = match &head.standing {
        Standing::Waits { gates } => gates.clone(),
        // What failed may be tried again.
        Standing::Failed { .. } => Gates { rewrites: head.rewrites.clone(), ..Gates::default() },
        _ => return Err(NotApproved::Nothing),
    };
    if !head.revision.commit.starts_with(&asked.to_ascii_lowercase()) {
        return Err(NotApproved::Other { asked: asked.to_owned(), waits: head.revision.clone() });
    }
    Ok((head.revision.clone(), gates))
}
