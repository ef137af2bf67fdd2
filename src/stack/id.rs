//! The names of things: stacks and instances. It never makes up a name from
//! the host: identities are functions of what the user wrote.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The project's name, as Compose allows it: `[a-z0-9][a-z0-9_-]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackName(String);

impl StackName {
    /// `None` where `text` breaks Compose's rule for project names.
    pub fn new(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let first = chars.next()?;
        let starts = first.is_ascii_lowercase() || first.is_ascii_digit();
        let rest =
            chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'));
        (starts && rest).then(|| Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container; on screen `container`, in the file under `services:`.
    Container,
    /// A virtual machine.
    Vm,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Vm => "vm",
        })
    }
}

/// One running copy of a workload, within its stack.
///
/// `number` counts from 1. A workload with one replica shows as `web`, one with
/// several as `web-1`, `web-2`: the display name is also the host name, the DNS
/// name and the argument of every verb. How it shows is no part of its identity:
/// `web` and `web-1` are the same copy, before and after scaling.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InstanceId {
    /// The workload's name in the file.
    pub workload: String,
    /// Which copy, from 1.
    pub number: u32,
    /// Whether the workload has several copies, so that the number shows.
    pub replicated: bool,
}

impl InstanceId {
    /// What tells it from every other instance of the stack.
    fn identity(&self) -> (&str, u32) {
        (&self.workload, self.number)
    }

    /// The only copy of a workload.
    pub fn single(workload: &str) -> Self {
        Self { workload: workload.to_owned(), number: 1, replicated: false }
    }
}

impl PartialEq for InstanceId {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for InstanceId {}

impl PartialOrd for InstanceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InstanceId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl Hash for InstanceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.replicated {
            write!(f, "{}-{}", self.workload, self.number)
        } else {
            f.write_str(&self.workload)
        }
    }
}
