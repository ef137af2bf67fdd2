//! What the file means: a `Stack` with every default filled in, every
//! reference resolved and no cycle in it.
//!
//! A `Stack` is made by [`resolve`] alone, so whoever holds one need not check
//! it again. It never looks at the host: what exists is [`crate::observed`],
//! what the plan must know besides is [`crate::facts`].
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod container;
pub mod definition;
pub mod develop;
pub mod health;
pub mod id;
pub mod image;
pub mod mount;
pub mod network;
mod resolve;
pub mod vm;
pub mod volume;
pub mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use container::Container;
pub use definition::{ChangeClass, Definition};
pub use health::{Healthcheck, Probe, Timing};
pub use id::{InstanceId, Kind, StackName};
pub use image::{ImageSource, Recipe};
pub use mount::{Mount, MountSource};
pub use network::{Network, Port, Protocol};
pub use resolve::{Read, read, resolve};
pub use vm::{CloudInit, OnChange, Vm};
pub use volume::{Volume, VolumeKind};
pub use workload::{Condition, Dependency, Drift, OnUnhealthy, Restart, Role, Workload};

/// Everything one file declares, ready to be planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// The project's name: Compose's rules, lower case.
    pub name: StackName,
    /// The directory that relative paths start from.
    pub directory: PathBuf,
    /// The files that were read, in the order they were merged.
    pub files: Vec<PathBuf>,
    /// What is done about networks, volumes and the firewall when they are changed
    /// behind our back, and about workloads that say nothing of their own.
    #[serde(default)]
    pub drift: Drift,
    /// VMs and containers by name; one name space.
    pub workloads: BTreeMap<String, Workload>,
    /// Networks that a workload joins, by the name used in the file.
    pub networks: BTreeMap<String, Network>,
    /// Volumes that a workload mounts, by the name used in the file.
    pub volumes: BTreeMap<String, Volume>,
}

impl Stack {
    /// Every copy of every workload that shall run, in name order.
    pub fn instances(&self) -> impl Iterator<Item = (InstanceId, &Workload)> {
        self.workloads.values().flat_map(|workload| workload.ids().map(move |id| (id, workload)))
    }
}
