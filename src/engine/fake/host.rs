//! What a host keeps and what it refuses: each call as a change of the
//! observed state.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::error::Reason;
use crate::engine::{EngineError, ErrorKind, Result};
use crate::network::NetworkPlan;
use crate::network::zone::Zone;
use crate::observed::{
    Exit, Health, Observed, ObservedInstance, ObservedNetwork, ObservedVolume, Readiness, Restarts,
    State, Verdict,
};
use crate::plan::{Action, Desired, Forward};
use crate::stack::{Condition, ImageSource, InstanceId, Kind, Port, Volume, VolumeKind};

use super::script::{Guest, Script};

/// Everything that exists, and what only tests want to know of it.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) observed: Observed,
    pub(super) fetched: Vec<ImageSource>,
    pub(super) set_aside: Vec<InstanceId>,
    /// The bridge each running instance was started on: a bridge made again is another one.
    attached: BTreeMap<InstanceId, BTreeMap<String, u64>>,
    bridges: BTreeMap<String, u64>,
    next: u64,
}

impl Host {
    /// On which this exists already.
    pub(super) fn of(observed: Observed) -> Self {
        Self { observed, ..Self::default() }
    }

    pub(super) fn perform(&mut self, action: &Action, script: &Script) -> Result<()> {
        match action {
            Action::FetchImage { source, .. } => {
                self.fetched.push(source.clone());
                Ok(())
            }
            Action::CreateNetwork(network) => self.create_network(network),
            Action::RemoveNetwork(network) => self.remove_network(network),
            Action::ServeNames(network, zone) => self.serve_names(network, zone),
            Action::ApplyFirewall(ruleset) => {
                self.observed.firewall = Some(ruleset.rule_ids());
                for network in self.observed.networks.values_mut() {
                    network.docker_accepts = network.docker_accepts.map(|_| true);
                }
                Ok(())
            }
            Action::RemoveFirewall => {
                self.observed.firewall = None;
                Ok(())
            }
            Action::CreateVolume(volume) => self.create_volume(volume),
            Action::RemoveVolume(resolved) => {
                self.remove_volume(resolved);
                Ok(())
            }
            Action::Create(desired) => self.create(desired),
            Action::Update(desired) => self.update(desired),
            Action::Start(desired) => self.start(desired, script),
            Action::Stop(id, _) => {
                self.stop(id, true);
                Ok(())
            }
            Action::Unpause(id, _) => self.unpause(id),
            Action::Remove { id, disk, .. } => self.remove(id, *disk),
            Action::SetDiskAside(id) => self.put_disk_aside(id),
            Action::Adopt(id, _) => self.adopt(id),
            Action::OpenPorts(id, forwards) => self.open_ports(id, forwards),
            Action::ClosePorts(id) => {
                self.close_ports(id);
                Ok(())
            }
            Action::Await { id, condition, .. } => self.holds(id, *condition),
        }
    }

    pub(super) fn create_network(&mut self, plan: &NetworkPlan) -> Result<()> {
        let clash = self.observed.networks.values().find(|other| {
            other.name != plan.name && other.subnet.is_some_and(|it| it.contains(&plan.gateway))
        });
        if let Some(other) = clash {
            return Err(refused(ErrorKind::Conflict, &plan.name, format!("{} has it", other.name)));
        }
        self.next += 1;
        let next = self.next;
        let network = self.observed.networks.entry(plan.name.clone()).or_insert_with(|| {
            self.bridges.insert(plan.name.clone(), next);
            ObservedNetwork {
                name: plan.name.clone(),
                bridge: plan.bridge.clone(),
                subnet: None,
                gateway: None,
                up: true,
                names_alive: false,
                zone: Zone::default(),
                docker_accepts: None,
            }
        });
        network.subnet = Some(plan.subnet);
        network.gateway = Some(plan.gateway);
        network.up = true;
        Ok(())
    }

    pub(super) fn remove_network(&mut self, plan: &NetworkPlan) -> Result<()> {
        let on_it = |it: &&ObservedInstance| it.is_alive() && it.addresses.contains_key(&plan.name);
        if let Some(user) = self.observed.instances.values().find(on_it) {
            let why = format!("{} is on it", user.id);
            return Err(refused(ErrorKind::Refused, &plan.name, why));
        }
        self.observed.networks.remove(&plan.name);
        self.bridges.remove(&plan.name);
        Ok(())
    }

    pub(super) fn serve_names(&mut self, plan: &NetworkPlan, zone: &Zone) -> Result<()> {
        let network = self.observed.networks.get_mut(&plan.name);
        let network = network.ok_or_else(|| missing(&plan.name))?;
        network.zone = zone.clone();
        network.names_alive = true;
        Ok(())
    }

