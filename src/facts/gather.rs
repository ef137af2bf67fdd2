//! Gathers [`super::Facts`] from the host: each thing once per reconcile, and
//! nothing that this stack does not need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::Facts;
use super::surroundings::For;
use crate::engine::{EngineError, ErrorKind};
use crate::network::ports::Wanted;
use crate::observed::Observed;
use crate::plan::{Options, Pull};
use crate::stack::workload::{SecretSource, Workload};
use crate::stack::{Healthcheck, ImageSource, Kind, MountSource, Stack};
use crate::state::ledger::{self, Found};
use crate::world::World;

/// Everything the plan for `stack` needs to know.
pub async fn gather(
    world: &World,
    stack: &Stack,
    observed: &Observed,
    options: &Options,
) -> Result<Facts, EngineError> {
    let Known { here: images, checks: image_checks, fresh: fresh_images } =
        images(world, stack, options).await?;
    let own = world.directories.stack_run(&stack.name);
    let around = world.host.look_around(For {
        home_id: &world.home_id,
        stack: &stack.name,
        own: &own,
        ports: &wanted_ports(stack, observed),
    })?;
    // Asking may run a guest: not for a stack of containers.
    let has_vms = stack.workloads.values().any(|workload| workload.kind() == Kind::Vm);
    Ok(Facts {
        home_id: world.home_id.clone(),
        taken_subnets: around.taken_subnets,
        recorded_subnets: recorded_subnets(world, stack)?,
        taken_ports: around.taken_ports,
        images,
        image_checks,
        fresh_images,
        memory_total: around.memory_total,
        memory_available: around.memory_available,
        memory_of_other_vms: world.vms.memory_in_use(&stack.name)?,
        mtu: around.mtu,
        emulated: has_vms.then(|| world.vms.emulated()).flatten(),
        unavailable: unavailable(world, stack),
        missing_paths: missing_paths(stack),
        contents: contents(stack),
        now: jiff::Timestamp::now().as_second(),
    })
}

/// What is in the store, and with `--pull` what the registries say now.
#[derive(Default)]
struct Known {
    here: BTreeMap<ImageSource, String>,
    checks: BTreeMap<ImageSource, Healthcheck>,
    fresh: BTreeMap<ImageSource, String>,
}

async fn images(world: &World, stack: &Stack, options: &Options) -> Result<Known, EngineError> {
    let wanted: BTreeSet<(&ImageSource, Kind)> =
        stack.workloads.values().map(|workload| (&workload.image, workload.kind())).collect();
    let mut found = Known::default();
    for (source, kind) in wanted {
        if let Some(digest) = world.images.lookup(source, kind).await? {
            if kind == Kind::Container
                && let Some(check) = world.images.healthcheck(&digest).await?
            {
                found.checks.insert(source.clone(), check);
            }
            found.here.insert(source.clone(), digest);
        }
        // Only a registry's reference can mean something else today than yesterday.
        if options.pull == Pull::Always
            && kind == Kind::Container
            && matches!(source, ImageSource::Reference(_))
        {
            found.fresh.insert(source.clone(), world.images.resolve(source, kind).await?);
        }
    }
    Ok(found)
}

fn recorded_subnets(
    world: &World,
    stack: &Stack,
) -> Result<BTreeMap<String, ipnet::Ipv4Net>, EngineError> {
    let directory = world.directories.stack(&stack.name);
    match ledger::read(&directory).map_err(system("read the ledger of", stack.name.as_str()))? {
        Found::Ledger(ledger) => Ok(ledger.subnets),
        Found::Lost(_) => Ok(BTreeMap::new()),
    }
}

/// Ports that the plan may give out and that no forwarder of this stack holds:
/// those the file asks for, and where it asks for any port, all there are to
/// choose from.
fn wanted_ports(stack: &Stack, observed: &Observed) -> Wanted {
    let held = observed.instances.values().flat_map(|instance| &instance.forwarded);
    let held = held.filter_map(|port| port.published.map(|published| (port.protocol, published)));
    let mut wanted = Wanted { not: held.collect(), ..Wanted::default() };
    for port in stack.workloads.values().flat_map(|workload| &workload.ports) {
        match port.published {
            Some(published) => drop(wanted.fixed.insert((port.protocol, published))),
            None => drop(wanted.any.insert(port.protocol)),
        }
    }
    wanted
}

fn unavailable(world: &World, stack: &Stack) -> BTreeMap<Kind, String> {
    let kinds: BTreeSet<Kind> = stack.workloads.values().map(Workload::kind).collect();
    kinds
        .into_iter()
        .filter_map(|kind| world.workloads(kind).unavailable().map(|reason| (kind, reason)))
        .collect()
}

/// Files and directories that the file names, that are not there and may not be
/// made.
fn missing_paths(stack: &Stack) -> BTreeSet<PathBuf> {
    let mounts = stack.workloads.values().flat_map(|workload| &workload.mounts);
    let bound = mounts.filter_map(|mount| match &mount.source {
        MountSource::Bind { path, create: false } => Some(path),
        _ => None,
    });
    bound.chain(content_files(stack)).filter(|path| !path.exists()).cloned().collect()
}

/// Files that secrets and configs come from.
fn content_files(stack: &Stack) -> impl Iterator<Item = &PathBuf> {
    let files = stack.workloads.values().flat_map(|it| it.secrets.iter().chain(&it.configs));
    files.filter_map(|file| match &file.source {
        SecretSource::File(path) => Some(path),
        SecretSource::Content(_) => None,
    })
}

/// Digests of the files that secrets and configs come from. One that is
/// missing has none: it stands in the plan's way.
fn contents(stack: &Stack) -> BTreeMap<PathBuf, String> {
    let paths: BTreeSet<&PathBuf> = content_files(stack).collect();
    let digest = |path: &PathBuf| {
        let bytes = std::fs::read(path).ok()?;
        Some((path.clone(), format!("sha256:{}", hex::encode(Sha256::digest(bytes)))))
    };
    paths.into_iter().filter_map(digest).collect()
}

fn system<E: std::error::Error + Send + Sync + 'static>(
    operation: &'static str,
    resource: &str,
) -> impl FnOnce(E) -> EngineError {
    let resource = resource.to_owned();
    move |error| EngineError::new("facts", operation, resource, ErrorKind::System, error)
}
