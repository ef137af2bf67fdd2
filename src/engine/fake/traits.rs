//! The four traits over the host in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::Fake;
use super::neighbours::Whose;
use super::script::Guest;
use crate::engine::{Exec, ExecCommand, ExecOutput, Images, Networks, Result, Volumes, Workloads};
use crate::event::Events;
use crate::facts::surroundings::{For, LookAround, Surroundings};
use crate::network::NetworkPlan;
use crate::network::ruleset::{RuleId, Ruleset};
use crate::network::zone::Zone;
use crate::observed::{ObservedInstance, ObservedNetwork, ObservedVolume, State};
use crate::plan::{Action, Desired, Forward};
use crate::stack::{Condition, ImageSource, InstanceId, Kind, Port, StackName, Volume};
use crate::state::InstanceRecord;

/// One of the two kinds of workloads on the fake host.
#[derive(Debug, Clone)]
pub struct FakeWorkloads {
    fake: Fake,
    kind: Kind,
}

impl Fake {
    /// The engine for one kind of workload.
    pub fn workloads(&self, kind: Kind) -> FakeWorkloads {
        FakeWorkloads { fake: self.clone(), kind }
    }
}

#[async_trait]
impl Workloads for FakeWorkloads {
    fn unavailable(&self) -> Option<String> {
        None
    }

    async fn observe(
        &self,
        stack: &StackName,
        _: &[InstanceRecord],
    ) -> Result<Vec<ObservedInstance>> {
        let instances = self.fake.observed_of(stack).instances.into_values();
        let ours = instances.filter(|it| it.kind == self.kind);
        let noted =
            ours.map(|it| ObservedInstance { restarts: self.fake.note(stack, &it.id), ..it });
        Ok(noted.collect())
    }

    async fn create(&self, desired: &Desired) -> Result<()> {
        self.fake.call_on(Whose::Stack(&desired.stack), |host, _| host.create(desired))
    }

    async fn update(&self, desired: &Desired) -> Result<()> {
        self.fake.call_on(Whose::Stack(&desired.stack), |host, _| host.update(desired))
    }

    async fn start(&self, desired: &Desired) -> Result<()> {
        self.fake.call_on(Whose::Stack(&desired.stack), |host, script| host.start(desired, script))
    }

