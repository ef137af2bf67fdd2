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
#[path = "properties/judge.rs"]
mod judge;
#[path = "simulation/neighbours.rs"]
mod neighbours;
#[path = "properties/stacks.rs"]
mod stacks;
#[path = "support/workloads.rs"]
mod workloads;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::{mpsc, watch};
use windlass::engine::ErrorKind;
use windlass::engine::fake::{Fake, Fault, Guest, Script};
use windlass::observed::{Answer, Exit, Observed, ObservedInstance, State, Verdict};
use windlass::plan::{Consent, Options};
use windlass::reconcile::{Goal, Report, Verb};
use windlass::stack::{Drift, InstanceId, Kind, Restart, Stack, StackName};
use windlass::state::{Directories, answers};
use windlass::supervisor::protocol::{Order, Said};
use windlass::supervisor::{Message, Supervisor};
use windlass::world::World;

use damage::{Damage, any_damage};
use judge::assert_equals;
use stacks::any_stack;

/// Long enough for every first restart and several healthchecks.
const A_WHILE: Duration = Duration::from_secs(20);

/// What happens in the course of a supervisor's life.
#[derive(Debug, Clone)]
enum Happening {
    Up,
    Down,
    Stop(usize),
    Start(usize),
    Restart(usize),
    /// A process ends by itself.
    Dies(usize, i32),
    Meddling(Damage),
    /// Its healthcheck passes, or fails, from now on.
    Health(usize, bool),
    /// So many seconds pass.
    Time(u64),
}

/// One supervisor's life, and when it is killed: after so many turns of the loop.
#[derive(Debug, Clone)]
struct Life {
    happenings: Vec<Happening>,
    faults: Vec<(usize, u8)>,
    /// The last order is still being carried out then.
    killed_after: u8,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let n = 0_usize..20;
    prop_oneof![
        3 => Just(Happening::Up),
        1 => Just(Happening::Down),
        2 => n.clone().prop_map(Happening::Stop),
        1 => n.clone().prop_map(Happening::Start),
        1 => n.clone().prop_map(Happening::Restart),
        4 => (n, prop::sample::select(vec![0, 1, 137])).prop_map(|(n, code)| Happening::Dies(n, code)),
        2 => any_damage().prop_map(Happening::Meddling),
        3 => (0_usize..20, any::<bool>()).prop_map(|(n, well)| Happening::Health(n, well)),
        2 => (1_u64..20).prop_map(Happening::Time),
    ]
}

fn any_life() -> impl Strategy<Value = Life> {
    let happenings = prop::collection::vec(any_happening(), 1..7);
    let faults = prop::collection::vec((0_usize..60, 0_u8..2), 0..4);
    (happenings, faults, 0_u8..40).prop_map(|(happenings, faults, killed_after)| Life {
        happenings,
        faults,
        killed_after,
    })
}

/// A host, and what must hold of it.
struct Stage {
    fake: Fake,
    world: World,
    stack: Stack,
    /// What the user stopped and has not started since.
    held: BTreeSet<InstanceId>,
    /// Volumes and disks that were there and may not go.
    data: BTreeSet<String>,
    /// What others have, as it was.
    neighbours: BTreeMap<StackName, Observed>,
    _home: tempfile::TempDir,
}

impl Stage {
    fn new(stack: Stack) -> Self {
        // In memory, where there is such a place: thousands of lives write there.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let home = home.expect("a directory");
        let fake = Fake::default();
        let world = World {
            directories: Directories::new(Some(home.path()), None),
            home_id: "0123abcd".into(),
            containers: Arc::new(fake.workloads(Kind::Container)),
            vms: Arc::new(fake.workloads(Kind::Vm)),
            networks: Arc::new(fake.clone()),
            volumes: Arc::new(fake.clone()),
            images: Arc::new(fake.clone()),
            host: Arc::new(fake.clone()),
        };
        fake.read_notes_in(world.directories.clone());
        let neighbours = runtime().block_on(neighbours::settle(&fake, &world, &stack));
        let (held, data) = (BTreeSet::new(), BTreeSet::new());
        Self { fake, world, stack, held, data, neighbours, _home: home }
    }

    /// Lets a supervisor live, and kills it at the end: with its runtime go all its tasks.
    fn live(&mut self, life: &Life) -> Result<(), TestCaseError> {
        self.fake.follow(life.faults.iter().fold(Script::default(), |script, (call, fault)| {
            let faults = [Fault::Fail(ErrorKind::System), Fault::LostReply(ErrorKind::System)];
            script.fail_at(*call, faults[usize::from(*fault)])
        }));
        runtime().block_on(async {
            let messages = self.supervise();
            for (index, happening) in life.happenings.iter().enumerate() {
                let last = index + 1 == life.happenings.len();
                let waits = if last { Some(life.killed_after) } else { None };
                self.happen(happening, &messages, waits).await;
                self.nobody_is_lost()?;
            }
            Ok(())
        })
    }

    fn supervise(&self) -> mpsc::UnboundedSender<Message> {
        let new = Supervisor::new(self.world.clone(), self.stack.name.clone());
        let (supervisor, messages, _) = new.expect("what was wanted can be read");
        let (never, stop) = watch::channel(false);
        tokio::spawn(async move {
            supervisor.run(stop).await;
            drop(never);
        });
        messages
    }

