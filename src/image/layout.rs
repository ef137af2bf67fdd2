//! What lies where in the store, and the files that say so.
//!
//! ```text
//! images/
//!   images/<digest>/image.json     one image; VMs: its disk, kernel, initrd
//!   layers/<diff id>/fs/           one layer, unpacked; beside it layer.json
//!   refs/<hash of kind and source>.json    what an image was asked for as
//!   locks/                         one per reference and per layer
//!   tmp/                           what is not whole yet
//! ```
//!
//! Everything is content addressed but `refs/`. A directory in `images/` or
//! `layers/` is whole: it was renamed there. This file reads and writes records;
//! it never fetches and never removes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use oci_spec::image::Config;
use serde::{Deserialize, Serialize};

use super::ImageError;
use super::scratch::Scratch;
use super::stored::DiskFormat;
use crate::stack::{Healthcheck, ImageSource, Kind};
use crate::state::{atomic, file_lock, names};

/// Version of every file here.
const VERSION: u32 = 1;

/// Paths of one store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

/// `image.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ImageRecord {
    /// Form of this file.
    pub(super) version: u32,
    /// `sha256:…`
    pub(super) digest: String,
    /// Seconds since the epoch when it came into the store.
    pub(super) created: i64,
    /// What is in it.
    pub(super) contents: Contents,
}

/// What is in an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Contents {
    /// A container's.
    Container {
        /// Layers as in the image's configuration: lowest first.
        layers: Vec<LayerId>,
        /// The run configuration, as the image has it.
        config: Box<Config>,
        /// The healthcheck, which OCI's configuration has no place for.
        healthcheck: Option<Healthcheck>,
    },
    /// A VM's.
    Disk(DiskRecord),
}

/// A VM's image. Files are names within the image's directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DiskRecord {
    /// The disk.
    pub(super) file: String,
    /// Its form.
    pub(super) format: DiskFormat,
    /// Bytes that a guest sees.
    pub(super) virtual_size: u64,
    /// Bytes on the host.
    pub(super) bytes: u64,
    /// The kernel to boot; `None`: the firmware finds a boot loader.
    pub(super) kernel: Option<KernelRecord>,
    /// Default login.
    pub(super) user: String,
    /// The system's own name.
    pub(super) os: Option<String>,
}

/// A kernel beside a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KernelRecord {
    /// Its file.
    pub(super) file: String,
    /// Its initial RAM disk.
    pub(super) initrd: Option<String>,
    /// Its command line.
    pub(super) cmdline: String,
}

/// A layer and its size.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct LayerId {
    /// Digest of the uncompressed archive.
    pub(super) diff_id: String,
    /// Bytes on the host.
    pub(super) bytes: u64,
}

/// `layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    /// Form of this file.
    pub(super) version: u32,
    /// Bytes on the host.
    pub(super) bytes: u64,
}

