//! What a file is, as far as it matters whether it changed: a file that was
//! touched and says the same is the same.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::interest::Trigger;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Print {
    /// Nothing.
    Absent,
    /// Something whose content does not matter.
    Present,
    /// A directory.
    Directory,
    /// A link to this.
    Link(PathBuf),
    /// A file with this content and these permissions.
    File([u8; 32], u32),
}

/// What the path is now, in the eyes of what it sets off.
pub(super) fn of(trigger: &Trigger, path: &Path) -> Print {
    let looked = match trigger {
        // Links are carried over as links.
        Trigger::Rule(..) => fs::symlink_metadata(path),
        Trigger::Stack | Trigger::Presence | Trigger::Bound(_) => fs::metadata(path),
    };
    let seen = looked.and_then(|metadata| match trigger {
        Trigger::Presence => Ok(Print::Present),
        Trigger::Stack | Trigger::Bound(_) | Trigger::Rule(..) => content(path, &metadata),
    });
    match seen {
        Ok(print) => print,
        Err(error) if is_absent(&error) => Print::Absent,
        // It is there; whoever needs its content says what is wrong with it.
        Err(_) => Print::Present,
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn content(path: &Path, metadata: &Metadata) -> io::Result<Print> {
    if metadata.is_dir() {
        return Ok(Print::Directory);
    }
    if metadata.is_symlink() {
        return fs::read_link(path).map(Print::Link);
    }
    if !metadata.is_file() {
        return Ok(Print::Present);
    }
    let mut digest = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut Digester(&mut digest))?;
    Ok(Print::File(digest.finalize().into(), metadata.mode() & 0o7777))
}

/// Feeds what is written to it to a digest.
struct Digester<'a>(&'a mut Sha256);

impl io::Write for Digester<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What lies in a directory: its directories, and everything. What vanishes
/// meanwhile is not there.
pub(super) fn entries(directory: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut directories, mut paths) = (Vec::new(), Vec::new());
    let Ok(entries) = fs::read_dir(directory) else { return (directories, paths) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            directories.push(entry.path());
        }
        paths.push(entry.path());
    }
    (directories, paths)
}
