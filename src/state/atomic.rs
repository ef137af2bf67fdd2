//! JSON files that are either the old one or the new one, whatever happens:
//! a temporary file beside it, fsync, rename, fsync of the directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StateError;

/// Replaces `path` by `value`, durably, readable by its owner alone.
pub fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    replace(path, value, true).map_err(StateError::io("write", path))
}

/// Replaces `path` by `value` without waiting for the disk: for what may be lost.
pub fn write_cache<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    replace(path, value, false).map_err(StateError::io("write", path))
}

fn replace<T: Serialize>(path: &Path, value: &T, durable: bool) -> io::Result<()> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(directory)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(directory)?;
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    file.write_all(&bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
    if durable {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if durable {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Takes a file away; one that is not there is no error.
pub fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Reads what may be lost: nothing where there is none, or none that can be read.
pub fn read_cache<T: DeserializeOwned + Default>(path: &Path, known: u32) -> T {
    read_versioned(path, known).ok().flatten().unwrap_or_default()
}

/// Reads a file that carries a `version`; `None` where there is none. A newer
/// version is refused before anything else of it is looked at.
pub fn read_versioned<T: DeserializeOwned>(
    path: &Path,
    known: u32,
) -> Result<Option<T>, StateError> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u32,
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path)(error)),
    };
    let damaged = |source| StateError::Damaged { path: path.to_owned(), source };
    let Version { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version > known {
        return Err(StateError::Newer { path: path.to_owned(), found: version, known });
    }
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}
