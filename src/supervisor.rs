//! One process per stack that keeps what `up` promised: it restarts what ends,
//! asks how workloads are, and carries out what commands ask of it, one thing
//! after another. One task owns the stack; everybody else sends it messages.
//!
//! It holds nothing that a workload needs: killed at any moment, it leaves
//! everything running, and the next one goes on from what is written down.

pub mod client;
pub mod drift;
pub mod intent;
mod minding;
pub mod protocol;
pub mod queue;
pub mod restart;
pub mod revival;
pub mod server;
pub mod spawn;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::autostart::ran;
use crate::diagnostic::chain;
use crate::engine::EngineError;
use crate::event::{Event, Events, What};
use crate::health::{Board, Patient};
use crate::observed::{Health, Observed, State};
use crate::plan::{Action, Change, Consent, Initiative, Resource, display, words};
use crate::reconcile::{Goal, Manner, Report, Verb, look_and_plan, reconcile};
use crate::stack::health::effective;
use crate::stack::{InstanceId, Restart, StackName};
use crate::state::StateError;
use crate::state::lock::{self, Attempt, StackLock};
use crate::world::World;

use intent::Intent;
use minding::Exits;
use protocol::{Order, Said, Status};
use queue::{Nature, Queue, Ticket};
use revival::Revival;

/// Before anybody has asked for anything, it stays at least so long.
const WELCOME: Duration = Duration::from_secs(30);

/// Changes come in bursts: so long after the first of one it is looked what they came to.
const SETTLE: Duration = Duration::from_millis(100);

/// So often everything is looked at, whether or not something was heard.
const EXAMINE_EVERY: Duration = Duration::from_mins(1);

/// Why a supervisor could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// State on disk could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Looking failed.
    #[error("cannot see what exists")]
    Look(#[source] EngineError),
}

/// What a supervisor is told.
#[derive(Debug)]
pub enum Message {
    /// Do this; what is said about it goes back.
    Order(Box<Order>, mpsc::UnboundedSender<Said>),
    /// Do not do it any longer.
    GiveUp(Ticket),
    /// A run has ended.
    Ended(InstanceId),
    /// A healthcheck says something else than before.
    Health(InstanceId, Health),
    /// What was at work has ended.
    Worked(Box<Report>),
    /// Something of the stack was changed outside.
    HostChanged,
    /// How are things?
    Status(oneshot::Sender<Status>),
    /// Make room for another supervisor.
    Leave,
}

/// The task that owns a stack.
#[derive(Debug)]
pub struct Supervisor {
    world: World,
    name: StackName,
    intent: Option<Intent>,
    queue: Queue,
    orders: BTreeMap<Ticket, Pending>,
    work: Option<Work>,
    revival: Revival,
    health: Board,
    exits: Exits,
    observed: Observed,
    /// What is not as it was made.
    drift: Vec<Change>,
    /// When it is looked for next, on our clock.
    examine_at: Duration,
    inbox: mpsc::UnboundedReceiver<Message>,
    outbox: mpsc::UnboundedSender<Message>,
    news: broadcast::Sender<Event>,
    began: Instant,
    welcomed: bool,
    leaving: bool,
}

/// An order that is not done with.
#[derive(Debug)]
struct Pending {
    order: Order,
    replies: Option<mpsc::UnboundedSender<Said>>,
}

/// What is at work.
#[derive(Debug)]
struct Work {
    ticket: Ticket,
    stop: watch::Sender<bool>,
}

impl Supervisor {
    /// A supervisor of the stack, what it is told through, and what it tells.
    pub fn new(
        world: World,
        name: StackName,
    ) -> Result<(Self, mpsc::UnboundedSender<Message>, broadcast::Sender<Event>), SupervisorError>
    {
        let intent = Intent::read(&world.directories.stack(&name))?;
        let (outbox, inbox) = mpsc::unbounded_channel();
        let (news, _) = broadcast::channel(256);
        let (changes, health) = mpsc::unbounded_channel();
        tokio::spawn(minding::pass_on_health(health, outbox.clone()));
        let supervisor = Self {
            world,
            name,
            intent,
            queue: Queue::default(),
            orders: BTreeMap::new(),
            work: None,
            revival: Revival::default(),
            health: Board::new(Some(changes)),
            exits: Exits::default(),
            observed: Observed::default(),
            drift: Vec::new(),
            examine_at: EXAMINE_EVERY,
            inbox,
            outbox: outbox.clone(),
            news: news.clone(),
            began: Instant::now(),
            welcomed: false,
            leaving: false,
        };
        Ok((supervisor, outbox, news))
    }

