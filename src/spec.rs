//! Node → Spec: what the files say, all of them together, in one form.
//!
//! A [`Spec`] is the merged tree with variables filled in, short forms written
//! out and every key checked against the tables in `keys`. What it means (and
//! whether its references lead anywhere) is for [`crate::stack::resolve`].
//! Everything wrong is said at once. The disk is seen through [`Files`] only.

mod canonical;
mod check;
mod dotenv;
mod env_file;
mod extends;
mod files;
mod find;
mod form;
mod include;
mod interpolate;
mod keys;
mod load;
mod measure;
mod merge;
mod normalise;
pub(crate) mod path;
mod profiles;
pub mod render;
mod schema;
mod shell;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) use check::{WRONG, check_as};
pub use files::{Disk, Files, InMemory};
pub use find::{NotFound, find};
pub(crate) use form::{Form, Object, key};
pub(crate) use interpolate::is_body;
pub use load::{load, read};
pub use measure::{bytes, duration, milli};
pub use schema::json_schema;
pub(crate) use schema::schema_of;

use crate::diagnostic::{Diagnostics, Sources};
use crate::stack::StackName;
use crate::yaml::Node;

/// What to read, and the world it is read in. Made by [`find`] or by hand.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The files, in the order in which later ones override earlier ones; absolute.
    pub files: Vec<PathBuf>,
    /// The directory that relative paths start from; absolute.
    pub project_directory: PathBuf,
    /// `-p`, before the environment's and the file's own name.
    pub project_name: Option<String>,
    /// Profiles to switch on, besides `COMPOSE_PROFILES`; `*` is all of them.
    pub profiles: Vec<String>,
    /// Files of variables instead of `.env`; absolute.
    pub env_files: Vec<PathBuf>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
}

/// What the files say.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The project's name.
    pub name: StackName,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
    /// The files that were merged, in order.
    pub files: Vec<PathBuf>,
    /// Variables: the environment over the `.env` files.
    pub variables: BTreeMap<String, String>,
    /// Workloads whose profile is not switched on: name → profiles.
    pub disabled: BTreeMap<String, Vec<String>>,
    /// The tree, in its long form.
    pub document: Node,
}

/// The files cannot be used; nothing was done.
#[derive(Debug, thiserror::Error)]
#[error("the stack file is wrong ({} errors)", diagnostics.errors())]
pub struct Failed {
    /// What is wrong, warnings among it.
    pub diagnostics: Diagnostics,
    /// The files, to render it with.
    pub sources: Sources,
}
