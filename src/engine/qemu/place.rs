//! Where the files of one VM lie, and what the VMs of other stacks take.

use std::path::PathBuf;

use super::boot::Boot;
use crate::shim;
use crate::stack::{InstanceId, Kind, StackName};
use crate::state::{Directories, InstanceRecord, StateError};

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

/// Bytes of memory of the VMs that run in other stacks than `except`.
pub(super) fn memory_in_use(
    directories: &Directories,
    except: &StackName,
) -> Result<u64, StateError> {
    let mut sum = 0;
    for stack in directories.stacks()?.iter().filter(|stack| *stack != except) {
        for data in directories.instances(stack)? {
            let record = match InstanceRecord::read(&data) {
                // What is wrong with another stack is not for this one to say.
                Err(StateError::Damaged { .. } | StateError::Newer { .. }) => continue,
                read => read?,
            };
            let Some(record) = record.filter(|record| record.kind == Kind::Vm) else { continue };
            let place = Place::new(directories, stack, &record.id);
            let boot = Boot::read(&place.run).filter(|_| place.is_alive());
            sum += boot.map_or(0, |boot| boot.memory);
        }
    }
    Ok(sum)
}
