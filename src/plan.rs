//! What to do, and why: `plan(stack, observed, facts)` is pure, total and
//! deterministic. It chooses addresses and names; it never logs, asks, reads a
//! clock or rolls dice. Whether a step is allowed is asked between here and
//! [`crate::apply`].
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod address;
mod course;
pub mod consent;
pub mod desired;
pub mod display;
mod down;
pub mod follow;
mod given;
mod host;
mod network;
mod steps;
mod up;
mod verbs;
mod volume;
pub mod words;

use serde::{Deserialize, Serialize};

pub use consent::{Consent, Refused};
pub use desired::{Address, Desired};
pub use down::{DownOptions, down};
pub use given::{Initiative, Options, Pull, Wait};
pub use up::plan;
pub use verbs::{remove, restart, resume, revive, start, stop};

use crate::network::NetworkPlan;
use crate::network::ruleset::Ruleset;
use crate::network::zone::Zone;
use crate::stack::definition::Difference;
use crate::stack::{Condition, Healthcheck, ImageSource, InstanceId, Kind, Port, Volume};

/// A plan: changes as a reader sees them, steps as `apply` walks them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What changes, one entry a resource, in the order it is shown.
    pub changes: Vec<Change>,
    /// What is done: a DAG, every edge pointing to a lower index.
    pub steps: Vec<Step>,
    /// What cannot be done, and why. A plan with any of these is not applied.
    pub blocked: Vec<Blocked>,
    /// What stays as it is, and why.
    pub kept: Vec<Kept>,
    /// What exists and is no longer in the file.
    pub orphans: Vec<Resource>,
    /// Worth saying, in the way of nothing.
    pub notes: Vec<String>,
}

/// Something a plan is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A network, by the file's name: its bridge, its name server.
    Network(String),
    /// The stack's firewall table.
    Firewall,
    /// A volume, by the name it has on disk.
    Volume(String),
    /// An image.
    Image(ImageSource),
    /// An instance.
    Instance(Kind, InstanceId),
}

/// What happens to one resource, in the user's words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Which one.
    pub resource: Resource,
    /// What happens to it.
    pub verb: Verb,
    /// Why: never empty.
    pub causes: Vec<Cause>,
    /// What is lost by it.
    pub loss: Loss,
}

/// The marks of a plan's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `+`
    Create,
    /// `+` It exists and does not run.
    Start,
    /// `~`
    InPlace,
    /// `↻`
    Restart,
    /// `±`
    Recreate,
    /// `-`
    Stop,
    /// `-`
    Remove,
    /// `!`
    ReplaceDisk,
}

/// Why something changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It does not exist yet.
    Missing,
    /// A field of the file changed.
    Field(Difference),
    /// It differs from its own definition: somebody changed it behind our back.
    Drift(Difference),
    /// What was seen, in words: `was killed (signal 9)`, `its virtiofsd died`.
    Seen(String),
    /// Something it depends on changes.
    DependsOn {
        /// The name of that workload.
        on: String,
        /// What happens there: `is recreated`.
        what: String,
    },
    /// The user asked for it: `--force-recreate`, `down`.
    Asked(String),
}

/// What a step may lose.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Nothing.
    #[default]
    None,
    /// It is interrupted.
    Downtime,
    /// Data, described.
    Data(String),
}

/// One call of an engine, and what it waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about.
    pub resource: Resource,
    /// The call.
    pub action: Action,
    /// Indices of steps that must have succeeded before; all lower than its own.
    pub after: Vec<usize>,
}

/// The calls an engine knows. Each is idempotent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Have the image in the store: pull, import, build or download it.
    FetchImage {
        /// What to fetch.
        source: ImageSource,
        /// For which kind of workload.
        kind: Kind,
        /// Ask the registry even though it is here (`--pull`).
        refresh: bool,
    },
    /// Make bridge and address, or mend them.
    CreateNetwork(NetworkPlan),
    /// Take the bridge away.
    RemoveNetwork(NetworkPlan),
    /// Have the name server of a network run and know these names.
    ServeNames(NetworkPlan, Zone),
    /// Replace the stack's firewall table by this.
    ApplyFirewall(Ruleset),
    /// Take the table away.
    RemoveFirewall,
    /// Have the volume.
    CreateVolume(Volume),
    /// Remove the volume and what is in it.
    RemoveVolume(String),
    /// Write the record, then make disk or layers. Never starts it.
    Create(Box<Desired>),
    /// Change limits and recorded fields of one that may be running.
    Update(Box<Desired>),
    /// Start it.
    Start(Box<Desired>),
    /// Ask it to stop, then kill it after its grace period.
    Stop(InstanceId, Kind),
    /// Thaw a paused one.
    Unpause(InstanceId, Kind),
    /// Remove it. A VM's root disk and an instance record stay unless `disk`.
    Remove {
        /// Which one.
        id: InstanceId,
        /// VM or container.
        kind: Kind,
        /// Remove its root disk too.
        disk: bool,
    },
    /// Set the VM's root disk aside as `NAME.old-N`.
    SetDiskAside(InstanceId),
    /// Mind a QEMU whose shim died.
    Adopt(InstanceId, Kind),
    /// Have a forwarder for these ports of the instance.
    OpenPorts(InstanceId, Vec<Forward>),
    /// End the forwarder.
    ClosePorts(InstanceId),
    /// Wait until it holds.
    Await {
        /// Of which one.
        id: InstanceId,
        /// VM or container.
        kind: Kind,
        /// What must hold.
        condition: Condition,
        /// How to ask, where the condition is health and there is a check. What
        /// it leaves to the image is filled in when the image is there.
        check: Option<Healthcheck>,
        /// Where to ask over the network: as for published ports.
        address: Option<std::net::Ipv4Addr>,
    },
}

/// One published port with where it leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Forward {
    /// The port as the file has it.
    pub port: Port,
    /// The instance's address.
    pub to: std::net::Ipv4Addr,
}

/// Something that cannot be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blocked {
    /// What it is about.
    pub resource: Resource,
    /// Why, as a lower-case fragment.
    pub reason: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Something that stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// What it is about.
    pub resource: Resource,
    /// Why it stays.
    pub reason: String,
}