    /// Minds the stack until there is nothing left to mind, or until `stop`.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), SupervisorError> {
        self.look().await?;
        tokio::spawn(minding::hear_host(
            self.world.clone(),
            self.name.clone(),
            self.outbox.clone(),
        ));
        loop {
            if self.queue.is_idle() && self.examine_at <= self.began.elapsed() {
                self.examine().await?;
            }
            self.proceed()?;
            if self.may_leave() {
                return Ok(());
            }
            let due = self.next_due();
            tokio::select! {
                Some(message) = self.inbox.recv() => self.take(message).await?,
                () = sleep_until(due.unwrap_or(self.began)), if due.is_some() => {}
                Ok(_) = stop.wait_for(|stop| *stop), if !self.leaving => self.leave(),
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), SupervisorError> {
        match message {
            Message::Order(order, replies) => self.accept(*order, replies),
            Message::GiveUp(ticket) => self.give_up(ticket),
            Message::Ended(id) => {
                self.exits.forget(&id);
                // What is at work may have ended it, and is looked at when it is done.
                self.look().await?;
            }
            Message::Health(id, health) => self.heard(&id, health),
            Message::HostChanged => {
                self.examine_at = self.examine_at.min(self.began.elapsed() + SETTLE);
            }
            Message::Worked(report) => self.worked(*report).await?,
            Message::Status(reply) => drop(reply.send(self.status())),
            Message::Leave => self.leave(),
        }
        Ok(())
    }

    fn accept(&mut self, order: Order, replies: mpsc::UnboundedSender<Said>) {
        self.welcomed = true;
        let (ticket, given_up) = self.queue.add(nature(&order.goal));
        let behind = self.working_on();
        drop(replies.send(Said::Accepted { ticket, behind }));
        self.orders.insert(ticket, Pending { order, replies: Some(replies) });
        for ticket in given_up {
            self.give_up(ticket);
        }
    }

    fn give_up(&mut self, ticket: Ticket) {
        if self.queue.give_up(ticket) {
            // It never began.
            let report = Report::given_up();
            self.reply(ticket, report, false);
        } else if let Some(work) = self.work.as_ref().filter(|work| work.ticket == ticket) {
            work.stop.send_replace(true);
        }
    }

    fn reply(&mut self, ticket: Ticket, report: Report, leaving: bool) {
        let replies = self.orders.remove(&ticket).and_then(|pending| pending.replies);
        if let Some(replies) = replies {
            // Whoever asked may have gone; what was asked is done all the same.
            drop(replies.send(Said::Ended { report: Box::new(report), leaving }));
        }
    }

    /// Begins what can begin.
    fn proceed(&mut self) -> Result<(), SupervisorError> {
        let now = self.began.elapsed();
        if self.revival.next().is_some_and(|due| due <= now) && !self.queue.has_own() {
            let (_, cut) = self.queue.urge();
            if let Some(work) = self.work.as_ref().filter(|work| Some(work.ticket) == cut) {
                work.stop.send_replace(true);
            }
        }
        while let Some(ticket) = self.queue.begin() {
            if let Some(order) = self.order(ticket) {
                return self.begin(ticket, &order);
            }
            // What was due is not wanted any more.
            self.queue.ended(false);
        }
        Ok(())
    }

    /// What a ticket stands for: somebody's order, or what is due.
    fn order(&mut self, ticket: Ticket) -> Option<Order> {
        if let Some(pending) = self.orders.get(&ticket) {
            return Some(pending.order.clone());
        }
        let ids = self.revival.take_due(self.began.elapsed());
        let stack = self.intent.as_ref().map(|intent| intent.stack.clone());
        let stack = stack.filter(|_| !ids.is_empty())?;
        let goal = Goal::Verb { stack: Box::new(stack), verb: Verb::Revive, ids };
        let order = Order { goal, consent: Consent::default(), grace: None };
        self.orders.insert(ticket, Pending { order: order.clone(), replies: None });
        Some(order)
    }

    fn begin(&mut self, ticket: Ticket, order: &Order) -> Result<(), SupervisorError> {
        if let Goal::Up(stack, options) = &order.goal
            && options.initiative == Initiative::User
        {
            let intent = Intent::after_up(self.intent.as_ref(), stack, options);
            ran::forget(&self.world.directories.stack(&self.name))?;
            if self.intent.as_ref() != Some(&intent) {
                intent.write(&self.world.directories.stack(&self.name))?;
                self.intent = Some(intent);
            }
        }
        let (stop, stopped) = watch::channel(false);
        let (events, said) = Events::channel();
        let manner = Manner {
            consent: order.consent.clone(),
            grace: order.grace,
            health: self.health.clone(),
            events,
            stop: stopped,
        };
        let replies = self.orders.get(&ticket).and_then(|pending| pending.replies.clone());
        let (world, goal, outbox) = (self.world.clone(), order.goal.clone(), self.outbox.clone());
        let news = self.news.clone();
        tokio::spawn(async move {
            let work = carry_out(&world, &goal, manner);
            let ((), report) = tokio::join!(minding::pass_on(said, news, replies), work);
            drop(outbox.send(Message::Worked(Box::new(report))));
        });
        self.work = Some(Work { ticket, stop });
        Ok(())
    }

    async fn worked(&mut self, report: Report) -> Result<(), SupervisorError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let interrupted = matches!(&report, Report::Done(_, walked) if walked.interrupted);
        let order = self.orders.get(&work.ticket).map(|pending| pending.order.clone());
        let order = order.map(|order| order.goal);
        let own = order.as_ref().is_some_and(is_own);
        if let Report::Done(plan, _) = &report {
            let started = plan.steps.iter().filter_map(|step| match &step.action {
                Action::Start(desired) => Some(desired.id.clone()),
                _ => None,
            });
            self.revival.started(&started.collect(), !own);
        }
        if matches!(order, Some(Goal::Down { .. })) && report.is_complete() {
            self.intent = None;
            Intent::remove(&self.world.directories.stack(&self.name))?;
        }
        if self.queue.ended(interrupted) {
            return self.look().await;
        }
        self.look().await?;
        if let (true, Some(Goal::Verb { ids, .. }), false) = (own, &order, report.is_complete()) {
            let policy = policies(self.intent.as_ref());
            self.revival.failed(ids, policy, self.began.elapsed());
        }
        let leaving = self.has_nothing_to_mind();
        self.reply(work.ticket, report, leaving);
        Ok(())
    }

