//! Follows files and has done what their changes mean: the stack's own files,
//! what workloads are given of the host, and `develop.watch`.
//!
//! [`debounce`], [`flapping`], [`interest`] and [`agenda`] are pure; `followed`,
//! `notices` and `print` are the rim to the kernel. This file is the loop. It
//! neither prints nor reads a stack file, nor does it change a workload but by
//! putting files into it: for the rest it has [`Hands`].

pub mod agenda;
pub mod debounce;
mod deliver;
pub mod flapping;
mod followed;
pub mod interest;
mod notices;
mod print;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use crate::stack::Stack;
use crate::stack::develop::Action;
use crate::world::World;

use agenda::{Agenda, Causes, Delivery, Ended, Job, Order};
use deliver::Undelivered;
use followed::{Followed, OnDisk};
use interest::{Interest, Seen, Trigger};

/// Why files cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The kernel's limit.
    #[error("the kernel follows no more directories than the {directories} it follows now")]
    TooMany {
        /// How many those are.
        directories: usize,
    },
    /// Anything else.
    #[error("cannot follow files")]
    Kernel(#[source] notify::Error),
}

impl WatchError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::TooMany { .. } => Some(
                "`sysctl fs.inotify.max_user_watches=524288` allows more; \
                 `ignore` leaves directories out"
                    .to_owned(),
            ),
            Self::Kernel(_) => None,
        }
    }
}

/// The stack as its files say now.
#[derive(Debug)]
pub struct Reading {
    /// `None`: they are wrong, and whoever read them has said why.
    pub stack: Option<Stack>,
    /// What was asked of the disk for that.
    pub seen: Seen,
}

