//! Images of both kinds, kept by digest.
//!
//! [`Store`] owns `images/` and what leads into it: registries, mirrors, URLs,
//! files. An image is prepared aside and renamed into place when it is whole,
//! so what the store lists can be used. It never decides when to fetch, and
//! never runs a workload.

pub mod error;
pub mod stored;

pub use error::ImageError;
pub use stored::{Boot, ContainerImage, DiskFormat, DiskImage, StoredImage};

use std::path::PathBuf;

use crate::state::Directories;

/// The image store of one state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    cache: PathBuf,
}

impl Store {
    /// Opens the store, making it where there is none.
    pub fn open(directories: &Directories) -> Result<Self, ImageError> {
        Ok(Self { root: directories.images(), cache: directories.cache.clone() })
    }

    /// The container image with this digest.
    pub fn container(&self, digest: &str) -> Result<ContainerImage, ImageError> {
        Err(ImageError::NotHere { digest: digest.to_owned() })
    }

    /// The disk image with this digest.
    pub fn disk(&self, digest: &str) -> Result<DiskImage, ImageError> {
        Err(ImageError::NotHere { digest: digest.to_owned() })
    }
}
