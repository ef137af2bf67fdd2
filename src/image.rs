//! Images of both kinds, kept by digest.
//!
//! [`Store`] owns `images/` and what leads into it: registries, mirrors, URLs,
//! files. An image is prepared aside and renamed into place when it is whole,
//! so what the store lists can be used. It never decides when to fetch, and
//! never runs a workload.

mod bootstrap;
mod catalogue;
mod collect;
mod configuration;
mod digest;
mod disk;
pub mod error;
mod fetch;
mod http;
mod import;
mod layers;
mod layout;
mod program;
mod progress;
mod registry;
mod room;
mod scratch;
pub mod stored;
mod unpack;

pub use collect::{Pruned, Users};
pub use error::ImageError;
pub use stored::{Boot, ContainerImage, DiskFormat, DiskImage, StoredImage};

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::stack::{ImageSource, Kind};
use crate::state::Directories;
use fetch::canonical;
use layout::{Contents, ImageRecord, Layout};

/// The image store of one state directory.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    cache: PathBuf,
}

impl Store {
    /// Opens the store and sweeps what killed processes left in it. Nothing is
    /// made before it is needed.
    pub fn open(directories: &Directories) -> Result<Self, ImageError> {
        let layout = Layout::new(directories.images());
        scratch::sweep(&layout.scratches());
        Ok(Self { layout, cache: directories.cache.clone() })
    }

    /// The container image with this digest.
    pub fn container(&self, digest: &str) -> Result<ContainerImage, ImageError> {
        let record = self.layout.read_image(digest)?;
        let Contents::Container { layers, config, healthcheck } = record.contents else {
            return Err(wrong_kind(digest, Kind::Container));
        };
        let layers =
            layers.iter().rev().map(|layer| self.layout.layer(&layer.diff_id).join("fs")).collect();
        Ok(ContainerImage { digest: record.digest, layers, config: *config, healthcheck })
    }

    /// The disk image with this digest.
    pub fn disk(&self, digest: &str) -> Result<DiskImage, ImageError> {
        let record = self.layout.read_image(digest)?;
        let Contents::Disk(disk) = record.contents else {
            return Err(wrong_kind(digest, Kind::Vm));
        };
        let directory = self.layout.image(digest);
        let boot = match disk.kernel {
            None => Boot::Firmware,
            Some(kernel) => Boot::Direct {
                kernel: directory.join(kernel.file),
                initrd: kernel.initrd.map(|initrd| directory.join(initrd)),
                cmdline: kernel.cmdline,
            },
        };
        Ok(DiskImage {
            digest: record.digest,
            path: directory.join(disk.file),
            format: disk.format,
            virtual_size: disk.virtual_size,
            boot,
            user: disk.user,
            os: disk.os,
        })
    }

    /// Every image, by its first name.
    pub fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for reference in self.layout.list_references()? {
            names.entry(reference.digest).or_default().push(shown(&reference.source));
        }
        let records = self.layout.list_images()?.into_iter();
        let mut images: Vec<_> = records
            .map(|record| StoredImage {
                names: names.remove(&record.digest).unwrap_or_default(),
                kind: record.kind(),
                bytes: record.bytes(),
                created: record.created,
                digest: record.digest,
            })
            .collect();
        images.sort_by(|a, b| (&a.names, &a.digest).cmp(&(&b.names, &b.digest)));
        Ok(images)
    }

    /// Bytes of all images, a shared layer once.
    pub fn bytes(&self) -> Result<u64, ImageError> {
        let mut layers = BTreeMap::new();
        let mut bytes = 0;
        for record in self.layout.list_images()? {
            match record.contents {
                Contents::Disk(disk) => bytes += disk.bytes,
                Contents::Container { layers: of_image, .. } => {
                    layers.extend(of_image.into_iter().map(|layer| (layer.diff_id, layer.bytes)));
                }
            }
        }
        Ok(bytes + layers.values().sum::<u64>())
    }
}

impl ImageRecord {
    fn kind(&self) -> Kind {
        match self.contents {
            Contents::Container { .. } => Kind::Container,
            Contents::Disk(_) => Kind::Vm,
        }
    }

    fn bytes(&self) -> u64 {
        match &self.contents {
            Contents::Container { layers, .. } => layers.iter().map(|layer| layer.bytes).sum(),
            Contents::Disk(disk) => disk.bytes,
        }
    }
}

fn wrong_kind(name: &str, kind: Kind) -> ImageError {
    ImageError::WrongKind { name: name.to_owned(), kind }
}

/// A source as its user would write it.
fn shown(source: &ImageSource) -> String {
    let text = source.to_string();
    match text.strip_prefix("docker.io/") {
        Some(rest) => rest.strip_prefix("library/").unwrap_or(rest).to_owned(),
        None => text,
    }
}
