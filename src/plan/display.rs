//! A plan as text: what `plan` prints, what `up` shows before it asks, and
//! what golden files hold. It formats; it decides nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod table;

use std::fmt::Write;
use std::time::Duration;

use super::course::{AS_IT_SHOULD_BE, COMPLETED};
use super::words::enumerate;
use super::{Blocked, Cause, Change, Loss, Plan, Refused, Resource, Verb};
use crate::stack::definition::Difference;
use table::Row;

/// How many names a line holds before it is folded.
const MOST_NAMES: usize = 8;

/// The marks of a plan's lines, in words.
pub const LEGEND: &str =
    "+ create, ~ in place, ↻ restart, ± recreate, - remove, = kept, ? orphan, ! data";

/// The marks without Unicode.
pub const LEGEND_ASCII: &str =
    "+ create, ~ in place, @ restart, * recreate, - remove, = kept, ? orphan, ! data";

/// How a plan is shown.
#[derive(Debug, Clone, Copy)]
pub struct Screen<'a> {
    /// The stack's name.
    pub stack: &'a str,
    /// The file's name, for what is no longer in it.
    pub file: &'a str,
    /// Marks and arrows without Unicode.
    pub ascii: bool,
}

impl Screen<'_> {
    /// The whole plan.
    pub fn plan(&self, plan: &Plan) -> String {
        let mut text = String::new();
        if !plan.blocked.is_empty() {
            let _ = writeln!(text, "{}", self.blocked_heading(plan));
            text.push('\n');
            text.push_str(&self.blocked(&plan.blocked));
        } else if is_nothing(plan) {
            let _ = writeln!(text, "{}", self.nothing_to_do(plan, None));
            text.push_str(&self.rest(plan, false));
        } else {
            let _ = writeln!(text, "{}", self.heading(plan));
            text.push('\n');
            text.push_str(&table::lay_out(&self.rows(&plan.changes)));
            let rest = self.rest(plan, true);
            if !rest.is_empty() {
                text.push('\n');
                text.push_str(&rest);
            }
        }
        self.finish(text)
    }

    /// `shop: nothing to do (5 resources as they should be, looked in 31 ms)`
    pub fn nothing_to_do(&self, plan: &Plan, looked_in: Option<Duration>) -> String {
        let resources = match plan.kept.len() {
            0 => "no resources".to_owned(),
            1 => "1 resource as it should be".to_owned(),
            count => format!("{count} resources as they should be"),
        };
        let time = looked_in
            .map(|time| format!(", looked in {} ms", time.as_millis()))
            .unwrap_or_default();
        self.finish(format!("{}: nothing to do ({resources}{time})", self.stack))
    }

    /// What is no longer as it was made.
    pub fn drift(&self, plan: &Plan) -> String {
        if is_nothing(plan) && plan.blocked.is_empty() {
            let count = plan.kept.len();
            return self.finish(format!("{}: as it was made ({count} resources)\n", self.stack));
        }
        let count = match plan.changes.len() + plan.blocked.len() {
            1 => "1 resource is".to_owned(),
            count => format!("{count} resources are"),
        };
        let mut text = format!("{}: {count} not as `up` made it\n\n", self.stack);
        text.push_str(&table::lay_out(&self.rows(&plan.changes)));
        text.push_str(&self.blocked(&plan.blocked));
        self.finish(text)
    }

    /// What lacks consent, why, and what to say instead.
    pub fn refused(&self, plan: &Plan, refused: &Refused) -> String {
        let lacking =
            |change: &&Change| refused.lacking.iter().any(|(it, _)| *it == change.resource);
        let changes: Vec<Change> = plan.changes.iter().filter(lacking).cloned().collect();
        let mut text = table::lay_out(&self.rows(&changes));
        let _ = write!(text, "\nrefused: {refused}\n  help: {}\n", refused.help);
        self.finish(text)
    }

    /// `shop: 5 changes; db, web and worker are interrupted; no data lost`
    fn heading(&self, plan: &Plan) -> String {
        let count = match plan.changes.len() {
            1 => "1 change".to_owned(),
            count => format!("{count} changes"),
        };
        let of = |wanted: fn(&Loss) -> bool| -> Vec<String> {
            plan.changes
                .iter()
                .filter(|it| wanted(&it.loss))
                .map(|it| self.bare(&it.resource))
                .collect()
        };
        let interrupted = of(|loss| *loss == Loss::Downtime);
        let at_stake = of(|loss| matches!(loss, Loss::Data(_)));
        let interruption = match interrupted.len() {
            0 if at_stake.is_empty() => "nothing is interrupted".to_owned(),
            0 => String::new(),
            1 => format!("{} is interrupted", interrupted[0]),
            _ => format!("{} are interrupted", enumerate(&interrupted, 4)),
        };
        let data = match at_stake.len() {
            0 => "no data lost".to_owned(),
            _ => format!("data of {} at stake", enumerate(&at_stake, 4)),
        };
        let parts = [count, interruption, data];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", self.stack, parts.join("; "))
    }

    /// What is worth saying after the plan was applied: what stays for a reason
    /// of its own, what is no longer in the file, notes.
    pub fn remarks(&self, plan: &Plan) -> String {
        self.finish(self.rest(plan, false))
    }

    /// What stays, what is no longer in the file, what is worth saying.
    fn rest(&self, plan: &Plan, with_right_ones: bool) -> String {
        let mut text = String::new();
        let right: Vec<String> = plan
            .kept
            .iter()
            .filter(|kept| kept.reason == AS_IT_SHOULD_BE || kept.reason == COMPLETED)
            .map(|kept| self.full(&kept.resource))
            .collect();
        if with_right_ones && !right.is_empty() {
            let state = if right.len() == 1 { "as it should be" } else { AS_THEY_SHOULD_BE };
            let _ = writeln!(text, "  = {}: {state}", list(&right));
        }
        for kept in &plan.kept {
            if kept.reason != AS_IT_SHOULD_BE && kept.reason != COMPLETED {
                let _ = writeln!(text, "  = {}: {}", self.full(&kept.resource), kept.reason);
            }
        }
        if !plan.orphans.is_empty() {
            let names: Vec<String> = plan.orphans.iter().map(|it| self.full(it)).collect();
            let object = if names.len() == 1 { "it" } else { "them" };
            let _ = writeln!(
                text,
                "  ? {}: no longer in {}; left alone (`--remove-orphans` removes {object})",
                list(&names),
                self.file
            );
        }
        for note in &plan.notes {
            let _ = writeln!(text, "  note: {note}");
        }
        text
    }

    fn blocked_heading(&self, plan: &Plan) -> String {
        let count = plan.blocked.len();
        let what =
            if count == 1 { "1 thing stands".into() } else { format!("{count} things stand") };
        format!("{}: {what} in the way; nothing is changed", self.stack)
    }

    fn blocked(&self, blocked: &[Blocked]) -> String {
        let rows: Vec<Row> = blocked
            .iter()
            .map(|blocked| Row {
                mark: "✘",
                name: self.full(&blocked.resource),
                verb: String::new(),
                lines: std::iter::once(blocked.reason.clone())
                    .chain(blocked.help.iter().map(|help| format!("help: {help}")))
                    .collect(),
            })
            .collect();
        table::lay_out(&rows)
    }

    fn rows(&self, changes: &[Change]) -> Vec<Row> {
        changes.iter().map(|change| self.row(change)).collect()
    }

    fn row(&self, change: &Change) -> Row {
        let mut lines: Vec<String> = change.causes.iter().filter_map(cause).collect();
        if let Loss::Data(what) = &change.loss {
            lines.push(what.clone());
        }
        Row {
            mark: mark(change),
            name: self.full(&change.resource),
            verb: verb(change.verb).to_owned(),
            lines,
        }
    }

    /// `vm db`, `network back`; a volume by the file's name where it has the usual one.
    fn full(&self, resource: &Resource) -> String {
        match resource {
            Resource::Network(name) => format!("network {name}"),
            Resource::Firewall => "firewall".into(),
            Resource::Volume(resolved) => {
                let short = resolved.strip_prefix(self.stack).and_then(|it| it.strip_prefix('_'));
                format!("volume {}", short.unwrap_or(resolved))
            }
            Resource::Image(source) => format!("image {source}"),
            Resource::Instance(kind, id) => format!("{kind} {id}"),
        }
    }

    /// `db` for an instance; others need their kind.
    fn bare(&self, resource: &Resource) -> String {
        match resource {
            Resource::Instance(_, id) => id.to_string(),
            other => self.full(other),
        }
    }

    fn finish(&self, text: String) -> String {
        if !self.ascii {
            return text;
        }
        let replacements =
            [("↻", "@"), ("±", "*"), ("→", "->"), ("✘", "x"), ("…", "..."), ("×", "x"), ("–", "-")];
        replacements.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }
}

