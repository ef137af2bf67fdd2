//! Making a VM, changing what is recorded of it, and taking it away. The record
//! goes before the disk when one is made, and after it when one is removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::error::QemuError;
use super::installed::Installed;
use super::{Qemu, disk, place::Place, vm_of};
use crate::cloud_init::check;
use crate::engine::Images;
use crate::plan::Desired;
use crate::shim::process;
use crate::stack::{InstanceId, Kind, StackName, Vm, VolumeKind};
use crate::state::record::{self, VmRecord};
use crate::state::{InstanceRecord, StateError, atomic, names};
use crate::volume::{self, VolumeRecord};

impl Qemu {
    pub(super) async fn make(&self, desired: &Desired) -> Result<(), QemuError> {
        let vm = vm_of(desired)?;
        check_documents(vm)?;
        let place = self.place(&desired.stack, &desired.id);
        if let Some(record) = InstanceRecord::read(&place.data)?
            && record.complete
            && place.disk().exists()
        {
            return self.note(desired);
        }
        let installed = Installed::find(&self.directories).await?;
        let source = desired.workload.image.clone();
        let found = self.images.lookup(&source, Kind::Vm).await?;
        let digest = found.ok_or_else(|| QemuError::NoImage { image: source.to_string() })?;
        let image = self.images.disk(&digest)?;

        fs::create_dir_all(&place.data).map_err(StateError::io("create", &place.data))?;
        forget_runs(&place)?;
        let mut record = InstanceRecord {
            version: record::VERSION,
            stack: desired.stack.clone(),
            id: desired.id.clone(),
            kind: Kind::Vm,
            image: source,
            image_digest: digest,
            addresses: addresses(desired),
            macs: macs(desired),
            definition: desired.definition.clone(),
            created: process::now(),
            complete: false,
            ever_ready: false,
            held: false,
            vm: Some(new_vm(installed.machine, vm, &image.user)?),
        };
        record.write(&place.data)?;
        let size = vm.disk.unwrap_or(image.virtual_size).max(image.virtual_size);
        disk::create(&place.disk(), &image, size).await?;
        record.complete = true;
        record.write(&place.data)?;
        Ok(())
    }

    /// Records what is desired; what a running VM cannot take on is in force
    /// when it is next started.
    pub(super) fn note(&self, desired: &Desired) -> Result<(), QemuError> {
        let vm = vm_of(desired)?;
        check_documents(vm)?;
        let place = self.place(&desired.stack, &desired.id);
        let has = disk::virtual_size(&place.disk())?;
        if let Some(wanted) = vm.disk
            && wanted < has
            && self
                .images
                .disk(&self.record(&desired.stack, &desired.id)?.image_digest)?
                .virtual_size
                < has
        {
            return Err(QemuError::Shrink { has, wanted });
        }
        self.amend(&desired.stack, &desired.id, |record| {
            record.id = desired.id.clone();
            record.addresses = addresses(desired);
            record.macs = macs(desired);
            record.definition = desired.definition.clone();
            if let Some(own) = &mut record.vm {
                if let Some(user) = &vm.ssh_user {
                    own.user.clone_from(user);
                }
                let digests = digests(vm);
                if desired.rerun_cloud_init && own.cloud_init != digests {
                    own.instance_id = new_instance_id();
                    own.cloud_init = digests;
                }
            }
        })
    }

    pub(super) async fn take_away(
        &self,
        stack: &StackName,
        id: &InstanceId,
        disk: bool,
    ) -> Result<(), QemuError> {
        self.end_now(stack, id).await?;
        let place = self.place(stack, id);
        remove_directory(&place.run)?;
        if !disk {
            return Ok(());
        }
        atomic::remove(&place.disk())?;
        remove_directory(&place.log())?;
        forget_runs(&place)?;
        atomic::remove(&place.data.join(record::FILE))?;
        Ok(remove_directory(&place.data)?)
    }

