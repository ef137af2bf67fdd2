//! What a plan is made from, and the questions that all its parts ask of it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::facts::Facts;
use crate::observed::{Observed, ObservedInstance};
use crate::stack::{InstanceId, Stack, Workload};

/// What the user asked for besides the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Only these workloads (and what they depend on); `None`: all.
    pub only: Option<BTreeSet<String>>,
    /// With `only`: not what they depend on (`--no-deps`).
    pub no_deps: bool,
    /// Make containers again and restart VMs although nothing changed.
    pub force_recreate: bool,
    /// When registries are asked for images (`--pull`).
    pub pull: Pull,
    /// Remove what is no longer in the file. Disks stay.
    pub remove_orphans: bool,
    /// What is waited for besides what others depend on.
    pub wait: Wait,
    /// On whose initiative.
    pub initiative: Initiative,
}

impl Options {
    /// The names of the workloads that this is about.
    pub fn scope<'a>(&self, stack: &'a Stack) -> BTreeSet<&'a str> {
        let Some(only) = &self.only else {
            return stack.workloads.keys().map(String::as_str).collect();
        };
        let mut scope = BTreeSet::new();
        let mut open: Vec<&str> = only.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            let Some((name, workload)) = stack.workloads.get_key_value(name) else { continue };
            if scope.insert(name.as_str()) && !self.no_deps {
                open.extend(workload.depends_on.keys().map(String::as_str));
            }
        }
        scope
    }
}

/// On whose initiative a plan is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initiative {
    /// The user asked: what is at rest is started.
    #[default]
    User,
    /// Nobody asked: what was stopped by hand stays so, and what has ended is
    /// its restart policy's to judge.
    Supervisor,
}

/// When registries are asked for images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// For images that are not here.
    #[default]
    Missing,
    /// Also for newer ones; what they say is in the facts.
    Always,
    /// Not at all: an image that is not here stands in the way.
    Never,
}

/// What an `up` waits for before it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Only for what others depend on.
    Dependencies,
    /// For the word of every VM that it starts, so that a failed cloud-init is
    /// told by the command that caused it.
    #[default]
    Guests,
    /// Until everything is ready, and healthy where there is a check (`--wait`).
    All,
}

/// Everything the plan is a function of.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) stack: &'a Stack,
    pub(super) observed: &'a Observed,
    pub(super) facts: &'a Facts,
    pub(super) options: &'a Options,
}

impl<'a> Given<'a> {
    /// What exists of an instance.
    pub(super) fn existing(&self, id: &InstanceId) -> Option<&'a ObservedInstance> {
        self.observed.instances.get(id)
    }

    /// Whether the file has this very copy.
    pub(super) fn is_in_file(&self, id: &InstanceId) -> bool {
        self.stack.workloads.get(&id.workload).is_some_and(|it| id.number <= it.replicas)
    }

    /// The names of the workloads this plan may touch.
    pub(super) fn scope(&self) -> BTreeSet<&'a str> {
        self.options.scope(self.stack)
    }

    /// The copies of a workload that the file wants.
    pub(super) fn copies(&self, name: &str) -> impl Iterator<Item = (InstanceId, &'a Workload)> {
        let workload = self.stack.workloads.get(name);
        workload.into_iter().flat_map(|workload| workload.ids().map(move |id| (id, workload)))
    }

    /// Instances that exist and the file does not want.
    pub(super) fn leftovers(&self) -> impl Iterator<Item = &'a ObservedInstance> {
        let given = *self;
        self.observed.instances.values().filter(move |it| !given.is_in_file(&it.id))
    }
}

/// Its other names on a network, from the definition it was made from.
pub(super) fn aliases_in(instance: &ObservedInstance, network: &str) -> Vec<String> {
    let field = format!("networks.{network}.aliases");
    let aliases = instance.definition.get(&field).unwrap_or_default();
    aliases.split(", ").filter(|alias| !alias.is_empty()).map(str::to_owned).collect()
}
