//! Root file systems from a distribution's mirror, by mmdebstrap.
//!
//! What it makes is a base: kept in the cache directory under a key made from
//! the recipe, so that every state directory of the host has it made once. From
//! there it comes into a store like any other image. A base that is lost is
//! made again; nothing refers to it.

mod suite;
mod system;

use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use oci_spec::image::{Config, ConfigBuilder};
use serde::{Deserialize, Serialize};

use super::digest::{self, Hasher, Hashing};
use super::layout::{Contents, DiskRecord, KernelRecord, LayerId};
use super::program::{MKE2FS, MMDEBSTRAP, QEMU_IMG};
use super::progress::Progress;
use super::scratch::{self, Scratch};
use super::stored::DiskFormat;
use super::{ImageError, disk, http, unpack};
use crate::stack::{Kind, Recipe};
use crate::state::{atomic, file_lock, names};
use suite::Distribution;
use tokio::runtime::Handle;

/// Part of each key: a base of another form is another base.
const FORM: &str = "1";

/// Version of `base.json`.
const VERSION: u32 = 1;

const ESSENTIAL_HOOK: &str = include_str!("bootstrap/essential.sh");

/// Room that a VM's disk has besides what the recipe puts there; the guest
/// grows its file system to the size of its own disk.
const SLACK: u64 = 1 << 30;

/// A base: where it lies in the cache, and what it is.
#[derive(Debug)]
pub(super) struct Base {
    /// Its directory. Containers: `fs/`; VMs: disk, kernel, initial RAM disk.
    pub(super) path: PathBuf,
    /// Digest of the image that it makes.
    pub(super) digest: String,
    /// What the image's record says.
    pub(super) contents: Contents,
}

/// `base.json`.
#[derive(Debug, Serialize, Deserialize)]
struct BaseRecord {
    version: u32,
    digest: String,
    contents: Contents,
}

/// Whether the recipe can be built at all. Its words become arguments and lines
/// of a sources.list: none may be more than one word.
pub(super) fn check(recipe: &Recipe) -> Result<(), ImageError> {
    Distribution::of(&recipe.suite)?;
    let is_name = |text: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || "+-.:_~=/".contains(c);
        text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(inner)
    };
    let is_mirror = |text: &str| {
        text.contains(":/") && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    let wrong = |what: &str, text: &str| ImageError::Unusable {
        name: format!("bootstrap:{}", recipe.suite),
        reason: format!("`{text}` is no {what}"),
    };
    if let Some(package) = recipe.packages.iter().find(|package| !is_name(package)) {
        return Err(wrong("package", package));
    }
    if let Some(component) = recipe.components.iter().find(|component| !is_name(component)) {
        return Err(wrong("component", component));
    }
    match recipe.mirror.as_deref().filter(|mirror| !is_mirror(mirror)) {
        Some(mirror) => Err(wrong("mirror", mirror)),
        None => Ok(()),
    }
}

/// The base of a recipe, made where the cache has none. Blocks for a minute.
pub(super) fn base(
    cache: &Path,
    recipe: &Recipe,
    kind: Kind,
    progress: &Progress,
) -> Result<Base, ImageError> {
    let distribution = Distribution::of(&recipe.suite)?;
    let bases = cache.join("bases");
    let text = serde_json::to_string(recipe).unwrap_or_default();
    let key = names::hash(&[FORM, &kind.to_string(), &text], 32);
    let path = bases.join(&key);
    if let Some(base) = read(&path)? {
        return Ok(base);
    }
    let lock = bases.join(format!("{key}.lock"));
    let free = file_lock::try_exclusive(&lock).map_err(ImageError::io("lock", &lock))?;
    let _lock = if let Some(held) = free {
        held
    } else {
        progress.doing("waiting for another build of it");
        file_lock::exclusive(&lock).map_err(ImageError::io("lock", &lock))?
    };
    if let Some(base) = read(&path)? {
        return Ok(base);
    }
    let scratches = bases.join("tmp");
    scratch::sweep(&scratches);
    let scratch = Scratch::new(&scratches)?;
    let build = Build { distribution, recipe, kind, scratch: scratch.path(), progress };
    let record = build.run()?;
    let prepared = scratch.path().join("base");
    atomic::write(&prepared.join("base.json"), &record)?;
    fs::rename(&prepared, &path).map_err(ImageError::io("create", &path))?;
    Ok(Base { path, digest: record.digest, contents: record.contents })
}

fn read(path: &Path) -> Result<Option<Base>, ImageError> {
    let record: Option<BaseRecord> = atomic::read_versioned(&path.join("base.json"), VERSION)?;
    Ok(record.map(|BaseRecord { digest, contents, .. }| Base {
        path: path.to_owned(),
        digest,
        contents,
    }))
}

struct Build<'a> {
    distribution: &'static Distribution,
    recipe: &'a Recipe,
    kind: Kind,
    scratch: &'a Path,
    progress: &'a Progress,
}

