//! Images from files: OCI layouts, `docker save` archives, VM disks. They are
//! copied in and never used where they lie. A file is as little trusted as a
//! registry: it is checked the same way.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::configuration::Configuration;
use super::digest;
use super::fetch::firmware_disk;
use super::layers::{self, Held};
use super::layout::Layout;
use super::progress::Progress;
use super::registry::{digest_like, note_devices, place};
use super::scratch::Scratch;
use super::stored::DiskFormat;
use super::{ImageError, disk, unpack};
use crate::stack::Kind;

/// The largest document of an image that is read.
const DOCUMENT: u64 = 8 << 20;

/// Default logins of the distributions' cloud images.
const USERS: [(&str, &str); 9] = [
    ("debian", "debian"),
    ("ubuntu", "ubuntu"),
    ("noble", "ubuntu"),
    ("jammy", "ubuntu"),
    ("fedora", "fedora"),
    ("centos", "cloud-user"),
    ("rocky", "rocky"),
    ("almalinux", "almalinux"),
    ("alpine", "alpine"),
];

/// The login that an image with this name has by default; `root` for others.
pub(super) fn likely_user(name: &str) -> &'static str {
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    USERS.iter().find(|(part, _)| name.contains(part)).map_or("root", |(_, user)| user)
}

/// Takes an image from a file or directory into the store; its digest.
pub(super) fn import(
    layout: &Layout,
    path: &Path,
    kind: Kind,
    progress: &Progress,
) -> Result<String, ImageError> {
    progress.doing("importing");
    match kind {
        Kind::Vm => {
            let digest = digest::of_file(path)?;
            take_disk(layout, path, &digest, likely_user(&path.to_string_lossy()))
        }
        Kind::Container => container(layout, path, progress),
    }
}

/// The digest that importing `path` would give.
pub(super) fn digest(layout: &Layout, path: &Path, kind: Kind) -> Result<String, ImageError> {
    match kind {
        Kind::Vm => digest::of_file(path),
        Kind::Container => {
            let scratch = layout.scratch()?;
            Ok(Foreign::open(path, &scratch)?.image()?.digest)
        }
    }
}

/// Copies a disk, whose digest is known, into the store.
pub(super) fn take_disk(
    layout: &Layout,
    path: &Path,
    digest: &str,
    user: &str,
) -> Result<String, ImageError> {
    if layout.image(digest).is_dir() {
        return Ok(digest.to_owned());
    }
    let info = disk::inspect(path)?;
    let scratch = layout.scratch()?;
    super::room::Room::new(scratch.path()).check(info.bytes)?;
    let prepared = scratch.path().join("image");
    fs::create_dir(&prepared).map_err(ImageError::io("create", &prepared))?;
    let file = match info.format {
        DiskFormat::Raw => "disk.raw",
        DiskFormat::Qcow2 => "disk.qcow2",
    };
    let copied = prepared.join(file);
    disk::copy(path, &copied)?;
    // The file may have been written to while it was copied.
    let found = digest_like(&copied, digest)?;
    if found != digest {
        let (what, expected) = (path.display().to_string(), digest.to_owned());
        return Err(ImageError::Mismatch { what, expected, found });
    }
    layout.place_image(&prepared, digest, firmware_disk(file, &info, user))?;
    Ok(digest.to_owned())
}

fn container(layout: &Layout, path: &Path, progress: &Progress) -> Result<String, ImageError> {
    let scratch = layout.scratch()?;
    let foreign = Foreign::open(path, &scratch)?;
    let image = foreign.image()?;
    if layout.image(&image.digest).is_dir() {
        return Ok(image.digest);
    }
    let diff_ids = &image.configuration.diff_ids;
    if diff_ids.len() != image.layers.len() {
        return Err(foreign.unusable("its manifest and its configuration differ in their layers"));
    }
    let mut held: Vec<Held> = Vec::new();
    for (diff_id, blob) in diff_ids.iter().zip(&image.layers) {
        held.push(layers::make(layout, diff_id, |root| {
            let unpacked = layers::unpack_blob(foreign.file(blob)?, diff_id, root)?;
            note_devices(unpacked.devices, progress);
            Ok(unpacked.bytes)
        })?);
    }
    place(layout, &image.digest, image.configuration, &held)?;
    Ok(image.digest)
}

/// A directory that holds an image, ours or not.
struct Foreign {
    /// As the user named it.
    name: String,
    root: PathBuf,
}