    async fn stop(
        &self,
        stack: &StackName,
        id: &InstanceId,
        _: Option<Duration>,
        held: bool,
    ) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| {
            host.stop(id, held);
            Ok(())
        })
    }

    async fn kill(&self, stack: &StackName, id: &InstanceId, signal: i32) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| {
            host.stop(id, true);
            if let Some(instance) = host.observed.instances.get_mut(id)
                && let State::Exited(exit) = &mut instance.state
            {
                exit.code = Some(128 + signal);
            }
            Ok(())
        })
    }

    async fn unpause(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| host.unpause(id))
    }

    async fn remove(&self, stack: &StackName, id: &InstanceId, disk: bool) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| host.remove(id, disk))
    }

    async fn set_disk_aside(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| host.put_disk_aside(id))
    }

    async fn adopt(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| host.adopt(id))
    }

    async fn ready(&self, stack: &StackName, id: &InstanceId, _: &Events) -> Result<()> {
        self.fake.call_on(Whose::Stack(stack), |host, _| host.holds(id, Condition::ServiceReady))
    }

    /// A workload that does not end is waited for as long as the caller likes.
    async fn exited(&self, stack: &StackName, id: &InstanceId) -> Result<i32> {
        let mut changes = self.fake.changes();
        loop {
            if let Some(code) = self.fake.ended(stack, id) {
                return Ok(code);
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }
}

#[async_trait]
impl Exec for FakeWorkloads {
    /// Succeeds where the workload is well.
    async fn exec(
        &self,
        stack: &StackName,
        id: &InstanceId,
        _: &ExecCommand,
    ) -> Result<ExecOutput> {
        self.fake.call_on(Whose::Stack(stack), |host, script| {
            let well = script.behaviour(&id.workload) == Guest::Well && !host.is_unwell(id);
            let code = i32::from(!well);
            Ok(ExecOutput { code, output: String::new() })
        })
    }
}

#[async_trait]
impl Networks for Fake {
    async fn observe(&self, stack: &StackName) -> Result<Vec<ObservedNetwork>> {
        Ok(self.observed_of(stack).networks.into_values().collect())
    }

    async fn observe_firewall(&self, stack: &StackName) -> Result<Option<BTreeSet<RuleId>>> {
        Ok(self.observed_of(stack).firewall)
    }

    async fn observe_ports(
        &self,
        stack: &StackName,
    ) -> Result<BTreeMap<InstanceId, BTreeSet<Port>>> {
        let instances = self.observed_of(stack).instances.into_values();
        Ok(instances.map(|it| (it.id, it.forwarded)).collect())
    }

    async fn create(&self, stack: &StackName, network: &NetworkPlan) -> Result<()> {
        self.call_on(Whose::Bridge(&network.bridge, stack), |host, _| host.create_network(network))
    }

    async fn remove(&self, stack: &StackName, network: &NetworkPlan) -> Result<()> {
        self.call_on(Whose::Bridge(&network.bridge, stack), |host, _| host.remove_network(network))
    }

    async fn serve_names(
        &self,
        stack: &StackName,
        network: &NetworkPlan,
        zone: &Zone,
    ) -> Result<()> {
        self.call_on(Whose::Bridge(&network.bridge, stack), |host, _| {
            host.serve_names(network, zone)
        })
    }

    async fn apply_firewall(&self, stack: &StackName, ruleset: &Ruleset) -> Result<()> {
        let action = Action::ApplyFirewall(ruleset.clone());
        self.call_on(Whose::Stack(stack), |host, script| host.perform(&action, script))
    }

    async fn remove_firewall(&self, stack: &StackName) -> Result<()> {
        self.call_on(Whose::Stack(stack), |host, script| {
            host.perform(&Action::RemoveFirewall, script)
        })
    }

    async fn open_ports(&self, stack: &StackName, id: &InstanceId, to: &[Forward]) -> Result<()> {
        self.call_on(Whose::Stack(stack), |host, _| host.open_ports(id, to))
    }

    async fn close_ports(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        let action = Action::ClosePorts(id.clone());
        self.call_on(Whose::Stack(stack), |host, script| host.perform(&action, script))
    }

    async fn changed(&self, _: &StackName) -> Result<()> {
        if self.meddling().changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[async_trait]
impl Volumes for Fake {
    async fn observe(&self, stack: &StackName) -> Result<Vec<ObservedVolume>> {
        Ok(self.observed_of(stack).volumes.into_values().collect())
    }

    async fn create(&self, stack: &StackName, volume: &Volume) -> Result<()> {
        let stranger =
            self.neighbours().values().any(|it| it.volumes.contains_key(&volume.resolved));
        let whose = if stranger { Whose::Volume(&volume.resolved) } else { Whose::Stack(stack) };
        self.call_on(whose, |host, _| host.create_volume(volume))
    }

    async fn remove(&self, _: &StackName, resolved: &str) -> Result<()> {
        let action = Action::RemoveVolume(resolved.to_owned());
        self.call_on(Whose::Volume(resolved), |host, script| host.perform(&action, script))
    }
}

#[async_trait]
impl Images for Fake {
    async fn lookup(&self, source: &ImageSource, _: Kind) -> Result<Option<String>> {
        let known = self.fetched().contains(source);
        Ok(known.then(|| format!("sha256:{source}")))
    }

    async fn resolve(&self, source: &ImageSource, _: Kind) -> Result<String> {
        Ok(format!("sha256:{source}"))
    }

    async fn fetch(
        &self,
        source: &ImageSource,
        kind: Kind,
        refresh: bool,
        _: &Events,
    ) -> Result<String> {
        self.perform(&Action::FetchImage { source: source.clone(), kind, refresh })?;
        Ok(format!("sha256:{source}"))
    }
}

impl LookAround for Fake {
    /// A quiet host with room for everybody.
    fn look_around(&self, asked: For<'_>) -> Result<Surroundings> {
        Ok(Surroundings {
            taken_subnets: self.subnets_of_others(asked.stack),
            taken_ports: BTreeMap::new(),
            mtu: 1500,
            memory_total: 1 << 40,
            memory_available: 1 << 40,
        })
    }
}
