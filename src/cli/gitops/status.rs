//! `gitops status`: which revision runs, since when and why, and what waits.

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::arguments::Format;
use crate::cli::ui::words::age;
use crate::cli::{CommandError, Exit, Invocation};
use crate::gitops::Store;
use crate::gitops::record::{
    Came, Fetch, Head, Intention, Past, Record, Revision, Running, Standing, Wishes,
};
use crate::gitops::store::Follower;
use crate::stack::StackName;

/// What is known, for programs.
#[derive(Serialize)]
struct Known<'a> {
    stack: &'a StackName,
    /// The loop's process; `null`: none runs.
    pid: Option<u32>,
    suspended: bool,
    follows: Option<&'a str>,
    running: Option<&'a Running>,
    good: Option<&'a Revision>,
    head: Option<&'a Head>,
    intention: Option<&'a Intention>,
    fetch: Option<&'a Fetch>,
    history: &'a [Past],
}

pub(super) fn run(
    invocation: &Invocation,
    stack: &StackName,
    store: &Store,
    format: Format,
) -> Result<Exit, CommandError> {
    let (record, wishes, follower) = (store.record()?, store.wishes()?, store.follower()?);
    if format == Format::Json {
        let record = record.as_ref();
        invocation.screen.json(&Known {
            stack,
            pid: follower.pid(),
            suspended: wishes.suspended,
            follows: record.map(|record| record.follows.as_str()),
            running: record.and_then(|record| record.running.as_ref()),
            good: record.and_then(|record| record.good.as_ref()),
            head: record.and_then(|record| record.head.as_ref()),
            intention: record.and_then(|record| record.intention.as_ref()),
            fetch: record.and_then(|record| record.fetch.as_ref()),
            history: record.map_or(&[], |record| &record.history),
        })?;
        return Ok(Exit::Done);
    }
    let text = text(stack, record.as_ref(), &wishes, &follower, Timestamp::now());
    invocation.screen.raw(text.as_bytes())?;
    Ok(Exit::Done)
}

/// All of it, for people.
fn text(
    stack: &StackName,
    record: Option<&Record>,
    wishes: &Wishes,
    follower: &Follower,
    now: Timestamp,
) -> String {
    let ago = |at: Timestamp| format!("{} ago", age(now.as_second() - at.as_second()));
    let mut lines = Vec::new();
    let mut say = |what: &str, text: String| {
        lines.push(format!("{what:<9} {text}").trim_end().to_owned());
    };
    say("stack", stack.to_string());
    if let Some(record) = record {
        say("follows", record.follows.clone());
    }
    say(
        "loop",
        match (follower, wishes.suspended) {
            (_, true) => "suspended: `windlass gitops resume` goes on".to_owned(),
            (Follower::Nobody, _) => "none runs: `windlass gitops run FILE` follows it".to_owned(),
            (Follower::Loop(None), _) => "runs".to_owned(),
            (Follower::Loop(Some(holder)), _) => format!("runs (pid {})", holder.pid),
        },
    );
    let Some(record) = record else { return lines.join("\n") + "\n" };
    match &record.running {
        Some(running) => {
            say("runs", running.revision.to_string());
            say("since", format!("{}: {}", ago(running.since), running.why));
        }
        None => say("runs", "nothing yet".to_owned()),
    }
    if let Some(intention) = &record.intention {
        say("doing", format!("{}: {}", intention.revision, intention.why));
    }
    let being_done = record.intention.as_ref().map(|intention| &intention.revision);
    if let Some(head) = record.head.as_ref().filter(|head| being_done != Some(&head.revision)) {
        for (what, text) in of_head(head) {
            say(what, text);
        }
    }
    match &record.fetch {
        Some(fetch) => match &fetch.error {
            None => say("fetched", ago(fetch.at)),
            Some(error) => {
                let last = fetch.succeeded.map_or_else(|| "never".to_owned(), ago);
                say("fetched", format!("{last}; failing, {}: {error}", ago(fetch.at)));
            }
        },
        None => say("fetched", "never".to_owned()),
    }
    for past in &record.history {
        let came = match &past.came {
            Came::Good => "good".to_owned(),
            Came::Failed { reason } => format!("failed: {reason}"),
        };
        say("revision", format!("{}  {}  {came}", past.revision, ago(past.at)));
    }
    lines.join("\n") + "\n"
}

