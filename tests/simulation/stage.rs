//! A host in memory over which supervisors live one after another, and what must
//! hold of it at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::{mpsc, watch};
use windlass::engine::ErrorKind;
use windlass::engine::fake::{Fake, Fault, Script};
use windlass::observed::{Answer, Exit, Observed, ObservedInstance, State, Verdict};
use windlass::plan::{Consent, Options};
use windlass::reconcile::{Goal, Report, Verb};
use windlass::stack::{InstanceId, Kind, Stack, StackName};
use windlass::state::answers;
use windlass::supervisor::protocol::{Order, Said};
use windlass::supervisor::{Message, Supervisor};
use windlass::world::World;

use crate::lives::{Happening, Life};
use crate::{A_WHILE, fake_world, neighbours, runtime};

/// A host, and what must hold of it.
pub(crate) struct Stage {
    pub(crate) fake: Fake,
    pub(crate) world: World,
    pub(crate) stack: Stack,
    /// What the user stopped and has not started since.
    pub(crate) held: BTreeSet<InstanceId>,
    /// Volumes and disks that were there and may not go.
    pub(crate) data: BTreeSet<String>,
    /// What others have, as it was.
    pub(crate) neighbours: BTreeMap<StackName, Observed>,
    _home: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new(stack: Stack) -> Self {
        // In memory, where there is such a place: thousands of lives write there.
        let home = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let home = home.expect("a directory");
        let fake = Fake::default();
        let world = fake_world::world(&fake, home.path());
        fake.read_notes_in(world.directories.clone());
        let neighbours = runtime().block_on(neighbours::settle(&fake, &world, &stack));
        let (held, data) = (BTreeSet::new(), BTreeSet::new());
        Self { fake, world, stack, held, data, neighbours, _home: home }
    }

    /// Lets a supervisor live, and kills it at the end: with its runtime go all its tasks.
    pub(crate) fn live(&mut self, life: &Life) -> Result<(), TestCaseError> {
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

    pub(crate) fn supervise(&self) -> mpsc::UnboundedSender<Message> {
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
    pub(crate) async fn happen(
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
    pub(crate) fn judge(&self, id: Option<&InstanceId>, well: bool) {
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

    pub(crate) fn answers(&self) -> Vec<Answer> {
        answers::read(&self.world.directories.stack(&self.stack.name))
    }

    pub(crate) fn up(&self) -> Goal {
        let options = Options { remove_orphans: true, ..Options::default() };
        Goal::Up(Box::new(self.stack.clone()), options)
    }

    pub(crate) fn verb(&self, verb: Verb, n: usize) -> Goal {
        let ids = self.nth(n).into_iter().collect();
        Goal::Verb { stack: Box::new(self.stack.clone()), verb, ids }
    }

    pub(crate) fn nth(&self, n: usize) -> Option<InstanceId> {
        let observed = self.fake.observed();
        let count = observed.instances.len().max(1);
        observed.instances.into_keys().nth(n % count)
    }

    /// Whoever depends on it may be started with it.
    pub(crate) fn started(&mut self, n: usize) {
        if let Some(id) = self.nth(n) {
            self.held.remove(&id);
        }
    }

    pub(crate) async fn order(
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

    pub(crate) fn nobody_is_lost(&mut self) -> Result<(), TestCaseError> {
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
