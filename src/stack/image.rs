//! What a workload is made from.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a workload is made from, before it is resolved to a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// Container: a registry's reference, `nginx:1.27`. VM: a catalogue name, `debian:12`.
    Reference(String),
    /// An OCI layout (directory or tar) or a disk image, absolute.
    Path(PathBuf),
    /// A disk image behind https, with its SHA-256.
    Url {
        /// The address.
        url: String,
        /// Hex digest; required, so that a URL means the same tomorrow.
        sha256: String,
    },
    /// Built from a distribution's mirror (`build.bootstrap`).
    Bootstrap(Recipe),
}

/// A root file system that mmdebstrap builds. Equal recipes are one image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Recipe {
    /// `bookworm`, `trixie`, `noble` …
    pub suite: String,
    /// A mirror to take instead of the distribution's own.
    pub mirror: Option<String>,
    /// Packages on top of the minimal system, sorted.
    pub packages: Vec<String>,
    /// Archive components, `main` when empty.
    pub components: Vec<String>,
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => f.write_str(reference),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Url { url, .. } => f.write_str(url),
            Self::Bootstrap(recipe) if recipe.packages.is_empty() => {
                write!(f, "bootstrap:{}", recipe.suite)
            }
            Self::Bootstrap(recipe) => {
                write!(f, "bootstrap:{}+{}", recipe.suite, recipe.packages.join("+"))
            }
        }
    }
}
