//! The four traits over the host in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use super::Fake;
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

    async fn observe(&self, _: &StackName, _: &[InstanceRecord]) -> Result<Vec<ObservedInstance>> {
        let instances = self.fake.observed().instances.into_values();
        Ok(instances.filter(|it| it.kind == self.kind).collect())
    }

    async fn create(&self, desired: &Desired) -> Result<()> {
        self.fake.call(|host, _| host.create(desired))
    }

    async fn update(&self, desired: &Desired) -> Result<()> {
        self.fake.call(|host, _| host.update(desired))
    }

    async fn start(&self, desired: &Desired) -> Result<()> {
        self.fake.call(|host, script| host.start(desired, script))
    }

    async fn stop(
        &self,
        _: &StackName,
        id: &InstanceId,
        _: Option<Duration>,
        held: bool,
    ) -> Result<()> {
        self.fake.call(|host, _| {
            host.stop(id, held);
            Ok(())
        })
    }

    async fn kill(&self, _: &StackName, id: &InstanceId, signal: i32) -> Result<()> {
        self.fake.call(|host, _| {
            host.stop(id, true);
            if let Some(instance) = host.observed.instances.get_mut(id)
                && let State::Exited(exit) = &mut instance.state
            {
                exit.code = Some(128 + signal);
            }
            Ok(())
        })
    }

    async fn unpause(&self, _: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call(|host, _| host.unpause(id))
    }

    async fn remove(&self, _: &StackName, id: &InstanceId, disk: bool) -> Result<()> {
        self.fake.call(|host, _| host.remove(id, disk))
    }

    async fn set_disk_aside(&self, _: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call(|host, _| host.put_disk_aside(id))
    }

    async fn adopt(&self, _: &StackName, id: &InstanceId) -> Result<()> {
        self.fake.call(|host, _| host.adopt(id))
    }

    async fn ready(&self, _: &StackName, id: &InstanceId, _: &Events) -> Result<()> {
        self.fake.call(|host, _| host.holds(id, Condition::ServiceReady))
    }

    /// A workload that does not end is waited for as long as the caller likes.
    async fn exited(&self, _: &StackName, id: &InstanceId) -> Result<i32> {
        let mut changes = self.fake.changes();
        loop {
            if let Some(code) = self.fake.ended(id) {
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
    async fn exec(&self, _: &StackName, id: &InstanceId, _: &ExecCommand) -> Result<ExecOutput> {
        self.fake.call(|host, script| {
            let well = script.behaviour(&id.workload) == Guest::Well && !host.is_unwell(id);
            let code = i32::from(!well);
            Ok(ExecOutput { code, output: String::new() })
        })
    }
}

#[async_trait]
impl Networks for Fake {
    async fn observe(&self, _: &StackName) -> Result<Vec<ObservedNetwork>> {
        Ok(self.observed().networks.into_values().collect())
    }

    async fn observe_firewall(&self, _: &StackName) -> Result<Option<BTreeSet<RuleId>>> {
        Ok(self.observed().firewall)
    }

    async fn observe_ports(&self, _: &StackName) -> Result<BTreeMap<InstanceId, BTreeSet<Port>>> {
        let instances = self.observed().instances.into_values();
        Ok(instances.map(|it| (it.id, it.forwarded)).collect())
    }

    async fn create(&self, _: &StackName, network: &NetworkPlan) -> Result<()> {
        self.call(|host, _| host.create_network(network))
    }

    async fn remove(&self, _: &StackName, network: &NetworkPlan) -> Result<()> {
        self.call(|host, _| host.remove_network(network))
    }

    async fn serve_names(&self, _: &StackName, network: &NetworkPlan, zone: &Zone) -> Result<()> {
        self.call(|host, _| host.serve_names(network, zone))
    }

    async fn apply_firewall(&self, _: &StackName, ruleset: &Ruleset) -> Result<()> {
        self.perform(&Action::ApplyFirewall(ruleset.clone()))
    }

    async fn remove_firewall(&self, _: &StackName) -> Result<()> {
        self.perform(&Action::RemoveFirewall)
    }

    async fn open_ports(&self, _: &StackName, id: &InstanceId, to: &[Forward]) -> Result<()> {
        self.call(|host, _| host.open_ports(id, to))
    }

    async fn close_ports(&self, _: &StackName, id: &InstanceId) -> Result<()> {
        self.perform(&Action::ClosePorts(id.clone()))
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
    async fn observe(&self, _: &StackName) -> Result<Vec<ObservedVolume>> {
        Ok(self.observed().volumes.into_values().collect())
    }

    async fn create(&self, _: &StackName, volume: &Volume) -> Result<()> {
        self.call(|host, _| host.create_volume(volume))
    }

    async fn remove(&self, _: &StackName, resolved: &str) -> Result<()> {
        self.perform(&Action::RemoveVolume(resolved.to_owned()))
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
    fn look_around(&self, _: For<'_>) -> Result<Surroundings> {
        Ok(Surroundings {
            taken_subnets: BTreeMap::new(),
            taken_ports: BTreeMap::new(),
            mtu: 1500,
            memory_total: 1 << 40,
            memory_available: 1 << 40,
        })
    }
}