    /// `killed_after`: it is not waited for to its end, but for so many turns.
    async fn happen(
        &mut self,
        happening: &Happening,
        messages: &mpsc::UnboundedSender<Message>,
        killed_after: Option<u8>,
    ) {
        let goal = match happening {
            Happening::Up => {
                self.held.clear();
                self.up()
            }
            Happening::Down => {
                self.held.clear();
                let (name, stack) = (self.stack.name.clone(), Some(Box::new(self.stack.clone())));
                Goal::Down { name, stack, volumes: false, remove_orphans: false }
            }
            Happening::Stop(n) => {
                let goal = self.verb(Verb::Stop, *n);
                self.order(goal, messages, killed_after).await;
                // Only what was stopped to the end is known to be the user's will.
                let stopped = self.nth(*n).filter(|id| {
                    let observed = self.fake.observed();
                    let rests = self.answers().iter().any(|answer| answer.id == *id);
                    let found = observed.instances.get(id);
                    found.is_some_and(|it| it.held && !it.is_alive() && !rests)
                });
                return self.held.extend(stopped);
            }
            Happening::Start(n) => {
                self.started(*n);
                self.verb(Verb::Start, *n)
            }
            Happening::Restart(n) => {
                self.started(*n);
                self.verb(Verb::Restart, *n)
            }
            Happening::Dies(n, code) => {
                let exit = Exit { code: Some(*code), out_of_memory: false, at: 0 };
                let id = self.nth(*n);
                return self.fake.meddle(|observed| {
                    let instance = id.and_then(|id| observed.instances.get_mut(&id));
                    if let Some(it) = instance.filter(|it| it.is_alive()) {
                        (it.state, it.minded, it.health) = (State::Exited(exit), false, None);
                    }
                });
            }
            Happening::Meddling(damage) => {
                self.fake.meddle(|observed| damage.strike(observed));
                // What is gone by another's hand is not lost by ours.
                self.data = data(&self.fake.observed());
                return;
            }
            Happening::Health(n, well) => return self.judge(self.nth(*n).as_ref(), *well),
            Happening::Time(seconds) => {
                return tokio::time::sleep(Duration::from_secs(*seconds)).await;
            }
        };
        self.order(goal, messages, killed_after).await;
    }

    /// Has the healthcheck of one, or of all, pass or fail, where there is one.
    fn judge(&self, id: Option<&InstanceId>, well: bool) {
        self.fake.meddle(|observed| {
            let wanted = |it: &&mut ObservedInstance| id.is_none_or(|id| *id == it.id);
            for it in observed.instances.values_mut().filter(wanted) {
                if let Some(health) = &mut it.health {
                    (health.healthy, health.failures) = (well, 0);
                    health.verdict = if well { Verdict::Healthy } else { Verdict::Unhealthy };
                }
            }
        });
    }

    fn answers(&self) -> Vec<Answer> {
        answers::read(&self.world.directories.stack(&self.stack.name))
    }

    fn up(&self) -> Goal {
        let options = Options { remove_orphans: true, ..Options::default() };
        Goal::Up(Box::new(self.stack.clone()), options)
    }

    fn verb(&self, verb: Verb, n: usize) -> Goal {
        let ids = self.nth(n).into_iter().collect();
        Goal::Verb { stack: Box::new(self.stack.clone()), verb, ids }
    }

    fn nth(&self, n: usize) -> Option<InstanceId> {
        let observed = self.fake.observed();
        let count = observed.instances.len().max(1);
        observed.instances.into_keys().nth(n % count)
    }

    /// Whoever depends on it may be started with it.
    fn started(&mut self, n: usize) {
        if let Some(id) = self.nth(n) {
            self.held.remove(&id);
        }
    }

    async fn order(
        &self,
        goal: Goal,
        messages: &mpsc::UnboundedSender<Message>,
        killed_after: Option<u8>,
    ) -> Option<Report> {
        let (replies, mut said) = mpsc::unbounded_channel();
        let volumes = matches!(goal, Goal::Down { volumes: true, .. });
        let consent = Consent { volumes, ..Consent::default() };
        let order = Order { goal, consent, grace: None };
        // One that left because nothing ran is as good as one that was killed.
        messages.send(Message::Order(Box::new(order), replies)).ok()?;
        if let Some(turns) = killed_after {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            return None;
        }
        while let Some(said) = said.recv().await {
            if let Said::Ended { report, leaving } = said {
                if leaving {
                    let left = tokio::time::timeout(A_WHILE, messages.closed()).await;
                    left.expect("one that says that it leaves does");
                }
                return Some(*report);
            }
        }
        None
    }

    fn nobody_is_lost(&mut self) -> Result<(), TestCaseError> {
        let observed = self.fake.observed();
        let there = data(&observed);
        let lost: Vec<_> = self.data.difference(&there).collect();
        prop_assert!(lost.is_empty(), "lost: {lost:?}");
        prop_assert!(self.fake.set_aside().is_empty(), "nobody agreed to that");
        self.data = there;
        prop_assert_eq!(&self.fake.neighbours(), &self.neighbours, "a neighbour was touched");
        for id in &self.held {
            let runs = observed.instances.get(id).is_some_and(ObservedInstance::is_alive);
            prop_assert!(!runs, "{id} was started behind the user's back");
        }
        Ok(())
    }
}

/// Volumes, and disks of VMs that were used.
fn data(observed: &Observed) -> BTreeSet<String> {
    let disks = observed.instances.values().filter(|it| it.kind == Kind::Vm && it.ever_ready);
    let disks =
        disks.filter(|it| it.state != State::HalfMade).map(|it| format!("disk of {}", it.id));
    disks.chain(observed.volumes.keys().cloned()).collect()
}

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