    pub(super) fn create_volume(&mut self, volume: &Volume) -> Result<()> {
        if matches!(volume.kind, VolumeKind::Disk { .. }) {
            let opened = self.observed.instances.values().find(|it| {
                let disks = it.definition.below("disks");
                it.kind == Kind::Vm
                    && it.is_alive()
                    && disks.into_iter().any(|(_, v)| v == volume.name)
            });
            if let Some(user) =
                opened.filter(|_| self.observed.volumes.contains_key(&volume.resolved))
            {
                let why = format!("{} has it open", user.id);
                return Err(refused(ErrorKind::Refused, &volume.resolved, why));
            }
        }
        let made = ObservedVolume {
            resolved: volume.resolved.clone(),
            name: volume.name.clone(),
            kind: volume.kind,
            bytes: 0,
        };
        self.observed.volumes.insert(volume.resolved.clone(), made);
        Ok(())
    }

    pub(super) fn remove_volume(&mut self, resolved: &str) {
        self.observed.volumes.remove(resolved);
    }

    pub(super) fn create(&mut self, desired: &Desired) -> Result<()> {
        if self.observed.instances.get(&desired.id).is_some_and(ObservedInstance::is_alive) {
            return Err(refused(ErrorKind::Refused, &desired.id.to_string(), "it runs".into()));
        }
        let instance = ObservedInstance {
            id: desired.id.clone(),
            kind: desired.workload.kind(),
            definition: desired.definition.clone(),
            image: desired.workload.image.clone(),
            image_digest: format!("sha256:{}", desired.workload.image),
            addresses: addresses(desired),
            state: State::Created,
            minded: false,
            held: false,
            ever_ready: false,
            ready: Readiness::Waiting,
            ready_since: None,
            health: None,
            image_check: None,
            drift: BTreeMap::new(),
            forwarded: self.forwarded(&desired.id),
            since: 0,
            emulated: None,
            disk: None,
            restarts: Restarts::default(),
        };
        self.observed.instances.insert(desired.id.clone(), instance);
        Ok(())
    }

    fn forwarded(&self, id: &InstanceId) -> BTreeSet<Port> {
        self.observed.instances.get(id).map(|it| it.forwarded.clone()).unwrap_or_default()
    }

    /// No two that run may have the same address.
    fn check_addresses(&self, desired: &Desired) -> Result<()> {
        for address in &desired.addresses {
            let clash = self.observed.instances.values().find(|other| {
                other.id != desired.id
                    && other.is_alive()
                    && other.addresses.get(&address.network) == Some(&address.ipv4)
            });
            if let Some(other) = clash {
                let why = format!("{} has {}", other.id, address.ipv4);
                return Err(refused(ErrorKind::Conflict, &desired.id.to_string(), why));
            }
        }
        Ok(())
    }

    pub(super) fn update(&mut self, desired: &Desired) -> Result<()> {
        let instance = self.get(&desired.id)?;
        if instance.is_alive() && instance.addresses != addresses(desired) {
            let why = "a running one cannot move".to_owned();
            return Err(refused(ErrorKind::Refused, &desired.id.to_string(), why));
        }
        let instance = self.get(&desired.id)?;
        instance.id = desired.id.clone();
        instance.definition = desired.definition.clone();
        instance.addresses = addresses(desired);
        instance.drift.clear();
        Ok(())
    }

    pub(super) fn start(&mut self, desired: &Desired, script: &Script) -> Result<()> {
        self.check_addresses(desired)?;
        self.check_what_a_start_needs(desired)?;
        self.next += 1;
        let pid = i32::try_from(self.next).unwrap_or(i32::MAX);
        let bridges = desired.addresses.iter();
        let bridges = bridges
            .filter_map(|it| Some((it.network.clone(), *self.bridges.get(&it.network)?)))
            .collect();
        let checked = desired.workload.healthcheck.is_some();
        let instance = self.get(&desired.id)?;
        if instance.is_alive() {
            return Ok(());
        }
        let guest = script.behaviour(&desired.id.workload);
        instance.state = match guest {
            Guest::Ends(code) => State::Exited(exit(code)),
            _ => State::Running { pid },
        };
        instance.ready = match (&guest, instance.kind) {
            (Guest::Silent, Kind::Vm) => Readiness::Waiting,
            (Guest::FailsToBoot(why), Kind::Vm) => Readiness::Failed { errors: vec![why.clone()] },
            _ => Readiness::Ready,
        };
        let healthy = matches!(guest, Guest::Well);
        let verdict = if healthy { Verdict::Healthy } else { Verdict::Unhealthy };
        let output = String::new();
        let result = Health { healthy, failures: 0, output, at: 0, verdict, since: 0 };
        instance.health = (checked && guest != Guest::Silent).then_some(result);
        instance.ever_ready |= instance.ready == Readiness::Ready;
        instance.minded = instance.is_alive();
        instance.held = false;
        self.attached.insert(desired.id.clone(), bridges);
        Ok(())
    }

    fn check_what_a_start_needs(&mut self, desired: &Desired) -> Result<()> {
        let id = desired.id.to_string();
        for address in &desired.addresses {
            let network = self.observed.networks.get(&address.network);
            let network = network.ok_or_else(|| missing(&address.network))?;
            if network.subnet != Some(address.subnet) || !network.names_alive || !network.up {
                let why = format!("network {} is not as planned", address.network);
                return Err(refused(ErrorKind::System, &id, why));
            }
        }
        for resolved in desired.volumes.values() {
            if !self.observed.volumes.contains_key(resolved) {
                return Err(missing(resolved));
            }
        }
        let instance = self.get(&desired.id)?;
        if instance.addresses != addresses(desired) || instance.definition != desired.definition {
            return Err(refused(ErrorKind::System, &id, "its record says otherwise".into()));
        }
        Ok(())
    }

