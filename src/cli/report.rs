//! How a reconcile ended, in words: what was refused, what was blocked, what
//! failed and what to do about it. Everything here goes to standard error.

mod guest;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::ui::words::elapsed;
use super::{CommandError, Exit, Invocation};
use crate::cli::error::chain;
use crate::plan::Plan;
use crate::plan::display::{Screen as Words, is_nothing};
use crate::reconcile::{ReconcileError, Reconciled};
use crate::stack::StackName;

/// What was attempted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    /// The verb, for messages: `up`.
    pub(super) verb: &'static str,
    /// The stack.
    pub(super) stack: &'a StackName,
    /// Its files.
    pub(super) files: &'a [PathBuf],
    /// When the command began.
    pub(super) began: Instant,
    /// The time it was given.
    pub(super) deadline: Option<Duration>,
}

/// Says how it ended; the exit code.
pub(super) fn say(
    invocation: &Invocation,
    attempt: Attempt<'_>,
    result: Result<Reconciled, ReconcileError>,
) -> Result<Exit, CommandError> {
    let screen = &invocation.screen;
    let file = file_name(attempt.files);
    let words = Words { stack: attempt.stack.as_str(), file: &file, ascii: !screen.stderr.unicode };
    match result {
        Err(ReconcileError::Blocked(plan)) => {
            screen.say(words.plan(&plan).trim_end());
            Ok(Exit::Failed)
        }
        Err(ReconcileError::Refused(plan, refused)) => {
            screen.say(words.refused(&plan, &refused).trim_end());
            Ok(Exit::Refused)
        }
        Err(error) => Err(error.into()),
        Ok(done) if is_nothing(&done.plan) => {
            let took = Some(attempt.began.elapsed());
            screen.say(&words.nothing_to_do(&done.plan, took));
            remarks(invocation, &done.plan, &words);
            Ok(Exit::Done)
        }
        Ok(done) => {
            remarks(invocation, &done.plan, &words);
            Ok(ended(invocation, &attempt, &done))
        }
    }
}

/// What the plan left for a reason, orphans and notes: said after the rest.
fn remarks(invocation: &Invocation, plan: &Plan, words: &Words<'_>) {
    let remarks = words.remarks(plan);
    if !remarks.is_empty() {
        invocation.screen.say(remarks.trim_end());
    }
}

fn ended(invocation: &Invocation, attempt: &Attempt<'_>, done: &Reconciled) -> Exit {
    let outcome = &done.outcome;
    let screen = &invocation.screen;
    let took = attempt.began.elapsed();
    for failure in &outcome.failed {
        let help = failure.error.help.as_deref();
        match guest::failure_of(failure) {
            Some(said) => guest::say(screen, said, &done.plan, help),
            None => screen.failure(&chain(&failure.error), help),
        }
    }
    if outcome.interrupted {
        let timed_out = attempt.deadline.is_some_and(|deadline| took >= deadline);
        if timed_out {
            let reason = format!("not everything was up within {}", elapsed(took));
            screen.failure(&[reason], Some("it goes on in the background; `windlass ps` shows it"));
            return Exit::Failed;
        }
        let reason = format!("interrupted: `windlass {}` finishes the job", attempt.verb);
        screen.failure(&[reason], None);
        return Exit::Interrupted;
    }
    if outcome.failed.is_empty() {
        screen.say(&format!("{} in {}", attempt.verb, elapsed(took)));
        return Exit::Done;
    }
    // All failures count: an engine that is missing outweighs a step that failed.
    let exits = outcome.failed.iter().map(|failure| super::error::exit_of(failure.error.kind));
    let unavailable = exits.into_iter().all(|exit| exit == Exit::Unavailable);
    if unavailable { Exit::Unavailable } else { Exit::Failed }
}

/// The name of the file that a reader would edit.
pub(super) fn file_name(files: &[PathBuf]) -> String {
    let name = files.first().and_then(|file| file.file_name());
    name.map_or_else(|| "the stack file".into(), |name| name.to_string_lossy().into_owned())
}
