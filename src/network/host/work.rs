//! What is done to the host's networks, blocking: one call of the plan each,
//! on the thread it is made on, because a network namespace belongs to a
//! thread. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::{EngineError, ErrorKind, Result};
use crate::network::bridge::{self, BridgeError};
use crate::network::changes::Watched;
use crate::network::firewall::{self, FirewallError};
use crate::network::forwarder::{self, ForwarderError, Forwarding, Open};
use crate::network::kernel::{Kernel, Link};
use crate::network::name_server::{self, Served};
use crate::network::process::{self, Part};
use crate::network::ruleset::{RuleId, Ruleset};
use crate::network::zone::Zone;
use crate::network::{NetworkPlan, docker, label};
use crate::observed::ObservedNetwork;
use crate::plan::Forward;
use crate::shim::{Launcher, Refusal, ShimError};
use crate::stack::{InstanceId, Port, StackName};
use crate::state::{Directories, atomic, names};

/// Name of a name server's file within its directory.
const ZONE_FILE: &str = "zone.json";

/// Networks of this host, in the network namespace of the caller.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) directories: Directories,
    pub(super) home_id: String,
    pub(super) launcher: Arc<Launcher>,
    /// Where name servers find the host's own resolvers.
    pub(super) resolvers: PathBuf,
}

impl Host {
    fn name_server(&self, stack: &StackName, network: &str) -> PathBuf {
        let hashed = names::hash(&["network", network], 8);
        self.directories.stack_run(stack).join(format!("n-{hashed}"))
    }

    fn forwarder(&self, stack: &StackName, id: &InstanceId) -> PathBuf {
        let hashed = names::hash(&[&id.workload, &id.number.to_string()], 8);
        self.directories.stack_run(stack).join(format!("p-{hashed}"))
    }

    fn table(&self, stack: &StackName) -> String {
        names::table(&self.home_id, stack)
    }

    /// Our place in Docker's firewall.
    fn docker(&self, stack: &StackName) -> docker::Place {
        docker::Place::new(&names::stack_id(&self.home_id, stack))
    }

    /// What of the host is the stack's.
    pub(super) fn watched(&self, stack: &StackName) -> Watched {
        let entries = fs::read_dir(self.directories.stack_run(stack)).into_iter().flatten();
        Watched {
            interfaces: names::interfaces(&self.home_id, stack),
            table: self.table(stack),
            processes: entries.flatten().map(|entry| entry.path()).collect(),
        }
    }

    /// The directories of the stack's forwarders, alive or not.
    fn forwarders(&self, stack: &StackName) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directories.stack_run(stack)).into_iter().flatten();
        let of_forwarder = |path: &PathBuf| {
            path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"p-"))
        };
        entries.flatten().map(|entry| entry.path()).filter(of_forwarder).collect()
    }

    fn see(&self, stack: &StackName) -> io::Result<Vec<ObservedNetwork>> {
        let mut kernel = Kernel::open()?;
        let links = kernel.links()?;
        let prefix = names::label(&self.home_id, stack, "");
        let bridges: Vec<(&Link, &str)> = links
            .values()
            .filter(|link| link.bridge)
            .filter_map(|link| Some((link, link.alias.as_deref()?.strip_prefix(&prefix)?)))
            .collect();
        if bridges.is_empty() {
            return Ok(Vec::new());
        }
        let addresses = kernel.addresses()?;
        let place = self.docker(stack);
        let docker = if links.values().any(is_dockers) {
            place.observe(interfaces(&links)).map_err(io::Error::other)?
        } else {
            None
        };
        let networks = bridges.into_iter().map(|(link, what)| {
            let name = label::network(what).to_owned();
            let address = addresses.iter().find(|one| one.link == link.index);
            let directory = self.name_server(stack, &name);
            ObservedNetwork {
                bridge: link.name.clone(),
                subnet: address.map(|one| one.address.trunc()),
                gateway: address.map(|one| one.address.addr()),
                up: link.up,
                names_alive: process::is_alive(&directory),
                zone: zone_in(&directory),
                docker_accepts: docker.as_ref().map(|seen| place.accepts(seen, &link.name)),
                name,
            }
        });
        Ok(networks.collect())
    }
}

impl Host {
    pub(super) fn observe(&self, stack: &StackName) -> Result<Vec<ObservedNetwork>> {
        self.see(stack)
            .map_err(|error| system("look at", format!("the networks of {stack}"), error))
    }

    pub(super) fn observe_firewall(&self, stack: &StackName) -> Result<Option<BTreeSet<RuleId>>> {
        firewall::observe(&self.table(stack)).map_err(of_firewall("look at", stack))
    }

