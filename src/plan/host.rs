//! What the host must give: ports, memory, paths, engines. Chooses free ports
//! and names what stands in the way.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::Addresses;
use super::course::{Course, Courses};
use super::given::{Given, Pull};
use super::network::Networks;
use super::{Blocked, Forward, Resource};
use crate::network::allocation;
use crate::stack::definition::{bytes, parse_bytes};
use crate::stack::workload::SecretSource;
use crate::stack::{InstanceId, Kind, MountSource, Port, Role, Workload};

/// The published ports of every instance, each with a number.
#[derive(Default)]
pub(super) struct Ports {
    ports: BTreeMap<InstanceId, Vec<Port>>,
    targets: BTreeMap<InstanceId, std::net::Ipv4Addr>,
}

impl Ports {
    /// The ports of an instance, with the numbers that were chosen.
    pub(super) fn of(&self, id: &InstanceId) -> &[Port] {
        self.ports.get(id).map_or(&[], Vec::as_slice)
    }

    /// Where they lead, and where the host asks over the network.
    pub(super) fn target(&self, id: &InstanceId) -> Option<std::net::Ipv4Addr> {
        self.targets.get(id).copied()
    }

    /// The same with where they lead.
    pub(super) fn forwards(&self, id: &InstanceId) -> Vec<Forward> {
        let Some(to) = self.target(id) else { return Vec::new() };
        self.of(id).iter().map(|port| Forward { port: port.clone(), to }).collect()
    }
}

/// Gives every published port of the instances in `scope` a number and checks
/// that nobody else has it.
pub(super) fn ports(
    given: Given<'_>,
    scope: &BTreeSet<&str>,
    networks: &Networks,
    addresses: &Addresses,
    blocked: &mut Vec<Blocked>,
) -> Ports {
    let mut found = Ports::default();
    let mut held = Held::by_others(given, scope);
    let copies: Vec<(InstanceId, &Workload)> =
        scope.iter().flat_map(|name| given.copies(name)).collect();
    for (id, workload) in &copies {
        for port in workload.ports.iter().filter(|port| port.published.is_some()) {
            if let Some(reason) = held.take(given, id, port) {
                let resource = Resource::Instance(workload.kind(), id.clone());
                let advice = Some("publish another port, or end what holds this one".into());
                blocked.push(Blocked { resource, reason, help: advice });
            }
        }
    }
    for (id, workload) in &copies {
        let ports: Vec<Port> =
            workload.ports.iter().map(|port| held.with_number(given, id, port)).collect();
        found.ports.insert(id.clone(), ports);
        if let Some(target) = target(networks, addresses, id) {
            found.targets.insert(id.clone(), target);
        }
    }
    found
}

/// Where a published port leads: the first network that is not internal, else the first.
fn target(
    networks: &Networks,
    addresses: &Addresses,
    id: &InstanceId,
) -> Option<std::net::Ipv4Addr> {
    let on = addresses.get(id)?;
    let outward = on.iter().find(|(name, _)| networks.get(name).is_some_and(|it| !it.internal));
    outward.or_else(|| on.iter().next()).map(|(_, address)| *address)
}

/// Who holds which port of the host.
struct Held(Vec<(Port, String)>);

impl Held {
    /// Those of instances that this plan leaves alone.
    fn by_others(given: Given<'_>, scope: &BTreeSet<&str>) -> Self {
        let left_alone = given.observed.instances.values().filter(|it| {
            let ours = given.is_in_file(&it.id) && scope.contains(it.id.workload.as_str());
            it.is_alive()
                && !ours
                && (given.options.only.is_some() || !given.options.remove_orphans)
        });
        Self(
            left_alone
                .flat_map(|it| {
                    it.forwarded.iter().map(|port| (port.clone(), format!("{} {}", it.kind, it.id)))
                })
                .collect(),
        )
    }