    /// Looks at everything, and has whatever runs watched.
    async fn look(&mut self) -> Result<(), SupervisorError> {
        self.observed = self.world.observe(&self.name).await.map_err(SupervisorError::Look)?;
        let now = self.began.elapsed();
        let policy = policies(self.intent.as_ref());
        let changed = self.revival.look(&self.observed, policy, now);
        for id in &changed {
            self.write_down(id, now)?;
        }
        self.exits.follow(&self.world, &self.name, &self.observed, &self.outbox);
        self.ask_who_runs();
        Ok(())
    }

    /// Looks whether everything is still as it was made, says what is not, and
    /// has put right what is to be put right.
    async fn examine(&mut self) -> Result<(), SupervisorError> {
        self.examine_at = self.began.elapsed() + EXAMINE_EVERY;
        self.look().await?;
        let Some(intent) = &self.intent else { return Ok(()) };
        let goal = Goal::Up(Box::new(intent.stack.clone()), drift::options());
        let plan = match look_and_plan(&self.world, &goal).await {
            Ok(plan) => plan,
            Err(error) => {
                // Looked for again in a while; what runs is not the worse for it.
                tracing::warn!(error = %chain(&error).join(": "), "cannot look for drift");
                return Ok(());
            }
        };
        let found = drift::find(&plan, &intent.stack);
        self.say_what_drifted(&found.changes);
        self.drift = found.changes;
        if let Some(options) = found.correction {
            let (ticket, _) = self.queue.urge();
            let goal = Goal::Up(Box::new(intent.stack.clone()), options);
            let order = Order { goal, consent: Consent::default(), grace: None };
            self.orders.insert(ticket, Pending { order, replies: None });
        }
        Ok(())
    }

    /// What is not as it was made and was not said before.
    fn say_what_drifted(&self, changes: &[Change]) {
        for change in changes.iter().filter(|change| !self.drift.contains(change)) {
            let causes = change.causes.iter().filter_map(display::cause).collect();
            let what = What::Drifted { causes };
            drop(self.news.send(Event { resource: change.resource.clone(), what }));
        }
    }

    /// Writes down how often one was started again, and says what follows.
    fn write_down(&mut self, id: &InstanceId, now: Duration) -> Result<(), SupervisorError> {
        let Some((restarts, due)) = self.revival.note(id) else { return Ok(()) };
        let pause = due.map(|due| due.saturating_sub(now));
        let directory = self.world.directories.instance(&self.name, id);
        minding::write_down(&directory, restarts, pause)?;
        let Some(instance) = self.observed.instances.get(id) else { return Ok(()) };
        let State::Exited(_) = &instance.state else { return Ok(()) };
        let resource = Resource::Instance(instance.kind, id.clone());
        let say = |what| drop(self.news.send(Event { resource: resource.clone(), what }));
        say(What::Ended { how: words::why_it_rests(instance) });
        if let Some(pause) = pause {
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            say(What::Again { pause_ms, count: restarts.count });
        }
        if let Some(limit) = restarts.gave_up {
            say(What::GaveUp { limit });
        }
        Ok(())
    }