/// What the loop says.
#[derive(Debug)]
pub enum Said<'a> {
    /// It follows files from now on.
    Watching {
        /// Directories.
        directories: usize,
        /// Files.
        files: usize,
    },
    /// Something is about to be done by the supervisor.
    Doing(&'a Order),
    /// The stack's files say the same as before.
    Same(&'a Causes),
    /// Its name is another one now.
    Renamed(&'a str),
    /// Files were put into a workload.
    Delivered {
        /// Which one.
        workload: &'a str,
        /// What, and what followed.
        delivery: &'a Delivery,
        /// How long after the first of them changed.
        took: Option<Duration>,
    },
    /// They were not.
    Undelivered {
        /// Into which one.
        workload: &'a str,
        /// Why.
        error: &'a Undelivered,
    },
    /// A file changes too often and is left alone until it rests.
    Suspended(&'a PathBuf),
    /// It has rested.
    Resumed(&'a PathBuf),
}

/// What the loop has others do.
#[async_trait(?Send)]
pub trait Hands {
    /// Reads the stack's files again, and says what is wrong with them.
    fn read(&self) -> Reading;
    /// Has the supervisor do it, and says how it went.
    async fn order(&self, stack: &Stack, order: &Order) -> Ended;
    /// Whether this workload's rules are wanted.
    fn wants(&self, workload: &str) -> bool;
    /// Takes word.
    fn say(&self, said: Said<'_>);
}

/// What has ended.
enum Finished {
    Delivery(String, Delivery, Result<(), Undelivered>),
    Order(Ended),
}

/// The loop's own things.
struct Loop<'a> {
    world: &'a World,
    hands: &'a dyn Hands,
    stack: Arc<Stack>,
    seen: Seen,
    followed: Followed,
    agenda: Agenda,
    at_work: FuturesUnordered<LocalBoxFuture<'a, Finished>>,
    began: Instant,
}

/// Follows what matters to the stack and has done what changes mean, until `stop`.
pub async fn run(
    world: &World,
    hands: &dyn Hands,
    stack: Stack,
    seen: Seen,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WatchError> {
    let mut this = Loop {
        world,
        hands,
        stack: Arc::new(stack),
        seen,
        followed: Followed::new()?,
        agenda: Agenda::default(),
        at_work: FuturesUnordered::new(),
        began: Instant::now(),
    };
    let everything = this.stack.workloads.keys().cloned().collect();
    this.turn_to(&|_| false)?;
    this.bring_initial(&everything);
    let (directories, files) = this.followed.counts();
    hands.say(Said::Watching { directories, files });
    loop {
        this.begin()?;
        let due = this.followed.next().map(|due| this.began + due);
        let due = due.map(tokio::time::Instant::from_std);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(notice) = this.followed.hear() => this.followed.note(notice, this.began.elapsed())?,
            Some(finished) = this.at_work.next() => this.finish(finished),
            () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)),
                if due.is_some() => this.look(),
        }
    }
    // What the supervisor was asked for ends as the user wished: it was told to stop.
    while this.at_work.next().await.is_some() {}
    Ok(())
}

impl Loop<'_> {
    fn look(&mut self) {
        let found = self.followed.look(self.began.elapsed());
        for path in &found.suspended {
            self.hands.say(Said::Suspended(path));
        }
        for path in &found.resumed {
            self.hands.say(Said::Resumed(path));
        }
        for change in found.other {
            let interest = &self.followed.interest;
            self.agenda.add(interest, &change.trigger, &change.path, change.since);
        }
    }

    /// Begins what can begin.
    fn begin(&mut self) -> Result<(), WatchError> {
        while let Some(job) = self.agenda.begin() {
            match job {
                Job::Deliver(workload, delivery) => self.deliver(workload, delivery),
                Job::Order(Order::Reload(causes)) => self.reload(causes)?,
                Job::Order(order) => self.order(order),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, workload: String, delivery: Delivery) {
        let (world, stack) = (self.world, Arc::clone(&self.stack));
        let work = async move {
            let done = deliver::deliver(world, &stack, &workload, &delivery).await;
            Finished::Delivery(workload, delivery, done)
        };
        self.at_work.push(work.boxed_local());
    }

    fn order(&mut self, order: Order) {
        self.hands.say(Said::Doing(&order));
        let (hands, stack) = (self.hands, Arc::clone(&self.stack));
        let work = async move { Finished::Order(hands.order(&stack, &order).await) };
        self.at_work.push(work.boxed_local());
    }

    /// The stack's files have changed: what do they say now? What was good last
    /// stays in force until they are good again.
    fn reload(&mut self, causes: Causes) -> Result<(), WatchError> {
        let Reading { stack, seen } = self.hands.read();
        let Some(stack) = stack else {
            // What was asked for on the way to the mistake may be what mends it.
            self.seen.read.extend(seen.read);
            self.seen.asked.extend(seen.asked);
            self.turn_to(&|_| true)?;
            self.agenda.ordered(&Ended::default());
            return Ok(());
        };
        self.seen = seen;
        let same = stack == *self.stack;
        if stack.name != self.stack.name {
            self.hands.say(Said::Renamed(stack.name.as_str()));
            self.agenda.ordered(&Ended::default());
            return Ok(());
        }
        let is_given = causes.iter().any(|path| self.followed.interest.is_given(path));
        let before = std::mem::replace(&mut self.stack, Arc::new(stack));
        let now = Arc::clone(&self.stack);
        let rules_of = |stack: &Stack, name: &str| {
            stack.workloads.get(name).map(|workload| workload.develop.clone()).unwrap_or_default()
        };
        let has_same = |name: &str| rules_of(&before, name) == rules_of(&now, name);
        self.turn_to(&|trigger| match trigger {
            Trigger::Rule(name, _) => has_same(name),
            Trigger::Stack | Trigger::Presence | Trigger::Bound(_) => true,
        })?;
        let other = now.workloads.keys().filter(|name| !has_same(name)).cloned().collect();
        self.bring_initial(&other);
        if same && !is_given {
            self.hands.say(Said::Same(&causes));
            self.agenda.ordered(&Ended::default());
            return Ok(());
        }
        self.order(Order::Reload(causes));
        Ok(())
    }

    fn turn_to(&mut self, is_same: &dyn Fn(&Trigger) -> bool) -> Result<(), WatchError> {
        let wants = |name: &str| self.hands.wants(name);
        let interest = Interest::of(&self.stack, &self.seen, &wants, &OnDisk);
        self.followed.turn_to(interest, is_same)
    }

    /// `initial_sync` of these workloads.
    fn bring_initial(&mut self, workloads: &BTreeSet<String>) {
        let is_initial = |action: &Action| matches!(action, Action::Sync(sync) if sync.initial);
        for tree in self.followed.interest.trees() {
            if !workloads.contains(&tree.workload) || !is_initial(&tree.rule.action) {
                continue;
            }
            for path in self.followed.all_of(&tree.trigger) {
                if let Some(target) = tree.target(&path) {
                    self.agenda.bring(&tree.workload, target, path);
                }
            }
        }
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Order(ended) => self.agenda.ordered(&ended),
            Finished::Delivery(workload, delivery, done) => {
                let took = delivery.since.map(|since| self.began.elapsed().saturating_sub(since));
                match &done {
                    Ok(()) => self.hands.say(Said::Delivered {
                        workload: &workload,
                        delivery: &delivery,
                        took,
                    }),
                    Err(error) => {
                        self.hands.say(Said::Undelivered { workload: &workload, error });
                    }
                }
                let well = !matches!(done, Err(Undelivered::Engine(_)));
                self.agenda.delivered(&workload, delivery, well);
            }
        }
    }
}
