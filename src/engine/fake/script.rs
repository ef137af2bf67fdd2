//! What goes wrong and how guests behave: decided by the test, never by chance.

use std::collections::BTreeMap;

use crate::engine::error::Reason;
use crate::engine::{EngineError, ErrorKind};

/// How one run of the fake goes.
#[derive(Debug, Clone, Default)]
pub struct Script {
    faults: BTreeMap<usize, Fault>,
    guests: BTreeMap<String, Guest>,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done.
    Fail(ErrorKind),
    /// It was done, and the answer got lost.
    LostReply(ErrorKind),
    /// Nothing is done from here on: the caller was killed.
    Crash,
}

/// How a workload behaves once it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Guest {
    /// It runs, says that it is ready, and is healthy.
    #[default]
    Well,
    /// It runs and never says anything.
    Silent,
    /// It is ready, and its check never passes.
    Unhealthy,
    /// Its cloud-init fails with these words.
    FailsToBoot(String),
    /// It ends with this exit code.
    Ends(i32),
}

impl Script {
    /// Lets the call with this number (from 0) go wrong.
    #[must_use]
    pub fn fail_at(mut self, call: usize, fault: Fault) -> Self {
        self.faults.insert(call, fault);
        self
    }

    /// Lets all copies of a workload behave like this.
    #[must_use]
    pub fn guest(mut self, workload: &str, guest: Guest) -> Self {
        self.guests.insert(workload.to_owned(), guest);
        self
    }

    pub(super) fn fault(&self, call: usize) -> Option<Fault> {
        self.faults.get(&call).copied()
    }

    pub(super) fn behaviour(&self, workload: &str) -> Guest {
        self.guests.get(workload).cloned().unwrap_or_default()
    }
}

pub(super) fn scripted(kind: ErrorKind) -> EngineError {
    EngineError::new("fake", "perform", "a step", kind, Reason("as the script has it".into()))
}