    pub(super) fn observe_ports(&self, stack: &StackName) -> BTreeMap<InstanceId, BTreeSet<Port>> {
        let alive = self.forwarders(stack).into_iter().filter(|path| process::is_alive(path));
        let told = alive.filter_map(|path| Some((told(&path)?.instance, Open::read(&path))));
        told.collect()
    }

    pub(super) fn create(stack: &StackName, network: &NetworkPlan) -> Result<()> {
        if !network.internal {
            firewall::turn_on_forwarding().map_err(of_firewall("prepare", stack))?;
        }
        bridge::ensure(network).map_err(of_bridge("create", network))
    }

    pub(super) fn remove(&self, stack: &StackName, network: &NetworkPlan) -> Result<()> {
        let directory = self.name_server(stack, &network.name);
        let failed = |error| system("end the name server of", resource(network), error);
        process::end(&directory).map_err(failed)?;
        bridge::remove(network).map_err(of_bridge("remove", network))?;
        clear(&directory).map_err(|error| system("clean up after", resource(network), error))?;
        self.leave_nothing(stack);
        Ok(())
    }

    pub(super) fn serve_names(
        &self,
        stack: &StackName,
        network: &NetworkPlan,
        zone: &Zone,
    ) -> Result<()> {
        let directory = self.name_server(stack, &network.name);
        let file = directory.join(ZONE_FILE);
        let served = Served {
            version: name_server::VERSION,
            domain: network.domain.clone(),
            gateway: network.gateway,
            subnet: network.subnet,
            internal: network.internal,
            resolvers: self.resolvers.clone(),
            zone: zone.clone(),
        };
        let failed = |error| system("serve the names of", resource(network), error);
        let before = read_served(&directory);
        atomic::write_cache(&file, &served).map_err(failed)?;
        let moved = before.is_none_or(|before| before.gateway != served.gateway);
        if !moved && process::is_alive(&directory) {
            return Ok(());
        }
        let label = format!("name server of {stack}/{}", network.name);
        let part = Part { name: "name-server", label, directory: &directory, file };
        let launched = process::launch(&self.launcher, &part);
        launched.map(drop).map_err(|error| of_shim("start the name server of", network, error))
    }

    pub(super) fn apply_firewall(&self, stack: &StackName, ruleset: &Ruleset) -> Result<()> {
        firewall::apply(ruleset).map_err(of_firewall("set up", stack))?;
        let look = || Kernel::open()?.links();
        let links = look().map_err(|error| system("look at", "the host's interfaces", error))?;
        if !links.values().any(is_dockers) {
            return Ok(());
        }
        let place = self.docker(stack);
        let bridges = ruleset.networks.iter().map(|network| network.bridge.as_str()).collect();
        let seen = place.observe(interfaces(&links));
        seen.and_then(|seen| seen.map_or(Ok(()), |seen| place.accept(&seen, &bridges)))
            .map_err(of_firewall("pass Docker's", stack))
    }

    pub(super) fn remove_firewall(&self, stack: &StackName) -> Result<()> {
        let place = self.docker(stack);
        // Two programs that know nothing of each other: both at once.
        let (own, dockers) = std::thread::scope(|scope| {
            let dockers = scope.spawn(|| leave_docker(&place));
            (firewall::remove(&self.table(stack)), dockers.join())
        });
        own.map_err(of_firewall("remove", stack))?;
        let dockers = dockers.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        dockers.map_err(of_firewall("leave Docker's", stack))?;
        // Numbers that were chosen for ports end with the stack.
        for directory in self.forwarders(stack).iter().filter(|path| !process::is_alive(path)) {
            clear(directory).map_err(|error| system("clean up after", stack.as_str(), error))?;
        }
        self.leave_nothing(stack);
        Ok(())
    }

    pub(super) fn open_ports(
        &self,
        stack: &StackName,
        id: &InstanceId,
        forwards: &[Forward],
    ) -> Result<()> {
        if forwards.is_empty() {
            return self.close_ports(stack, id);
        }
        let directory = self.forwarder(stack, id);
        let mut forwards = forwards.to_vec();
        forwards.sort();
        forwards.dedup();
        let wanted = Forwarding {
            version: forwarder::VERSION,
            stack: stack.clone(),
            instance: id.clone(),
            forwards,
        };
        let subject = || format!("the ports of {id}");
        if process::is_alive(&directory) && told(&directory).as_ref() == Some(&wanted) {
            return Ok(());
        }
        let file = directory.join(forwarder::FILE);
        atomic::write_cache(&file, &wanted).map_err(|error| system("open", subject(), error))?;
        let label = format!("ports of {stack}/{id}");
        let part = Part { name: "forward", label, directory: &directory, file };
        let launched = process::launch(&self.launcher, &part);
        launched.map(drop).map_err(|error| of_forwarder(id, error))
    }

