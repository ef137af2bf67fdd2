//! What is asked of git. The one that is real is the `git` program
//! ([`program`]): it brings every way to authenticate along. It decides nothing.

pub mod program;

use std::path::Path;

use async_trait::async_trait;

use super::record::Revision;

/// A repository, mirrored.
#[async_trait]
pub trait Git: Send + Sync {
    /// Where the ref is now. What was fetched before stays.
    async fn fetch(&self) -> Result<Revision, GitError>;
    /// Whether `old` is `new` or among its ancestors.
    async fn descends(&self, new: &str, old: &str) -> Result<bool, GitError>;
    /// Has `tree` hold the files of a commit: those that differ are written, those
    /// that git never knew stay.
    async fn check_out(&self, commit: &str, tree: &Path) -> Result<(), GitError>;
    /// Keeps these commits, and no others, whatever becomes of the ref.
    async fn keep(&self, commits: &[&str]) -> Result<(), GitError>;
    /// Submodules and large files of a commit, that are not fetched.
    async fn left_out(&self, commit: &str) -> Result<Vec<String>, GitError>;
}

/// What git could not do.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("there is no `git` program")]
    Missing,
    /// It could not be started.
    #[error("cannot run `git`")]
    NotRun(#[source] std::io::Error),
    /// The deploy key cannot be used.
    #[error("the deploy key `{path}` {why}", path = path.display())]
    Key {
        /// Which one.
        path: std::path::PathBuf,
        /// Why, as the rest of a sentence.
        why: String,
        /// What to do.
        help: String,
    },
    /// The ref is not there.
    #[error("`{reference}` is not in `{repo}`")]
    NoSuchRef {
        /// The ref.
        reference: String,
        /// The repository, without passwords.
        repo: String,
    },
    /// It could not be fetched.
    #[error("cannot fetch `{repo}`: {said}")]
    Fetch {
        /// The repository, without passwords.
        repo: String,
        /// git's own words.
        said: String,
        /// What to do, where that is known.
        help: Option<String>,
    },
    /// It took too long.
    #[error("cannot fetch `{repo}`: nothing came of it within {seconds} s")]
    TooLong {
        /// The repository, without passwords.
        repo: String,
        /// How long it was given.
        seconds: u64,
    },
    /// Something else did not work.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// What it was asked.
        command: String,
        /// Its own words.
        said: String,
    },
}

impl GitError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing => Some("install it: `apt-get install git`".to_owned()),
            Self::Key { help, .. } => Some(help.clone()),
            Self::Fetch { help, .. } => help.clone(),
            Self::NoSuchRef { .. } => {
                Some("check `ref` in the gitops file; if it was deleted, push it again".to_owned())
            }
            Self::NotRun(_) | Self::TooLong { .. } | Self::Failed { .. } => None,
        }
    }
}
