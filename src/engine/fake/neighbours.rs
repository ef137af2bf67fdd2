//! Others on the same host: stacks, and things that are nobody's. A call goes to
//! whom it names, as on a host that asks nobody for a label: whoever names what is
//! not theirs changes it, and a test that looks sees that.

use std::collections::BTreeMap;

use super::Fake;
use super::host::Host;
use crate::observed::{Observed, Restarts};
use crate::stack::{InstanceId, StackName};
use crate::state::{Directories, atomic};

/// Whose something is that a call is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Whose<'a> {
    /// That of the one stack that the host is about.
    Ours,
    /// What this stack has.
    Stack(&'a StackName),
    /// A bridge, by its name on the host; else what the stack has.
    Bridge(&'a str, &'a StackName),
    /// A volume, by its name on disk.
    Volume(&'a str),
}

impl Whose<'_> {
    /// The neighbour's host; `None`: it is ours.
    pub(super) fn of(self, neighbours: &mut BTreeMap<StackName, Host>) -> Option<&mut Host> {
        let mut hosts = neighbours.iter_mut();
        let found = match self {
            Self::Ours => None,
            Self::Stack(stack) => hosts.find(|(name, _)| *name == stack),
            Self::Bridge(bridge, stack) => hosts.find(|(name, host)| {
                let mut bridges = host.observed.networks.values();
                *name == stack || bridges.any(|network| network.bridge == bridge)
            }),
            Self::Volume(resolved) => {
                hosts.find(|(_, host)| host.observed.volumes.contains_key(resolved))
            }
        };
        found.map(|(_, host)| host)
    }
}

impl Fake {
    /// Another stack lives on the host from now on, or what is nobody's under a
    /// name that no stack has: with this.
    pub fn settle(&self, stack: &StackName, observed: Observed) {
        self.inner().neighbours.insert(stack.clone(), Host::of(observed));
    }

    /// Everything that others have.
    pub fn neighbours(&self) -> BTreeMap<StackName, Observed> {
        let inner = self.inner();
        let seen = |(name, host): (&StackName, &Host)| (name.clone(), host.observed.clone());
        inner.neighbours.iter().map(seen).collect()
    }

    /// What supervisors write down is read back from here.
    pub fn read_notes_in(&self, directories: Directories) {
        self.inner().notes = Some(directories);
    }

    /// What a stack has.
    pub(super) fn observed_of(&self, stack: &StackName) -> Observed {
        let inner = self.inner();
        inner.neighbours.get(stack).unwrap_or(&inner.host).observed.clone()
    }

    /// What was written down of an instance.
    pub(super) fn note(&self, stack: &StackName, id: &InstanceId) -> Restarts {
        let directory = self.inner().notes.as_ref().map(|notes| notes.instance(stack, id));
        let read = |path: &std::path::Path| atomic::read_cache(path, Restarts::VERSION);
        directory.map(|it| read(&it.join(Restarts::FILE))).unwrap_or_default()
    }

    /// Subnets of everybody but this stack, with whose they are.
    pub(super) fn subnets_of_others(&self, stack: &StackName) -> BTreeMap<ipnet::Ipv4Net, String> {
        let others = self.neighbours().into_iter().filter(|(name, _)| name != stack);
        let subnets = others.flat_map(|(name, observed)| {
            let networks = observed.networks.into_values();
            networks.filter_map(move |it| Some((it.subnet?, format!("stack {name}"))))
        });
        subnets.collect()
    }
}
