//! Named volumes: directories, and disks for VMs.
//!
//! ```text
//! volumes/<resolved name>/
//!   volume.json      whose it is; written and fsynced before the data
//!   data/            a directory volume, or
//!   disk.qcow2       a disk volume
//! ```
//!
//! Volumes are data. Nothing here removes one but [`Volumes::remove`], and
//! nothing makes a disk smaller. It decides nothing.

mod error;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use error::VolumeError;

use crate::engine::{EngineError, ErrorKind, Result as EngineResult, Volumes};
use crate::observed::ObservedVolume;
use crate::stack::{StackName, Volume, VolumeKind};
use crate::state::{Directories, StateError, atomic};

/// Version of `volume.json`.
pub const VERSION: u32 = 1;

/// Name of the record within a volume's directory.
pub const FILE: &str = "volume.json";

/// `volume.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Form of this file.
    pub version: u32,
    /// The stack that made it.
    pub stack: StackName,
    /// Its name in that stack's file.
    pub name: String,
    /// Directory or disk; a disk's size is the one it was last given.
    pub kind: VolumeKind,
    /// Labels from the file.
    pub labels: BTreeMap<String, String>,
}

/// A volume with whose it is, as `volumes` lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVolume {
    /// The name it has on disk.
    pub resolved: String,
    /// What is recorded of it.
    pub record: VolumeRecord,
    /// Bytes it takes on the host.
    pub bytes: u64,
}

/// All volumes of one state directory.
#[derive(Debug, Clone)]
pub struct Store {
    directories: Directories,
}

impl Store {
    /// The volumes below `directories`.
    pub fn new(directories: &Directories) -> Self {
        Self { directories: directories.clone() }
    }

    /// Where a directory volume's files are.
    pub fn data(&self, resolved: &str) -> PathBuf {
        self.directories.volume(resolved).join("data")
    }

    /// Where a disk volume's image is; qcow2.
    pub fn disk(&self, resolved: &str) -> PathBuf {
        self.directories.volume(resolved).join("disk.qcow2")
    }

    /// Every volume of every stack, by name.
    pub fn list(&self) -> Result<Vec<StoredVolume>, VolumeError> {
        let parent = self.directories.lib.join("volumes");
        let mut volumes = Vec::new();
        for path in entries(&parent)? {
            let resolved = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(record) = read(&path)? {
                volumes.push(StoredVolume { resolved, record, bytes: bytes_below(&path)? });
            }
        }
        volumes.sort_by(|a, b| a.resolved.cmp(&b.resolved));
        Ok(volumes)
    }

    fn make(&self, stack: &StackName, volume: &Volume) -> Result<(), VolumeError> {
        let directory = self.directory(&volume.resolved)?;
        let existing = read(&directory)?;
        if volume.external {
            let missing = || VolumeError::Missing { name: volume.resolved.clone() };
            return same_kind(volume, &existing.ok_or_else(missing)?);
        }
        if let Some(existing) = &existing {
            if existing.stack != *stack {
                let (name, stack) = (volume.resolved.clone(), existing.stack.clone());
                return Err(VolumeError::NotOurs { name, stack });
            }
            same_kind(volume, existing)?;
        }
        if let (VolumeKind::Disk { size: wanted }, Some(VolumeKind::Disk { size: has })) =
            (volume.kind, existing.as_ref().map(|record| record.kind))
            && wanted < has
        {
            return Err(VolumeError::Shrinks { name: volume.resolved.clone(), has, wanted });
        }
        let record = VolumeRecord {
            version: VERSION,
            stack: stack.clone(),
            name: volume.name.clone(),
            kind: volume.kind,
            labels: volume.labels.clone(),
        };
        private_directory(&directory)?;
        if existing.as_ref() != Some(&record) {
            atomic::write(&directory.join(FILE), &record)?;
        }
        match volume.kind {
            VolumeKind::Directory => self.make_data(&volume.resolved),
            VolumeKind::Disk { size } => self.make_disk(&volume.resolved, size),
        }
    }

