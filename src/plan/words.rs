//! What was seen, in the words of a plan.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Verb;
use crate::observed::{Exit, ObservedInstance, State};

/// Why one that should run does not.
pub fn why_it_rests(existing: &ObservedInstance) -> String {
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

/// `1st`, `2nd`, `3rd`, `4th` …
pub fn ordinal(number: u32) -> String {
    let suffix = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{suffix}")
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

/// Bytes as people read them: `512 B`, `1.5 GiB`, `20 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && count / scale >= 1024 {
        scale *= 1024;
        unit += 1;
    }
    let (whole, tenth) = (count / scale, count % scale * 10 / scale);
    if unit == 0 || whole >= 10 || tenth == 0 {
        format!("{whole} {}", UNITS[unit])
    } else {
        format!("{whole}.{tenth} {}", UNITS[unit])
    }
}

/// What lies on a VM's root disk: `3.1 GiB written to the root disk since 2026-11-02`.
pub(super) fn written(existing: &ObservedInstance) -> String {
    let Some(disk) = &existing.disk else { return "what was written to its root disk".into() };
    let since = jiff::Timestamp::from_second(disk.since).unwrap_or_default();
    let day = since.strftime("%Y-%m-%d");
    format!("{} written to the root disk since {day}", bytes(disk.bytes))
}

/// `db`, `db and web`, `db, web and worker`, `db, web and 3 more`.
pub(crate) fn enumerate(names: &[String], most: usize) -> String {
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
