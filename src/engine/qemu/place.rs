//! Where the files of one VM lie, and which VMs there are.

use std::path::{Path, PathBuf};

use crate::shim;
use crate::stack::{InstanceId, Kind, StackName};
use crate::state::{Directories, InstanceRecord, record};

/// The two directories of a VM: data, and what goes with the host's boot.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Data.
    pub(super) data: PathBuf,
    /// Of this boot; QEMU's working directory, so that sockets have short names.
    pub(super) run: PathBuf,
}

/// Sockets, within the run directory.
pub(super) const QMP: &str = "qmp.sock";
pub(super) const GREETING: &str = "greet.sock";

impl Place {
    pub(super) fn new(directories: &Directories, stack: &StackName, id: &InstanceId) -> Self {
        Self { data: directories.instance(stack, id), run: directories.instance_run(stack, id) }
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.data.join("disk.qcow2")
    }

    pub(super) fn seed(&self) -> PathBuf {
        self.data.join("seed.img")
    }

    pub(super) fn console(&self) -> PathBuf {
        self.data.join("console.log")
    }

    pub(super) fn ready(&self) -> PathBuf {
        self.data.join("ready")
    }

    pub(super) fn exit(&self) -> PathBuf {
        self.data.join("exit.json")
    }

    pub(super) fn health(&self) -> PathBuf {
        self.data.join(crate::health::FILE)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.data.join("log")
    }

    pub(super) fn qmp(&self) -> PathBuf {
        self.run.join(QMP)
    }

    /// Run directory of the shim of one virtiofsd.
    pub(super) fn share(&self, number: usize) -> PathBuf {
        self.run.join(format!("fs{number}"))
    }

    /// Socket of one virtiofsd, within the run directory.
    pub(super) fn share_socket(number: usize) -> String {
        format!("fs{number}.sock")
    }

    /// Whether its QEMU runs.
    pub(super) fn is_alive(&self) -> bool {
        shim::look(&self.run).is_some_and(|alive| alive.process)
    }
}

/// Every stack that has a directory.
pub(super) fn stacks(directories: &Directories) -> Vec<StackName> {
    let names = children(&directories.lib.join("stacks"));
    names.iter().filter_map(|path| StackName::new(path.file_name()?.to_str()?)).collect()
}

/// Every instance of the stack that has a record, of either kind.
pub(super) fn instances(directories: &Directories, stack: &StackName) -> Vec<Place> {
    records(directories, stack)
        .into_iter()
        .filter_map(|data| {
            let record = InstanceRecord::read(&data).ok()??;
            (record.kind == Kind::Vm).then(|| Place::new(directories, stack, &record.id))
        })
        .collect()
}

/// Directories of the stack that hold a record.
pub(super) fn records(directories: &Directories, stack: &StackName) -> Vec<PathBuf> {
    children(&directories.stack(stack))
        .iter()
        .flat_map(|workload| children(workload))
        .filter(|instance| instance.join(record::FILE).exists())
        .collect()
}

/// Directories within `directory`, by name; none where it does not exist.
fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}
