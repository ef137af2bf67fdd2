//! What a loop keeps of a stack on disk, and how commands and loop hear of each
//! other: files that are replaced as a whole, and inotify. It decides nothing.
//!
//! ```text
//! lib/gitops/<stack>/
//!   mirror.git/      the repository, bare; refs/windlass/revisions/* are kept
//!   tree/            the files of what runs: one path, for bind mounts refer to it
//!   candidate/       the files of what is judged
//!   *.index          what git knows of either
//!   record.json      what the loop knows
//!   wishes.json      what commands ask of it; wishes.lock while one is written
//!   lock             the loop that runs
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::WatchFlags;

use super::record::{self, Record, Wishes};
use crate::readable::Watch;
use crate::stack::StackName;
use crate::state::lock::{self, Attempt, Holder, StackLock};
use crate::state::{Directories, StateError, atomic};

/// Form of the wishes.
const WISHES_VERSION: u32 = 1;

/// A stack's directory of `GitOps`.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// Who follows a repository.
#[derive(Debug)]
pub enum Follower {
    /// Nobody.
    Nobody,
    /// A loop; which process, where that could be read.
    Loop(Option<Holder>),
}

impl Follower {
    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        matches!(self, Self::Loop(_))
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Loop(Some(holder)) => Some(holder.pid),
            _ => None,
        }
    }
}

/// Whether this loop is the stack's only one.
#[derive(Debug)]
pub enum Only {
    /// It is this one, for as long as this lives.
    Us(StackLock),
    /// It is another process.
    Other(Option<Holder>),
}

impl Store {
    /// The stack's, whether or not it is there.
    pub fn new(directories: &Directories, stack: &StackName) -> Self {
        Self { directory: directories.gitops(stack) }
    }

    /// Where everything lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The repository.
    pub fn mirror(&self) -> PathBuf {
        self.directory.join("mirror.git")
    }

    /// The files of what runs.
    pub fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// The files of what is judged.
    pub fn candidate(&self) -> PathBuf {
        self.directory.join("candidate")
    }

    /// What the loop knows; `None`: there was none yet.
    pub fn record(&self) -> Result<Option<Record>, StateError> {
        atomic::read_versioned(&self.directory.join("record.json"), record::VERSION)
    }

    /// Replaces it, durably.
    pub fn write(&self, record: &Record) -> Result<(), StateError> {
        atomic::write(&self.directory.join("record.json"), record)
    }

    /// What was asked.
    pub fn wishes(&self) -> Result<Wishes, StateError> {
        let wishes = atomic::read_versioned(&self.directory.join("wishes.json"), WISHES_VERSION)?;
        Ok(wishes.unwrap_or_default())
    }

    /// Asks for something more: `change` is given the wish's own serial. It comes
    /// after every other wish, and takes none of them away.
    pub fn wish(&self, change: impl FnOnce(&mut Wishes, u64)) -> Result<Wishes, StateError> {
        let path = self.directory.join("wishes.lock");
        let mut options = File::options();
        let lock = options.write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(StateError::io("open", &path))?;
        lock.lock().map_err(StateError::io("lock", &path))?;
        let mut wishes = self.wishes()?;
        wishes.version = WISHES_VERSION;
        wishes.serial += 1;
        let serial = wishes.serial;
        change(&mut wishes, serial);
        atomic::write(&self.directory.join("wishes.json"), &wishes)?;
        Ok(wishes)
    }

    /// Makes the directory, open to root alone, and takes the loop's place.
    pub fn take(&self) -> Result<Only, StateError> {
        use std::os::unix::fs::DirBuilderExt;
        let failed = |error| StateError::io("create", &self.directory)(error);
        if let Some(parent) = self.directory.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(failed)?;
        Ok(match lock::attempt(&self.directory)? {
            Attempt::Held(lock) => Only::Us(lock),
            Attempt::Busy(_, holder) => Only::Other(holder),
        })
    }

    /// Who follows the repository now.
    pub fn follower(&self) -> Result<Follower, StateError> {
        if !self.directory.is_dir() {
            return Ok(Follower::Nobody);
        }
        Ok(match lock::attempt(&self.directory)? {
            Attempt::Held(_) => Follower::Nobody,
            Attempt::Busy(_, holder) => Follower::Loop(holder),
        })
    }

    /// Takes everything away.
    pub fn remove(&self) -> Result<(), StateError> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StateError::io("remove", &self.directory)(error))
            }
            _ => Ok(()),
        }
    }

    /// Hears when a file of the directory is replaced.
    pub fn watch(&self) -> Result<Watch, StateError> {
        let watch = Watch::new(&self.directory, WatchFlags::MOVED_TO);
        watch.map_err(StateError::io("watch", &self.directory))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(home: &Path) -> Store {
        let stack = StackName::new("shop").expect("a valid name");
        Store::new(&Directories::new(Some(home), None), &stack)
    }

    #[test]
    fn a_wish_takes_no_other_away_and_one_loop_runs_per_stack() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let store = store(home.path());
        assert!(!store.follower().expect("looked").is_there());
        let Only::Us(lock) = store.take().expect("taken") else { panic!("nobody else runs") };
        assert!(matches!(store.take().expect("looked"), Only::Other(Some(_))));
        assert_eq!(store.follower().expect("looked").pid(), Some(std::process::id()));
        store.wish(|wishes, _| wishes.suspended = true).expect("written");
        let wishes = store.wish(|wishes, serial| wishes.sync = serial).expect("written");
        assert_eq!((wishes.serial, wishes.sync, wishes.suspended), (2, 2, true));
        drop(lock);
        assert!(!store.follower().expect("looked").is_there());
    }

    #[tokio::test]
    async fn a_wish_is_heard() {
        let home = tempfile::tempdir().expect("a temporary directory");
        let store = store(home.path());
        let _lock = store.take().expect("taken");
        let watch = store.watch().expect("watched");
        store.wish(|wishes, serial| wishes.sync = serial).expect("written");
        watch.changed().await.expect("heard");
        assert_eq!(store.wishes().expect("read").sync, 1);
    }
}
