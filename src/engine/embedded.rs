//! The embedded container engine: no daemon; overlay file systems and
//! libcontainer, each container under a shim.
//!
//! Here is the trait and what waits; the blocking work is in the files below.
//! The engine performs one call and never decides.

mod configuration;
mod error;
mod exec;
mod files;
mod groups;
mod life;
mod look;
mod mirror;
mod mounts;
pub mod overlay;
mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

pub use error::EmbeddedError;

use super::{
    EngineError, ErrorKind, Exec, ExecCommand, ExecOutput, Files, Images, Result, Workloads,
};
use crate::event::Events;
use crate::image::{ContainerImage, ImageError, Store};
use crate::observed::ObservedInstance;
use crate::plan::Desired;
use crate::shim::{Launcher, ended, look as look_at};
use crate::stack::{Healthcheck, InstanceId, Kind, StackName};
use crate::state::{Directories, InstanceRecord, names};

/// How long the kernel may take to end what it was told to kill.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Where unpacked container images come from.
pub trait ContainerImages: Images + std::fmt::Debug {
    /// The image with this digest.
    fn container(&self, digest: &str) -> std::result::Result<ContainerImage, ImageError>;
}

impl ContainerImages for Store {
    fn container(&self, digest: &str) -> std::result::Result<ContainerImage, ImageError> {
        Self::container(self, digest)
    }
}

/// The engine.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Home>);

/// What every call needs.
#[derive(Debug)]
struct Home {
    directories: Directories,
    /// Identity of the state directory, part of every name seen host-wide.
    id: String,
    launcher: Arc<Launcher>,
    images: Arc<dyn ContainerImages>,
    /// Stacks whose leftover groups were looked for.
    swept: Mutex<BTreeSet<StackName>>,
}

impl Home {
    fn instance(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        self.directories.instance(stack, id)
    }

    fn run(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        self.directories.instance_run(stack, id)
    }

    fn exit_file(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        self.instance(stack, id).join("exit.json")
    }

    fn cgroup(&self, stack: &StackName, id: &InstanceId) -> String {
        names::cgroup(&self.id, stack, id)
    }
}

impl Embedded {
    /// An engine over one state directory.
    pub fn new(
        directories: Directories,
        home_id: String,
        launcher: Arc<Launcher>,
        images: Arc<dyn ContainerImages>,
    ) -> Self {
        let swept = Mutex::default();
        Self(Arc::new(Home { directories, id: home_id, launcher, images, swept }))
    }

