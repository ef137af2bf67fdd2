//! Files that Windlass writes for a container: names, resolver, secrets. They
//! lie in the instance's run directory and are mounted.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::EmbeddedError;
use crate::plan::Desired;
use crate::stack::workload::{SecretFile, SecretSource};
use crate::state::StateError;

/// Writes them; the mounts that put them into the container.
pub(super) fn write(desired: &Desired, run: &Path) -> Result<Vec<Value>, EmbeddedError> {
    let directory = run.join("files");
    fs::create_dir_all(&directory).map_err(StateError::io("create", &directory))?;
    let mut mounts = Vec::new();
    for (name, text) in [
        ("resolv.conf", resolver(desired)),
        ("hosts", hosts(desired)),
        ("hostname", hostname(desired)),
    ] {
        let path = directory.join(name);
        // In place: a running container keeps seeing the same file.
        fs::write(&path, text).map_err(StateError::io("write", &path))?;
        mode(&path, 0o644)?;
        mounts.push(bind(&path, &format!("/etc/{name}"), "rw"));
    }
    let workload = &desired.workload;
    let secrets = workload.secrets.iter().map(|file| (file, "/run/secrets"));
    let configs = workload.configs.iter().map(|file| (file, ""));
    for (number, (file, default)) in secrets.chain(configs).enumerate() {
        let path = directory.join(format!("given-{number}"));
        give(file, &path)?;
        let target = if file.target.starts_with('/') {
            file.target.clone()
        } else {
            format!("{default}/{}", file.target)
        };
        mounts.push(bind(&path, &target, "ro"));
    }
    Ok(mounts)
}

fn give(file: &SecretFile, path: &Path) -> Result<(), EmbeddedError> {
    let content = match &file.source {
        SecretSource::Content(text) => text.clone().into_bytes(),
        SecretSource::File(source) => fs::read(source).map_err(missing(source))?,
    };
    // Made anew, so that nobody reads it with the rights of before.
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StateError::io("remove", path)(error).into());
        }
        _ => {}
    }
    let failed = || StateError::io("write", path);
    fs::write(path, []).map_err(failed())?;
    mode(path, 0o600)?;
    fs::write(path, content).map_err(failed())?;
    chown(path, file.uid.or(Some(0)), file.gid.or(Some(0))).map_err(failed())?;
    mode(path, file.mode)
}

fn missing(path: &Path) -> impl FnOnce(std::io::Error) -> EmbeddedError {
    let path: PathBuf = path.to_owned();
    move |error| match error.kind() {
        std::io::ErrorKind::NotFound => EmbeddedError::MissingSource { path },
        _ => StateError::io("read", path)(error).into(),
    }
}

fn mode(path: &Path, mode: u32) -> Result<(), EmbeddedError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(StateError::io("set the permissions of", path))?;
    Ok(())
}

fn bind(source: &Path, target: &str, access: &str) -> Value {
    json!({
        "destination": target, "type": "bind", "source": source,
        "options": ["rbind", "rprivate", "nodev", access],
    })
}

/// The first network's gateway answers names.
fn resolver(desired: &Desired) -> String {
    let mut text = String::new();
    if let Some(address) = desired.addresses.first() {
        let _ = writeln!(text, "nameserver {}", address.gateway);
        let _ = writeln!(text, "search {}", desired.search_domain);
        text.push_str("options ndots:0\n");
    }
    text
}

fn hosts(desired: &Desired) -> String {
    let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                    fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
                    ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
        .to_owned();
    for address in &desired.addresses {
        let _ = writeln!(text, "{}\t{}", address.ipv4, desired.hostname);
    }
    let gateway = desired.addresses.first().map(|address| address.gateway.to_string());
    for (name, address) in &desired.workload.extra_hosts {
        let address = match (address.as_str(), &gateway) {
            ("host-gateway", Some(gateway)) => gateway,
            ("host-gateway", None) => "127.0.0.1",
            (address, _) => address,
        };
        let _ = writeln!(text, "{address}\t{name}");
    }
    text
}

fn hostname(desired: &Desired) -> String {
    format!("{}\n", desired.hostname)
}