    /// Has everybody who runs and has a check asked how they are.
    fn ask_who_runs(&self) {
        let Some(intent) = &self.intent else { return };
        let alive = |id: &InstanceId| {
            self.observed.instances.get(id).is_some_and(|instance| {
                matches!(instance.state, State::Running { .. } | State::Degraded { .. })
            })
        };
        self.health.retain(|id| alive(id) || self.work.is_some());
        for (id, workload) in intent.stack.instances().filter(|(id, _)| alive(id)) {
            let Some(instance) = self.observed.instances.get(&id) else { continue };
            let check = effective(workload.healthcheck.as_ref(), instance.image_check.as_ref());
            let Some(check) = check else { continue };
            self.health.follow(&Patient {
                world: self.world.clone(),
                stack: self.name.clone(),
                id,
                kind: instance.kind,
                check,
                address: instance.addresses.values().next().copied(),
            });
        }
    }

    fn heard(&mut self, id: &InstanceId, health: Health) {
        let Some(instance) = self.observed.instances.get_mut(id) else { return };
        let resource = Resource::Instance(instance.kind, id.clone());
        let what = What::Health { healthy: health.healthy, output: health.output.clone() };
        instance.health = Some(health);
        drop(self.news.send(Event { resource, what }));
    }

    fn status(&self) -> Status {
        Status {
            stack: self.name.clone(),
            pid: std::process::id(),
            up_seconds: self.began.elapsed().as_secs(),
            working_on: self.working_on(),
            instances: self.observed.instances.values().cloned().collect(),
            drift: self.drift.clone(),
        }
    }

    fn working_on(&self) -> Option<String> {
        let pending = self.work.as_ref().and_then(|work| self.orders.get(&work.ticket));
        pending.map(|pending| pending.order.goal.in_words())
    }

    fn leave(&mut self) {
        self.leaving = true;
        if let Some(work) = &self.work {
            work.stop.send_replace(true);
        }
    }

    /// Whether nothing runs and nothing will by itself.
    fn has_nothing_to_mind(&self) -> bool {
        self.queue.is_idle()
            && self.revival.next().is_none()
            && !self.observed.instances.values().any(crate::observed::ObservedInstance::is_alive)
    }

    fn may_leave(&self) -> bool {
        let welcomed = self.welcomed || self.began.elapsed() >= WELCOME;
        self.work.is_none() && (self.leaving || welcomed && self.has_nothing_to_mind())
    }

    /// When something happens by itself.
    fn next_due(&self) -> Option<Instant> {
        let restart = self.revival.next().filter(|_| !self.queue.has_own());
        let examine = self.queue.is_idle().then_some(self.examine_at);
        let welcome = (!self.welcomed && self.has_nothing_to_mind()).then_some(WELCOME);
        restart.into_iter().chain(welcome).chain(examine).min().map(|due| self.began + due)
    }
}

/// Each instance's restart policy, as its workload is meant.
fn policies(intent: Option<&Intent>) -> impl Fn(&InstanceId) -> Restart {
    move |id| {
        let workload = intent.and_then(|intent| intent.stack.workloads.get(&id.workload));
        workload.map(|workload| workload.restart).unwrap_or_default()
    }
}

/// How an order bears company.
fn nature(goal: &Goal) -> Nature {
    match goal {
        Goal::Up(_, options) if options.force_recreate => Nature::Once,
        Goal::Up(..) => Nature::Converges,
        Goal::Down { .. } => Nature::Ends,
        Goal::Verb { .. } => Nature::Once,
    }
}

/// Whether nobody asked for it.
fn is_own(goal: &Goal) -> bool {
    match goal {
        Goal::Verb { verb, .. } => *verb == Verb::Revive,
        Goal::Up(_, options) => options.initiative == Initiative::Supervisor,
        Goal::Down { .. } => false,
    }
}

/// One reconcile, under the stack's lock.
async fn carry_out(world: &World, goal: &Goal, manner: Manner) -> Report {
    let result = match take_lock(&world.directories.stack(goal.stack())).await {
        Ok(_lock) => reconcile(world, goal, &manner).await,
        Err(error) => Err(error.into()),
    };
    Report::of(result)
}

/// Takes the stack's lock; a command that works without us may have it.
async fn take_lock(stack_directory: &Path) -> Result<StackLock, StateError> {
    match lock::attempt(stack_directory)? {
        Attempt::Held(lock) => Ok(lock),
        Attempt::Busy(waiting, _) => {
            let waited = tokio::task::spawn_blocking(move || waiting.wait()).await;
            waited.map_err(|error| StateError::io("lock", stack_directory)(error.into()))?
        }
    }
}
