//! What VMs and containers have in common. What only one of them has lives in
//! [`super::vm`] and [`super::container`].
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Container, Healthcheck, ImageSource, InstanceId, Kind, Mount, Port, Vm};

/// A VM or a container as the file means it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Its name in the file.
    pub name: String,
    /// What only its kind has.
    pub role: Role,
    /// What it is made from.
    pub image: ImageSource,
    /// How many copies run (`deploy.replicas`).
    pub replicas: u32,
    /// Host name; `None` means the instance's own name.
    pub hostname: Option<String>,
    /// Variables of the process; of a VM: for `exec` and healthchecks, and in
    /// `/run/windlass/environment`. Resolved: no `env_file` is left.
    pub environment: BTreeMap<String, String>,
    /// Labels, which Windlass carries and never reads.
    pub labels: BTreeMap<String, String>,
    /// What must hold before this starts.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Networks it joins, by the file's name for them, with what it asks there.
    pub networks: BTreeMap<String, Attachment>,
    /// Ports published on the host.
    pub ports: Vec<Port>,
    /// Bind mounts, named volumes and tmpfs, in the file's order.
    pub mounts: Vec<Mount>,
    /// How to tell whether it works.
    pub healthcheck: Option<Healthcheck>,
    /// What to do when it ends (carried out by the supervisor).
    pub restart: Restart,
    /// What to do when it is changed behind its back.
    #[serde(default)]
    pub drift: Drift,
    /// How long a stop may take before it is killed.
    #[serde(with = "super::health::duration")]
    pub stop_grace_period: Duration,
    /// More lines for its hosts file: name → address.
    pub extra_hosts: BTreeMap<String, String>,
    /// Files with secrets: name in `/run/secrets` (or absolute path) → content.
    pub secrets: Vec<SecretFile>,
    /// Files with configuration, mounted read-only.
    pub configs: Vec<SecretFile>,
    /// What a change of files on the host does to it, while somebody watches them.
    /// No part of its definition: it is made the same without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub develop: Vec<super::develop::Rule>,
}

/// What only VMs or only containers have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A container.
    Container(Box<Container>),
    /// A virtual machine.
    Vm(Box<Vm>),
}

impl Workload {
    /// VM or container.
    pub fn kind(&self) -> Kind {
        match self.role {
            Role::Container(_) => Kind::Container,
            Role::Vm(_) => Kind::Vm,
        }
    }

    /// The ids of its copies.
    pub fn ids(&self) -> impl Iterator<Item = InstanceId> + use<> {
        let name = self.name.clone();
        let replicas = self.replicas;
        (1..=replicas).map(move |number| InstanceId {
            workload: name.clone(),
            number,
            replicated: replicas > 1,
        })
    }
}

/// What a workload asks of a network it joins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Attachment {
    /// More names by which it is found there.
    pub aliases: Vec<String>,
    /// A fixed address.
    pub ipv4_address: Option<std::net::Ipv4Addr>,
    /// A fixed hardware address.
    pub mac_address: Option<String>,
}

/// One thing that must hold before a dependent starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Whether the dependent restarts when this one is recreated or restarted by a plan
    /// (Compose's rule; not when its own restart policy starts it again:
    /// <https://docs.docker.com/reference/compose-file/services/#depends_on>).
    pub restart: bool,
    /// Whether its absence is an error (`required: false` makes it a warning).
    pub required: bool,
    /// What the dependent does when this one becomes unhealthy.
    #[serde(default)]
    pub on_unhealthy: OnUnhealthy,
}

/// What a dependent does when what it depends on becomes unhealthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnhealthy {
    /// Nothing.
    #[default]
    Keep,
    /// It rests until that one is healthy again.
    Stop,
    /// It restarts once that one is healthy again.
    Restart,
}

impl std::fmt::Display for OnUnhealthy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Stop => "stop",
            Self::Restart => "restart",
        })
    }
}

/// The conditions of `depends_on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its process runs.
    ServiceStarted,
    /// VM: the guest said that cloud-init has finished; container: started.
    ServiceReady,
    /// Its healthcheck has passed; a VM without one is healthy when ready.
    ServiceHealthy,
    /// It has ended with exit code 0.
    ServiceCompletedSuccessfully,
}

/// Compose's restart policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Leave it where it ended.
    #[default]
    No,
    /// Start it again, always.
    Always,
    /// Start it again after a failure, at most so many times (`None`: no limit).
    OnFailure(Option<u32>),
    /// Start it again unless the user stopped it.
    UnlessStopped,
}

/// What a supervisor does about something that is no longer as it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// Nothing: it is not even looked for.
    Off,
    /// Say so.
    #[default]
    Detect,
    /// Put it right, unless data would be lost by it.
    Correct,
}

/// A secret or config that is put into the workload as a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretFile {
    /// Absolute path inside.
    pub target: String,
    /// Where the content comes from.
    pub source: SecretSource,
    /// Owner inside (numeric, as Compose has it), root when absent.
    pub uid: Option<u32>,
    /// Group inside.
    pub gid: Option<u32>,
    /// Permission bits; 0444 for Compose, 0400 in a VM.
    pub mode: u32,
}

/// Where the content of a secret or a config comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A file on the host, absolute.
    File(std::path::PathBuf),
    /// Text: inline `content:`, or the value of an `environment:` variable.
    Content(String),
}