    /// Notes that `id` has this port; why it cannot, if it cannot.
    fn take(&mut self, given: Given<'_>, id: &InstanceId, port: &Port) -> Option<String> {
        let number = port.published?;
        let name = |who: &str| format!("port {number}/{} is taken by {who}", port.protocol);
        if let Some((_, who)) = self.0.iter().find(|(other, _)| collide(other, port)) {
            return Some(name(who));
        }
        self.0.push((port.clone(), id.to_string()));
        if given.existing(id).is_some_and(|it| it.forwarded.contains(port)) {
            return None;
        }
        let owner = given.facts.taken_ports.get(&(port.protocol, number))?;
        meet(port.host_ip, Some(owner.address))
            .then(|| name(owner.who.as_deref().unwrap_or("another program")))
    }

    /// The port with a number: its own, the one it has, or a free one.
    fn with_number(&mut self, given: Given<'_>, id: &InstanceId, port: &Port) -> Port {
        if port.published.is_some() {
            return port.clone();
        }
        let with = |number| Port { published: Some(number), ..port.clone() };
        let has = given.existing(id).and_then(|it| {
            let mut forwarded = it.forwarded.iter();
            forwarded.find(|had| with(had.published.unwrap_or(0)) == **had).cloned()
        });
        let free = |candidate: &Port| !self.0.iter().any(|(other, _)| collide(other, candidate));
        let taken = |number| given.facts.taken_ports.contains_key(&(port.protocol, number));
        let chosen = has.filter(free).or_else(|| {
            allocation::ANY_PORT
                .filter(|number| !taken(*number))
                .map(with)
                .find(|candidate| free(candidate))
        });
        let chosen = chosen.unwrap_or_else(|| port.clone());
        self.0.push((chosen.clone(), id.to_string()));
        chosen
    }
}

/// Whether two ports cannot be held at once.
fn collide(one: &Port, other: &Port) -> bool {
    one.published == other.published
        && one.protocol == other.protocol
        && meet(one.host_ip, other.host_ip)
}

/// Whether two addresses to listen on are the same, or one of them is "all".
fn meet(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other || one.is_unspecified() || other.is_unspecified(),
        _ => true,
    }
}

/// Everything else that stands in the way of these courses.
pub(super) fn obstacles(given: Given<'_>, courses: &Courses) -> Vec<Blocked> {
    let acting = || courses.values().flatten().filter(|course| course.verb.is_some());
    let mut blocked: Vec<Blocked> = Vec::new();
    let mut unavailable = BTreeSet::new();
    for course in acting() {
        if let Some(reason) = given.facts.unavailable.get(&course.kind)
            && unavailable.insert(course.kind)
        {
            blocked.push(Blocked {
                resource: course.resource(),
                reason: reason.clone(),
                help: Some("`windlass doctor` says how to mend it".into()),
            });
        }
        if course.todo.start {
            blocked.extend(missing_paths(given, course));
        }
        if course.todo.create {
            blocked.extend(missing_image(given, course));
        }
    }
    blocked.extend(memory(given, courses));
    blocked
}

/// With `--pull never`, an image must be here.
fn missing_image(given: Given<'_>, course: &Course) -> Option<Blocked> {
    let image = &course.desired.workload.image;
    let here = given.facts.images.contains_key(image);
    (given.options.pull == Pull::Never && !here).then(|| Blocked {
        resource: course.resource(),
        reason: format!("its image `{image}` is not here"),
        help: Some("`--pull missing` fetches it".into()),
    })
}

fn missing_paths(given: Given<'_>, course: &Course) -> Vec<Blocked> {
    let workload = &course.desired.workload;
    let mounts = workload.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Bind { path, create: false } => Some(path),
        _ => None,
    });
    let files =
        workload.secrets.iter().chain(&workload.configs).filter_map(|file| match &file.source {
            SecretSource::File(path) => Some(path),
            SecretSource::Content(_) => None,
        });
    let missing: BTreeSet<_> =
        mounts.chain(files).filter(|path| given.facts.missing_paths.contains(*path)).collect();
    let blocked = missing.into_iter().map(|path| Blocked {
        resource: course.resource(),
        reason: format!("`{}` does not exist", path.display()),
        help: Some("make it, or correct the path".into()),
    });
    blocked.collect()
}

