//! `watch`, and the watching of `up --watch`: follows files in the foreground
//! until Ctrl-C. What is done about them is decided by [`crate::watch`]; here it
//! is asked of the supervisor and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::watch;

use super::arguments::{Selection, Watch};
use super::carry_out::{Job, carry_out};
use super::report::{self, Attempt};
use super::ui::words::elapsed;
use super::{CommandError, Exit, Invocation, interrupt, project, session, up};
use crate::diagnostic::chain;
use crate::event::Events;
use crate::plan::{Consent, Resource, Verb as Change};
use crate::reconcile::{Goal, Report, Verb};
use crate::stack::{ImageSource, Stack};
use crate::watch::agenda::{Causes, Ended, Order};
use crate::watch::interest::Seen;
use crate::watch::{Hands, Reading, Said};

/// Follows files until Ctrl-C; the stack stays up.
pub(super) async fn run(invocation: &Invocation, arguments: &Watch) -> Result<Exit, CommandError> {
    can_be_read_again(invocation)?;
    let (read, seen) = project::reading(invocation)?;
    let stack = read?.stack;
    let selection = Selection { names: arguments.names.clone(), ..Selection::default() };
    up::check_names(&stack, &selection.names)?;
    session::check_owner(invocation, &stack.name, &stack.directory, false)?;
    let stop = interrupt::listen_to_leave()?;
    let (orders, _) = watch::channel(0);
    let watching =
        Watching { invocation, selection: &selection, quiet: arguments.quiet, stop, orders };
    if !arguments.no_up {
        let options = up::options(&stack, &selection);
        let began = Instant::now();
        let report = watching.carry_out(Goal::Up(Box::new(stack.clone()), options)).await?;
        let exit = watching.report(&stack, "up", began, &report);
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    watching.follow(stack, seen).await?;
    Ok(Exit::Interrupted)
}

/// Standard input is read once.
pub(super) fn can_be_read_again(invocation: &Invocation) -> Result<(), CommandError> {
    if invocation.global.files.iter().any(|file| file == Path::new("-")) {
        return Err(CommandError::Usage {
            reason: "standard input cannot be watched".into(),
            help: Some("name a file: `windlass -f FILE watch`".into()),
        });
    }
    Ok(())
}

/// What following takes.
pub(super) struct Watching<'a> {
    pub(super) invocation: &'a Invocation,
    /// What an `up` is asked for.
    pub(super) selection: &'a Selection,
    /// Only errors are said.
    pub(super) quiet: bool,
    /// Becomes true at Ctrl-C.
    pub(super) stop: watch::Receiver<bool>,
    /// Grows with each order that was carried out.
    pub(super) orders: watch::Sender<u64>,
}

impl Watching<'_> {
    /// Follows files until Ctrl-C.
    pub(super) async fn follow(&self, stack: Stack, seen: Seen) -> Result<(), CommandError> {
        let world = project::world(self.invocation)?;
        crate::watch::run(&world, self, stack, seen, self.stop.clone()).await?;
        Ok(())
    }

    async fn carry_out(&self, goal: Goal) -> Result<Report, CommandError> {
        let (consent, stop) = (Consent::default(), self.stop.clone());
        let job = Job { goal, consent, grace: None, stop, needs_minding: true };
        carry_out(self.invocation, job).await
    }

    fn report(&self, stack: &Stack, verb: &'static str, began: Instant, report: &Report) -> Exit {
        let (stack, files) = (&stack.name, &stack.files[..]);
        report::say(self.invocation, Attempt { verb, stack, files, began, deadline: None }, report)
    }

    async fn try_order(&self, stack: &Stack, order: &Order) -> Result<Ended, CommandError> {
        let began = Instant::now();
        let (verb, goal) = match order {
            Order::Reload(_) => {
                let options = up::options(stack, self.selection);
                ("up", Goal::Up(Box::new(stack.clone()), options))
            }
            Order::Restart(workloads) => ("restart", restart(stack, workloads)),
            Order::Rebuild(workload, _) => {
                self.rebuild_image(stack, workload).await?;
                let names = vec![workload.clone()];
                let (no_deps, force_recreate) = (true, true);
                let only = Selection { names, no_deps, force_recreate, ..Selection::default() };
                ("up", Goal::Up(Box::new(stack.clone()), up::options(stack, &only)))
            }
        };
        let report = self.carry_out(goal).await?;
        self.report(stack, verb, began, &report);
        Ok(Ended { made_anew: made_anew(&report) })
    }

    /// An image that lies in a file is read again. What a recipe makes is what
    /// the recipe says: it is another image only when that changes.
    async fn rebuild_image(&self, stack: &Stack, workload: &str) -> Result<(), CommandError> {
        let Some(workload) = stack.workloads.get(workload) else { return Ok(()) };
        if !matches!(workload.image, ImageSource::Path(_)) {
            return Ok(());
        }
        let world = project::world(self.invocation)?;
        let (events, receiver) = Events::channel();
        let fetch = async {
            let fetched = world.images.fetch(&workload.image, workload.kind(), true, &events).await;
            drop(events);
            fetched
        };
        let name = stack.name.as_str();
        let (fetched, _) = tokio::join!(fetch, self.invocation.screen.follow(name, receiver));
        Ok(fetched.map(drop)?)
    }

    fn told(&self, text: &str) {
        if !self.quiet {
            self.invocation.screen.say(text);
        }
    }
}

