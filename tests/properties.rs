//! What holds for every plan, whatever the file and whatever is on the host:
//! it converges, is quiet afterwards, may be cut short anywhere, is the same
//! each time, touches nothing it need not touch, and loses no data unsaid.
#![allow(missing_docs, unreachable_pub)]

#[path = "properties/damage.rs"]
mod damage;
#[path = "properties/judge.rs"]
mod judge;
#[path = "properties/stacks.rs"]
mod stacks;
#[path = "support/workloads.rs"]
mod workloads;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use windlass::engine::ErrorKind;
use windlass::engine::fake::{Fake, Fault, Script};
use windlass::facts::Facts;
use windlass::observed::{Observed, ObservedInstance, State};
use windlass::plan::{
    self, Action, Cause, Consent, DownOptions, Loss, Options, Plan, Resource, Verb, display,
};
use windlass::stack::{Kind, Stack};

use damage::{Damage, any_damage};
use judge::assert_equals;
use stacks::{any_stack, stack, workload};

fn facts() -> Facts {
    Facts { home_id: "0123abcd".into(), mtu: 1500, ..Facts::default() }
}

fn up(stack: &Stack, fake: &Fake) -> Plan {
    let options = Options { remove_orphans: true, ..Options::default() };
    plan::plan(stack, &fake.observed(), &facts(), &options)
}

/// Performs every step; the plan must be possible.
fn carry_out(plan: &Plan, fake: &Fake) -> Result<(), TestCaseError> {
    for (index, step) in plan.steps.iter().enumerate() {
        if let Err(error) = fake.perform(&step.action) {
            let why = format!("step {index} {:?}: {error}: {}", step.action, error.source);
            return Err(TestCaseError::fail(why));
        }
    }
    Ok(())
}

/// Brings the host there and checks that it is there and nothing is left to do.
fn converge(stack: &Stack, fake: &Fake) -> Result<(), TestCaseError> {
    let plan = up(stack, fake);
    prop_assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
    check_form(&plan)?;
    carry_out(&plan, fake)?;
    assert_equals(stack, &fake.observed())?;
    prop_assert!(
        fake.cut_off().is_empty(),
        "{:?} hold on to a bridge that is gone",
        fake.cut_off()
    );
    let again = up(stack, fake);
    prop_assert!(again.steps.is_empty(), "not quiet: {:#?}", again.steps);
    prop_assert!(again.changes.is_empty(), "not quiet: {:#?}", again.changes);
    Ok(())
}

/// Edges point backwards; every change says why; every lost byte is announced.
fn check_form(plan: &Plan) -> Result<(), TestCaseError> {
    let mut at_stake = BTreeSet::new();
    for change in &plan.changes {
        prop_assert!(!change.causes.is_empty());
        if let Loss::Data(_) = change.loss {
            at_stake.insert(&change.resource);
        }
    }
    for (index, step) in plan.steps.iter().enumerate() {
        prop_assert!(step.after.iter().all(|before| *before < index));
        let loses = match &step.action {
            Action::SetDiskAside(_) | Action::RemoveVolume(_) => true,
            Action::Remove { kind: Kind::Vm, disk, .. } => *disk,
            _ => false,
        };
        let untried = plan.changes.iter().any(|change| {
            let made_again = matches!(change.verb, Verb::Recreate | Verb::Create);
            let half_made = change.causes.contains(&Cause::Seen("was left half made".into()));
            change.resource == step.resource && (made_again || half_made)
        });
        prop_assert!(!loses || untried || at_stake.contains(&step.resource));
        let told = plan.changes.iter().any(|change| change.resource == step.resource);
        let own = !matches!(step.resource, Resource::Instance(..) | Resource::Volume(_))
            || matches!(step.action, Action::Await { .. });
        prop_assert!(told || own, "{:?} is done and not told", step);
    }
    prop_assert!(plan.steps.is_empty() || !plan.changes.is_empty(), "steps and nothing told");
    Ok(())
}

