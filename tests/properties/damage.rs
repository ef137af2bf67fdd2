//! What happens to a host behind everybody's back.

use std::collections::BTreeMap;

use proptest::prelude::*;
use windlass::observed::{Exit, Observed, ObservedInstance, State};
use windlass::stack::Kind;

/// Things that happen behind our back.
#[derive(Debug, Clone)]
pub enum Damage {
    Kill(usize, i32),
    Vanish(usize),
    Pause(usize, bool),
    Degrade(usize),
    LoseShim(usize),
    Drift(usize),
    HalfMake(usize),
    LoseForwarder(usize),
    LoseNetwork(usize),
    DownNetwork(usize),
    LoseAddress(usize),
    LoseNames(usize),
    LoseFirewall,
    LoseRule,
    Docker,
    LoseVolume(usize),
    Reboot,
}

pub fn any_damage() -> impl Strategy<Value = Damage> {
    let n = 0_usize..20;
    prop_oneof![
        (n.clone(), prop::sample::select(vec![0, 1, 137]))
            .prop_map(|(n, code)| Damage::Kill(n, code)),
        n.clone().prop_map(Damage::Vanish),
        (n.clone(), any::<bool>()).prop_map(|(n, held)| Damage::Pause(n, held)),
        n.clone().prop_map(Damage::Degrade),
        n.clone().prop_map(Damage::LoseShim),
        n.clone().prop_map(Damage::Drift),
        n.clone().prop_map(Damage::HalfMake),
        n.clone().prop_map(Damage::LoseForwarder),
        n.clone().prop_map(Damage::LoseNetwork),
        n.clone().prop_map(Damage::DownNetwork),
        n.clone().prop_map(Damage::LoseAddress),
        n.clone().prop_map(Damage::LoseNames),
        Just(Damage::LoseFirewall),
        Just(Damage::LoseRule),
        Just(Damage::Docker),
        n.prop_map(Damage::LoseVolume),
        Just(Damage::Reboot),
    ]
}

fn nth<K: Ord, V>(map: &mut BTreeMap<K, V>, n: usize) -> Option<&mut V> {
    let count = map.len().max(1);
    map.values_mut().nth(n % count)
}

fn ended(code: Option<i32>) -> State {
    State::Exited(Exit { code, out_of_memory: false, at: 0 })
}

fn end(instance: &mut ObservedInstance, code: Option<i32>) {
    if instance.is_alive() {
        instance.state = ended(code);
        instance.minded = false;
        instance.health = None;
    }
}

impl Damage {
    pub fn strike(&self, observed: &mut Observed) {
        match *self {
            Self::Kill(n, code) => {
                if let Some(it) = nth(&mut observed.instances, n) {
                    end(it, Some(code));
                }
            }
            Self::Vanish(n) => {
                let gone = nth(&mut observed.instances, n).map(|it| it.id.clone());
                observed.instances.retain(|id, _| Some(id) != gone.as_ref());
            }
            Self::Pause(n, held) => {
                if let Some(it) = nth(&mut observed.instances, n)
                    && let State::Running { pid } = it.state
                {
                    it.state = State::Paused { pid };
                    it.held = held;
                }
            }
            Self::Degrade(n) => {
                if let Some(it) = nth(&mut observed.instances, n)
                    && let State::Running { pid } = it.state
                    && it.kind == Kind::Vm
                {
                    it.state = State::Degraded { pid, reason: "its virtiofsd died".into() };
                }
            }
            Self::LoseShim(n) => {
                if let Some(it) = nth(&mut observed.instances, n) {
                    it.minded = it.minded && it.kind == Kind::Container;
                }
            }
            Self::Drift(n) => {
                if let Some(it) = nth(&mut observed.instances, n)
                    && it.is_alive()
                {
                    it.drift.insert("cpus".into(), "7".into());
                }
            }
            Self::HalfMake(n) => {
                if let Some(it) = nth(&mut observed.instances, n)
                    && !it.is_alive()
                {
                    it.state = State::HalfMade;
                }
            }
            Self::LoseForwarder(n) => {
                if let Some(it) = nth(&mut observed.instances, n) {
                    it.forwarded.clear();
                }
            }
            Self::LoseNetwork(n) => {
                let gone = nth(&mut observed.networks, n).map(|it| it.name.clone());
                observed.networks.retain(|name, _| Some(name) != gone.as_ref());
            }
            Self::DownNetwork(n) => {
                if let Some(it) = nth(&mut observed.networks, n) {
                    it.up = false;
                }
            }
            Self::LoseAddress(n) => {
                if let Some(it) = nth(&mut observed.networks, n) {
                    (it.subnet, it.gateway) = (None, None);
                }
            }
            Self::LoseNames(n) => {
                if let Some(it) = nth(&mut observed.networks, n) {
                    it.names_alive = false;
                }
            }
            Self::LoseFirewall => observed.firewall = None,
            Self::LoseRule => {
                if let Some(rules) = &mut observed.firewall {
                    rules.pop_first();
                }
            }
            Self::Docker => {
                for network in observed.networks.values_mut() {
                    network.docker_accepts = Some(false);
                }
            }
            Self::LoseVolume(n) => {
                let gone = nth(&mut observed.volumes, n).map(|it| it.resolved.clone());
                let used = observed.instances.values().any(ObservedInstance::is_alive);
                observed.volumes.retain(|name, _| used || Some(name) != gone.as_ref());
            }
            Self::Reboot => {
                for instance in observed.instances.values_mut() {
                    end(instance, None);
                    instance.forwarded.clear();
                }
                observed.networks.clear();
                observed.firewall = None;
            }
        }
    }
}
