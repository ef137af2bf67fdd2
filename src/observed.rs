//! What exists on the host, in our own terms. Filled by engines' `observe`,
//! read by [`crate::plan`]. It carries no engine's own types and decides
//! nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::network::ruleset::RuleId;
use crate::network::zone::Zone;
use crate::stack::{Definition, Healthcheck, ImageSource, InstanceId, Kind, Port, VolumeKind};

/// Everything of one stack that was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Instances by id: running, stopped, half made.
    #[serde(with = "instances_as_list")]
    pub instances: BTreeMap<InstanceId, ObservedInstance>,
    /// Networks by the file's name for them.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Volumes by the name they have on disk.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// The rules that are in the stack's own firewall table; `None`: no table.
    pub firewall: Option<BTreeSet<RuleId>>,
    /// What was done about dependencies that became unhealthy and are not healthy yet.
    #[serde(default)]
    pub answers: Vec<Answer>,
}

/// One instance as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedInstance {
    /// Which one.
    pub id: InstanceId,
    /// VM or container.
    pub kind: Kind,
    /// The definition it was made (or last updated) from.
    pub definition: Definition,
    /// What it was made from, as the file named it then.
    pub image: ImageSource,
    /// The digest that was pinned.
    pub image_digest: String,
    /// Addresses it holds, by the file's name of the network.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// What it does.
    pub state: State,
    /// Whether a shim minds it.
    pub minded: bool,
    /// Whether the user stopped it by hand (`stop`, `kill`, `pause`).
    pub held: bool,
    /// VM: whether it has ever said that it is ready. Containers: started once.
    pub ever_ready: bool,
    /// Whether its present run has said that it is ready (containers: it runs).
    pub ready: Readiness,
    /// VM: seconds since the epoch when its present run said what `ready` says.
    #[serde(default)]
    pub ready_since: Option<i64>,
    /// The last health result of the present run.
    pub health: Option<Health>,
    /// The healthcheck of the image it was made from.
    #[serde(default)]
    pub image_check: Option<Healthcheck>,
    /// Limits that the kernel has for it, where they differ from its
    /// definition: field of the definition → value in force.
    pub drift: BTreeMap<String, String>,
    /// Ports whose forwarder is alive.
    pub forwarded: BTreeSet<Port>,
    /// Seconds since the epoch when the present state began.
    pub since: i64,
    /// VM: why it is emulated, when it is.
    pub emulated: Option<String>,
    /// VM: what lies on its root disk.
    #[serde(default)]
    pub disk: Option<DiskUse>,
    /// What its restart policy has done.
    #[serde(default)]
    pub restarts: Restarts,
}

/// What an instance's restart policy has done since the user last started it:
/// `restarts.json` in its directory. A cache: lost, it only costs the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// Form of the file.
    pub version: u32,
    /// How often it was started again.
    pub count: u32,
    /// How often since it last ran for ten seconds: what the pause grows with.
    pub in_a_row: u32,
    /// The limit that was reached.
    pub gave_up: Option<u32>,
    /// Seconds since the epoch when it is started again.
    pub due: Option<i64>,
}

/// What a root disk holds beyond its base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Bytes it takes on the host.
    pub bytes: u64,
    /// Seconds since the epoch when it was made.
    pub since: i64,
}

/// What an instance does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its making was cut short: nothing in it can be relied on.
    HalfMade,
    /// Made, never started.
    Created,
    /// Running.
    Running {
        /// Process of the container's init or of QEMU, on the host.
        pid: i32,
    },
    /// Running but frozen.
    Paused {
        /// As for `Running`.
        pid: i32,
    },
    /// Half dead: it runs and cannot work (a virtiofsd died).
    Degraded {
        /// As for `Running`.
        pid: i32,
        /// What is broken, in words.
        reason: String,
    },
    /// It has ended.
    Exited(Exit),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal when killed by one; `None`: not known (the host went down).
    pub code: Option<i32>,
    /// Whether the kernel killed it for lack of memory.
    pub out_of_memory: bool,
    /// Seconds since the epoch.
    pub at: i64,
}

