//! VMs: one QEMU process each, minded by a shim, spoken to over QMP and ssh.
//!
//! This file is the engine's face: each call in terms of the parts below. A VM's
//! record is written before its disk and removed after it; QEMU outlives the
//! command that started it, and its shim too.

mod acceleration;
mod boot;
pub mod command_line;
mod create;
mod disk;
mod error;
mod installed;
pub mod kvm_probe;
mod launch;
mod machine;
mod observe;
mod place;
pub mod qmp;
mod ready;
mod seed;
mod shares;
mod shell;
mod stop;
pub mod virtiofsd;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

pub use acceleration::why_not;
pub use error::QemuError;

use self::error::about;
use self::place::Place;
use self::shell::Login;
use super::{EngineError, ErrorKind, Exec, Files, Result, Workloads};
use crate::event::Events;
use crate::guest::ssh::Connection;
use crate::image::Store;
use crate::observed::ObservedInstance;
use crate::plan::Desired;
use crate::shim::Launcher;
use crate::stack::vm::Accel;
use crate::stack::{InstanceId, Kind, Role, StackName, Vm};
use crate::state::{Directories, InstanceRecord};

/// The engine for VMs of one state directory.
pub struct Qemu {
    directories: Directories,
    home_id: String,
    launcher: Arc<Launcher>,
    images: Arc<Store>,
    /// `WINDLASS_ACCEL`: goes before what the file says.
    forced: Accel,
    /// Open ssh connections: a healthcheck need not shake hands every time.
    connections: Mutex<BTreeMap<Login, Arc<Connection>>>,
}

impl Qemu {
    /// An engine over `directories`, whose bases come from `images`.
    pub fn new(
        directories: Directories,
        home_id: String,
        launcher: Arc<Launcher>,
        images: Arc<Store>,
    ) -> Self {
        let connections = Mutex::default();
        Self { directories, home_id, launcher, images, forced: Accel::Auto, connections }
    }

    /// The same engine, told by `WINDLASS_ACCEL` how to accelerate: with `Kvm` a
    /// VM fails with the reason where it would run emulated.
    #[must_use]
    pub fn with_accelerator(self, forced: Accel) -> Self {
        Self { forced, ..self }
    }

    /// Which QEMU is installed, for people: `QEMU 10.0, pc-q35-10.0`.
    pub async fn version(&self) -> Result<String, QemuError> {
        let installed = installed::Installed::find(&self.directories).await?;
        let (major, minor) = installed.release;
        Ok(format!("QEMU {major}.{minor}, {}", installed.machine))
    }

    fn place(&self, stack: &StackName, id: &InstanceId) -> Place {
        Place::new(&self.directories, stack, id)
    }

    fn record(&self, stack: &StackName, id: &InstanceId) -> Result<InstanceRecord, QemuError> {
        InstanceRecord::read(&self.place(stack, id).data)?.ok_or(QemuError::Missing)
    }

    /// Changes the record, if that changes anything.
    fn amend(
        &self,
        stack: &StackName,
        id: &InstanceId,
        change: impl FnOnce(&mut InstanceRecord),
    ) -> Result<(), QemuError> {
        let before = self.record(stack, id)?;
        let mut record = before.clone();
        change(&mut record);
        // An id is the same one before and after scaling: how it shows is recorded too.
        if record != before || record.id.replicated != before.id.replicated {
            record.write(&self.place(stack, id).data)?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Qemu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qemu").field("directories", &self.directories).finish_non_exhaustive()
    }
}

/// The VM's part of what is desired.
fn vm_of(desired: &Desired) -> Result<&Vm, QemuError> {
    match &desired.workload.role {
        Role::Vm(vm) => Ok(vm),
        Role::Container(_) => Err(QemuError::NotAVm),
    }
}

fn resource(id: &InstanceId) -> crate::plan::Resource {
    crate::plan::Resource::Instance(Kind::Vm, id.clone())
}

#[async_trait]
impl Workloads for Qemu {
    fn unavailable(&self) -> Option<String> {
        let program = installed::missing()?;
        Some(format!("`{program}` is not installed; {}", error::INSTALL))
    }

    fn emulated(&self) -> Option<String> {
        if self.forced == Accel::Tcg {
            return Some("emulation was asked for".to_owned());
        }
        acceleration::why_not(&self.directories, &self.launcher)
    }

    fn memory_in_use(&self, except: &StackName) -> Result<u64> {
        place::memory_in_use(&self.directories, except).map_err(|error| {
            let resource = format!("the VMs beside stack {except}");
            EngineError::new("qemu", "look at", resource, ErrorKind::System, error)
        })
    }

    async fn observe(
        &self,
        _: &StackName,
        records: &[InstanceRecord],
    ) -> Result<Vec<ObservedInstance>> {
        let ours = records.iter().filter(|record| record.kind == Kind::Vm);
        try_join_all(ours.map(|record| async {
            self.look_at(record.clone()).await.map_err(about("look at", &record.id))
        }))
        .await
    }

    async fn create(&self, desired: &Desired) -> Result<()> {
        self.make(desired).await.map_err(about("create", &desired.id))
    }

    async fn update(&self, desired: &Desired) -> Result<()> {
        self.note(desired).map_err(about("update", &desired.id))
    }

    async fn start(&self, desired: &Desired) -> Result<()> {
        self.launch(desired).await.map_err(about("start", &desired.id))
    }

    async fn stop(
        &self,
        stack: &StackName,
        id: &InstanceId,
        grace: Option<Duration>,
        held: bool,
    ) -> Result<()> {
        self.power_down(stack, id, grace, held).await.map_err(about("stop", id))
    }

    async fn kill(&self, stack: &StackName, id: &InstanceId, signal: i32) -> Result<()> {
        self.signal(stack, id, signal).await.map_err(about("kill", id))
    }

    async fn unpause(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.thaw(stack, id).await.map_err(about("unpause", id))
    }

    async fn remove(&self, stack: &StackName, id: &InstanceId, disk: bool) -> Result<()> {
        self.take_away(stack, id, disk).await.map_err(about("remove", id))
    }

    async fn set_disk_aside(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.set_aside(stack, id).map_err(about("set aside the disk of", id))
    }

    async fn adopt(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.mind_again(stack, id).await.map_err(about("adopt", id))
    }

    async fn ready(&self, stack: &StackName, id: &InstanceId, events: &Events) -> Result<()> {
        self.hear(stack, id, events).await.map_err(about("wait for", id))
    }

    async fn exited(&self, stack: &StackName, id: &InstanceId) -> Result<i32> {
        let place = self.place(stack, id);
        let ended = crate::shim::ended(&place.run, &place.exit()).await;
        let exit = ended.map_err(|error| about("wait for the end of", id)(error.into()))?;
        // Nobody saw how: as if it had been killed.
        Ok(exit.code.unwrap_or(137))
    }

    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }
}
