//! The mounts that the file asks for: binds, named volumes, memory.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::error::EmbeddedError;
use crate::plan::Desired;
use crate::shim::CopyUp;
use crate::stack::{Mount, MountSource};
use crate::state::{Directories, StateError};

/// What the workload mounts, outer targets before inner ones, and the volumes
/// that the image may have to fill.
pub(super) fn mounts(
    desired: &Desired,
    directories: &Directories,
    privileged: bool,
) -> Result<(Vec<Value>, Vec<CopyUp>), EmbeddedError> {
    let mut sorted: Vec<&Mount> = desired.workload.mounts.iter().collect();
    sorted.sort_by_key(|mount| Path::new(&mount.target).components().count());
    let mut values = Vec::new();
    let mut copies = Vec::new();
    for mount in sorted {
        let access = if mount.read_only { "ro" } else { "rw" };
        let mut options = vec!["rbind", "rprivate", access];
        if !privileged {
            options.push("nodev");
        }
        let source = match &mount.source {
            MountSource::Bind { path, create } => {
                has_source(path, *create)?;
                path.clone()
            }
            MountSource::Volume { name, nocopy } => {
                let resolved = desired.volumes.get(name).unwrap_or(name);
                let data = directories.volume(resolved).join("data");
                fs::create_dir_all(&data).map_err(StateError::io("create", &data))?;
                if !nocopy {
                    copies.push(CopyUp { path: mount.target.clone().into(), volume: data.clone() });
                }
                data
            }
            MountSource::Tmpfs { size, mode } => {
                values.push(memory(mount, *size, *mode));
                continue;
            }
        };
        values.push(json!({
            "destination": mount.target, "type": "bind", "source": source, "options": options,
        }));
    }
    Ok((values, copies))
}

fn has_source(path: &Path, create: bool) -> Result<(), EmbeddedError> {
    match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && create => {
            Ok(fs::create_dir_all(path).map_err(StateError::io("create", path))?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(EmbeddedError::MissingSource { path: path.to_owned() })
        }
        Err(error) => Err(StateError::io("look at", path)(error).into()),
    }
}

fn memory(mount: &Mount, size: Option<u64>, mode: Option<u32>) -> Value {
    let mut options = vec![
        "nosuid".to_owned(),
        "nodev".to_owned(),
        "noexec".to_owned(),
        format!("mode={:o}", mode.unwrap_or(0o1777)),
    ];
    options.extend(size.map(|size| format!("size={size}")));
    if mount.read_only {
        options.push("ro".to_owned());
    }
    json!({
        "destination": mount.target, "type": "tmpfs", "source": "tmpfs", "options": options,
    })
}
