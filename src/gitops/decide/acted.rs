//! What an intention came to, and what follows from it.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::{
    Act, Came, Gates, Intention, Line, Outcome, Policy, Record, Revision, Standing, Trouble,
};
use crate::gitops::record::{KEPT, Past, Running};

pub(super) fn acted(
    record: &mut Record,
    policy: &Policy,
    now: Timestamp,
    intention: &Intention,
    outcome: Outcome,
) -> Vec<Line> {
    if outcome != Outcome::Stopped {
        record.intention = None;
    }
    match (intention.act, outcome) {
        // It is still to be done; or only files were put back.
        (_, Outcome::Stopped) | (Act::Restore, Outcome::Healthy) => Vec::new(),
        (Act::Deploy, Outcome::Healthy) => deployed(record, now, intention),
        (Act::Deploy, Outcome::Failed(reason)) => failed(record, policy, now, intention, &reason),
        (Act::Deploy, Outcome::Refused(gates)) => refused(record, intention, gates),
        (Act::RollBack, Outcome::Healthy) => {
            place(record, now, intention);
            vec![Line::Said(format!("{} is in place again and healthy", intention.revision))]
        }
        (Act::RollBack, outcome) => {
            place(record, now, intention);
            unwell(&intention.revision, &reason_of(outcome))
        }
        (Act::BringUp, Outcome::Healthy) => brought_up(record, &intention.revision),
        (Act::BringUp | Act::Restore, outcome) => unwell(&intention.revision, &reason_of(outcome)),
    }
}

fn reason_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(reason) => reason,
        Outcome::Refused(gates) => format!("refused: {}", gates.reasons().join("; ")),
        Outcome::Healthy | Outcome::Stopped => String::new(),
    }
}

fn unwell(revision: &Revision, reason: &str) -> Vec<Line> {
    vec![Line::Failed(Trouble {
        chain: vec![format!("{revision} is in place and not well"), reason.to_owned()],
        help: Some("`windlass gitops status` and `windlass ps` show how things are".to_owned()),
    })]
}

/// It is what runs from now on.
fn place(record: &mut Record, now: Timestamp, intention: &Intention) {
    let (revision, why) = (intention.revision.clone(), intention.why.clone());
    record.running = Some(Running { revision, since: now, why });
}

fn remember(record: &mut Record, now: Timestamp, revision: &Revision, came: Came) {
    record.history.retain(|past| past.revision.commit != revision.commit);
    record.history.insert(0, Past { revision: revision.clone(), at: now, came });
    record.history.truncate(KEPT);
}

fn stand(record: &mut Record, revision: &Revision, standing: Standing) {
    let head = record.head.as_mut().filter(|head| head.revision.commit == revision.commit);
    if let Some(head) = head {
        head.standing = standing;
    }
}

fn deployed(record: &mut Record, now: Timestamp, intention: &Intention) -> Vec<Line> {
    let revision = &intention.revision;
    place(record, now, intention);
    record.good = Some(revision.clone());
    remember(record, now, revision, Came::Good);
    stand(record, revision, Standing::InPlace);
    vec![Line::Said(format!("{revision} is in place and healthy"))]
}

fn brought_up(record: &mut Record, revision: &Revision) -> Vec<Line> {
    let is_good = record.good.as_ref().is_some_and(|good| good.commit == revision.commit);
    if is_good {
        return Vec::new();
    }
    // It was left as it was, and has become well.
    record.good = Some(revision.clone());
    if let Some(past) = record.history.iter_mut().find(|it| it.revision.commit == revision.commit) {
        past.came = Came::Good;
    }
    stand(record, revision, Standing::InPlace);
    vec![Line::Said(format!("{revision} is in place and healthy"))]
}

fn failed(
    record: &mut Record,
    policy: &Policy,
    now: Timestamp,
    intention: &Intention,
    reason: &str,
) -> Vec<Line> {
    let revision = &intention.revision;
    remember(record, now, revision, Came::Failed { reason: reason.to_owned() });
    stand(record, revision, Standing::Failed { reason: reason.to_owned() });
    place(record, now, intention);
    let chain = vec![format!("{revision} is not well"), reason.to_owned()];
    let good = record.good.clone().filter(|good| good.commit != revision.commit);
    if let Some(good) = good.filter(|_| policy.rollback) {
        let said = format!("rolling back to {good}");
        record.intention = Some(Intention {
            act: Act::RollBack,
            why: format!("rolled back: {} failed: {reason}", revision.short()),
            revision: good,
            approved: Gates::default(),
        });
        return vec![Line::Failed(Trouble { chain, help: None }), Line::Said(said)];
    }
    let help = if policy.rollback {
        "it is left as it is: no revision was good yet; a new commit is taken up"
    } else {
        "it is left as it is (`rollback: false`); a new commit is taken up"
    };
    vec![Line::Failed(Trouble { chain, help: Some(help.to_owned()) })]
}

/// Between looking and doing, the plan became another one.
fn refused(record: &mut Record, intention: &Intention, gates: Gates) -> Vec<Line> {
    let revision = &intention.revision;
    let reasons = gates.reasons().join("; ");
    stand(record, revision, Standing::Waits { gates });
    if let Some(running) = &record.running {
        record.intention = Some(Intention {
            act: Act::Restore,
            revision: running.revision.clone(),
            why: running.why.clone(),
            approved: Gates::default(),
        });
    }
    let said = format!("{revision} waits for approval: {reasons}");
    let how = format!("  `windlass gitops approve {}` lets it through", revision.short());
    vec![Line::Warned(said), Line::Said(how)]
}