impl Build<'_> {
    /// Makes the base in `scratch/base`.
    fn run(&self) -> Result<BaseRecord, ImageError> {
        if !Path::new(self.distribution.keyring).exists() {
            let package = self.distribution.keyring_package;
            return Err(ImageError::KeyringMissing { suite: self.recipe.suite.clone(), package });
        }
        let mirror = self.distribution.mirror(self.recipe);
        Handle::current()
            .block_on(http::reach(mirror, &format!("bootstrap:{}", self.recipe.suite)))?;
        let base = self.scratch.join("base");
        fs::create_dir(&base).map_err(ImageError::io("create", &base))?;
        match self.kind {
            Kind::Container => self.container(&base),
            Kind::Vm => self.vm(&base),
        }
    }

    fn container(&self, base: &Path) -> Result<BaseRecord, ImageError> {
        let archive = self.scratch.join("root.tar");
        self.bootstrap(&archive, None)?;
        self.progress.doing("unpacking");
        let root = base.join("fs");
        fs::create_dir(&root).map_err(ImageError::io("create", &root))?;
        let file = File::open(&archive).map_err(ImageError::io("open", &archive))?;
        let mut reader = Hashing::new(BufReader::new(file), Hasher::sha256());
        let unpacked = unpack::unpack(&mut reader, &root)?;
        let diff_id = reader.finish().map_err(ImageError::io("read", &archive))?;
        system::of_container(&root)?;
        let config = Box::new(container_config());
        let layers = vec![LayerId { diff_id, bytes: unpacked.bytes }];
        let text = serde_json::to_vec(&(&layers, &config)).unwrap_or_default();
        let contents = Contents::Container { layers, config, healthcheck: None };
        Ok(BaseRecord { version: VERSION, digest: digest::of_bytes(&text), contents })
    }

    fn vm(&self, base: &Path) -> Result<BaseRecord, ImageError> {
        let hook = self.scratch.join("essential.sh");
        fs::write(&hook, ESSENTIAL_HOOK).map_err(ImageError::io("write", &hook))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&hook, executable).map_err(ImageError::io("write", &hook))?;
        let root = self.scratch.join("root");
        self.bootstrap(&root, Some(&hook))?;
        system::of_vm(&root)?;

        self.progress.doing("making the disk");
        let kernel = system::newest_in_boot(&root, "vmlinuz-")?;
        let initrd = system::newest_in_boot(&root, "initrd.img-")?;
        for (from, to) in [(&kernel, "vmlinuz"), (&initrd, "initrd")] {
            fs::copy(from, base.join(to)).map_err(ImageError::io("copy", from))?;
        }
        let path = base.join("disk.qcow2");
        self.make_disk(&root, &path)?;
        let info = disk::inspect(&path)?;
        let contents = Contents::Disk(DiskRecord {
            file: "disk.qcow2".into(),
            format: DiskFormat::Qcow2,
            virtual_size: info.virtual_size,
            bytes: info.bytes,
            kernel: Some(KernelRecord {
                file: "vmlinuz".into(),
                initrd: Some("initrd".into()),
                // There is no fstab: without `rw` the root would stay read-only.
                cmdline: "root=/dev/vda rw console=ttyS0".into(),
            }),
            user: self.distribution.user.into(),
            os: system::name(&root),
        });
        Ok(BaseRecord { version: VERSION, digest: digest::of_file(&path)?, contents })
    }

    fn bootstrap(&self, target: &Path, hook: Option<&Path>) -> Result<(), ImageError> {
        self.progress.doing(format!("bootstrapping {}", self.recipe.suite));
        let (target, hook) = (target.to_string_lossy(), hook.map(Path::to_string_lossy));
        let arguments =
            self.distribution.arguments(self.recipe, self.kind, &target, hook.as_deref());
        MMDEBSTRAP.narrated(&arguments, |line| {
            if let Some(said) = line.strip_prefix("I: ") {
                self.progress.said(said.trim_end_matches("..."));
            }
        })
    }

    /// An ext4 file system with `root` in it, made without mounting anything.
    fn make_disk(&self, root: &Path, path: &Path) -> Result<(), ImageError> {
        let raw = self.scratch.join("disk.raw");
        let used = disk::bytes_below(root)?;
        let size = (used + used / 5 + SLACK).next_multiple_of(256 << 20);
        let file = File::create(&raw).map_err(ImageError::io("create", &raw))?;
        file.set_len(size).map_err(ImageError::io("grow", &raw))?;
        let (root, raw, path) =
            (root.to_string_lossy(), raw.to_string_lossy(), path.to_string_lossy());
        MKE2FS.output(&[
            "-q",
            "-t",
            "ext4",
            "-m",
            "1",
            "-L",
            "windlass-root",
            "-d",
            &root,
            &raw,
        ])?;
        QEMU_IMG.output(&["convert", "-f", "raw", "-O", "qcow2", &raw, &path])?;
        Ok(())
    }
}

/// A container from a bootstrapped image without a command of its own gets a shell.
fn container_config() -> Config {
    let environment = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        // Without locales this one alone is there, and programs want UTF-8.
        "LANG=C.UTF-8",
    ];
    ConfigBuilder::default()
        .env(environment.map(str::to_owned).to_vec())
        .cmd(vec!["/bin/bash".to_owned()])
        .build()
        .unwrap_or_default()
}
