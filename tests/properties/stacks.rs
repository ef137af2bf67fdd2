//! Stacks that proptest makes up: VMs and containers with networks, volumes,
//! ports, dependencies and copies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use windlass::stack::{
    Condition, Dependency, Drift, Healthcheck, ImageSource, Kind, Mount, MountSource, Network,
    OnUnhealthy, Port, Probe, Protocol, Restart, Role, Stack, StackName, Vm, Volume, VolumeKind,
    Workload,
    vm::{CloudInit, Disk, Document, OnChange},
    workload::Attachment,
};

use super::workloads;

/// Names in dependency order: each may depend on those before it.
const NAMES: [&str; 6] = ["ant", "bee", "cat", "dog", "elk", "fox"];
const NETWORKS: [&str; 3] = ["back", "default", "front"];

/// A workload that differs from every other in what it is made of.
pub fn workload(name: &str, kind: Kind) -> Workload {
    let role = match kind {
        Kind::Container => Role::Container(Box::default()),
        Kind::Vm => Role::Vm(Box::new(vm())),
    };
    Workload {
        image: ImageSource::Reference(format!("{name}:1")),
        networks: BTreeMap::from([("default".into(), Attachment::default())]),
        ..workloads::workload(name, role)
    }
}

fn vm() -> Vm {
    Vm { cloud_init: Some(CloudInit::default()), ..workloads::vm() }
}

/// A stack of these workloads, with the networks and volumes that they name.
pub fn stack(workloads: Vec<Workload>) -> Stack {
    let name = StackName::new("shop").expect("a valid name");
    let mut networks = BTreeMap::new();
    let mut volumes = BTreeMap::new();
    for workload in &workloads {
        for network in workload.networks.keys() {
            networks.insert(network.clone(), plain_network(network));
        }
        for mount in &workload.mounts {
            if let MountSource::Volume { name, .. } = &mount.source {
                volumes.insert(name.clone(), volume(name, VolumeKind::Directory));
            }
        }
        if let Role::Vm(vm) = &workload.role {
            for disk in &vm.disks {
                let kind = VolumeKind::Disk { size: 1 << 30 };
                volumes.insert(disk.volume.clone(), volume(&disk.volume, kind));
            }
        }
    }
    let workloads = workloads.into_iter().map(|it| (it.name.clone(), it)).collect();
    Stack {
        drift: Drift::default(),
        name,
        directory: "/srv/shop".into(),
        files: Vec::new(),
        workloads,
        networks,
        volumes,
    }
}

pub fn plain_network(name: &str) -> Network {
    let labels = BTreeMap::new();
    Network { name: name.into(), subnet: None, gateway: None, internal: false, labels }
}

fn volume(name: &str, kind: VolumeKind) -> Volume {
    let resolved = format!("shop_{name}");
    Volume { name: name.into(), resolved, kind, external: false, labels: BTreeMap::new() }
}

pub fn healthcheck() -> Healthcheck {
    Healthcheck {
        test: Probe::Exec(vec!["true".into()]),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(1),
        defaulted: BTreeSet::new(),
    }
}

/// Any stack of up to six workloads.
pub fn any_stack() -> impl Strategy<Value = Stack> {
    let subnets = prop::collection::vec(0_u8..4, NETWORKS.len());
    (prop::collection::vec(prop::option::weighted(0.75, any_workload()), NAMES.len()), subnets)
        .prop_map(|(drafts, subnets)| {
            let drafts: Vec<(usize, Draft)> = drafts
                .into_iter()
                .enumerate()
                .filter_map(|(index, draft)| Some((index, draft?)))
                .collect();
            let present: Vec<&str> = drafts.iter().map(|(index, _)| NAMES[*index]).collect();
            let workloads =
                drafts.iter().map(|(index, draft)| draft.workload(*index, &present)).collect();
            let mut stack = stack(workloads);
            for (name, choice) in NETWORKS.iter().zip(subnets) {
                if let Some(network) = stack.networks.get_mut(*name)
                    && choice > 1
                {
                    let third = 100 + choice * 10 + u8::try_from(name.len()).expect("short");
                    let text = format!("10.9.{third}.0/24");
                    network.subnet = Some(text.parse().expect("a subnet"));
                }
            }
            stack
        })
}

/// What is drawn for one workload; names and numbers come from its place.
#[derive(Debug, Clone)]
struct Draft {
    vm: bool,
    replicas: u32,
    image: u8,
    environment: u8,
    cpus: u32,
    memory: u64,
    networks: Vec<bool>,
    alias: bool,
    published: u8,
    volume: bool,
    check: bool,
    depends_on: Vec<(bool, u8, bool)>,
    restart: u8,
    user_data: u8,
    on_change: u8,
}

