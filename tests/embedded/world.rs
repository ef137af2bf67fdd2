//! The engine with one container to be, of a busybox, without network and
//! without a registry; gone without trace afterwards.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use oci_spec::image::ConfigBuilder;

use super::support::{busybox_root, launcher, needs_root};
use super::workloads;
use windlass::engine::embedded::{ContainerImages, Embedded};
use windlass::engine::{EngineError, Exec, ExecCommand, ExecOutput, Images, Streams, Workloads};
use windlass::event::Events;
use windlass::image::{ContainerImage, ImageError};
use windlass::observed::ObservedInstance;
use windlass::plan::Desired;
use windlass::stack::{
    Container, Definition, ImageSource, InstanceId, Kind, Role, StackName, Workload,
};
use windlass::state::{Directories, InstanceRecord, log, names};

/// One image: busybox.
#[derive(Debug)]
pub(crate) struct Busybox(PathBuf);

impl ContainerImages for Busybox {
    fn container(&self, digest: &str) -> Result<ContainerImage, ImageError> {
        let config = ConfigBuilder::default()
            .env(vec!["FROM_IMAGE=yes".to_owned()])
            .cmd(vec!["sleep".to_owned(), "1000".to_owned()])
            .build()
            .expect("config");
        Ok(ContainerImage {
            digest: digest.to_owned(),
            layers: vec![self.0.clone()],
            config,
            healthcheck: None,
        })
    }
}

#[async_trait]
impl Images for Busybox {
    async fn lookup(&self, _: &ImageSource, _: Kind) -> Result<Option<String>, EngineError> {
        Ok(Some("sha256:test".to_owned()))
    }

    async fn resolve(&self, _: &ImageSource, _: Kind) -> Result<String, EngineError> {
        Ok("sha256:test".to_owned())
    }

    async fn fetch(
        &self,
        _: &ImageSource,
        _: Kind,
        _: bool,
        _: &Events,
    ) -> Result<String, EngineError> {
        Ok("sha256:test".to_owned())
    }
}

/// An engine with one container to be, gone without trace afterwards.
pub(crate) struct World {
    pub(crate) home: tempfile::TempDir,
    pub(crate) engine: Embedded,
    pub(crate) directories: Directories,
    pub(crate) stack: StackName,
    pub(crate) id: InstanceId,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl World {
    pub(crate) fn new() -> Option<Self> {
        if !needs_root("embedded") {
            return None;
        }
        let home = tempfile::Builder::new().prefix("wl-test-").tempdir().expect("directory");
        let root = home.path().join("root");
        if !busybox_root(&root) {
            return None;
        }
        let directories = Directories::new(Some(home.path()), None);
        let engine = Embedded::new(
            directories.clone(),
            directories.home_id(),
            Arc::new(launcher()),
            Arc::new(Busybox(root)),
        );
        let runtime =
            tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
        let stack = StackName::new("test").expect("name");
        Some(Self { home, engine, directories, stack, id: InstanceId::single("web"), runtime })
    }

    /// A wait that fails the test instead of hanging it.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), future).await })
            .expect("in time")
    }

    pub(crate) fn desired(&self, container: Container) -> Desired {
        Desired {
            stack: self.stack.clone(),
            id: self.id.clone(),
            workload: workload(container),
            definition: Definition::default(),
            addresses: Vec::new(),
            hostname: "web".into(),
            volumes: BTreeMap::new(),
            search_domain: "test.windlass.internal".into(),
            rerun_cloud_init: false,
        }
    }

    pub(crate) fn up(&self, desired: &Desired) {
        self.wait(async {
            self.engine.create(desired).await.expect("create");
            self.engine.start(desired).await.expect("start");
        });
    }

    /// Runs a script as the container's only process; its exit code and output.
    pub(crate) fn script(
        &self,
        text: &str,
        change: impl FnOnce(&mut Desired, &mut Container),
    ) -> (i32, String) {
        let mut container = sh(text);
        let mut desired = self.desired(Container::default());
        change(&mut desired, &mut container);
        desired.workload.role = Role::Container(Box::new(container));
        self.up(&desired);
        let code = self.wait(self.engine.exited(&self.stack, &self.id)).expect("exit");
        (code, self.log())
    }

    pub(crate) fn log(&self) -> String {
        let directory = self.directories.instance(&self.stack, &self.id).join("log");
        let text = std::fs::read_to_string(directory.join(log::FILE)).unwrap_or_default();
        text.lines()
            .map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default())
            .fold(String::new(), |all, line| all + line + "\n")
    }

    /// Waits until the container has said a line.
    pub(crate) fn says(&self, line: &str) {
        let log = self.directories.instance(&self.stack, &self.id).join("log");
        let news = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
        news.add_watch(&log, AddWatchFlags::IN_MODIFY).expect("watched");
        while !self.log().lines().any(|said| said == line) {
            let mut heard = [PollFd::new(news.as_fd(), PollFlags::POLLIN)];
            let count = poll(&mut heard, PollTimeout::from(30_000_u16)).expect("waited");
            assert_eq!(count, 1, "it never said `{line}`");
            news.read_events().expect("news");
        }
    }

    pub(crate) fn all(&self) -> Vec<ObservedInstance> {
        let records = InstanceRecord::of_stack(&self.directories, &self.stack).expect("records");
        self.wait(self.engine.observe(&self.stack, &records)).expect("observe")
    }

    pub(crate) fn observed(&self) -> ObservedInstance {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    pub(crate) fn stop(&self, grace: Duration) {
        self.wait(self.engine.stop(&self.stack, &self.id, Some(grace), false)).expect("stop");
    }

    pub(crate) fn exec(&self, command: &ExecCommand) -> ExecOutput {
        self.wait(Exec::exec(&self.engine, &self.stack, &self.id, command)).expect("exec")
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.directories.instance_run(&self.stack, &self.id)
    }

    pub(crate) fn cgroup(&self) -> String {
        names::cgroup(&self.directories.home_id(), &self.stack, &self.id)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.wait(self.engine.remove(&self.stack, &self.id, true)));
    }
}

pub(crate) fn workload(container: Container) -> Workload {
    Workload {
        image: ImageSource::Reference("busybox".into()),
        ..workloads::workload("web", Role::Container(Box::new(container)))
    }
}

pub(crate) fn sh(text: &str) -> Container {
    Container { command: Some(vec!["sh".into(), "-c".into(), text.into()]), ..Container::default() }
}

pub(crate) fn capture(argv: &[&str]) -> ExecCommand {
    ExecCommand {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        streams: Streams::Capture,
        ..ExecCommand::default()
    }
}
/// What a container that runs on shows to commands.
pub(crate) fn sleeping(
    world: &World,
    change: impl FnOnce(&mut Desired, &mut Container),
) -> Desired {
    let mut container = sh("trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done");
    let mut desired = world.desired(Container::default());
    change(&mut desired, &mut container);
    desired.workload.role = Role::Container(Box::new(container));
    world.up(&desired);
    world.says("ready");
    desired
}