/// Whether the present run is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Nothing has been said yet.
    Waiting,
    /// It is ready.
    Ready,
    /// The guest says that cloud-init failed.
    Failed {
        /// cloud-init's own words.
        errors: Vec<String>,
    },
}

/// A health result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether the last check passed.
    pub healthy: bool,
    /// Failures in a row.
    pub failures: u32,
    /// What the last check said.
    pub output: String,
    /// Seconds since the epoch.
    pub at: i64,
    /// What all checks of this run come to.
    #[serde(default)]
    pub verdict: Verdict,
    /// Seconds since the epoch when the verdict last changed.
    #[serde(default)]
    pub since: i64,
}

/// What checks come to, by Docker's rule
/// (<https://docs.docker.com/reference/dockerfile/#healthcheck>): one that passes
/// makes healthy, `retries` failures in a row make unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// None has passed, and not enough have failed.
    #[default]
    Starting,
    /// It is well.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// What was done about a dependency that became unhealthy, for one dependent: written
/// down before it is done, so that whoever supervises next goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The dependent.
    pub id: InstanceId,
    /// The workload that it depends on.
    pub on: String,
    /// Process of the run that it is about; a later run was started by somebody else.
    pub run: Option<i32>,
    /// How far it has come.
    pub stage: Stage,
}

/// How far the answer to an unhealthy dependency has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is stopped, and rests until the dependency is healthy.
    Stopped,
    /// It is being started again.
    Starting,
    /// It runs, and restarts when the dependency is healthy.
    Owed,
    /// It is being restarted.
    Restarting,
    /// The user started it since: it is left alone until the dependency is healthy.
    Overruled,
}

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedNetwork {
    /// Its name in the file.
    pub name: String,
    /// Name of the bridge.
    pub bridge: String,
    /// The subnet on the bridge; `None`: the address is missing.
    pub subnet: Option<Ipv4Net>,
    /// The gateway's address on the bridge.
    pub gateway: Option<Ipv4Addr>,
    /// Whether the bridge exists and is up.
    pub up: bool,
    /// Whether the name server answers for it.
    pub names_alive: bool,
    /// What the name server was told.
    pub zone: Zone,
    /// Docker's firewall: `Some(false)` where it would drop our frames and our
    /// rule is not there.
    pub docker_accepts: Option<bool>,
}

/// A volume as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedVolume {
    /// The name it has on disk.
    pub resolved: String,
    /// The name in the file it was made from.
    pub name: String,
    /// Directory or block device.
    pub kind: VolumeKind,
    /// Bytes it takes on the host.
    pub bytes: u64,
}

impl Restarts {
    /// Version of the file.
    pub const VERSION: u32 = 1;
    /// Name of the file within the instance's directory.
    pub const FILE: &str = "restarts.json";
}

impl ObservedInstance {
    /// Whether it is a VM at rest: nothing but its record and its disk.
    pub fn is_only_a_disk(&self) -> bool {
        self.kind == Kind::Vm && !self.is_alive()
    }

    /// The process of its present run.
    pub fn pid(&self) -> Option<i32> {
        match self.state {
            State::Running { pid } | State::Paused { pid } | State::Degraded { pid, .. } => {
                Some(pid)
            }
            State::HalfMade | State::Created | State::Exited(_) => None,
        }
    }

    /// What its healthcheck comes to; `None`: nobody has asked it yet, or nobody does.
    pub fn verdict(&self) -> Option<Verdict> {
        self.health.as_ref().filter(|_| self.is_alive()).map(|health| health.verdict)
    }

    /// Whether a process of it is alive.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Running { .. } | State::Paused { .. } | State::Degraded { .. })
    }
}

/// JSON has no map with structured keys: instances travel as a list.
mod instances_as_list {
    use super::{BTreeMap, Deserialize, InstanceId, ObservedInstance};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<InstanceId, ObservedInstance>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<InstanceId, ObservedInstance>, D::Error> {
        let list = Vec::<ObservedInstance>::deserialize(from)?;
        Ok(list.into_iter().map(|instance| (instance.id.clone(), instance)).collect())
    }
}
