//! One process per stack that keeps what `up` promised: it restarts what ends,
//! asks how workloads are, and carries out what commands ask of it, one thing
//! after another. One task owns the stack; everybody else sends it messages.
//!
//! It holds nothing that a workload needs: killed at any moment, it leaves
//! everything running, and the next one goes on from what is written down.

pub mod client;
pub mod declared;
pub mod drift;
pub mod intent;
mod looking;
mod minding;
mod orders;
pub mod protocol;
pub mod queue;
pub mod remains;
pub mod restart;
pub mod revival;
pub mod server;
pub mod spawn;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::conditions::{self, Condition, Declared};
use crate::event::{Event, What};
use crate::health::Board;
use crate::observed::{Health, Observed, ObservedInstance, Readiness, Verdict};
use crate::plan::follow::Due;
use crate::plan::{Change, Resource};
use crate::reconcile::Report;
use crate::stack::{InstanceId, StackName};
use crate::state::StateError;
use crate::world::World;

use intent::Intent;
use minding::Exits;
use protocol::{Order, Said, Status};
use queue::{Queue, Ticket};
use revival::Revival;

/// Before anybody has asked for anything, it stays at least so long.
const WELCOME: Duration = Duration::from_secs(30);

/// Changes come in bursts: so long after the first of one it is looked what they came to.
const SETTLE: Duration = Duration::from_millis(100);

/// So often everything is looked at, whether or not something was heard.
const EXAMINE_EVERY: Duration = Duration::from_mins(1);

/// So soon after it could not be looked at, everything is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What a supervisor is told.
#[derive(Debug)]
pub enum Message {
    /// Do this; what is said about it goes back.
    Order(Box<Order>, mpsc::UnboundedSender<Said>),
    /// Do not do it any longer.
    GiveUp(Ticket),
    /// A run has ended.
    Ended(InstanceId),
    /// A guest has said how it is, or will not any more.
    Spoke(InstanceId),
    /// A healthcheck brings another verdict than before.
    Health(InstanceId, Health),
    /// What was at work has ended.
    Worked(Box<Worked>),
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
    /// Since when each instance is as it was made, or is not.
    declared: BTreeMap<InstanceId, Declared>,
    /// When it is looked for next, on our clock.
    examine_at: Duration,
    /// What was last done for dependencies' sake, and when on our clock: the same is
    /// not tried again at once.
    followed: Option<(Due, Duration)>,
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

/// What was at work has come to this.
#[derive(Debug)]
pub struct Worked {
    /// How it ended.
    report: Report,
    /// What there is, where nothing was to be done about it.
    observed: Option<Observed>,
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
    ) -> Result<(Self, mpsc::UnboundedSender<Message>, broadcast::Sender<Event>), StateError> {
        let intent = Intent::read_or_none(&world.directories.stack(&name))?;
        let declared = declared::read(&world.directories.stack(&name));
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
            declared,
            examine_at: EXAMINE_EVERY,
            followed: None,
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
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        self.look().await;
        tokio::spawn(minding::hear_host(
            self.world.clone(),
            self.name.clone(),
            self.outbox.clone(),
        ));
        loop {
            self.follow();
            self.proceed();
            if self.may_leave() {
                return;
            }
            if self.queue.is_idle() && self.examine_at <= self.began.elapsed() {
                self.examine().await;
                continue;
            }
            let due = self.next_due();
            tokio::select! {
                Some(message) = self.inbox.recv() => self.take(message).await,
                () = sleep_until(due.unwrap_or(self.began)), if due.is_some() => {}
                true = told(&mut stop), if !self.leaving => self.leave(),
            }
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Order(order, replies) => self.accept(*order, replies),
            Message::GiveUp(ticket) => self.give_up(ticket),
            Message::Ended(id) => {
                self.exits.forget(&id);
                // What is at work may have ended it, and is looked at when it is done.
                self.look().await;
            }
            Message::Spoke(id) => {
                self.look().await;
                self.say_that_it_is_ready(&id);
            }
            Message::Health(id, health) => self.heard(&id, health),
            Message::HostChanged => {
                self.examine_at = self.examine_at.min(self.began.elapsed() + SETTLE);
            }
            Message::Worked(worked) => self.worked(*worked).await,
            Message::Status(reply) => drop(reply.send(self.status())),
            Message::Leave => self.leave(),
        }
    }

    /// Whoever started it says so else.
    fn say_that_it_is_ready(&self, id: &InstanceId) {
        let ready = |it: &&ObservedInstance| it.is_alive() && it.ready == Readiness::Ready;
        let instance = self.observed.instances.get(id).filter(ready);
        if let Some(instance) = instance.filter(|_| self.work.is_none()) {
            let resource = Resource::Instance(instance.kind, id.clone());
            let what = What::Done { state: "ready".into(), detail: String::new() };
            drop(self.news.send(Event { resource, what }));
        }
    }

    fn heard(&mut self, id: &InstanceId, health: Health) {
        let Some(instance) = self.observed.instances.get_mut(id) else { return };
        let resource = Resource::Instance(instance.kind, id.clone());
        let what = What::Health { healthy: health.healthy, output: health.output.clone() };
        let judged = health.verdict != Verdict::Starting;
        instance.health = Some(health);
        if judged {
            drop(self.news.send(Event { resource, what }));
        }
    }

    fn status(&self) -> Status {
        Status {
            stack: self.name.clone(),
            pid: std::process::id(),
            up_seconds: self.began.elapsed().as_secs(),
            working_on: self.working_on(),
            instances: self.observed.instances.values().cloned().collect(),
            conditions: self.conditions(),
            drift: self.drift.clone(),
        }
    }

    fn conditions(&self) -> BTreeMap<String, Vec<Condition>> {
        let observed = &self.observed;
        let of = |it: &ObservedInstance| {
            (it.id.to_string(), conditions::of(observed, it, self.declared.get(&it.id)))
        };
        observed.instances.values().map(of).collect()
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
            && !self.observed.instances.values().any(ObservedInstance::is_alive)
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

/// Whether it was told to stop; waits until it is, or until nobody can any more.
async fn told(stop: &mut watch::Receiver<bool>) -> bool {
    stop.wait_for(|stop| *stop).await.is_ok()
}
