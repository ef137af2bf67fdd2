//! The lock that one reconcile of a stack holds. The kernel keeps it (`flock`),
//! so it cannot outlive its holder; what is written into the file only says who
//! that is.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{StateError, file_lock};

/// Name of the file within the stack's directory.
pub const FILE: &str = "lock";

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct StackLock {
    _file: File,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// What an attempt to take the lock came to.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Held(StackLock),
    /// Somebody else has it; who, where that could be read.
    Busy(Waiting, Option<Holder>),
}

/// An open lock file that somebody else holds.
#[derive(Debug)]
pub struct Waiting {
    file: File,
    path: std::path::PathBuf,
}

/// Tries to take the lock in the stack's directory, which is made if need be.
pub fn attempt(stack_directory: &Path) -> Result<Attempt, StateError> {
    let path = stack_directory.join(FILE);
    loop {
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path)? => return Ok(Attempt::Held(sign(file, &path)?)),
            // Its holder took the stack's directory away: this is another file.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok();
                let holder = holder.and_then(|_| serde_json::from_str(&text).ok());
                return Ok(Attempt::Busy(Waiting { file, path }, holder));
            }
            Err(TryLockError::Error(error)) => return Err(StateError::io("lock", &path)(error)),
        }
    }
}

fn open(path: &Path) -> Result<File, StateError> {
    file_lock::open(path).map_err(StateError::io("open", path))
}

fn is_at(file: &File, path: &Path) -> Result<bool, StateError> {
    file_lock::is_at(file, path).map_err(StateError::io("look at", path))
}

impl Waiting {
    /// Blocks until the holder lets go.
    pub fn wait(self) -> Result<StackLock, StateError> {
        let Self { mut file, path } = self;
        loop {
            file.lock().map_err(StateError::io("lock", &path))?;
            if is_at(&file, &path)? {
                return sign(file, &path);
            }
            file = open(&path)?;
        }
    }
}

/// Writes down who holds it, for whoever waits.
fn sign(mut file: File, path: &Path) -> Result<StackLock, StateError> {
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let holder = Holder { pid: std::process::id(), command };
    let text = serde_json::to_string(&holder).unwrap_or_default();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .map_err(StateError::io("write", path))?;
    Ok(StackLock { _file: file })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_when_the_first_lets_go() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let Attempt::Held(first) = attempt(directory.path()).expect("the lock file opens") else {
            panic!("nobody else holds it");
        };
        let Attempt::Busy(waiting, holder) = attempt(directory.path()).expect("it opens") else {
            panic!("the first holds it");
        };
        assert_eq!(holder.map(|holder| holder.pid), Some(std::process::id()));
        drop(first);
        waiting.wait().expect("it is free now");
    }

    #[test]
    fn who_waited_for_a_stack_that_was_forgotten_holds_the_new_lock_and_not_the_old() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let stack = home.path().join("shop");
        let Attempt::Held(first) = attempt(&stack).expect("the lock file opens") else {
            panic!("nobody else holds it");
        };
        let Attempt::Busy(waiting, _) = attempt(&stack).expect("it opens") else {
            panic!("the first holds it");
        };
        std::fs::remove_dir_all(&stack).expect("forgotten");
        drop(first);
        let _second = waiting.wait().expect("it is free now");
        assert!(matches!(attempt(&stack), Ok(Attempt::Busy(..))), "two would hold it");
    }
}
