//! A supervisor's whole life on a host in memory, in virtual time: orders come,
//! workloads die, calls fail or lose their answer, things change outside, and
//! the supervisor is killed again and again, at any moment. However it went:
//! nothing is lost, nobody is started behind the user's back, nothing of a
//! neighbour's is touched, and the next `up` brings everything there.
//!
//! `PROPTEST_CASES=20000 cargo test --test simulation` runs as many lives.
#![allow(missing_docs, unreachable_pub)]

#[path = "properties/damage.rs"]
mod damage;
#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "properties/judge.rs"]
mod judge;
#[path = "simulation/lives.rs"]
mod lives;
#[path = "simulation/neighbours.rs"]
mod neighbours;
#[path = "simulation/stage.rs"]
mod stage;
#[path = "properties/stacks.rs"]
mod stacks;
#[path = "support/workloads.rs"]
mod workloads;

use std::time::Duration;

use proptest::prelude::*;
use windlass::engine::ErrorKind;
use windlass::engine::fake::{Fake, Fault, Guest, Script};
use windlass::observed::Observed;
use windlass::reconcile::Goal;
use windlass::stack::{Drift, InstanceId, Kind, Restart};
use windlass::supervisor::Message;

use judge::assert_equals;
use lives::{Happening, any_life};
use stacks::any_stack;
use stage::Stage;

/// Long enough for every first restart and several healthchecks.
const A_WHILE: Duration = Duration::from_secs(20);

/// One thread, and a clock that stands still while there is something to do.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime")
}

