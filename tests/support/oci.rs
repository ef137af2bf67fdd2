//! A tiny OCI layout with a static busybox in it: an image that needs no
//! network, for tests on the real container engine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Programs of busybox that the image has by name.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "sleep", "ls", "id", "env", "hostname", "ip", "ping", "nc", "wget",
    "httpd", "nslookup", "true", "false", "kill", "touch", "rm", "mkdir", "stat", "mount", "dd",
    "date", "test", "trap", "seq", "head", "tail", "ps", "uname", "grep",
];

/// Where Debian's `busybox-static` puts it.
pub(crate) fn busybox() -> Option<PathBuf> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Writes an OCI layout into `directory` whose image runs `cmd`.
pub(crate) fn write_layout(directory: &Path, cmd: &[&str]) -> io::Result<()> {
    let config = serde_json::json!({ "Cmd": cmd, "Env": ["PATH=/bin"], "WorkingDir": "/" });
    write_image(directory, &config)
}

/// The same with a whole `config` of the caller's.
pub(crate) fn write_image(directory: &Path, config: &serde_json::Value) -> io::Result<()> {
    let busybox = busybox().ok_or_else(|| io::Error::other("busybox-static is not installed"))?;
    let layer = layer(&busybox)?;
    let blobs = Blobs::new(directory)?;
    let layer_digest = blobs.add(&layer)?;
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "config": config,
        "rootfs": { "type": "layers", "diff_ids": [layer_digest] },
    });
    let config = serde_json::to_vec(&config)?;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": blobs.add(&config)?, "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": layer_digest, "size": layer.len(),
        }],
    });
    let manifest = serde_json::to_vec(&manifest)?;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": blobs.add(&manifest)?, "size": manifest.len(),
        }],
    });
    fs::write(directory.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(directory.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)
}

fn layer(busybox: &Path) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "data"] {
        let mut header = blank_header();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if name == "tmp" { 0o1777 } else { 0o755 });
        header.set_size(0);
        tar.append_data(&mut header, format!("{name}/"), io::empty())?;
    }
    for (path, text) in [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("data/from-image", "the image's own\n"),
    ] {
        let mut header = blank_header();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes())?;
    }
    let mut program = fs::File::open(busybox)?;
    let mut header = blank_header();
    header.set_mode(0o755);
    header.set_size(program.metadata()?.len());
    tar.append_data(&mut header, "bin/busybox", &mut program)?;
    for applet in APPLETS {
        let mut header = blank_header();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox")?;
    }
    tar.into_inner()
}

/// A header whose owner and time are set: a blank one is no valid entry.
fn blank_header() -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(0o777);
    header
}

/// The blobs of a layout.
struct Blobs(PathBuf);

impl Blobs {
    fn new(layout: &Path) -> io::Result<Self> {
        let directory = layout.join("blobs/sha256");
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// Adds a blob and gives its digest.
    fn add(&self, bytes: &[u8]) -> io::Result<String> {
        let digest = hex::encode(Sha256::digest(bytes));
        fs::write(self.0.join(&digest), bytes)?;
        Ok(format!("sha256:{digest}"))
    }
}
