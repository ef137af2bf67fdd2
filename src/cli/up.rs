//! `windlass up`: makes the host match the file; attached, shows what the
//! workloads say until Ctrl-C and then stops them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch::{Receiver, channel};

use super::arguments::{self, Selection, Up};
use super::attached::Attached;
use super::carry_out::{Job, carry_out};
use super::report::Attempt;
use super::{CommandError, Exit, Invocation, interrupt, project, report, session, watch};
use crate::plan::{Consent, Options, Pull, Wait};
use crate::reconcile::Goal;
use crate::stack::{InstanceId, Stack};

/// Brings the stack up.
pub(super) async fn run(invocation: &Invocation, arguments: &Up) -> Result<Exit, CommandError> {
    let (began, since) = (Instant::now(), Timestamp::now());
    if arguments.watch {
        watch::can_be_read_again(invocation)?;
    }
    let (read, seen) = project::reading(invocation)?;
    let stack = read?.stack;
    check_names(&stack, &arguments.selection.names)?;
    let adopt = arguments.selection.adopt;
    session::check_owner(invocation, &stack.name, &stack.directory, adopt)?;

    let interrupted = interrupt::listen(&invocation.screen)?;
    let deadline = arguments.wait_timeout.filter(|_| arguments.wait);
    let mut options = options(&stack, &arguments.selection);
    if arguments.wait {
        options.wait = Wait::All;
    }
    let job = Job {
        goal: Goal::Up(Box::new(stack.clone()), options),
        consent: consent(&arguments.selection),
        grace: arguments.timeout,
        stop: stop_at(interrupted.clone(), deadline),
        needs_minding: true,
    };
    let report = carry_out(invocation, job).await?;
    let attempt = Attempt { verb: "up", stack: &stack.name, files: &stack.files, began, deadline };
    let exit = report::say(invocation, attempt, &report);
    if exit != Exit::Done || arguments.detach || arguments.wait {
        return Ok(exit);
    }
    let ids = chosen(&stack, &arguments.selection.names);
    let (grace, whole) = (arguments.timeout, arguments.selection.names.is_empty());
    let attached = Attached { invocation, stack: &stack, ids, whole, since, grace };
    if arguments.watch {
        return attached.watch(&arguments.selection, seen, interrupted).await;
    }
    attached.run(interrupted).await
}

/// What `up` and `plan`, its dry run, ask of the planner.
pub(super) fn options(stack: &Stack, selection: &Selection) -> Options {
    let only: BTreeSet<String> = selection
        .names
        .iter()
        .map(|name| workload_of(stack, name).unwrap_or(name).to_owned())
        .collect();
    Options {
        only: (!only.is_empty()).then_some(only),
        no_deps: selection.no_deps,
        force_recreate: selection.force_recreate,
        pull: match selection.pull {
            None | Some(arguments::Pull::Missing) => Pull::Missing,
            Some(arguments::Pull::Always) => Pull::Always,
            Some(arguments::Pull::Never) => Pull::Never,
        },
        remove_orphans: selection.remove_orphans,
        ..Options::default()
    }
}

fn consent(selection: &Selection) -> Consent {
    Consent {
        replace_disks: selection.replace_disk.iter().cloned().collect(),
        ..Consent::default()
    }
}

/// The instances that an attached `up` shows.
fn chosen(stack: &Stack, names: &[String]) -> Vec<InstanceId> {
    let wanted = |id: &InstanceId| {
        names.is_empty() || names.iter().any(|name| *name == id.workload || *name == id.to_string())
    };
    stack.instances().map(|(id, _)| id).filter(wanted).collect()
}

/// The workload that a name on the command line means: its own, or that of one
/// of its copies.
fn workload_of<'a>(stack: &'a Stack, name: &str) -> Option<&'a str> {
    if let Some((name, _)) = stack.workloads.get_key_value(name) {
        return Some(name);
    }
    let mut copies = stack.workloads.values().flat_map(|workload| {
        workload.ids().map(move |id| (id.to_string(), workload.name.as_str()))
    });
    copies.find(|(copy, _)| copy == name).map(|(_, workload)| workload)
}

/// Refuses names that no workload of the file has.
pub(super) fn check_names(stack: &Stack, names: &[String]) -> Result<(), CommandError> {
    match names.iter().find(|name| workload_of(stack, name).is_none()) {
        None => Ok(()),
        Some(name) => Err(CommandError::NoSuchWorkload {
            name: name.clone(),
            stack: stack.name.to_string(),
            known: stack.workloads.keys().cloned().collect(),
        }),
    }
}

/// Becomes true at Ctrl-C, or when the time is up.
pub(super) fn stop_at(
    mut interrupted: Receiver<bool>,
    deadline: Option<Duration>,
) -> Receiver<bool> {
    let Some(deadline) = deadline else { return interrupted };
    let (sender, receiver) = channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.wait_for(|stop| *stop) => {}
            () = tokio::time::sleep(deadline) => {}
        }
        sender.send_replace(true);
    });
    receiver
}
