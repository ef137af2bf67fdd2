//! Starting a VM: its seed, its virtiofsd processes and QEMU, each as soon as it
//! can, until QMP answers.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::acceleration::{self, Choice};
use super::boot::Boot;
use super::command_line::{Accelerator, arguments};
use super::error::QemuError;
use super::installed::Installed;
use super::machine::{self, Parts};
use super::place::{GREETING, Place};
use super::qmp::Greeting;
use super::shares::{self, Mounted};
use super::{Qemu, disk, ready, seed, vm_of};
use crate::cloud_init::{self, Guest};
use crate::plan::Desired;
use crate::shim::{self, Cgroup, Interface, Payload, ProgramPayload, ShimSpec};
use crate::state::record::{InstanceRecord, VmRecord};
use crate::state::{StateError, atomic, names};

/// How long a guest may take to say that it is ready.
const ON_KVM: Duration = Duration::from_mins(5);
const EMULATED: Duration = Duration::from_mins(15);

impl Qemu {
    pub(super) async fn launch(&self, desired: &Desired) -> Result<(), QemuError> {
        let place = self.place(&desired.stack, &desired.id);
        let record = self.record(&desired.stack, &desired.id)?;
        if !record.complete || !place.disk().exists() {
            return Err(QemuError::HalfMade);
        }
        // A command that was killed may have left a start behind that is under way.
        let run = place.run.clone();
        let settled = tokio::task::spawn_blocking(move || shim::settle(&run)).await?;
        settled.map_err(StateError::io("wait for the shim in", &place.run))?;
        if !place.is_alive() {
            self.run(desired, &place, &record).await?;
        }
        self.amend(&desired.stack, &desired.id, |record| record.held = false)
    }

    async fn run(
        &self,
        desired: &Desired,
        place: &Place,
        record: &InstanceRecord,
    ) -> Result<(), QemuError> {
        let vm = vm_of(desired)?;
        let own = record.vm.as_ref().ok_or(QemuError::NotAVm)?;
        let image = self.images.disk(&record.image_digest)?;
        self.keep_last_word(desired, place)?;
        shares::end(place, false).await?;
        prepare(place)?;
        let mounted = shares::mounted(desired, &self.directories)?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        write_seed(desired, own, &mounted, &nonce, place)?;

        let root = place.disk();
        let (installed, choice, (), ()) = tokio::try_join!(
            Installed::find(&self.directories),
            acceleration::choose(vm.accel, self.forced, &self.directories, &self.launcher),
            disk::grow(&root, vm.disk.unwrap_or_default()),
            shares::serve(self, desired, &mounted.shares),
        )?;
        boot_of(desired, &choice, nonce, &mounted)?.write(&place.run)?;
        let machine = machine::machine(&Parts {
            home_id: &self.home_id,
            desired,
            record: own,
            image: &image,
            installed: &installed,
            choice: &choice,
            mounted: &mounted,
            place,
        })?;
        let started = self.start_qemu(desired, place, arguments(&machine)).await;
        if started.is_err() {
            shares::end(place, false).await?;
        }
        started
    }

    /// What the guest said in its last run, if nobody was there to note it.
    fn keep_last_word(&self, desired: &Desired, place: &Place) -> Result<(), QemuError> {
        let Some(word) = crate::guest::readiness::last(&place.ready())? else { return Ok(()) };
        ready::note(self, &desired.stack, &desired.id, &word)
    }

    /// Returns when QMP answers, or with QEMU's own words.
    async fn start_qemu(
        &self,
        desired: &Desired,
        place: &Place,
        argv: Vec<String>,
    ) -> Result<(), QemuError> {
        let greeting = Greeting::listen(&place.run, GREETING)?;
        let spec = self.shim_of(desired, place, argv);
        let launcher = Arc::clone(&self.launcher);
        tokio::task::spawn_blocking(move || launcher.launch(&spec)).await??;
        let answered = async {
            let mut qmp = greeting.answered().await?;
            qmp.execute("query-status", Value::Null).await
        };
        let exit_file = place.exit();
        tokio::select! {
            answered = answered => Ok(answered.map(drop)?),
            ended = shim::ended(&place.run, &exit_file) => {
                ended?;
                Err(QemuError::EndedAtOnce { said: ready::last_errors(&place.log()) })
            }
        }
    }

