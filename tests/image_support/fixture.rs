//! Archives and images made by hand, so that they can also be what no honest
//! program writes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// One entry of an archive, its names written as they are given.
pub(crate) struct Entry {
    header: Header,
    contents: Vec<u8>,
}

impl Entry {
    fn new(kind: EntryType, name: &str, target: &str, contents: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        Self { header, contents: contents.to_vec() }
    }

    pub(crate) fn file(name: &str, contents: &str) -> Self {
        Self::new(EntryType::Regular, name, "", contents.as_bytes())
    }

    pub(crate) fn directory(name: &str) -> Self {
        Self::new(EntryType::Directory, name, "", b"")
    }

    pub(crate) fn symlink(name: &str, target: &str) -> Self {
        Self::new(EntryType::Symlink, name, target, b"")
    }

    pub(crate) fn hard_link(name: &str, target: &str) -> Self {
        Self::new(EntryType::Link, name, target, b"")
    }

    pub(crate) fn device(name: &str) -> Self {
        let mut entry = Self::new(EntryType::Block, name, "", b"");
        entry.header.set_device_major(8).unwrap();
        entry.header.set_device_minor(0).unwrap();
        entry
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.header.set_mode(mode);
        self
    }

    pub(crate) fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.header.set_uid(uid);
        self.header.set_gid(gid);
        self
    }
}

/// The entries as a tar archive.
pub(crate) fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = entry.header.clone();
        header.set_cksum();
        builder.append(&header, &entry.contents[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An image as an OCI layout directory.
#[derive(Default)]
pub(crate) struct ImageLayout {
    /// Blob, digest of the archive in it, and its media type's suffix.
    layers: Vec<(Vec<u8>, String, &'static str)>,
    config: Option<Value>,
}

impl ImageLayout {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn layer_plain(mut self, archive: &[u8]) -> Self {
        self.layers.push((archive.to_vec(), sha256(archive), ""));
        self
    }

    pub(crate) fn layer_gzip(mut self, archive: &[u8]) -> Self {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(archive).unwrap();
        self.layers.push((encoder.finish().unwrap(), sha256(archive), "+gzip"));
        self
    }

    pub(crate) fn layer_zstd(mut self, archive: &[u8]) -> Self {
        let blob = zstd::encode_all(archive, 1).unwrap();
        self.layers.push((blob, sha256(archive), "+zstd"));
        self
    }

    pub(crate) fn config(mut self, config: &str) -> Self {
        self.config = Some(serde_json::from_str(config).unwrap());
        self
    }

    /// Writes it to `path`, which is made.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let write = |bytes: &[u8], kind: &str| {
            let digest = sha256(bytes);
            fs::write(blobs.join(&digest), bytes).unwrap();
            json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": format!("sha256:{digest}"),
                "size": bytes.len(),
            })
        };
        let diff_ids: Vec<_> =
            self.layers.iter().map(|(_, digest, _)| format!("sha256:{digest}")).collect();
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = write(config.to_string().as_bytes(), "config.v1+json");
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|(blob, _, compression)| write(blob, &format!("layer.v1.tar{compression}")))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config, "layers": layers,
        });
        let manifest = write(manifest.to_string().as_bytes(), "manifest.v1+json");
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        path.to_owned()
    }

    /// Digest of the lowest layer's blob.
    pub(crate) fn first_blob(&self) -> String {
        sha256(&self.layers[0].0)
    }
}