/// Paths as they are shown: from where one stands.
fn shown<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let names: Vec<String> = paths
        .into_iter()
        .map(|path| path.strip_prefix(&here).unwrap_or(path).display().to_string())
        .collect();
    match names.as_slice() {
        [one, two, three, rest @ ..] if !rest.is_empty() => {
            format!("{one}, {two}, {three} and {} more", rest.len())
        }
        few => few.join(", "),
    }
}

/// What is about to be done, and for which files.
fn doing(order: &Order) -> String {
    match order {
        Order::Reload(causes) => format!("{} changed: up", shown(causes)),
        Order::Rebuild(workload, causes) => {
            format!("{} changed: rebuilding {workload}", shown(causes))
        }
        Order::Restart(workloads) => {
            let causes: Causes = workloads.values().flatten().cloned().collect();
            let names: Vec<&str> = workloads.keys().map(String::as_str).collect();
            format!("{} changed: restarting {}", shown(&causes), names.join(", "))
        }
    }
}

fn restart(stack: &Stack, workloads: &BTreeMap<String, Causes>) -> Goal {
    let named = stack.workloads.values().filter(|it| workloads.contains_key(&it.name));
    let ids = named.flat_map(crate::stack::Workload::ids).collect();
    Goal::Verb { stack: Box::new(stack.clone()), verb: Verb::Restart, ids }
}

/// Workloads whose root file systems are new.
fn made_anew(report: &Report) -> BTreeSet<String> {
    let Report::Done(plan, _) = report else { return BTreeSet::new() };
    let anew = plan.changes.iter().filter(|change| {
        matches!(change.verb, Change::Create | Change::Recreate | Change::ReplaceDisk)
    });
    anew.filter_map(|change| match &change.resource {
        Resource::Instance(_, id) => Some(id.workload.clone()),
        _ => None,
    })
    .collect()
}

#[async_trait(?Send)]
impl Hands for Watching<'_> {
    fn read(&self) -> Reading {
        let (read, seen) = match project::reading(self.invocation) {
            Ok((read, seen)) => (read, seen),
            Err(error) => (Err(error), Seen::default()),
        };
        let stack = match read {
            Ok(read) => Some(read.stack),
            Err(error) => {
                self.invocation.screen.error(&error);
                self.told("what was good last stays in force");
                None
            }
        };
        Reading { stack, seen }
    }

    async fn order(&self, stack: &Stack, order: &Order) -> Ended {
        let ended = self.try_order(stack, order).await.unwrap_or_else(|error| {
            self.invocation.screen.error(&error);
            Ended::default()
        });
        self.orders.send_modify(|count| *count += 1);
        ended
    }

    fn wants(&self, workload: &str) -> bool {
        let names = &self.selection.names;
        names.is_empty() || names.iter().any(|name| name == workload)
    }

    fn say(&self, said: Said<'_>) {
        let screen = &self.invocation.screen;
        match said {
            Said::Watching { directories, files } => {
                self.told(&format!("watching {files} files in {directories} directories"));
            }
            Said::Doing(order) => self.told(&doing(order)),
            Said::Same(causes) => {
                self.told(&format!("{} changed: nothing to do", shown(causes)));
            }
            Said::Renamed(name) => screen.warn(&format!(
                "the stack is called `{name}` now: end this and `windlass up` it by that name"
            )),
            Said::Delivered { workload, delivery, took } => {
                let count = delivery.files.len();
                let files = if count == 1 { "file" } else { "files" };
                let ran = if delivery.hooks.is_empty() { "" } else { ", command run" };
                let took = took.map(|took| format!(" in {}", elapsed(took))).unwrap_or_default();
                let what = shown(delivery.files.values());
                self.told(&format!("{what}: {count} {files} synced to {workload}{ran}{took}"));
            }
            Said::Undelivered { workload, error } => {
                let mut chain = chain(error);
                chain.insert(0, format!("{workload} is not up to date"));
                screen.failure(&chain, None);
            }
            Said::Suspended(path) => screen.warn(&format!(
                "{} changes too often and is left alone until it rests",
                shown([path])
            )),
            Said::Resumed(path) => {
                self.told(&format!("{} rests: it is watched again", shown([path])));
            }
        }
    }
}