    pub(super) fn stop(&mut self, id: &InstanceId, held: bool) {
        let Some(instance) = self.observed.instances.get_mut(id) else { return };
        if instance.is_alive() {
            instance.state = State::Exited(exit(0));
            instance.health = None;
            instance.minded = false;
            instance.held = held;
            if instance.kind == Kind::Vm {
                instance.ready = Readiness::Waiting;
            }
        }
    }

    pub(super) fn unpause(&mut self, id: &InstanceId) -> Result<()> {
        let instance = self.get(id)?;
        if let State::Paused { pid } = instance.state {
            instance.state = State::Running { pid };
            instance.held = false;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: &InstanceId, disk: bool) -> Result<()> {
        let Some(instance) = self.observed.instances.get(id) else { return Ok(()) };
        if instance.is_alive() {
            return Err(refused(ErrorKind::Refused, &id.to_string(), "it runs".into()));
        }
        if instance.kind == Kind::Container || disk {
            self.observed.instances.remove(id);
        }
        Ok(())
    }

    pub(super) fn put_disk_aside(&mut self, id: &InstanceId) -> Result<()> {
        if self.observed.instances.get(id).is_some_and(ObservedInstance::is_alive) {
            return Err(refused(ErrorKind::Refused, &id.to_string(), "it runs".into()));
        }
        if self.observed.instances.remove(id).is_some() {
            self.set_aside.push(id.clone());
        }
        Ok(())
    }

    pub(super) fn adopt(&mut self, id: &InstanceId) -> Result<()> {
        self.get(id)?.minded = true;
        Ok(())
    }

    pub(super) fn open_ports(&mut self, id: &InstanceId, forwards: &[Forward]) -> Result<()> {
        for forward in forwards {
            let holder = self
                .observed
                .instances
                .values()
                .find(|other| other.id != *id && other.forwarded.contains(&forward.port));
            if let Some(holder) = holder {
                let why = format!("{} has it", holder.id);
                return Err(refused(ErrorKind::Conflict, &id.to_string(), why));
            }
        }
        let ports = forwards.iter().map(|forward| forward.port.clone()).collect();
        self.get(id)?.forwarded = ports;
        Ok(())
    }

    pub(super) fn close_ports(&mut self, id: &InstanceId) {
        if let Some(instance) = self.observed.instances.get_mut(id) {
            instance.forwarded.clear();
        }
    }

    /// Whether somebody made its healthcheck fail.
    pub(super) fn is_unwell(&self, id: &InstanceId) -> bool {
        let instance = self.observed.instances.get(id);
        instance.and_then(|it| it.health.as_ref()).is_some_and(|health| !health.healthy)
    }

    /// Whether a condition holds; in memory nothing changes by waiting.
    pub(super) fn holds(&mut self, id: &InstanceId, condition: Condition) -> Result<()> {
        let instance = self.get(id)?;
        let code = match &instance.state {
            State::Exited(exit) => exit.code,
            _ => None,
        };
        let holds = match condition {
            Condition::ServiceStarted => true,
            Condition::ServiceReady => instance.ready == Readiness::Ready,
            Condition::ServiceHealthy => {
                instance.is_alive() && instance.health.as_ref().is_none_or(|it| it.healthy)
            }
            Condition::ServiceCompletedSuccessfully => code == Some(0),
        };
        let why = || "what is waited for does not come".to_owned();
        if holds { Ok(()) } else { Err(refused(ErrorKind::Failed, &id.to_string(), why())) }
    }

    pub(super) fn cut_off(&self) -> Vec<InstanceId> {
        let alive = self.observed.instances.values().filter(|it| it.is_alive());
        let cut_off = alive.filter(|it| {
            let on = self.attached.get(&it.id);
            on.is_some_and(|on| {
                on.iter().any(|(name, bridge)| self.bridges.get(name) != Some(bridge))
            })
        });
        cut_off.map(|it| it.id.clone()).collect()
    }

    fn get(&mut self, id: &InstanceId) -> Result<&mut ObservedInstance> {
        self.observed.instances.get_mut(id).ok_or_else(|| missing(&id.to_string()))
    }
}

fn addresses(desired: &Desired) -> BTreeMap<String, std::net::Ipv4Addr> {
    desired.addresses.iter().map(|it| (it.network.clone(), it.ipv4)).collect()
}

fn exit(code: i32) -> Exit {
    Exit { code: Some(code), out_of_memory: false, at: 0 }
}

fn missing(what: &str) -> EngineError {
    refused(ErrorKind::NotFound, what, "it does not exist".into())
}

fn refused(kind: ErrorKind, what: &str, why: String) -> EngineError {
    EngineError::new("fake", "do that to", what, kind, Reason(why))
}