/// What a directory says that it holds.
struct Found {
    digest: String,
    configuration: Configuration,
    /// Paths of the layers' blobs, lowest first.
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: String,
    #[serde(default)]
    media_type: String,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

/// An entry of `docker save`'s manifest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

impl Foreign {
    /// A directory as it is; an archive is unpacked aside first.
    fn open(path: &Path, scratch: &Scratch) -> Result<Self, ImageError> {
        let name = path.display().to_string();
        let metadata = fs::metadata(path).map_err(ImageError::io("read", path))?;
        if metadata.is_dir() {
            return Ok(Self { name, root: path.to_owned() });
        }
        let file = File::open(path).map_err(ImageError::io("open", path))?;
        let root = scratch.path().join("archive");
        fs::create_dir(&root).map_err(ImageError::io("create", &root))?;
        let archive = layers::decompressed(file).map_err(ImageError::io("read", path))?;
        let unpacked = unpack::unpack(archive, &root);
        let foreign = Self { name, root };
        match unpacked {
            Ok(_) => Ok(foreign),
            // What is cut short or no archive at all fails in the middle of reading.
            Err(ImageError::Io { source, .. })
                if matches!(
                    source.kind(),
                    std::io::ErrorKind::Other
                        | std::io::ErrorKind::InvalidData
                        | std::io::ErrorKind::InvalidInput
                        | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                Err(foreign.unusable(&format!("it is no whole archive ({source})")))
            }
            Err(error) => Err(error),
        }
    }

    fn image(&self) -> Result<Found, ImageError> {
        if let Some(index) = self.document::<Index>("index.json")? {
            return self.of_layout(index);
        }
        if let Some(saved) = self.document::<Vec<Saved>>("manifest.json")? {
            return self.of_docker(saved);
        }
        Err(self.unusable("it has neither `index.json` (OCI) nor `manifest.json` (docker save)"))
    }

    fn of_layout(&self, index: Index) -> Result<Found, ImageError> {
        let mut chosen = self.choose(index)?;
        if chosen.media_type.contains("index") || chosen.media_type.contains("manifest.list") {
            let nested = self.blob(&chosen.digest)?;
            chosen = self.choose(self.decode(&nested)?)?;
        }
        let manifest: Manifest = self.decode(&self.blob(&chosen.digest)?)?;
        let configuration = self.blob(&manifest.config.digest)?;
        Ok(Found {
            digest: chosen.digest,
            configuration: Configuration::parse(&configuration, &self.name)?,
            layers: manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        })
    }

    fn of_docker(&self, saved: Vec<Saved>) -> Result<Found, ImageError> {
        let [saved] = <[Saved; 1]>::try_from(saved)
            .map_err(|all| self.unusable(&format!("it holds {} images, not one", all.len())))?;
        let missing = || self.unusable(&format!("`{}` is missing", saved.config));
        let configuration = self.bytes(&saved.config)?.ok_or_else(missing)?;
        Ok(Found {
            digest: digest::of_bytes(&configuration),
            configuration: Configuration::parse(&configuration, &self.name)?,
            layers: saved.layers,
        })
    }

    /// The one image of an index, or the one for this platform.
    fn choose(&self, index: Index) -> Result<Descriptor, ImageError> {
        let fits = |descriptor: &Descriptor| {
            let platform = descriptor.platform.as_ref();
            platform.is_none_or(|platform| {
                (platform.os.as_str(), platform.architecture.as_str()) == ("linux", "amd64")
            })
        };
        let mut fitting = index.manifests.into_iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(ImageError::Platform { name: self.name.clone() }),
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(self.unusable("it holds several images, not one")),
        }
    }

    /// A blob that is a document, checked.
    fn blob(&self, digest: &str) -> Result<Vec<u8>, ImageError> {
        let missing = || self.unusable(&format!("the blob `{digest}` is missing"));
        let bytes = self.bytes(&blob_path(digest))?.ok_or_else(missing)?;
        let found = digest::of_bytes(&bytes);
        if found != digest {
            let (what, expected) = (self.name.clone(), digest.to_owned());
            return Err(ImageError::Mismatch { what, expected, found });
        }
        Ok(bytes)
    }

    fn document<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ImageError> {
        self.bytes(path)?.map(|bytes| self.decode(&bytes)).transpose()
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ImageError> {
        let what = format!("the manifest in `{}`", self.name);
        serde_json::from_slice(bytes).map_err(|source| ImageError::Document { what, source })
    }

    /// A small file; `None` where there is none.
    fn bytes(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let failed = |source| ImageError::io("read", &self.root.join(path))(source);
        file.take(DOCUMENT + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > DOCUMENT {
            return Err(self.unusable(&format!("`{path}` is too large")));
        }
        Ok(Some(bytes))
    }

    fn file(&self, path: &str) -> Result<File, ImageError> {
        self.open_file(path)?.ok_or_else(|| self.unusable(&format!("`{path}` is missing")))
    }

    /// A link in an image must not lead to a file of the host's.
    fn open_file(&self, path: &str) -> Result<Option<File>, ImageError> {
        let failed = |source: std::io::Error| ImageError::io("open", &self.root.join(path))(source);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let root = File::open(&self.root).map_err(failed)?;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&root, path, flags, Mode::empty(), within) {
            Ok(file) => Ok(Some(file.into())),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn unusable(&self, reason: &str) -> ImageError {
        ImageError::Unusable { name: self.name.clone(), reason: reason.to_owned() }
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}