/// A file in `refs/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RefRecord {
    /// Form of this file.
    pub(super) version: u32,
    /// What was asked for.
    pub(super) source: ImageSource,
    /// For which kind of workload.
    pub(super) kind: Kind,
    /// What it led to.
    pub(super) digest: String,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn scratches(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn scratch(&self) -> Result<Scratch, ImageError> {
        Scratch::new(&self.scratches())
    }

    pub(super) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(super) fn image(&self, digest: &str) -> PathBuf {
        self.images().join(file_name(digest))
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(super) fn layer(&self, diff_id: &str) -> PathBuf {
        self.layers().join(file_name(diff_id))
    }

    pub(super) fn layer_lock(&self, diff_id: &str) -> PathBuf {
        self.root.join("locks").join(format!("layer-{}", file_name(diff_id)))
    }

    fn refs(&self) -> PathBuf {
        self.root.join("refs")
    }

    fn reference(&self, source: &ImageSource, kind: Kind) -> PathBuf {
        self.refs().join(format!("{}.json", key(source, kind)))
    }

    /// Waits until nobody else in any process fetches the same.
    pub(super) fn lock_reference(
        &self,
        source: &ImageSource,
        kind: Kind,
    ) -> Result<File, ImageError> {
        let path = self.root.join("locks").join(format!("ref-{}", key(source, kind)));
        file_lock::exclusive(&path).map_err(ImageError::io("lock", &path))
    }

    pub(super) fn read_image(&self, digest: &str) -> Result<ImageRecord, ImageError> {
        atomic::read_versioned(&self.image(digest).join("image.json"), VERSION)?
            .ok_or_else(|| ImageError::NotHere { name: digest.to_owned() })
    }

    /// The layer's record; `None` where there is no such layer.
    pub(super) fn read_layer(&self, diff_id: &str) -> Result<Option<LayerRecord>, ImageError> {
        Ok(atomic::read_versioned(&self.layer(diff_id).join("layer.json"), VERSION)?)
    }

    /// The digest that `source` led to, where that image is still here.
    pub(super) fn lookup(
        &self,
        source: &ImageSource,
        kind: Kind,
    ) -> Result<Option<String>, ImageError> {
        let record: Option<RefRecord> =
            atomic::read_versioned(&self.reference(source, kind), VERSION)?;
        Ok(record.map(|record| record.digest).filter(|digest| self.image(digest).is_dir()))
    }

    /// Notes that `source` leads to `digest`.
    pub(super) fn write_reference(
        &self,
        source: &ImageSource,
        kind: Kind,
        digest: &str,
    ) -> Result<(), ImageError> {
        let (source, digest) = (source.clone(), digest.to_owned());
        let path = self.reference(&source, kind);
        Ok(atomic::write(&path, &RefRecord { version: VERSION, source, kind, digest })?)
    }

    pub(super) fn remove_reference(&self, record: &RefRecord) -> Result<(), ImageError> {
        let path = self.reference(&record.source, record.kind);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImageError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every reference; one that cannot be read is left out, it leads nowhere.
    pub(super) fn list_references(&self) -> Result<Vec<RefRecord>, ImageError> {
        let mut records = Vec::new();
        for path in entries(&self.refs())? {
            match atomic::read_versioned::<RefRecord>(&path, VERSION) {
                Ok(Some(record)) => records.push(record),
                Ok(None) => {}
                Err(error) => tracing::warn!(path = %path.display(), %error, "skipped"),
            }
        }
        records.sort_by(|a, b| (a.kind, &a.source).cmp(&(b.kind, &b.source)));
        Ok(records)
    }

    /// Every image.
    pub(super) fn list_images(&self) -> Result<Vec<ImageRecord>, ImageError> {
        let mut records = Vec::new();
        for path in entries(&self.images())? {
            if let Some(record) = atomic::read_versioned(&path.join("image.json"), VERSION)? {
                records.push(record);
            }
        }
        Ok(records)
    }

    /// Moves a prepared image into place, with its record in it. One that is
    /// there already stays: it has the same contents.
    pub(super) fn place_image(
        &self,
        prepared: &Path,
        digest: &str,
        contents: Contents,
    ) -> Result<(), ImageError> {
        let created = jiff::Timestamp::now().as_second();
        let record = ImageRecord { version: VERSION, digest: digest.to_owned(), created, contents };
        atomic::write(&prepared.join("image.json"), &record)?;
        place(prepared, &self.image(digest))
    }

    /// Moves an unpacked layer into place.
    pub(super) fn place_layer(
        &self,
        prepared: &Path,
        diff_id: &str,
        bytes: u64,
    ) -> Result<(), ImageError> {
        let path = prepared.join("layer.json");
        atomic::write_cache(&path, &LayerRecord { version: VERSION, bytes })?;
        place(prepared, &self.layer(diff_id))
    }
}

/// Renames what is whole to where it is looked for, after its data is on the
/// disk: a power cut may lose the image, never leave half of it.
fn place(prepared: &Path, target: &Path) -> Result<(), ImageError> {
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(ImageError::io("create", parent))?;
    let directory = File::open(parent).map_err(ImageError::io("open", parent))?;
    rustix::fs::syncfs(&directory).map_err(|e| ImageError::io("sync", parent)(e.into()))?;
    match fs::rename(prepared, target) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        result => result.map_err(ImageError::io("create", target)),
    }?;
    directory.sync_all().map_err(ImageError::io("sync", parent))
}

/// The paths in a directory; none where there is no directory.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(ImageError::io("read", directory))?,
    };
    let paths: io::Result<Vec<_>> = listed.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(ImageError::io("read", directory))
}

/// `sha256:abc` as a file's name; digests come from outside, so that nothing
/// but letters, digits and dashes gets through.
fn file_name(digest: &str) -> String {
    digest.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn key(source: &ImageSource, kind: Kind) -> String {
    let source = serde_json::to_string(source).unwrap_or_default();
    names::hash(&[&kind.to_string(), &source], 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_from_outside_names_no_other_directory() {
        let layout = Layout::new("/store".into());
        assert_eq!(layout.image("sha256:ab"), Path::new("/store/images/sha256-ab"));
        assert_eq!(layout.image("../../etc"), Path::new("/store/images/------etc"));
    }

    #[test]
    fn a_reference_to_an_image_that_has_gone_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path().to_owned());
        let source = ImageSource::Reference("a".into());
        layout.write_reference(&source, Kind::Vm, "sha256:1").unwrap();
        assert_eq!(layout.lookup(&source, Kind::Vm).unwrap(), None);
        fs::create_dir_all(layout.image("sha256:1")).unwrap();
        assert_eq!(layout.lookup(&source, Kind::Vm).unwrap().as_deref(), Some("sha256:1"));
        assert_eq!(layout.lookup(&source, Kind::Container).unwrap(), None);
    }
}