    /// Runs blocking work on a thread for it.
    async fn block<T, F>(&self, operation: &'static str, resource: String, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Home) -> std::result::Result<T, EmbeddedError> + Send + 'static,
    {
        let home = Arc::clone(&self.0);
        let result = spawn_blocking(move || work(&home)).await;
        result
            .map_err(EmbeddedError::from)
            .and_then(|result| result)
            .map_err(|error| error.during(operation, resource))
    }

    /// Waits until neither process nor shim is there.
    async fn gone(
        &self,
        stack: &StackName,
        id: &InstanceId,
    ) -> std::result::Result<(), EmbeddedError> {
        let run = self.0.run(stack, id);
        if look_at(&run).is_some() {
            ended(&run, &self.0.exit_file(stack, id)).await?;
        }
        Ok(())
    }

    async fn stop_and_wait(
        &self,
        stack: &StackName,
        id: &InstanceId,
        grace: Option<Duration>,
        held: bool,
    ) -> Result<()> {
        let operation = "stop";
        let fail = |error: EmbeddedError| error.during(operation, name(id));
        let (stack_of, id_of) = (stack.clone(), id.clone());
        let asked = self
            .block(operation, name(id), move |home| {
                life::ask_to_stop(home, &stack_of, &id_of, held)
            })
            .await?;
        let Some(default_grace) = asked else { return Ok(()) };
        let patience = grace.unwrap_or(default_grace);
        if let Ok(done) = tokio::time::timeout(patience, self.gone(stack, id)).await {
            return done.map_err(fail);
        }
        let (stack_of, id_of) = (stack.clone(), id.clone());
        self.block(operation, name(id), move |home| {
            life::kill_all(home, &stack_of, &id_of);
            Ok(())
        })
        .await?;
        match tokio::time::timeout(KILL_PATIENCE, self.gone(stack, id)).await {
            Ok(done) => done.map_err(fail),
            Err(_) => Err(fail(EmbeddedError::Unkillable)),
        }
    }
}

fn name(id: &InstanceId) -> String {
    format!("container {id}")
}

#[async_trait]
impl Workloads for Embedded {
    fn unavailable(&self) -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("containers need root".to_owned());
        }
        if !overlay::is_there() {
            return Some("the kernel has no overlayfs".to_owned());
        }
        if !Path::new("/sys/fs/cgroup").exists() {
            return Some("no cgroups are mounted at /sys/fs/cgroup".to_owned());
        }
        None
    }

    async fn observe(
        &self,
        stack: &StackName,
        records: &[InstanceRecord],
    ) -> Result<Vec<ObservedInstance>> {
        let ours = records.iter().filter(|record| record.kind == Kind::Container);
        let ours: Vec<InstanceRecord> = ours.cloned().collect();
        self.block("look at the containers of", stack.to_string(), move |home| {
            look::observe(home, ours)
        })
        .await
    }

    async fn create(&self, desired: &Desired) -> Result<()> {
        let source = &desired.workload.image;
        let Some(digest) = self.0.images.lookup(source, Kind::Container).await? else {
            let missing = EmbeddedError::NoImage { image: source.to_string() };
            return Err(missing.during("create", name(&desired.id)));
        };
        let desired = desired.clone();
        self.block("create", name(&desired.id.clone()), move |home| {
            let image = home.images.container(&digest)?;
            life::create(home, &desired, &image)
        })
        .await
    }

    async fn update(&self, desired: &Desired) -> Result<()> {
        let desired = desired.clone();
        self.block("update", name(&desired.id.clone()), move |home| life::update(home, &desired))
            .await
    }

    async fn start(&self, desired: &Desired) -> Result<()> {
        let desired = desired.clone();
        self.block("start", name(&desired.id.clone()), move |home| life::start(home, &desired))
            .await
    }

    async fn stop(
        &self,
        stack: &StackName,
        id: &InstanceId,
        grace: Option<Duration>,
        held: bool,
    ) -> Result<()> {
        self.stop_and_wait(stack, id, grace, held).await
    }

    async fn kill(&self, stack: &StackName, id: &InstanceId, signal: i32) -> Result<()> {
        let (stack, id_of) = (stack.clone(), id.clone());
        self.block("kill", name(id), move |home| life::signal(home, &stack, &id_of, signal)).await
    }

    async fn unpause(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        let (stack, id_of) = (stack.clone(), id.clone());
        self.block("unpause", name(id), move |home| life::thaw(home, &stack, &id_of)).await
    }

    async fn remove(&self, stack: &StackName, id: &InstanceId, _disk: bool) -> Result<()> {
        let (stack_of, id_of) = (stack.clone(), id.clone());
        self.block("remove", name(id), move |home| {
            life::kill_all(home, &stack_of, &id_of);
            Ok(())
        })
        .await?;
        match tokio::time::timeout(KILL_PATIENCE, self.gone(stack, id)).await {
            Ok(done) => done.map_err(|error| error.during("remove", name(id)))?,
            Err(_) => return Err(EmbeddedError::Unkillable.during("remove", name(id))),
        }
        let (stack, id_of) = (stack.clone(), id.clone());
        self.block("remove", name(id), move |home| life::remove(home, &stack, &id_of)).await
    }

    async fn set_disk_aside(&self, _: &StackName, id: &InstanceId) -> Result<()> {
        let reason = super::error::Reason("a container's layers are no data".to_owned());
        let kind = ErrorKind::Unsupported;
        Err(EngineError::new("embedded", "set aside the disk of", name(id), kind, reason))
    }

    async fn adopt(&self, _: &StackName, _: &InstanceId) -> Result<()> {
        // A container dies with its shim: what lost its shim is dead.
        Ok(())
    }

    async fn ready(&self, stack: &StackName, id: &InstanceId, _: &Events) -> Result<()> {
        let (stack, id_of) = (stack.clone(), id.clone());
        self.block("wait for", name(id), move |home| life::running(home, &stack, &id_of).map(drop))
            .await
    }

    async fn exited(&self, stack: &StackName, id: &InstanceId) -> Result<i32> {
        let ended = ended(&self.0.run(stack, id), &self.0.exit_file(stack, id)).await;
        let exit =
            ended.map_err(|error| EmbeddedError::from(error).during("wait for", name(id)))?;
        // Nobody saw it: it was killed with its shim.
        Ok(exit.code.unwrap_or(137))
    }

    async fn image_check(&self, stack: &StackName, id: &InstanceId) -> Result<Option<Healthcheck>> {
        let (stack, id_of) = (stack.clone(), id.clone());
        self.block("look at the image of", name(id), move |home| {
            look::image_check(home, &stack, &id_of)
        })
        .await
    }

    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }
}

#[async_trait]
impl Files for Embedded {
    async fn mirror(
        &self,
        stack: &StackName,
        id: &InstanceId,
        pairs: &BTreeMap<String, PathBuf>,
    ) -> Result<()> {
        let (stack, id_of, pairs) = (stack.clone(), id.clone(), pairs.clone());
        self.block("write files into", name(id), move |home| {
            mirror::mirror(life::running(home, &stack, &id_of)?.pid, &pairs)
        })
        .await
    }
}

#[async_trait]
impl Exec for Embedded {
    async fn exec(
        &self,
        stack: &StackName,
        id: &InstanceId,
        command: &ExecCommand,
    ) -> Result<ExecOutput> {
        let (stack, id_of, command_of) = (stack.clone(), id.clone(), command.clone());
        let prepared = self
            .block("run a command in", name(id), move |home| {
                exec::prepare(home, &stack, &id_of, &command_of)
            })
            .await?;
        exec::run(prepared, command.streams)
            .await
            .map_err(|error| error.during("run a command in", name(id)))
    }
}
