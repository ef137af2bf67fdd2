//! The four traits through which the world is changed. An engine performs; it
//! never decides. Every call is idempotent, so a plan that was cut short can be
//! computed and applied again.

pub mod embedded;
pub mod error;
pub mod fake;
pub mod qemu;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use async_trait::async_trait;

pub use error::{EngineError, ErrorKind};

use crate::event::Events;
use crate::network::NetworkPlan;
use crate::network::ruleset::{RuleId, Ruleset};
use crate::network::zone::Zone;
use crate::observed::{ObservedInstance, ObservedNetwork, ObservedVolume};
use crate::plan::{Desired, Forward};
use crate::stack::{Healthcheck, ImageSource, InstanceId, Kind, StackName, Volume};
use crate::state::InstanceRecord;

/// Result of an engine call.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// What holds workloads: QEMU, or the embedded container engine.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// Why it cannot be used on this host; `None`: it can.
    fn unavailable(&self) -> Option<String>;

    /// Why VMs are emulated; `None`: they are not, or there are none.
    fn emulated(&self) -> Option<String> {
        None
    }

    /// Bytes of memory that VMs of other stacks were given.
    fn memory_in_use(&self, _except: &StackName) -> Result<u64> {
        Ok(0)
    }

    /// Every instance of the stack that is this engine's, found by looking:
    /// processes and limits of what is in `records`, the stack's of both kinds.
    async fn observe(
        &self,
        stack: &StackName,
        records: &[InstanceRecord],
    ) -> Result<Vec<ObservedInstance>>;

    /// Writes the record, fsyncs it, then makes the disk or the layers.
    async fn create(&self, desired: &Desired) -> Result<()>;

    /// Changes what can be changed while it may run, and records the rest.
    async fn update(&self, desired: &Desired) -> Result<()>;

    /// Starts it under a shim; returns when its process runs.
    async fn start(&self, desired: &Desired) -> Result<()>;

    /// Asks it to stop, kills it after the grace period (`None`: its own).
    /// `held`: it was asked for, by hand or by a plan, and not started since.
    async fn stop(
        &self,
        stack: &StackName,
        id: &InstanceId,
        grace: Option<Duration>,
        held: bool,
    ) -> Result<()>;

    /// Sends a signal (VMs: only `KILL` and `TERM` mean something).
    async fn kill(&self, stack: &StackName, id: &InstanceId, signal: i32) -> Result<()>;

    /// Thaws it.
    async fn unpause(&self, stack: &StackName, id: &InstanceId) -> Result<()>;

    /// Removes it; a VM's disk and record only with `disk`.
    async fn remove(&self, stack: &StackName, id: &InstanceId, disk: bool) -> Result<()>;

    /// Sets the root disk aside as `NAME.old-N`; `Unsupported` for containers.
    async fn set_disk_aside(&self, stack: &StackName, id: &InstanceId) -> Result<()>;

    /// Starts a shim for a process that lost its own.
    async fn adopt(&self, stack: &StackName, id: &InstanceId) -> Result<()>;

    /// Waits for the guest's word (VMs) or for the process (containers). What
    /// is said on the way goes to `events`.
    async fn ready(&self, stack: &StackName, id: &InstanceId, events: &Events) -> Result<()>;

    /// Waits until its process has ended; the exit code.
    async fn exited(&self, stack: &StackName, id: &InstanceId) -> Result<i32>;

    /// The healthcheck of the image it was made from; VMs' images have none.
    async fn image_check(
        &self,
        _stack: &StackName,
        _id: &InstanceId,
    ) -> Result<Option<Healthcheck>> {
        Ok(None)
    }

    /// Runs a command inside; `None` where the engine cannot.
    fn exec(&self) -> Option<&dyn Exec> {
        None
    }

    /// Puts files inside; `None` where the engine cannot.
    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

/// Putting files into a running workload.
#[async_trait]
pub trait Files: Send + Sync {
    /// Makes each path inside (absolute) what its counterpart on the host is by
    /// now: a file, a link, a directory, or not there. A file is whole at any
    /// moment. One that is there keeps its owner where the engine can tell it.
    async fn mirror(
        &self,
        stack: &StackName,
        id: &InstanceId,
        pairs: &BTreeMap<String, PathBuf>,
    ) -> Result<()>;
}