/// A host with some history: another stack brought up, then damage.
fn any_history() -> impl Strategy<Value = (Option<Stack>, Vec<Damage>)> {
    (prop::option::weighted(0.8, any_stack()), prop::collection::vec(any_damage(), 0..5))
}

fn host_with((before, damage): &(Option<Stack>, Vec<Damage>)) -> Result<Fake, TestCaseError> {
    let fake = Fake::default();
    if let Some(before) = before {
        carry_out(&up(before, &fake), &fake)?;
    }
    for damage in damage {
        fake.meddle(|observed| damage.strike(observed));
    }
    Ok(fake)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn converges_and_is_quiet(stack in any_stack(), history in any_history()) {
        converge(&stack, &host_with(&history)?)?;
    }

    #[test]
    fn may_be_cut_short_anywhere(
        stack in any_stack(),
        history in any_history(),
        cuts in prop::collection::vec(prop::collection::vec(0_u8..4, 0..80), 1..4),
    ) {
        let fake = host_with(&history)?;
        for cut in &cuts {
            let plan = up(&stack, &fake);
            check_form(&plan)?;
            // Any set of steps that holds, with each, all that it waits for.
            let mut done = vec![false; plan.steps.len()];
            for (index, step) in plan.steps.iter().enumerate() {
                let draw = cut.get(index % cut.len().max(1)).copied().unwrap_or(0);
                if draw > 0 && step.after.iter().all(|before| done[*before]) {
                    done[index] = fake.perform(&step.action).is_ok();
                    prop_assert!(done[index], "{:?}", step);
                }
            }
        }
        converge(&stack, &fake)?;
    }

    #[test]
    fn survives_failures_lost_replies_and_crashes(
        stack in any_stack(),
        history in any_history(),
        faults in prop::collection::vec((0_usize..40, 0_u8..3), 1..5),
    ) {
        let fake = host_with(&history)?;
        let plan = up(&stack, &fake);
        fake.follow(faults.iter().fold(Script::default(), |script, (call, fault)| {
            let kind = ErrorKind::System;
            let faults = [Fault::Fail(kind), Fault::LostReply(kind), Fault::Crash];
            script.fail_at(*call, faults[usize::from(*fault)])
        }));
        let mut done = vec![false; plan.steps.len()];
        for (index, step) in plan.steps.iter().enumerate() {
            let free = step.after.iter().all(|before| done[*before]);
            done[index] = free && fake.perform(&step.action).is_ok();
        }
        fake.follow(Script::default());
        converge(&stack, &fake)?;
    }

    #[test]
    fn is_deterministic(stack in any_stack(), history in any_history()) {
        let fake = host_with(&history)?;
        prop_assert_eq!(up(&stack, &fake), up(&stack, &fake));
    }

    #[test]
    fn survives_being_written_down(stack in any_stack(), history in any_history()) {
        let plan = up(&stack, &host_with(&history)?);
        let text = serde_json::to_string(&plan).expect("a plan is data");
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).expect("and reads back"), plan);
    }

    #[test]
    fn one_changed_value_touches_that_container_alone(stack in any_stack(), choice in 0_usize..6) {
        let fake = Fake::default();
        carry_out(&up(&stack, &fake), &fake)?;
        let mut changed = stack.clone();
        let containers = changed.workloads.values_mut().filter(|it| it.kind() == Kind::Container);
        let mut containers: Vec<_> = containers.collect();
        prop_assume!(!containers.is_empty());
        let index = choice % containers.len();
        let name = containers[index].name.clone();
        containers[index].environment.insert("NEW".into(), "on".into());
        drop(containers);
        let follow: BTreeSet<&String> = changed
            .workloads
            .values()
            .filter(|it| it.depends_on.values().any(|on| on.restart))
            .map(|it| &it.name)
            .collect();
        let plan = up(&changed, &fake);
        for step in &plan.steps {
            match &step.resource {
                Resource::Instance(_, id) => {
                    prop_assert!(id.workload == name || follow.contains(&id.workload), "{:?}", step);
                }
                Resource::Image(_) => {}
                other => prop_assert!(false, "{:?} is touched", other),
            }
        }
    }

    #[test]
    fn down_leaves_nothing_but_volumes_and_disks(stack in any_stack(), history in any_history()) {
        let fake = host_with(&history)?;
        carry_out(&up(&stack, &fake), &fake)?;
        let before = fake.observed();
        let options = DownOptions { name: &stack.name, stack: None, volumes: false, remove_orphans: false };
        let plan = plan::down(&before, &facts(), &options);
        check_form(&plan)?;
        carry_out(&plan, &fake)?;
        let after = fake.observed();
        prop_assert_eq!(&after.volumes, &before.volumes);
        prop_assert!(after.networks.is_empty() && after.firewall.is_none());
        prop_assert!(after.instances.values().all(|it| it.kind == Kind::Vm && !it.is_alive()));
        let disks = |observed: &Observed| -> Vec<String> {
            let vms = observed.instances.values().filter(|it| it.kind == Kind::Vm);
            vms.filter(|it| it.state != State::HalfMade).map(|it| it.id.to_string()).collect()
        };
        prop_assert_eq!(disks(&after), disks(&before));
        prop_assert!(display::is_nothing(&plan::down(&after, &facts(), &options)));
        // And everything comes back, disks and addresses of VMs included.
        converge(&stack, &fake)?;
        // A half-made disk of a VM that is no longer in the file was no data.
        let whole = |it: &ObservedInstance| it.kind == Kind::Vm && it.state != State::HalfMade;
        for (id, had) in before.instances.iter().filter(|(_, it)| whole(it)) {
            prop_assert_eq!(fake.observed().instances.get(id).map(|it| it.addresses.clone()), Some(had.addresses.clone()));
        }
    }

    #[test]
    fn down_with_volumes_leaves_nothing_and_asks_first(stack in any_stack(), history in any_history()) {
        let fake = host_with(&history)?;
        let before = fake.observed();
        let options = DownOptions { name: &stack.name, stack: None, volumes: true, remove_orphans: false };
        let plan = plan::down(&before, &facts(), &options);
        check_form(&plan)?;
        let holds_data = !before.volumes.is_empty();
        let unsaid = Consent::default();
        prop_assert!(!holds_data || unsaid.check(&plan).is_err());
        let volumes = Consent { volumes: true, ..Consent::default() };
        prop_assert!(volumes.check(&plan).is_ok());
        carry_out(&plan, &fake)?;
        prop_assert_eq!(fake.observed(), Observed::default());
    }

    #[test]
    fn every_plan_has_words(stack in any_stack(), history in any_history()) {
        let plan = up(&stack, &host_with(&history)?);
        let screen = display::Screen { stack: "shop", file: "windlass.yaml", ascii: true };
        let text = screen.plan(&plan);
        prop_assert!(text.is_ascii(), "{}", text);
        prop_assert!(text.starts_with("shop: "));
        for change in &plan.changes {
            if let Resource::Instance(_, id) = &change.resource {
                prop_assert!(text.contains(&id.to_string()));
            }
        }
    }
}

#[test]
fn an_orphan_is_left_alone_and_keeps_its_network_names_and_ports() {
    let fake = Fake::default();
    let mut old = workload("old", Kind::Container);
    old.networks =
        BTreeMap::from([("attic".into(), windlass::stack::workload::Attachment::default())]);
    let both = stack(vec![workload("web", Kind::Container), old]);
    carry_out(&up(&both, &fake), &fake).expect("possible");
    let before = fake.observed();
    let web = stack(vec![workload("web", Kind::Container)]);
    let plan = plan::plan(&web, &before, &facts(), &Options::default());
    assert!(display::is_nothing(&plan), "{plan:#?}");
    assert_eq!(plan.orphans.len(), 1);
    let options = Options { remove_orphans: true, ..Options::default() };
    let plan = plan::plan(&web, &before, &facts(), &options);
    carry_out(&plan, &fake).expect("possible");
    assert_eq!(fake.observed().instances.len(), 1);
    assert!(!fake.observed().networks.contains_key("attic"));
}
