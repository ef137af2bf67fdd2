//! Others on the host in memory: a stack with the very same names in its file, and
//! things of nobody's, under names that ours might have had.

use std::collections::BTreeMap;

use tokio::sync::watch;
use windlass::engine::fake::Fake;
use windlass::event::Events;
use windlass::health::Board;
use windlass::network::zone::Zone;
use windlass::observed::{Observed, ObservedNetwork, ObservedVolume};
use windlass::plan::{Consent, Options};
use windlass::reconcile::{Goal, Manner, reconcile};
use windlass::stack::{Stack, StackName, VolumeKind};
use windlass::state::names;
use windlass::world::World;

/// Settles them beside `stack`; all that they have.
pub(crate) async fn settle(
    fake: &Fake,
    world: &World,
    stack: &Stack,
) -> BTreeMap<StackName, Observed> {
    let other = other(stack);
    fake.settle(&other.name, Observed::default());
    let (events, _heard) = Events::channel();
    let (_never, stop) = watch::channel(false);
    let (consent, health) = (Consent::default(), Board::new(None));
    let manner = Manner { consent, grace: None, health, events, stop };
    let goal = Goal::Up(Box::new(other), Options::default());
    let done = reconcile(world, &goal, &manner).await.expect("it can be done");
    assert!(done.outcome.is_complete(), "{:#?}", done.outcome);
    fake.settle(&StackName::new("nobody").expect("a valid name"), nobodys(world, stack));
    fake.neighbours()
}

/// The same under another name. What it does not share is what the host has once.
fn other(stack: &Stack) -> Stack {
    let mut other = stack.clone();
    other.name = StackName::new("other").expect("a valid name");
    for volume in other.volumes.values_mut() {
        volume.resolved = format!("other_{}", volume.name);
    }
    for network in other.networks.values_mut() {
        network.subnet = None;
    }
    other
}

/// A bridge that is named like ours and has no label, and a volume among ours
/// that does not say whose it is.
fn nobodys(world: &World, stack: &Stack) -> Observed {
    let bridge = ObservedNetwork {
        name: "default".into(),
        bridge: format!("{}nobody", names::interfaces(&world.home_id, &stack.name)),
        subnet: Some("10.77.200.0/24".parse().expect("a subnet")),
        gateway: Some("10.77.200.1".parse().expect("an address")),
        up: true,
        names_alive: false,
        zone: Zone::default(),
        docker_accepts: None,
    };
    let volume = ObservedVolume {
        resolved: format!("{}_nobodys", stack.name),
        name: "nobodys".into(),
        kind: VolumeKind::Directory,
        bytes: 7,
    };
    Observed {
        networks: [(bridge.name.clone(), bridge)].into(),
        volumes: [(volume.resolved.clone(), volume)].into(),
        ..Observed::default()
    }
}