/// Running commands inside a workload.
#[async_trait]
pub trait Exec: Send + Sync {
    /// Runs `command` and gives its exit code; with [`Streams::Capture`] also what it wrote.
    async fn exec(
        &self,
        stack: &StackName,
        id: &InstanceId,
        command: &ExecCommand,
    ) -> Result<ExecOutput>;
}

/// What to run inside, and how.
#[derive(Debug, Clone, Default)]
pub struct ExecCommand {
    /// Program and arguments; empty: the user's login shell.
    pub argv: Vec<String>,
    /// Variables on top of the workload's own.
    pub environment: BTreeMap<String, String>,
    /// `user[:group]`; `None`: the container's user; root in a VM.
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Give it a terminal (the caller's, in raw mode).
    pub tty: bool,
    /// How it is connected.
    pub streams: Streams,
}

/// How a command inside is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Streams {
    /// To the caller's standard streams.
    #[default]
    Inherit,
    /// Nothing in; both outputs collected, at most 64 KiB.
    Capture,
}

/// What a command inside left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Exit code; 128 + signal.
    pub code: i32,
    /// Both outputs, in the order they came, lossy UTF-8 (with [`Streams::Capture`]).
    pub output: String,
}

/// Bridges, names, firewall and published ports.
#[async_trait]
pub trait Networks: Send + Sync {
    /// The stack's networks, by looking at the kernel.
    async fn observe(&self, stack: &StackName) -> Result<Vec<ObservedNetwork>>;
    /// The rules in the stack's table; `None`: no table.
    async fn observe_firewall(&self, stack: &StackName) -> Result<Option<BTreeSet<RuleId>>>;
    /// Ports whose forwarder is alive, by instance.
    async fn observe_ports(
        &self,
        stack: &StackName,
    ) -> Result<BTreeMap<InstanceId, BTreeSet<crate::stack::Port>>>;
    /// Makes or mends the bridge. `Conflict` when the subnet was taken meanwhile.
    async fn create(&self, stack: &StackName, network: &NetworkPlan) -> Result<()>;
    /// Ends the name server and removes the bridge.
    async fn remove(&self, stack: &StackName, network: &NetworkPlan) -> Result<()>;
    /// Has the name server run and know `zone`.
    async fn serve_names(
        &self,
        stack: &StackName,
        network: &NetworkPlan,
        zone: &Zone,
    ) -> Result<()>;
    /// Replaces the stack's table.
    async fn apply_firewall(&self, stack: &StackName, ruleset: &Ruleset) -> Result<()>;
    /// Removes the stack's table and its rules elsewhere (`DOCKER-USER`).
    async fn remove_firewall(&self, stack: &StackName) -> Result<()>;
    /// Has a forwarder for exactly these ports. `Conflict` when one is taken.
    async fn open_ports(
        &self,
        stack: &StackName,
        id: &InstanceId,
        forwards: &[Forward],
    ) -> Result<()>;
    /// Ends the forwarder.
    async fn close_ports(&self, stack: &StackName, id: &InstanceId) -> Result<()>;
    /// Returns when something of the stack's networks has changed, by whomever.
    /// Where that cannot be heard of, never.
    async fn changed(&self, _stack: &StackName) -> Result<()> {
        std::future::pending().await
    }
}

/// Named volumes.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// The stack's volumes on disk.
    async fn observe(&self, stack: &StackName) -> Result<Vec<ObservedVolume>>;
    /// Makes the volume, or grows its disk.
    async fn create(&self, stack: &StackName, volume: &Volume) -> Result<()>;
    /// Removes it with what is in it.
    async fn remove(&self, stack: &StackName, resolved: &str) -> Result<()>;
}

/// Images of both kinds.
#[async_trait]
pub trait Images: Send + Sync {
    /// What is in the store: the digest, or `None`.
    async fn lookup(&self, source: &ImageSource, kind: Kind) -> Result<Option<String>>;
    /// The healthcheck of the container image with this digest.
    async fn healthcheck(&self, _digest: &str) -> Result<Option<Healthcheck>> {
        Ok(None)
    }
    /// What the registry says now, without fetching.
    async fn resolve(&self, source: &ImageSource, kind: Kind) -> Result<String>;
    /// Has it in the store; the digest. `refresh`: look for a newer one.
    async fn fetch(
        &self,
        source: &ImageSource,
        kind: Kind,
        refresh: bool,
        events: &Events,
    ) -> Result<String>;
}

/// The exit code of a finished process, 128 + signal when killed by one.
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
