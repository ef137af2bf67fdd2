//! What the kernel says about files: inotify, by way of `notify`. It drops what
//! is no change (our own reads would set off ourselves) and decides nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use notify::event::{ModifyKind, RenameMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::WatchError;

/// Something happened.
#[derive(Debug)]
pub(super) enum Notice {
    /// To these paths.
    Changed {
        /// Which ones.
        paths: Vec<PathBuf>,
        /// They are not there any more under these names.
        gone: bool,
    },
    /// More than the kernel could tell: anything may have changed.
    Overflow,
    /// It cannot be told any more.
    Broken(notify::Error),
}

/// Directories that are followed, each by itself.
#[derive(Debug)]
pub(super) struct Notices {
    watcher: RecommendedWatcher,
    inbox: mpsc::UnboundedReceiver<Notice>,
    followed: BTreeSet<PathBuf>,
}

impl Notices {
    /// Follows nothing yet.
    pub(super) fn new() -> Result<Self, WatchError> {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let hear = move |event: Result<Event, notify::Error>| {
            if let Some(notice) = event.map_or_else(|error| Some(Notice::Broken(error)), notice) {
                // Whoever listened has gone: so will this, in a moment.
                drop(outbox.send(notice));
            }
        };
        let watcher = notify::recommended_watcher(hear).map_err(WatchError::Kernel)?;
        Ok(Self { watcher, inbox, followed: BTreeSet::new() })
    }

    /// Follows one more directory. One that is not there (any more) is no error:
    /// the one above it tells when it is.
    pub(super) fn follow(&mut self, directory: &Path) -> Result<(), WatchError> {
        if self.followed.contains(directory) {
            return Ok(());
        }
        match self.watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.followed.insert(directory.to_owned());
                Ok(())
            }
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => {
                Err(WatchError::TooMany { directories: self.followed.len() })
            }
            Err(error) => Err(WatchError::Kernel(error)),
        }
    }

    /// What was there under this name is followed no longer: what appears there
    /// is something else. Whether anything was followed.
    pub(super) fn forget(&mut self, path: &Path) -> bool {
        let below: Vec<PathBuf> = self
            .followed
            .range(path.to_owned()..)
            .take_while(|followed| followed.starts_with(path))
            .cloned()
            .collect();
        for directory in &below {
            self.followed.remove(directory);
            // The kernel may have let go of it already.
            drop(self.watcher.unwatch(directory));
        }
        !below.is_empty()
    }

    /// The next notice.
    pub(super) async fn next(&mut self) -> Option<Notice> {
        self.inbox.recv().await
    }

    /// How many directories are followed.
    pub(super) fn count(&self) -> usize {
        self.followed.len()
    }
}

fn notice(event: Event) -> Option<Notice> {
    if event.need_rescan() {
        return Some(Notice::Overflow);
    }
    let gone = match event.kind {
        EventKind::Access(_) => return None,
        EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => true,
        _ => false,
    };
    Some(Notice::Changed { paths: event.paths, gone })
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => {
            matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
        }
        _ => false,
    }
}
