//! What a supervisor leaves behind: its log, its socket, its locks. They go with
//! the boot, and with a stack that is taken away whole.

use std::fs;

use super::client::directory;
use super::spawn::STARTING;
use crate::shim;
use crate::stack::StackName;
use crate::state::{Directories, StateError, file_lock};

/// Takes them away, unless there is a supervisor or somebody is about to start one.
///
/// # Errors
/// Where a file can be neither locked nor removed.
pub fn remove(directories: &Directories, stack: &StackName) -> Result<(), StateError> {
    let directory = directory(directories, stack);
    if !directory.exists() {
        return Ok(());
    }
    // Held until it is gone itself: whoever waits for it takes another one.
    let lock = file_lock::try_exclusive(&directory.join(STARTING));
    let lock = lock.map_err(StateError::io("lock", &directory))?;
    let Some(_lock) = lock else { return Ok(()) };
    if shim::look(&directory).is_some() {
        return Ok(());
    }
    shim::wait_until_unminded(&directory).map_err(StateError::io("wait for", &directory))?;
    fs::remove_dir_all(&directory).map_err(StateError::io("remove", &directory))
}
