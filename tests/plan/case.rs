//! The form of a case: a stack that was brought up on a host in memory, what
//! happened to it, and what is asked for now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use windlass::engine::fake::{Fake, Guest, Script};
use windlass::facts::{Facts, PortOwner};
use windlass::observed::{Exit, Health, Observed, ObservedInstance, State, Verdict};
use windlass::plan::display::{self, Screen};
use windlass::plan::{
    self, Consent, DownOptions, Initiative, Options, Plan, Pull, Resource, Wait, follow,
};
use windlass::spec::{InMemory, Source};
use windlass::stack::{self, Healthcheck, ImageSource, InstanceId, Kind, Probe, Protocol, Stack};

const FILE: &str = "/srv/shop/windlass.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What was brought up, if anything was.
    before: Option<String>,
    /// How guests behaved when it was: `db: "fails: E: no such package"`.
    #[serde(default)]
    guests: BTreeMap<String, String>,
    /// What happened since.
    #[serde(default)]
    then: Vec<Happening>,
    #[serde(default)]
    host: Host,
    /// `up` unless it says otherwise.
    #[serde(default)]
    verb: Verb,
    /// With `verb: resume`: what the host stopped when it went down.
    #[serde(default)]
    ran: BTreeSet<String>,
    /// What the file says now; as before where it is left out.
    now: Option<String>,
    #[serde(default)]
    options: CaseOptions,
    /// Also show what is said when nobody agreed to lose data.
    #[serde(default)]
    unasked: bool,
    #[serde(default)]
    ascii: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Verb {
    #[default]
    Up,
    Down,
    DownVolumes,
    Start,
    Stop,
    Restart,
    Remove,
    /// The host has come up again.
    Resume,
    /// What dependents do about how their dependencies are.
    Follow,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct CaseOptions {
    only: Option<BTreeSet<String>>,
    no_deps: bool,
    force_recreate: bool,
    pull: Option<String>,
    remove_orphans: bool,
    wait: bool,
    /// Nobody asked: the supervisor looks whether all is as it was made.
    by_supervisor: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Host {
    taken_ports: BTreeMap<u16, String>,
    taken_subnets: BTreeMap<String, String>,
    memory_total: u64,
    memory_available: u64,
    memory_of_other_vms: u64,
    missing_paths: BTreeSet<PathBuf>,
    no_vms: Option<String>,
    emulated: Option<String>,
    fresh_images: BTreeMap<String, String>,
    /// Images that are in the store, and whether they have a healthcheck.
    images: BTreeMap<String, bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Happening {
    Killed(String),
    OutOfMemory(String),
    Failed(String),
    Completed(String),
    StoppedByHand(String),
    RemovedByHand(String),
    Paused(String),
    PausedByHand(String),
    LostVirtiofsd(String),
    LostShim(String),
    HalfMade(String),
    LimitChanged(String),
    ForwarderDied(String),
    NetworkDeleted(String),
    NameServerDied(String),
    RuleDeleted,
    DockerRestarted,
    Reboot,
    Unhealthy(String),
    HealthyAgain(String),
    /// The supervisor did what dependents do about it.
    Followed,
}

impl Case {
    /// The plan's text, its steps, and what is said without consent.
    pub(crate) fn show(&self) -> String {
        let before = self.before.as_deref().map(read);
        let now = self.now.as_deref().map(read).or_else(|| before.clone()).expect("a stack");
        let fake = self.host_before(before.as_ref());
        let observed = fake.observed();
        let plan = self.plan(&now, &observed);
        let screen = Screen { stack: "shop", file: "windlass.yaml", ascii: self.ascii };
        let mut text = screen.plan(&plan);
        if self.unasked {
            let consent = Consent::default();
            let refused = consent.check(&plan).expect_err("it needs consent");
            write!(text, "\n{}", screen.refused(&plan, &refused)).expect("text takes text");
        }
        if !plan.blocked.is_empty() {
            return text;
        }
        text.push('\n');
        for (index, step) in plan.steps.iter().enumerate() {
            let after: Vec<String> = step.after.iter().map(ToString::to_string).collect();
            let after = if after.is_empty() {
                String::new()
            } else {
                format!(" after {}", after.join(","))
            };
            writeln!(text, "{index}. {}{after}", short(step)).expect("text takes text");
        }
        text
    }

    fn host_before(&self, before: Option<&Stack>) -> Fake {
        let script = self.guests.iter().fold(Script::default(), |script, (name, guest)| {
            let guest = match guest.split_once(": ") {
                Some(("fails", why)) => Guest::FailsToBoot(why.to_owned()),
                _ if guest == "silent" => Guest::Silent,
                _ if guest == "ends" => Guest::Ends(0),
                _ => panic!("no such guest: {guest}"),
            };
            script.guest(name, guest)
        });
        let fake = Fake::new(script);
        if let Some(before) = before {
            let quiet = Facts { home_id: "0123abcd".into(), mtu: 1500, ..Facts::default() };
            let options = Options { wait: Wait::Dependencies, ..Options::default() };
            let plan = plan::plan(before, &fake.observed(), &quiet, &options);
            assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
            for step in &plan.steps {
                // A guest that fails is the case's own wish.
                drop(fake.perform(&step.action));
            }
        }
        for happening in &self.then {
            if let (Happening::Followed, Some(stack)) = (happening, before) {
                self.follow(stack, &fake);
            }
            fake.meddle(|observed| happening.to(observed));
        }
        fake
    }

    fn follow(&self, stack: &Stack, fake: &Fake) {
        let observed = fake.observed();
        let due = follow::due(stack, &observed).expect("something is due");
        let plan = follow::follow(stack, &observed, &self.host.facts(), &due);
        fake.meddle(|observed| observed.answers = due.answers);
        for step in &plan.steps {
            fake.perform(&step.action).expect("it works");
        }
    }

    fn plan(&self, now: &Stack, observed: &Observed) -> Plan {
        let facts = self.host.facts();
        let orphans = self.options.remove_orphans;
        let down = |volumes| DownOptions {
            name: &now.name,
            stack: Some(now),
            volumes,
            remove_orphans: orphans,
        };
        let ids: BTreeSet<InstanceId> = now
            .instances()
            .map(|(id, _)| id)
            .filter(|id| self.options.only.as_ref().is_none_or(|only| only.contains(&id.workload)))
            .collect();
        match self.verb {
            Verb::Up => plan::plan(now, observed, &facts, &self.options.read()),
            Verb::Down => plan::down(observed, &facts, &down(false)),
            Verb::DownVolumes => plan::down(observed, &facts, &down(true)),
            Verb::Start => plan::start(now, observed, &facts, &ids),
            Verb::Restart => plan::restart(now, observed, &facts, &ids),
            Verb::Stop => plan::stop(observed, Some(now), &ids),
            Verb::Resume => {
                let ran = ids.into_iter().filter(|id| self.ran.contains(&id.workload)).collect();
                plan::resume(now, observed, &facts, &ran)
            }
            Verb::Follow => {
                let due = follow::due(now, observed).expect("something is due");
                follow::follow(now, observed, &facts, &due)
            }
            Verb::Remove => plan::remove(observed, Some(now), &ids, false),
        }
    }
}

/// A step in a few words; the payloads have tests of their own.
fn short(step: &plan::Step) -> String {
    let text = format!("{:?}", step.action);
    let action: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
    let resource = match &step.resource {
        Resource::Instance(kind, id) => format!("{kind} {id}"),
        Resource::Network(name) => format!("network {name}"),
        Resource::Volume(name) => format!("volume {name}"),
        Resource::Image(source) => format!("image {source}"),
        Resource::Firewall => "firewall".into(),
    };
    let more = match &step.action {
        plan::Action::Await { condition, check, .. } => {
            let asked = check.as_ref().map(|check| format!(" ({})", check.test));
            format!(" {condition:?}{}", asked.unwrap_or_default())
        }
        plan::Action::Remove { disk: true, .. } => " with its disk".into(),
        plan::Action::Update(desired) if desired.rerun_cloud_init => " and rerun cloud-init".into(),
        _ => String::new(),
    };
    format!("{action} {resource}{more}")
}

fn read(text: &str) -> Stack {
    let files = InMemory(BTreeMap::from([
        (FILE.into(), format!("name: shop\n{text}")),
        // There when the file was read, and gone when the host was looked at.
        ("/srv/none/kept".into(), String::new()),
    ]));
    let source = Source {
        files: vec![FILE.into()],
        project_directory: "/srv/shop".into(),
        ..Source::default()
    };
    match stack::read(&source, &files) {
        Ok(read) => read.stack,
        Err(failed) => panic!("{}", failed.diagnostics.render(&failed.sources, false)),
    }
}

impl CaseOptions {
    fn read(&self) -> Options {
        Options {
            only: self.only.clone(),
            no_deps: self.no_deps,
            force_recreate: self.force_recreate,
            pull: match self.pull.as_deref() {
                None => Pull::Missing,
                Some("always") => Pull::Always,
                Some("never") => Pull::Never,
                Some(other) => panic!("`pull: {other}`"),
            },
            remove_orphans: self.remove_orphans,
            initiative: if self.by_supervisor { Initiative::Supervisor } else { Initiative::User },
            wait: if self.wait { Wait::All } else { Wait::default() },
        }
    }
}

impl Host {
    fn facts(&self) -> Facts {
        let owner = |who: &String| PortOwner {
            address: std::net::Ipv4Addr::UNSPECIFIED.into(),
            who: Some(who.clone()),
        };
        let ports = self.taken_ports.iter();
        let subnets = self.taken_subnets.iter();
        let fresh = self.fresh_images.iter();
        Facts {
            home_id: "0123abcd".into(),
            mtu: 1500,
            taken_ports: ports.map(|(port, who)| ((Protocol::Tcp, *port), owner(who))).collect(),
            taken_subnets: subnets
                .map(|(subnet, who)| (subnet.parse().expect("a subnet"), who.clone()))
                .collect(),
            memory_total: self.memory_total << 20,
            memory_available: self.memory_available << 20,
            memory_of_other_vms: self.memory_of_other_vms << 20,
            missing_paths: self.missing_paths.clone(),
            unavailable: self.no_vms.iter().map(|why| (Kind::Vm, why.clone())).collect(),
            emulated: self.emulated.clone(),
            images: self
                .images
                .keys()
                .map(|name| (ImageSource::Reference(name.clone()), "sha256:1".to_owned()))
                .collect(),
            image_checks: self
                .images
                .iter()
                .filter(|(_, checked)| **checked)
                .map(|(name, _)| (ImageSource::Reference(name.clone()), image_check()))
                .collect(),
            fresh_images: fresh
                .map(|(name, digest)| (ImageSource::Reference(name.clone()), digest.clone()))
                .collect(),
            ..Facts::default()
        }
    }
}

fn image_check() -> Healthcheck {
    Healthcheck {
        test: Probe::Shell("is-well".into()),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        retries: 3,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(5),
        defaulted: BTreeSet::new(),
    }
}

fn find<'a>(observed: &'a mut Observed, name: &str) -> &'a mut ObservedInstance {
    let instance = observed.instances.values_mut().find(|it| it.id.to_string() == name);
    instance.unwrap_or_else(|| panic!("there is no `{name}`"))
}

fn end(instance: &mut ObservedInstance, code: Option<i32>, out_of_memory: bool) {
    instance.state = State::Exited(Exit { code, out_of_memory, at: 0 });
    instance.minded = false;
    instance.health = None;
}

fn judge(instance: &mut ObservedInstance, verdict: Verdict) {
    let healthy = verdict == Verdict::Healthy;
    let (failures, output) = (u32::from(!healthy) * 3, String::new());
    instance.health = Some(Health { healthy, failures, output, at: 0, verdict, since: 0 });
}

impl Happening {
    fn to(&self, observed: &mut Observed) {
        match self {
            Self::Killed(name) => end(find(observed, name), Some(137), false),
            Self::OutOfMemory(name) => end(find(observed, name), Some(137), true),
            Self::Failed(name) => end(find(observed, name), Some(3), false),
            Self::Completed(name) => end(find(observed, name), Some(0), false),
            Self::StoppedByHand(name) => {
                end(find(observed, name), Some(0), false);
                find(observed, name).held = true;
            }
            Self::RemovedByHand(name) => {
                let id = find(observed, name).id.clone();
                observed.instances.remove(&id);
            }
            Self::Paused(name) => find(observed, name).state = State::Paused { pid: 1 },
            Self::PausedByHand(name) => {
                let instance = find(observed, name);
                instance.state = State::Paused { pid: 1 };
                instance.held = true;
            }
            Self::LostVirtiofsd(name) => {
                let reason = "its virtiofsd died".into();
                find(observed, name).state = State::Degraded { pid: 1, reason };
            }
            Self::LostShim(name) => find(observed, name).minded = false,
            Self::HalfMade(name) => {
                end(find(observed, name), None, false);
                find(observed, name).state = State::HalfMade;
            }
            Self::LimitChanged(name) => {
                find(observed, name).drift.insert("mem_limit".into(), "64MiB".into());
            }
            Self::ForwarderDied(name) => find(observed, name).forwarded.clear(),
            Self::NetworkDeleted(name) => drop(observed.networks.remove(name)),
            Self::NameServerDied(name) => {
                observed.networks.get_mut(name).expect("a network").names_alive = false;
            }
            Self::Unhealthy(name) => judge(find(observed, name), Verdict::Unhealthy),
            Self::HealthyAgain(name) => judge(find(observed, name), Verdict::Healthy),
            // Done by calls, not by hand.
            Self::Followed => {}
            Self::RuleDeleted => drop(observed.firewall.as_mut().expect("a table").pop_first()),
            Self::DockerRestarted => {
                for network in observed.networks.values_mut() {
                    network.docker_accepts = Some(false);
                }
            }
            Self::Reboot => {
                for instance in observed.instances.values_mut() {
                    if instance.is_alive() {
                        end(instance, None, false);
                    }
                    instance.forwarded.clear();
                }
                observed.networks.clear();
                observed.firewall = None;
            }
        }
    }
}

#[test]
fn nothing_is_nothing() {
    assert!(display::is_nothing(&Plan::default()));
}