    /// The old disk becomes a volume of its own; the record says that the VM has
    /// none, so that it is made afresh.
    pub(super) fn set_aside(&self, stack: &StackName, id: &InstanceId) -> Result<(), QemuError> {
        let place = self.place(stack, id);
        if place.is_alive() {
            return Err(QemuError::StillRunning);
        }
        if place.disk().exists() {
            let (name, aside) = self.free_name(stack, id);
            fs::create_dir_all(&aside).map_err(StateError::io("create", &aside))?;
            let volume = VolumeRecord {
                version: volume::VERSION,
                stack: stack.clone(),
                name,
                kind: VolumeKind::Disk { size: disk::virtual_size(&place.disk())? },
                labels: BTreeMap::new(),
            };
            atomic::write(&aside.join(volume::FILE), &volume)?;
            // Says which base the overlay stands on.
            self.record(stack, id)?.write(&aside)?;
            fs::rename(place.disk(), aside.join("disk.qcow2"))
                .map_err(StateError::io("move", place.disk()))?;
        }
        self.amend(stack, id, |record| {
            record.complete = false;
            record.ever_ready = false;
        })
    }
}

impl Qemu {
    /// A volume's name and directory for an old disk of this VM, the first free.
    fn free_name(&self, stack: &StackName, id: &InstanceId) -> (String, PathBuf) {
        let mut number = 1;
        loop {
            let name = format!("{id}.old-{number}");
            let directory = self.directories.volume(&format!("{stack}_{name}"));
            if !directory.join("disk.qcow2").exists() {
                return (name, directory);
            }
            number += 1;
        }
    }
}

fn check_documents(vm: &Vm) -> Result<(), QemuError> {
    let Some(config) = &vm.cloud_init else { return Ok(()) };
    config.user_data.iter().chain(&config.vendor_data).try_for_each(check::document)?;
    Ok(())
}

fn new_vm(machine: String, vm: &Vm, user: &str) -> Result<VmRecord, QemuError> {
    let mut random = russh::keys::key::safe_rng();
    let key = PrivateKey::random(&mut random, Algorithm::Ed25519).map_err(QemuError::Key)?;
    Ok(VmRecord {
        instance_id: new_instance_id(),
        machine,
        user: vm.ssh_user.clone().unwrap_or_else(|| user.to_owned()),
        ssh_private_key: key.to_openssh(LineEnding::LF).map_err(QemuError::Key)?.to_string(),
        ssh_public_key: format!(
            "{} windlass",
            key.public_key().to_openssh().map_err(QemuError::Key)?
        ),
        host_keys: Vec::new(),
        cloud_init: digests(vm),
    })
}

fn new_instance_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn addresses(desired: &Desired) -> BTreeMap<String, std::net::Ipv4Addr> {
    desired.addresses.iter().map(|address| (address.network.clone(), address.ipv4)).collect()
}

fn macs(desired: &Desired) -> BTreeMap<String, String> {
    desired.addresses.iter().map(|address| (address.network.clone(), address.mac.clone())).collect()
}

/// Digests of what cloud-init acts on once per instance-id.
fn digests(vm: &Vm) -> BTreeMap<String, String> {
    let Some(config) = &vm.cloud_init else { return BTreeMap::new() };
    let of = |bodies: Vec<&str>| names::hash(&bodies, 64);
    let bodies = |documents: &'_ [crate::stack::vm::Document]| -> String {
        of(documents.iter().map(|document| document.body.as_str()).collect())
    };
    let meta_data = serde_json::Value::Object(config.meta_data.clone()).to_string();
    BTreeMap::from([
        ("user_data".to_owned(), bodies(&config.user_data)),
        ("vendor_data".to_owned(), bodies(&config.vendor_data)),
        ("meta_data".to_owned(), of(vec![&meta_data])),
        ("network_config".to_owned(), bodies(config.network_config.as_slice())),
    ])
}

/// What runs of a former disk left behind.
fn forget_runs(place: &Place) -> Result<(), StateError> {
    let left = [place.ready(), place.exit(), place.health(), place.console(), place.seed()];
    left.iter().try_for_each(|path| atomic::remove(path))
}

pub(super) fn remove_directory(path: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
