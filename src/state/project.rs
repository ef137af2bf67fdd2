//! Which directory a stack belongs to. Two checkouts with the same stack name
//! must not fight over one set of workloads.

use std::fs;
use std::io::ErrorKind;
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

/// Takes the stack's own directory away where nothing of the stack is left in
/// it, so that its name is free for any project. The caller holds the lock and
/// has seen that no volume is left.
pub fn forget(directories: &Directories, stack: &StackName) -> Result<(), StateError> {
    let directory = directories.stack(stack);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(StateError::io("read", &directory))?,
    };
    for entry in entries {
        let entry = entry.map_err(StateError::io("read", &directory))?;
        let kind = entry.file_type().map_err(StateError::io("look at", entry.path()))?;
        // A workload whose directory is empty has left nothing.
        if kind.is_dir()
            && let Err(error) = fs::remove_dir(entry.path())
        {
            return match error.kind() {
                ErrorKind::DirectoryNotEmpty => Ok(()),
                _ => Err(StateError::io("remove", entry.path())(error)),
            };
        }
    }
    fs::remove_dir_all(&directory).map_err(StateError::io("remove", &directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_forgotten_only_when_nothing_of_it_is_left() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directories = Directories::new(Some(home.path()), None);
        let stack = StackName::new("shop").expect("a valid name");
        let disk = directories.stack(&stack).join("db/1");
        fs::create_dir_all(&disk).expect("a VM's directory");
        fs::write(directories.stack(&stack).join("ledger.json"), "{}").expect("written");
        forget(&directories, &stack).expect("looked");
        assert!(disk.is_dir(), "a disk may lie there");
        fs::remove_dir(&disk).expect("removed");
        forget(&directories, &stack).expect("looked");
        assert!(!directories.stack(&stack).exists());
        forget(&directories, &stack).expect("there is nothing to forget");
    }
}