    fn shim_of(&self, desired: &Desired, place: &Place, argv: Vec<String>) -> ShimSpec {
        let Desired { stack, id, .. } = desired;
        let cgroup = names::cgroup(&self.home_id, stack, id);
        ShimSpec {
            version: shim::VERSION,
            label: format!("vm {stack}/{id}"),
            run_directory: place.run.clone(),
            log_directory: Some(place.log()),
            exit_file: place.exit(),
            cgroup: Some(Cgroup { path: cgroup, ..Cgroup::default() }),
            interfaces: interfaces(&self.home_id, desired),
            payload: Payload::Program(ProgramPayload {
                argv,
                environment: std::collections::BTreeMap::new(),
                working_directory: place.run.clone(),
                user: None,
                follow: Some(place.console()),
                says_ready: false,
                dies_with_shim: false,
            }),
        }
    }
}

/// Takes away what the last run left, and makes what QEMU appends to.
fn prepare(place: &Place) -> Result<(), QemuError> {
    std::fs::create_dir_all(&place.run).map_err(StateError::io("create", &place.run))?;
    for old in [place.exit(), place.health(), place.ready(), place.console()] {
        atomic::remove(&old)?;
    }
    atomic::remove(&place.run.join("follow.position"))?;
    for appended in [place.ready(), place.console()] {
        std::fs::File::create(&appended).map_err(StateError::io("create", &appended))?;
    }
    Ok(())
}

fn write_seed(
    desired: &Desired,
    record: &VmRecord,
    mounted: &Mounted,
    nonce: &str,
    place: &Place,
) -> Result<(), QemuError> {
    let Some(config) = &vm_of(desired)?.cloud_init else { return Ok(()) };
    let guest = Guest {
        desired,
        cloud_init: config,
        instance_id: &record.instance_id,
        nonce,
        ssh_public_key: &record.ssh_public_key,
        user: &record.user,
        mounts: mounted.shares.iter().map(|share| share.guest.clone()).collect(),
        tmpfs: mounted.tmpfs.clone(),
        disks: mounted.disks.iter().map(|disk| disk.guest.clone()).collect(),
        files: mounted.files.clone(),
    };
    Ok(seed::write(&place.seed(), &cloud_init::seed(&guest))?)
}

fn boot_of(
    desired: &Desired,
    choice: &Choice,
    nonce: String,
    mounted: &Mounted,
) -> Result<Boot, QemuError> {
    let vm = vm_of(desired)?;
    let usual = if choice.accelerator == Accelerator::Kvm { ON_KVM } else { EMULATED };
    let grace = desired.workload.stop_grace_period;
    Ok(Boot {
        emulated: choice.emulated.clone(),
        ready_timeout: vm.ready_timeout.unwrap_or(usual),
        grace,
        says_ready: vm.cloud_init.is_some(),
        shares: mounted.shares.iter().map(|share| share.guest.target.clone()).collect(),
        ..Boot::new(nonce, vm.memory)
    })
}

fn interfaces(home_id: &str, desired: &Desired) -> Vec<Interface> {
    let label = names::label(home_id, &desired.stack, &format!("vm {}", desired.id));
    let interface = |address: &crate::plan::Address| Interface {
        host_name: address.host_interface.clone(),
        bridge: address.bridge.clone(),
        label: label.clone(),
        ipv4: address.ipv4,
        prefix: address.subnet.prefix_len(),
        gateway: address.default_route.then_some(address.gateway),
        mac: address.mac.clone(),
        mtu: address.mtu,
    };
    desired.addresses.iter().map(interface).collect()
}
