//! What happens to a running workload when files of the host change
//! (`develop.watch`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod pattern;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One rule: these files, and what a change of them does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The file or directory that is followed, absolute.
    pub path: PathBuf,
    /// What a change does.
    pub action: Action,
    /// What is left out, as a `.dockerignore` in `path` would say it.
    pub ignore: Vec<String>,
    /// What alone counts; empty: everything.
    pub include: Vec<String>,
}

/// What a change of a file does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The file is written into the workload.
    Sync(Sync),
    /// The workload is stopped and started.
    Restart,
    /// Its image is made anew, and it from that.
    Rebuild,
}

/// Where changed files go, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Absolute path inside that stands for the rule's `path`.
    pub target: String,
    /// Everything is written once when the watching begins.
    pub initial: bool,
    /// What follows.
    pub then: Then,
}

/// What follows when files were written into a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Nothing: it sees them by itself.
    Nothing,
    /// It is stopped and started.
    Restart,
    /// A command runs inside.
    Exec(Hook),
}

/// A command that runs inside a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `user[:group]`; `None`: as `exec` does it.
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Variables on top of the workload's own.
    pub environment: BTreeMap<String, String>,
}