/// The memory of all VMs must fit into the host.
fn memory(given: Given<'_>, courses: &Courses) -> Option<Blocked> {
    let (sum, largest) = memory_of_vms(given, courses);
    let all = sum + given.facts.memory_of_other_vms;
    let total = given.facts.memory_total;
    if total == 0 || all <= total || largest.is_none() {
        return None;
    }
    let others = match given.facts.memory_of_other_vms {
        0 => String::new(),
        others => format!(", those of other stacks {}", rounded(others)),
    };
    Some(Blocked {
        resource: largest?,
        reason: format!(
            "the VMs of this stack ask for {}{others}, and the host has {} of memory",
            rounded(sum),
            rounded(total)
        ),
        help: Some("give them less `memory:`".into()),
    })
}

/// What VMs will have been given, and the largest that is yet to start.
fn memory_of_vms(given: Given<'_>, courses: &Courses) -> (u64, Option<Resource>) {
    let mut sum = 0;
    let mut largest: Option<(u64, Resource)> = None;
    for course in courses.values().flatten() {
        let Role::Vm(vm) = &course.desired.workload.role else { continue };
        sum += vm.memory;
        if course.todo.start && largest.as_ref().is_none_or(|(most, _)| vm.memory > *most) {
            largest = Some((vm.memory, course.resource()));
        }
    }
    let elsewhere = given.observed.instances.values().filter(|it| {
        it.kind == Kind::Vm && it.is_alive() && !courses.contains_key(&it.id.workload)
    });
    let of = |it: &crate::observed::ObservedInstance| {
        it.definition.get("memory").and_then(parse_bytes).unwrap_or(0)
    };
    (sum + elsewhere.map(of).sum::<u64>(), largest.map(|(_, resource)| resource))
}

/// Worth saying: more memory is asked for than is free now, VMs run emulated.
pub(super) fn notes(given: Given<'_>, courses: &Courses) -> Vec<String> {
    let starting: Vec<&Course> = courses
        .values()
        .flatten()
        .filter(|course| course.kind == Kind::Vm && course.todo.start)
        .collect();
    let asked: u64 = starting
        .iter()
        .filter(|course| !course.todo.stop)
        .map(|course| match &course.desired.workload.role {
            Role::Vm(vm) => vm.memory,
            Role::Container(_) => 0,
        })
        .sum();
    let mut notes = Vec::new();
    let available = given.facts.memory_available;
    if available > 0 && asked > available {
        notes.push(format!(
            "the VMs to start ask for {} of memory, and {} is free now",
            rounded(asked),
            rounded(available)
        ));
    }
    for course in courses.values().flatten().filter(|it| it.desired.rerun_cloud_init) {
        notes.extend(runs_again(course));
    }
    if let Some(why) = &given.facts.emulated
        && !starting.is_empty()
    {
        let names: Vec<String> = starting.iter().map(|course| course.id.to_string()).collect();
        let verb = if names.len() == 1 { "runs" } else { "run" };
        notes.push(format!(
            "{} {verb} emulated (TCG), about 20× slower: {why}",
            super::words::enumerate(&names, 4)
        ));
    }
    notes
}

/// What cloud-init carries out once more: the keys of its user-data.
fn runs_again(course: &Course) -> Option<String> {
    let Role::Vm(vm) = &course.desired.workload.role else { return None };
    let mut what: BTreeSet<&str> = BTreeSet::new();
    for document in vm.cloud_init.iter().flat_map(|it| &it.user_data) {
        let keys = document.body.lines().filter_map(|line| {
            let key = line.split_once(':')?.0;
            let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (plain && !key.is_empty()).then_some(key)
        });
        if document.body.starts_with("#cloud-config") {
            what.extend(keys);
        } else {
            what.insert(&document.origin);
        }
    }
    let what: Vec<&str> = what.into_iter().collect();
    let what = if what.is_empty() { String::new() } else { format!(" ({})", what.join(", ")) };
    Some(format!("cloud-init of {} runs again{what}; its ssh host keys are made anew", course.id))
}

/// `2GiB`, or with one digit where it is not round: `1.9GiB`.
fn rounded(count: u64) -> String {
    let exact = bytes(count);
    if exact.len() <= 7 && exact.ends_with("iB") {
        return exact;
    }
    let tenths = (u128::from(count) * 10) >> 30;
    if tenths > 0 {
        format!("{}.{}GiB", tenths / 10, tenths % 10)
    } else {
        format!("{}MiB", count >> 20)
    }
}
