//! Which directory a stack belongs to. Two checkouts with the same stack name
//! must not fight over one set of workloads.

use std::path::{Path, PathBuf};

use super::ledger::{self, Found};
use super::{Directories, StateError};
use crate::stack::StackName;

/// The stack belongs to another directory.
#[derive(Debug, thiserror::Error)]
#[error(
    "the stack `{stack}` belongs to `{owner}`, and this is `{here}`",
    owner = owner.display(),
    here = here.display()
)]
pub struct Elsewhere {
    /// The stack.
    pub stack: StackName,
    /// The directory it was brought up from.
    pub owner: PathBuf,
    /// The directory that asks.
    pub here: PathBuf,
}

/// What the ledger says about who may act on a stack.
#[derive(Debug)]
pub enum Owner {
    /// Nobody else; with a note when the ledger was damaged.
    Us(Option<String>),
    /// Another directory.
    Other(Elsewhere),
}

/// Whether `here` may act on the stack.
pub fn owner(
    directories: &Directories,
    stack: &StackName,
    here: &Path,
) -> Result<Owner, StateError> {
    Ok(match ledger::read(&directories.stack(stack))? {
        Found::Lost(note) => Owner::Us(note),
        Found::Ledger(ledger) if ledger.directory == here => Owner::Us(None),
        Found::Ledger(ledger) => Owner::Other(Elsewhere {
            stack: stack.clone(),
            owner: ledger.directory,
            here: here.to_owned(),
        }),
    })
}