prop_compose! {
    fn any_workload()(
        (vm, replicas, image, environment, cpus) in
            (prop::bool::weighted(0.35), 1_u32..=3, 0_u8..3, 0_u8..3, 1_u32..3),
        (memory, networks, alias, published, volume) in
            (1_u64..3, prop::collection::vec(any::<bool>(), NETWORKS.len()), any::<bool>(), 0_u8..4, any::<bool>()),
        (check, depends_on, restart, user_data, on_change) in
            (any::<bool>(), prop::collection::vec((prop::bool::weighted(0.4), 0_u8..9, any::<bool>()), NAMES.len()), 0_u8..3, 0_u8..3, 0_u8..3),
    ) -> Draft {
        Draft { vm, replicas, image, environment, cpus, memory, networks, alias, published, volume,
            check, depends_on, restart, user_data, on_change }
    }
}

impl Draft {
    fn workload(&self, index: usize, present: &[&str]) -> Workload {
        let name = NAMES[index];
        // A name is one kind for good: changing it is refused, which is another test.
        let kind = if index.is_multiple_of(3) { Kind::Vm } else { Kind::Container };
        let mut workload = workload(name, kind);
        workload.replicas = self.replicas;
        workload.image = ImageSource::Reference(format!("{name}:{}", self.image));
        if self.environment > 0 {
            workload.environment.insert("CACHE".into(), self.environment.to_string());
        }
        workload.networks = self.joined();
        workload.restart =
            [Restart::No, Restart::Always, Restart::OnFailure(None)][usize::from(self.restart)];
        workload.healthcheck = self.check.then(healthcheck);
        for (before, (wanted, choice, restart)) in NAMES[..index].iter().zip(&self.depends_on) {
            if *wanted && present.contains(before) {
                let condition =
                    [Condition::ServiceStarted, Condition::ServiceReady, Condition::ServiceHealthy]
                        [usize::from(*choice % 3)];
                let on_unhealthy = [OnUnhealthy::Keep, OnUnhealthy::Stop, OnUnhealthy::Restart]
                    [usize::from(*choice / 3)];
                let dependency =
                    Dependency { condition, restart: *restart, required: true, on_unhealthy };
                workload.depends_on.insert((*before).into(), dependency);
            }
        }
        self.publish(index, &mut workload);
        self.store(name, &mut workload);
        self.fill_role(&mut workload);
        workload
    }

    fn joined(&self) -> BTreeMap<String, Attachment> {
        let aliases = if self.alias { vec!["Also".to_owned()] } else { Vec::new() };
        let attachment = Attachment { aliases, ..Attachment::default() };
        let chosen = NETWORKS.iter().zip(&self.networks).filter(|(_, joined)| **joined);
        let mut joined: BTreeMap<_, _> =
            chosen.map(|(name, _)| ((*name).to_owned(), attachment.clone())).collect();
        if joined.is_empty() {
            joined.insert("default".into(), attachment);
        }
        joined
    }

    fn publish(&self, index: usize, workload: &mut Workload) {
        let number = u16::try_from(index).expect("few") * 10 + 8000 + u16::from(self.published);
        let fixed = self.replicas == 1;
        let port =
            |published| Port { host_ip: None, published, target: 80, protocol: Protocol::Tcp };
        match self.published {
            0 => {}
            1 => workload.ports.push(port(None)),
            _ if fixed => workload.ports.push(port(Some(number))),
            _ => {}
        }
    }

    fn store(&self, name: &str, workload: &mut Workload) {
        if self.volume {
            workload.mounts.push(Mount {
                source: MountSource::Volume { name: "shared".into(), nocopy: false },
                target: "/srv".into(),
                read_only: false,
            });
        }
        if let Role::Vm(vm) = &mut workload.role
            && self.volume
            && self.replicas == 1
        {
            let volume = format!("{name}-data");
            vm.disks.push(Disk { volume, target: "/data".into(), read_only: false });
        }
    }

    fn fill_role(&self, workload: &mut Workload) {
        match &mut workload.role {
            Role::Container(container) => {
                container.milli_cpus = Some(u64::from(self.cpus) * 1000);
                container.tty = self.vm;
            }
            Role::Vm(vm) => {
                vm.cpus = self.cpus;
                vm.memory = self.memory << 30;
                let cloud_init = CloudInit {
                    user_data: vec![Document::new(
                        "./user.yaml",
                        format!("#cloud-config\n# {}\n", self.user_data),
                    )],
                    on_change: [OnChange::Rerun, OnChange::Replace, OnChange::Ignore]
                        [usize::from(self.on_change)],
                    ..CloudInit::default()
                };
                vm.cloud_init = Some(cloud_init);
            }
        }
    }
}