    pub(super) fn close_ports(&self, stack: &StackName, id: &InstanceId) -> Result<()> {
        process::end(&self.forwarder(stack, id))
            .map_err(|error| system("close", format!("the ports of {id}"), error))
    }
}

impl Host {
    /// Removes the stack's directory of this boot once it is empty.
    fn leave_nothing(&self, stack: &StackName) {
        drop(fs::remove_dir(self.directories.stack_run(stack)));
    }
}

/// Takes our rules out of Docker's firewall, where there is one.
fn leave_docker(place: &docker::Place) -> std::result::Result<(), FirewallError> {
    let seen = place.observe(std::iter::empty());
    seen.and_then(|seen| seen.map_or(Ok(()), |seen| place.remove(&seen)))
}

/// The names of all interfaces.
fn interfaces(links: &BTreeMap<u32, Link>) -> impl Iterator<Item = &str> {
    links.values().map(|link| link.name.as_str())
}

/// Whether Docker made it: where none of these is, its chains are not either.
fn is_dockers(link: &Link) -> bool {
    let name = link.name.as_str();
    link.bridge && (name.starts_with("docker") || name.starts_with("br-"))
}

fn read_served(directory: &Path) -> Option<Served> {
    atomic::read_versioned(&directory.join(ZONE_FILE), name_server::VERSION).ok().flatten()
}

fn zone_in(directory: &Path) -> Zone {
    read_served(directory).map(|served| served.zone).unwrap_or_default()
}

fn told(directory: &Path) -> Option<Forwarding> {
    atomic::read_versioned(&directory.join(forwarder::FILE), forwarder::VERSION).ok().flatten()
}

fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn resource(network: &NetworkPlan) -> String {
    format!("network {}", network.name)
}

fn system(
    operation: &'static str,
    resource: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> EngineError {
    EngineError::new("network", operation, resource, ErrorKind::System, source)
}

fn of_bridge(
    operation: &'static str,
    network: &NetworkPlan,
) -> impl FnOnce(BridgeError) -> EngineError {
    let resource = resource(network);
    move |error| {
        let (kind, help) = match &error {
            BridgeError::Taken { .. } => (
                ErrorKind::Conflict,
                Some("give the network another subnet, or none: then a free one is chosen"),
            ),
            BridgeError::NotOurs { .. } => (ErrorKind::Refused, None),
            BridgeError::Gateway { .. } => (ErrorKind::Invalid, None),
            BridgeError::Claims(_) | BridgeError::Kernel { .. } => (ErrorKind::System, None),
        };
        let error = EngineError::new("network", operation, resource, kind, error);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

fn of_firewall(
    operation: &'static str,
    stack: &StackName,
) -> impl FnOnce(FirewallError) -> EngineError {
    let resource = format!("firewall of {stack}");
    move |error| match error {
        FirewallError::Missing { program } => {
            let package = if program == "nft" { "nftables" } else { program };
            EngineError::new("network", operation, resource, ErrorKind::Unavailable, error)
                .with_help(format!("`apt-get install {package}`"))
        }
        error => system(operation, resource, error),
    }
}

fn of_shim(operation: &'static str, network: &NetworkPlan, error: ShimError) -> EngineError {
    let kind = match error {
        ShimError::Refused(Refusal::NotReady { .. }) => ErrorKind::Failed,
        _ => ErrorKind::System,
    };
    EngineError::new("network", operation, resource(network), kind, error)
}

/// A forwarder's own word says what kind of failure it was.
fn of_forwarder(id: &InstanceId, error: ShimError) -> EngineError {
    let subject = format!("the ports of {id}");
    let ShimError::Refused(Refusal::NotReady { reason }) = &error else {
        return system("open", subject, error);
    };
    let Ok(word) = serde_json::from_str::<ForwarderError>(reason.trim()) else {
        return system("open", subject, error);
    };
    let kind = match word {
        ForwarderError::Taken(_) => ErrorKind::Conflict,
        ForwarderError::NoSuchAddress(_) => ErrorKind::Invalid,
        ForwarderError::System(_) => ErrorKind::System,
    };
    let error = EngineError::new("network", "open", subject, kind, word);
    match kind {
        ErrorKind::Conflict => error.with_help("end what holds it, or publish another port"),
        _ => error,
    }
}
