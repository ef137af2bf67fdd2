//! The table from a step to the engine's call: one line each. It chooses
//! nothing and keeps nothing.

use std::net::Ipv4Addr;

use crate::engine::{EngineError, ErrorKind, error::Reason};
use crate::health::Patient;
use crate::plan::{Action, Step};
use crate::stack::health::effective;
use crate::stack::{Condition, Healthcheck, InstanceId, Kind};

use super::Walk;

/// Performs one step.
pub(super) async fn perform(walk: &Walk, step: &Step) -> Result<(), EngineError> {
    let (world, stack) = (&walk.world, &walk.stack);
    match &step.action {
        Action::FetchImage { source, kind, refresh } => {
            world.images.fetch(source, *kind, *refresh, &walk.events).await.map(drop)
        }
        Action::CreateNetwork(network) => world.networks.create(stack, network).await,
        Action::RemoveNetwork(network) => world.networks.remove(stack, network).await,
        Action::ServeNames(network, zone) => world.networks.serve_names(stack, network, zone).await,
        Action::ApplyFirewall(ruleset) => world.networks.apply_firewall(stack, ruleset).await,
        Action::RemoveFirewall => world.networks.remove_firewall(stack).await,
        Action::CreateVolume(volume) => world.volumes.create(stack, volume).await,
        Action::RemoveVolume(resolved) => world.volumes.remove(stack, resolved).await,
        Action::Create(desired) => world.workloads(desired.workload.kind()).create(desired).await,
        Action::Update(desired) => world.workloads(desired.workload.kind()).update(desired).await,
        Action::Start(desired) => world.workloads(desired.workload.kind()).start(desired).await,
        // Noted as asked for until it is started: a container that ends well when
        // it is asked to would else look completed to whoever finishes a walk
        // that was cut short here.
        Action::Stop(id, kind) => world.workloads(*kind).stop(stack, id, walk.grace, true).await,
        Action::Unpause(id, kind) => world.workloads(*kind).unpause(stack, id).await,
        Action::Remove { id, kind, disk } => world.workloads(*kind).remove(stack, id, *disk).await,
        Action::SetDiskAside(id) => world.vms.set_disk_aside(stack, id).await,
        Action::Adopt(id, kind) => world.workloads(*kind).adopt(stack, id).await,
        Action::OpenPorts(id, forwards) => world.networks.open_ports(stack, id, forwards).await,
        Action::ClosePorts(id) => world.networks.close_ports(stack, id).await,
        Action::Await { id, kind, condition, check, address } => {
            let health = Health { check: check.as_ref(), address: *address };
            wait(walk, id, *kind, *condition, &health).await
        }
    }
}

/// How its health is asked about, as the plan has it.
struct Health<'a> {
    check: Option<&'a Healthcheck>,
    address: Option<Ipv4Addr>,
}

/// Waits until the condition holds, or until it no longer can.
async fn wait(
    walk: &Walk,
    id: &InstanceId,
    kind: Kind,
    condition: Condition,
    asked: &Health<'_>,
) -> Result<(), EngineError> {
    let engine = walk.world.workloads(kind);
    match condition {
        Condition::ServiceStarted => Ok(()),
        Condition::ServiceReady => engine.ready(&walk.stack, id, &walk.events).await,
        Condition::ServiceCompletedSuccessfully => {
            let code = engine.exited(&walk.stack, id).await?;
            if code == 0 { Ok(()) } else { Err(ended(id, kind, code)) }
        }
        Condition::ServiceHealthy => {
            let image = engine.image_check(&walk.stack, id).await?;
            let check = match (effective(asked.check, image.as_ref()), kind) {
                // Its image, which is here by now, has no check either: it runs.
                (None, Kind::Container) => return Ok(()),
                (None, Kind::Vm) => return engine.ready(&walk.stack, id, &walk.events).await,
                (Some(check), _) => check,
            };
            engine.ready(&walk.stack, id, &walk.events).await?;
            let (world, stack) = (walk.world.clone(), walk.stack.clone());
            let address = asked.address;
            let patient = Patient { world, stack, id: id.clone(), kind, check, address };
            walk.health.until_healthy(&patient, &walk.events).await
        }
    }
}

fn ended(id: &InstanceId, kind: Kind, code: i32) -> EngineError {
    EngineError::new(
        "apply",
        "wait for",
        format!("{kind} {id}"),
        ErrorKind::Failed,
        Reason(format!("it ended with exit code {code}")),
    )
    .with_help(format!("`windlass logs {id}` shows what it said"))
}
