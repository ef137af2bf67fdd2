//! How a reconcile ended, in words: what was refused, what was blocked, what
//! failed and what to do about it. Everything here goes to standard error.

mod guest;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::error::exit_of;
use super::ui::words::elapsed;
use super::{Exit, Invocation};
use crate::plan::Plan;
use crate::plan::display::{Screen as Words, is_nothing};
use crate::reconcile::Report;
use crate::reconcile::report::Walked;
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
pub(super) fn say(invocation: &Invocation, attempt: Attempt<'_>, report: &Report) -> Exit {
    let screen = &invocation.screen;
    let file = file_name(attempt.files);
    let words = Words { stack: attempt.stack.as_str(), file: &file, ascii: !screen.stderr.unicode };
    match report {
        Report::Blocked(plan) => {
            screen.say(words.plan(plan).trim_end());
            Exit::Failed
        }
        Report::Refused(plan, refused) => {
            screen.say(words.refused(plan, refused).trim_end());
            Exit::Refused
        }
        Report::Failed(trouble) => {
            screen.failure(&trouble.chain, trouble.help.as_deref());
            exit_of(trouble.kind)
        }
        Report::Done(plan, walked) if is_nothing(plan) && !walked.interrupted => {
            let took = Some(attempt.began.elapsed());
            screen.say(&words.nothing_to_do(plan, took));
            remarks(invocation, plan, &words);
            Exit::Done
        }
        Report::Done(plan, walked) => {
            remarks(invocation, plan, &words);
            ended(invocation, &attempt, plan, walked)
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

fn ended(invocation: &Invocation, attempt: &Attempt<'_>, plan: &Plan, walked: &Walked) -> Exit {
    let screen = &invocation.screen;
    let took = attempt.began.elapsed();
    for (resource, trouble) in &walked.failed {
        let help = trouble.help.as_deref();
        match guest::failure_of(resource, trouble) {
            Some(said) => guest::say(screen, said, plan, help),
            None => screen.failure(&trouble.chain, help),
        }
    }
    if walked.interrupted {
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
    if walked.failed.is_empty() {
        screen.say(&format!("{} in {}", attempt.verb, elapsed(took)));
        return Exit::Done;
    }
    // All failures count: an engine that is missing outweighs a step that failed.
    let mut exits = walked.failed.iter().map(|(_, trouble)| exit_of(trouble.kind));
    let unavailable = exits.all(|exit| exit == Exit::Unavailable);
    if unavailable { Exit::Unavailable } else { Exit::Failed }
}

/// The name of the file that a reader would edit.
pub(super) fn file_name(files: &[PathBuf]) -> String {
    let name = files.first().and_then(|file| file.file_name());
    name.map_or_else(|| "the stack file".into(), |name| name.to_string_lossy().into_owned())
}
