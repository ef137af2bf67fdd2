//! What a supervisor is asked to do: taken into line, begun, given up, done with.

use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::declared;
use super::intent::Intent;
use super::looking::policies;
use super::protocol::{Order, Said};
use super::queue::{Nature, Ticket};
use super::{EXAMINE_EVERY, Message, Pending, Supervisor, Work, Worked, minding};
use crate::autostart::ran;
use crate::diagnostic::chain;
use crate::event::Events;
use crate::plan::follow::{self, Due};
use crate::plan::{Action, Consent, Initiative};
use crate::reconcile::{Goal, Manner, Report, Verb, reconcile};
use crate::state::StateError;
use crate::state::lock::{self, Attempt, StackLock};
use crate::world::World;

impl Supervisor {
    pub(super) fn accept(&mut self, order: Order, replies: mpsc::UnboundedSender<Said>) {
        self.welcomed = true;
        let (ticket, given_up) = self.queue.add(nature(&order.goal));
        let behind = self.working_on();
        drop(replies.send(Said::Accepted { ticket, behind }));
        self.orders.insert(ticket, Pending { order, replies: Some(replies) });
        self.make_way();
        for ticket in given_up {
            self.give_up(ticket);
        }
    }

    /// What follows from health is done after whatever the user asks for: it is found
    /// to be due again, or not any more.
    fn make_way(&mut self) {
        let Some(work) = &self.work else { return };
        let follows = |pending: &Pending| matches!(pending.order.goal, Goal::Follow(_));
        if self.orders.get(&work.ticket).is_some_and(follows) {
            work.stop.send_replace(true);
            self.followed = None;
        }
    }

    /// Has done what dependents do about how their dependencies are, if anything is
    /// due and nobody else wants something.
    pub(super) fn follow(&mut self) {
        let now = self.began.elapsed();
        if !self.queue.is_idle() || self.leaving {
            return;
        }
        let Some(intent) = &self.intent else { return };
        let Some(due) = follow::due(&intent.stack, &self.observed) else { return };
        let in_vain = |(tried, at): &(Due, Duration)| *tried == due && now < *at + EXAMINE_EVERY;
        if self.followed.as_ref().is_some_and(in_vain) {
            return;
        }
        self.followed = Some((due, now));
        let goal = Goal::Follow(Box::new(intent.stack.clone()));
        self.want(goal);
    }

    /// Has something done that nobody asked for, before whatever waits.
    pub(super) fn want(&mut self, goal: Goal) {
        let (ticket, _) = self.queue.urge();
        self.orders.insert(ticket, Pending { order: own(goal), replies: None });
    }

    pub(super) fn give_up(&mut self, ticket: Ticket) {
        self.queue.give_up(ticket);
        match &self.work {
            Some(work) if work.ticket == ticket => drop(work.stop.send_replace(true)),
            // It never began. Who waited is told, whoever took it out of the line.
            _ => self.reply(ticket, Report::given_up(), false),
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
    pub(super) fn proceed(&mut self) {
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
        let order = own(goal);
        self.orders.insert(ticket, Pending { order: order.clone(), replies: None });
        Some(order)
    }

    fn begin(&mut self, ticket: Ticket, order: &Order) {
        let remembered = self.remember(&order.goal);
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
            let work = async {
                match remembered {
                    Ok(()) => carry_out(&world, &goal, manner).await,
                    Err(error) => Worked { report: Report::of(Err(error.into())), observed: None },
                }
            };
            let ((), worked) = tokio::join!(minding::pass_on(said, news, replies), work);
            drop(outbox.send(Message::Worked(Box::new(worked))));
        });
        self.work = Some(Work { ticket, stop });
    }

    /// Writes down what the stack shall be, before anything is done for it.
    fn remember(&mut self, goal: &Goal) -> Result<(), StateError> {
        let Goal::Up(stack, options) = goal else { return Ok(()) };
        if options.initiative != Initiative::User {
            return Ok(());
        }
        let intent = Intent::after_up(self.intent.as_ref(), stack, options);
        let directory = self.world.directories.stack(&self.name);
        ran::forget(&directory)?;
        // What lies there, not what is known here: somebody may have taken it away.
        if Intent::read_or_none(&directory)?.as_ref() != Some(&intent) {
            intent.write(&directory)?;
        }
        self.intent = Some(intent);
        Ok(())
    }

    pub(super) async fn worked(&mut self, Worked { report, observed }: Worked) {
        let Some(work) = self.work.take() else { return };
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
            self.declared.clear();
            declared::forget(&self.world.directories.stack(&self.name));
            if let Err(error) = Intent::remove(&self.world.directories.stack(&self.name)) {
                // It says what shall run, of a stack that does not: the next `up` replaces it.
                tracing::warn!(error = %chain(&error).join(": "), "cannot forget what was wanted");
            }
        }
        let goes_on = self.queue.ended(interrupted);
        match observed {
            Some(observed) => self.mind(observed),
            None => {
                self.look().await;
            }
        }
        if goes_on {
            return;
        }
        if let (true, Some(Goal::Verb { ids, .. }), false) = (own, &order, report.is_complete()) {
            let policy = policies(self.intent.as_ref());
            self.revival.failed(ids, policy, self.began.elapsed());
        }
        // Whoever is told so waits until it is: nothing that is found later keeps it.
        self.leaving |= self.has_nothing_to_mind();
        self.reply(work.ticket, report, self.leaving);
    }
}

/// An order that nobody gave: nobody has agreed to anything.
fn own(goal: Goal) -> Order {
    Order { goal, consent: Consent::default(), grace: None }
}

/// How an order bears company.
fn nature(goal: &Goal) -> Nature {
    match goal {
        Goal::Up(_, options) if options.force_recreate => Nature::Once,
        Goal::Up(..) => Nature::Converges,
        Goal::Down { .. } => Nature::Ends,
        Goal::Verb { .. } => Nature::Once,
        Goal::Follow(_) => Nature::Own,
    }
}

/// Whether nobody asked for it.
fn is_own(goal: &Goal) -> bool {
    match goal {
        Goal::Verb { verb, .. } => *verb == Verb::Revive,
        Goal::Up(_, options) => options.initiative == Initiative::Supervisor,
        Goal::Follow(_) => true,
        Goal::Down { .. } => false,
    }
}

/// One reconcile, under the stack's lock.
async fn carry_out(world: &World, goal: &Goal, manner: Manner) -> Worked {
    let mut result = match take_lock(&world.directories.stack(goal.stack())).await {
        Ok(_lock) => reconcile(world, goal, &manner).await,
        Err(error) => Err(error.into()),
    };
    let untouched = result.as_mut().ok().filter(|done| done.plan.steps.is_empty());
    let observed = untouched.map(|done| std::mem::take(&mut done.observed));
    Worked { report: Report::of(result), observed }
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
