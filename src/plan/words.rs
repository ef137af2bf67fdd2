//! What was seen, in the words of a plan.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Verb;
use crate::observed::{Exit, ObservedInstance, State};

/// Why one that should run does not.
pub(super) fn why_it_rests(existing: &ObservedInstance) -> String {
    match &existing.state {
        State::HalfMade => "was left half made".into(),
        State::Created => "was made and never started".into(),
        State::Exited(_) if existing.held => "was stopped".into(),
        State::Exited(exit) => how_it_ended(exit),
        State::Paused { .. } => "is paused".into(),
        State::Degraded { reason, .. } => reason.clone(),
        State::Running { .. } => "runs".into(),
    }
}

fn how_it_ended(exit: &Exit) -> String {
    match exit.code {
        _ if exit.out_of_memory => "was killed for lack of memory".into(),
        None => "was cut off (the host or its shim went down)".into(),
        Some(code @ 129..=192) => format!("was killed (signal {})", code - 128),
        Some(0) => "has ended".into(),
        Some(code) => format!("exited with code {code}"),
    }
}

/// What happens to something that others depend on.
pub(super) fn what_happens(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "is created",
        Verb::Start => "is started",
        Verb::InPlace => "is changed",
        Verb::Restart => "is restarted",
        Verb::Recreate => "is recreated",
        Verb::Stop => "is stopped",
        Verb::Remove => "is removed",
        Verb::ReplaceDisk => "gets a new disk",
    }
}

/// `db`, `db and web`, `db, web and worker`, `db, web and 3 more`.
pub(super) fn enumerate(names: &[String], most: usize) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        names if names.len() > most => {
            let shown = most - 1;
            format!("{} and {} more", names[..shown].join(", "), names.len() - shown)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
