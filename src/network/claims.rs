//! The host-wide lock under which subnets are checked and taken. It lies
//! outside of every state directory, because users and tests with directories
//! of their own share the host; there is one per network namespace.
//!
//! There is no list of claims beside it that could go stale: the claim on a
//! subnet is the labelled bridge itself, and the claim on a port is the socket
//! that its forwarder holds.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::state::StateError;

const DIRECTORY: &str = "/run/windlass-claims";

/// The namespace of the calling thread.
const NAMESPACE: &str = "/proc/thread-self/ns/net";

/// Waits for the lock of the calling thread's network namespace; dropping the
/// file gives it back.
pub(super) fn lock() -> Result<File, StateError> {
    let namespace = fs::metadata(NAMESPACE).map_err(StateError::io("read", NAMESPACE))?.ino();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(DIRECTORY)
        .map_err(StateError::io("create", DIRECTORY))?;
    let path = Path::new(DIRECTORY).join(format!("{namespace}.lock"));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(StateError::io("open", &path))?;
    file.lock().map_err(StateError::io("lock", &path))?;
    Ok(file)
}