const AS_THEY_SHOULD_BE: &str = "as they should be";

/// Whether applying it would do nothing.
pub fn is_nothing(plan: &Plan) -> bool {
    plan.changes.is_empty() && plan.steps.is_empty()
}

fn mark(change: &Change) -> &'static str {
    match (&change.loss, change.verb) {
        (Loss::Data(_), _) | (_, Verb::ReplaceDisk) => "!",
        (_, Verb::Create | Verb::Start) => "+",
        (_, Verb::InPlace) => "~",
        (_, Verb::Restart) => "↻",
        (_, Verb::Recreate) => "±",
        (_, Verb::Stop | Verb::Remove) => "-",
    }
}

fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Start => "start",
        Verb::InPlace => "in place",
        Verb::Restart => "restart",
        Verb::Recreate => "recreate",
        Verb::Stop => "stop",
        Verb::Remove => "remove",
        Verb::ReplaceDisk => "replace disk",
    }
}

/// A cause in words; nothing for what is simply not there yet.
pub fn cause(cause: &Cause) -> Option<String> {
    Some(match cause {
        Cause::Field(difference) => changed(difference),
        Cause::Drift(difference) => format!("{} (changed outside)", changed(difference)),
        Cause::Seen(words) => words.clone(),
        Cause::DependsOn { on, what } => format!("depends on {on}, which {what} (restart: true)"),
        Cause::Asked(words) if words.starts_with('-') => format!("asked for (`{words}`)"),
        // What is not there yet, and the command that was just typed, explain themselves.
        Cause::Missing | Cause::Asked(_) => return None,
    })
}

/// `memory: 1GiB → 2GiB`
fn changed(difference: &Difference) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(unset)".into());
    format!("{}: {} → {}", difference.field, text(&difference.from), text(&difference.to))
}

fn list(names: &[String]) -> String {
    if names.len() <= MOST_NAMES {
        return names.join(", ");
    }
    let shown = MOST_NAMES - 1;
    format!("{} and {} more", names[..shown].join(", "), names.len() - shown)
}