fn cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    // What is set by hand counts; else enough for a few minutes of every CI run.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { 1000 };
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn nothing_is_lost_whatever_happens_and_the_next_up_brings_everything_there(
        stack in any_stack(),
        lives in prop::collection::vec(any_life(), 1..4),
    ) {
        let mut stage = Stage::new(stack);
        for life in &lives {
            stage.live(life)?;
            stage.nobody_is_lost()?;
        }
        stage.fake.follow(Script::default());
        stage.judge(None, true);
        runtime().block_on(async {
            let messages = stage.supervise();
            let report = stage.order(stage.up(), &messages, None).await;
            let report = report.ok_or_else(|| TestCaseError::fail("no answer"))?;
            prop_assert!(report.is_complete(), "{report:#?}");
            assert_equals(&stage.stack, &stage.fake.observed())?;
            // What was owed to somebody's dependents is done.
            tokio::time::sleep(A_WHILE).await;
            assert_equals(&stage.stack, &stage.fake.observed())?;
            // And it stays so, with nobody touching anything.
            let calls = stage.fake.calls();
            let before = stage.fake.observed();
            tokio::time::sleep(A_WHILE).await;
            prop_assert_eq!(stage.fake.observed(), before);
            prop_assert!(stage.fake.calls() >= calls);
            stage.held.clear();
            stage.nobody_is_lost()?;
            // All of ours goes where that is asked for, and nothing else.
            let (name, stack) = (stage.stack.name.clone(), Some(Box::new(stage.stack.clone())));
            let goal = Goal::Down { name, stack, volumes: true, remove_orphans: true };
            let report = stage.order(goal, &messages, None).await;
            prop_assert!(report.is_some_and(|report| report.is_complete()));
            prop_assert_eq!(stage.fake.observed(), Observed::default());
            prop_assert_eq!(stage.fake.neighbours(), stage.neighbours.clone());
            Ok(())
        })?;
    }

    /// However many supervisors there were, and wherever between an end, its pause and
    /// the start each of them was killed: every end is counted, and counted once.
    #[test]
    fn restarts_are_counted_over_any_number_of_supervisors(
        lives in prop::collection::vec((0_u32..3, 0_u8..40, 0_u64..200), 1..5),
    ) {
        let mut workload = stacks::workload("flaps", Kind::Container);
        workload.restart = Restart::Always;
        let mut stage = Stage::new(stacks::stack(vec![workload]));
        let mut ends = 0;
        for (index, (ended, turns, pause)) in lives.into_iter().enumerate() {
            runtime().block_on(async {
                let messages = stage.supervise();
                if index == 0 {
                    stage.order(stage.up(), &messages, None).await;
                }
                tokio::time::sleep(A_WHILE).await;
                for _ in 0..ended {
                    stage.happen(&Happening::Dies(0, 1), &messages, None).await;
                    tokio::time::sleep(A_WHILE).await;
                }
                ends += ended;
                let seen = stage.world.observe(&stage.stack.name).await.expect("seen");
                let flaps = &seen.instances[&InstanceId::single("flaps")];
                prop_assert!(flaps.is_alive());
                prop_assert_eq!(flaps.restarts.count, ends);
                // Once more, and its supervisor is killed over it.
                ends += 1;
                stage.happen(&Happening::Dies(0, 1), &messages, None).await;
                tokio::time::sleep(Duration::from_millis(pause)).await;
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn whoever_rests_for_a_dependency_runs_again_when_it_is_well(
        stack in any_stack(),
        lives in prop::collection::vec(
            (prop::collection::vec((0_usize..20, any::<bool>(), 0_u64..6), 1..5), 0_u8..60), 1..4),
    ) {
        let stage = Stage::new(stack);
        let report = runtime().block_on(async {
            let messages = stage.supervise();
            stage.order(stage.up(), &messages, None).await
        });
        prop_assert!(report.is_some_and(|report| report.is_complete()));
        for (spells, turns) in &lives {
            runtime().block_on(async {
                let _messages = stage.supervise();
                for (n, well, seconds) in spells {
                    stage.judge(stage.nth(*n).as_ref(), *well);
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
                for _ in 0..*turns {
                    tokio::task::yield_now().await;
                }
            });
        }
        stage.judge(None, true);
        runtime().block_on(async {
            let _messages = stage.supervise();
            tokio::time::sleep(A_WHILE).await;
            assert_equals(&stage.stack, &stage.fake.observed())?;
            prop_assert_eq!(stage.answers(), vec![]);
            let before = stage.fake.observed();
            tokio::time::sleep(A_WHILE).await;
            prop_assert_eq!(stage.fake.observed(), before);
            Ok(())
        })?;
    }

    #[test]
    fn what_a_policy_starts_again_runs_again_and_nobody_else(
        stack in any_stack(),
        ends in prop::collection::vec((0_usize..20, prop::sample::select(vec![0, 1, 137])), 1..6),
    ) {
        let mut stage = Stage::new(stack);
        runtime().block_on(async {
            let messages = stage.supervise();
            let report = stage.order(stage.up(), &messages, None).await;
            prop_assert!(report.is_some_and(|report| report.is_complete()));
            let mut codes = std::collections::BTreeMap::new();
            for (n, code) in &ends {
                if let Some(id) = stage.nth(*n) {
                    codes.entry(id).or_insert(*code);
                }
                stage.happen(&Happening::Dies(*n, *code), &messages, None).await;
            }
            tokio::time::sleep(A_WHILE).await;
            let observed = stage.fake.observed();
            for (id, code) in codes {
                let again = match stage.stack.workloads[&id.workload].restart {
                    Restart::No => false,
                    Restart::OnFailure(_) => code != 0,
                    Restart::Always | Restart::UnlessStopped => true,
                };
                prop_assert_eq!(observed.instances[&id].is_alive(), again, "{}", id);
            }
            Ok(())
        })?;
    }
}

#[test]
fn one_that_never_stays_up_is_tried_at_growing_pauses() {
    let workload = {
        let mut workload = stacks::workload("flaps", Kind::Container);
        workload.restart = Restart::Always;
        workload
    };
    let stage = Stage::new(stacks::stack(vec![workload]));
    stage.fake.follow(Script::default().guest("flaps", Guest::Ends(1)));
    runtime().block_on(async {
        let messages = stage.supervise();
        stage.order(stage.up(), &messages, None).await;
        let starts = |fake: &Fake| fake.calls();
        tokio::time::sleep(Duration::from_secs(30)).await;
        let early = starts(&stage.fake);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let later = starts(&stage.fake) - early;
        assert!(later < early, "the pauses grow: {early} calls, then {later}");
    });
}

#[test]
fn one_that_says_that_it_leaves_does_whatever_is_to_be_looked_at() {
    for failing in 0..30 {
        let mut stack = stacks::stack(vec![stacks::workload("late", Kind::Container)]);
        for workload in stack.workloads.values_mut() {
            workload.drift = Drift::Correct;
        }
        let stage = Stage::new(stack);
        let fault = Fault::Fail(ErrorKind::System);
        stage.fake.follow(Script::default().fail_at(failing, fault));
        runtime().block_on(async {
            let messages = stage.supervise();
            messages.send(Message::HostChanged).expect("it hears");
            tokio::task::yield_now().await;
            let order = stage.order(stage.up(), &messages, None);
            // What was heard is due to be looked at before the order is done.
            let (report, ()) = tokio::join!(order, tokio::time::advance(Duration::from_secs(1)));
            assert!(report.is_some());
        });
    }
}