/// What there is to say of the newest, where it is not in place.
fn of_head(head: &Head) -> Vec<(&'static str, String)> {
    let newest = head.revision.to_string();
    let short = head.revision.short();
    match &head.standing {
        Standing::InPlace => Vec::new(),
        Standing::New | Standing::Cleared { .. } => vec![("next", newest)],
        Standing::Wrong { reason } => {
            let mut lines = vec![("wrong", newest)];
            lines.extend(reason.lines().map(|line| ("", line.to_owned())));
            lines
        }
        Standing::Blocked { reason } => vec![("blocked", format!("{newest}: {reason}"))],
        Standing::Waits { gates } => {
            let mut lines = vec![("waits", newest)];
            lines.extend(gates.reasons().into_iter().map(|reason| ("", reason)));
            lines.push(("", format!("`windlass gitops approve {short}` lets it through")));
            lines
        }
        Standing::Failed { reason } => vec![
            ("failed", format!("{newest}: {reason}")),
            ("", format!("`windlass gitops approve {short}` tries it again")),
        ],
    }
}

/// What a `sync` came to, in a line; the exit code.
pub(super) fn outcome(invocation: &Invocation, record: &Record) -> Exit {
    let screen = &invocation.screen;
    let fetch = record.fetch.as_ref().and_then(|fetch| fetch.error.as_ref());
    if let Some(error) = fetch {
        screen.failure(std::slice::from_ref(error), None);
        return Exit::Failed;
    }
    let runs = record.running.as_ref().map(|running| running.revision.to_string());
    let runs = runs.map_or_else(|| "nothing is in place".to_owned(), |it| format!("{it} runs"));
    let Some(head) = &record.head else {
        screen.say(&runs);
        return Exit::Done;
    };
    let lines = of_head(head);
    for (what, text) in &lines {
        screen.say(format!("{what:<9} {text}").trim_end());
    }
    screen.say(&runs);
    match head.standing {
        Standing::InPlace | Standing::New | Standing::Cleared { .. } => Exit::Done,
        Standing::Waits { .. } => Exit::Refused,
        Standing::Wrong { .. } => Exit::StackFile,
        Standing::Blocked { .. } | Standing::Failed { .. } => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::gates::Gates;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn revision(digit: &str, subject: &str) -> Revision {
        Revision { commit: digit.repeat(40), subject: subject.to_owned() }
    }

    /// One runs after another one failed, and a third one waits.
    fn record() -> Record {
        let (good, bad) = (revision("a", "Raise the limits"), revision("b", "Faster"));
        let mut record = Record::new("main of https://git.example.org/shop.git".to_owned());
        record.good = Some(good.clone());
        record.history = vec![
            Past { revision: bad, at: at(7000), came: Came::Failed { reason: "slow".into() } },
            Past { revision: good.clone(), at: at(0), came: Came::Good },
        ];
        let why = "rolled back: bbbbbbbbbb failed: slow".to_owned();
        record.running = Some(Running { revision: good, since: at(7100), why });
        let removed = ["cron", "mail"].map(str::to_owned).into();
        let gates = Gates { removed, existing: 3, ..Gates::default() };
        record.head = Some(Head {
            revision: revision("c", "Drop the workers"),
            seen: at(7190),
            rewrites: None,
            approved: None,
            standing: Standing::Waits { gates },
            said: None,
        });
        record.fetch =
            Some(Fetch { at: at(7195), succeeded: Some(at(7100)), error: Some("no route".into()) });
        record
    }

    #[test]
    fn what_runs_why_and_what_waits() {
        let shop = StackName::new("shop").unwrap();
        let wishes = Wishes::default();
        let text = text(&shop, Some(&record()), &wishes, &Follower::Nobody, at(7200));
        insta::assert_snapshot!(text);
    }
}