    /// Anyone in a container may enter it, as in Compose; others are kept out
    /// by the directory above.
    fn make_data(&self, resolved: &str) -> Result<(), VolumeError> {
        let data = self.data(resolved);
        match fs::create_dir(&data) {
            Ok(()) => {
                let open = fs::Permissions::from_mode(0o755);
                Ok(fs::set_permissions(&data, open).map_err(StateError::io("create", &data))?)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(StateError::io("create", &data)(error).into()),
        }
    }

    /// A disk is made under another name first: half of one would look whole.
    fn make_disk(&self, resolved: &str, size: u64) -> Result<(), VolumeError> {
        let (disk, new) = (self.disk(resolved), self.disk(resolved).with_extension("new"));
        let text = size.to_string();
        if !disk.exists() {
            qemu_img(&["create", "-q", "-f", "qcow2"], &new, Some(&text))?;
            let made = fs::File::open(&new).and_then(|file| file.sync_all());
            made.and_then(|()| fs::rename(&new, &disk)).map_err(StateError::io("create", &disk))?;
            return Ok(());
        }
        let has = virtual_size(&disk)?;
        match has.cmp(&size) {
            std::cmp::Ordering::Less => {
                qemu_img(&["resize", "-q", "-f", "qcow2"], &disk, Some(&text))
            }
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => {
                Err(VolumeError::Shrinks { name: resolved.to_owned(), has, wanted: size })
            }
        }
    }

    /// The record goes last: a removal that was cut short is seen and repeated.
    fn take_away(&self, stack: &StackName, resolved: &str) -> Result<(), VolumeError> {
        let directory = self.directory(resolved)?;
        if let Some(record) = read(&directory)?
            && record.stack != *stack
        {
            let name = resolved.to_owned();
            return Err(VolumeError::NotOurs { name, stack: record.stack });
        }
        let record = directory.join(FILE);
        for path in entries(&directory)?.into_iter().filter(|path| *path != record) {
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
            let removed =
                if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            gone(removed).map_err(StateError::io("remove", &path))?;
        }
        Ok(gone(fs::remove_dir_all(&directory)).map_err(StateError::io("remove", &directory))?)
    }

    fn directory(&self, resolved: &str) -> Result<PathBuf, VolumeError> {
        let odd = |c: char| c == '/' || c == '\0';
        if resolved.is_empty() || resolved.starts_with('.') || resolved.contains(odd) {
            return Err(VolumeError::Name { name: resolved.to_owned() });
        }
        Ok(self.directories.volume(resolved))
    }
}

#[async_trait]
impl Volumes for Store {
    async fn observe(&self, stack: &StackName) -> EngineResult<Vec<ObservedVolume>> {
        let (store, stack) = (self.clone(), stack.clone());
        let what = format!("the volumes of {stack}");
        blocking("look at", what, move || {
            let mut volumes = store.list()?;
            volumes.retain(|volume| volume.record.stack == stack);
            let observed = volumes.into_iter().map(|volume| ObservedVolume {
                resolved: volume.resolved,
                name: volume.record.name,
                kind: volume.record.kind,
                bytes: volume.bytes,
            });
            Ok(observed.collect())
        })
        .await
    }

    async fn create(&self, stack: &StackName, volume: &Volume) -> EngineResult<()> {
        let (store, stack, volume) = (self.clone(), stack.clone(), volume.clone());
        let what = format!("volume {}", volume.resolved);
        blocking("create", what, move || store.make(&stack, &volume)).await
    }

    async fn remove(&self, stack: &StackName, resolved: &str) -> EngineResult<()> {
        let (store, stack, resolved) = (self.clone(), stack.clone(), resolved.to_owned());
        let what = format!("volume {resolved}");
        blocking("remove", what, move || store.take_away(&stack, &resolved)).await
    }
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    what: String,
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> EngineResult<T> {
    let failed = |kind, source: Box<dyn std::error::Error + Send + Sync>| {
        EngineError::new("volume", operation, what.clone(), kind, source)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let help = error.help();
            let failed = failed(error.kind(), error.into());
            Err(match help {
                Some(help) => failed.with_help(help),
                None => failed,
            })
        }
        Err(error) => Err(failed(ErrorKind::System, error.into())),
    }
}

fn read(directory: &Path) -> Result<Option<VolumeRecord>, VolumeError> {
    Ok(atomic::read_versioned(&directory.join("volume.json"), VERSION)?)
}

fn same_kind(wanted: &Volume, found: &VolumeRecord) -> Result<(), VolumeError> {
    let word = |kind: VolumeKind| match kind {
        VolumeKind::Directory => "directory",
        VolumeKind::Disk { .. } => "disk",
    };
    let (found, wanted_word) = (word(found.kind), word(wanted.kind));
    if found == wanted_word {
        return Ok(());
    }
    Err(VolumeError::OtherKind { name: wanted.resolved.clone(), found, wanted: wanted_word })
}

fn private_directory(path: &Path) -> Result<(), VolumeError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
    Ok(made.map_err(StateError::io("create", path))?)
}

fn virtual_size(disk: &Path) -> Result<u64, VolumeError> {
    let mut header = [0; 32];
    let read = fs::File::open(disk)
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut header))
        .map_err(StateError::io("read", disk));
    read?;
    // Of qcow2's header: the size is its fourth field, big-endian.
    let mut size = [0; 8];
    size.copy_from_slice(&header[24..]);
    Ok(u64::from_be_bytes(size))
}

fn qemu_img(arguments: &[&str], path: &Path, size: Option<&str>) -> Result<(), VolumeError> {
    let output = Command::new("qemu-img")
        .args(arguments)
        .arg(path)
        .args(size)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => VolumeError::ProgramMissing,
            _ => StateError::io("run", "qemu-img")(error).into(),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("No space left on device") {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        return Err(StateError::io("write", path)(full).into());
    }
    Err(VolumeError::Program { said })
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(|listed| listed.map(|entry| Ok(entry?.path())).collect()),
    };
    Ok(listed.map_err(StateError::io("read", directory))?)
}

/// What it takes on the host; a file with several names once. What goes away
/// meanwhile is not counted: volumes are in use while they are measured.
fn bytes_below(directory: &Path) -> Result<u64, VolumeError> {
    let mut seen = HashSet::new();
    let mut bytes = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for path in entries(&directory)? {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if found.is_dir() {
                waiting.push(path);
            }
            if found.is_dir() || seen.insert((found.dev(), found.ino())) {
                bytes += found.blocks() * 512;
            }
        }
    }
    Ok(bytes)
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
