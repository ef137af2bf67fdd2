//! Who has ended and runs again, and when: one line for each instance, fed by
//! what is seen. Pure: time is what the caller says.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::restart::{Counts, Verdict, verdict};
use crate::observed::{Exit, Observed, ObservedInstance, Restarts, State};
use crate::stack::{InstanceId, Restart};

/// What is known of all instances of a stack.
#[derive(Debug, Default)]
pub struct Revival {
    of: BTreeMap<InstanceId, One>,
}

/// What a look brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Who has ended.
    pub ended: BTreeSet<InstanceId>,
    /// Of whom something else is to be written down.
    pub noted: BTreeSet<InstanceId>,
}

#[derive(Debug, Default)]
struct One {
    counts: Counts,
    gave_up: Option<u32>,
    seen: Seen,
    /// When it is started again, on the caller's clock.
    due: Option<Duration>,
    /// We are starting it: its next run is not the user's.
    ours: bool,
    /// Its end was judged by an earlier supervisor, which was to start it again.
    owed: bool,
    /// What was last handed out to be written down.
    noted: Noted,
}

/// What is written down of one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Noted {
    counts: Counts,
    gave_up: Option<u32>,
    due: Option<Duration>,
}

#[derive(Debug, Default, PartialEq)]
enum Seen {
    #[default]
    Nothing,
    Alive {
        pid: i32,
        since: Duration,
    },
    Ended(Exit),
}

impl Revival {
    /// Takes note of what exists; what is new about it.
    pub fn look(
        &mut self,
        observed: &Observed,
        policy: impl Fn(&InstanceId) -> Restart,
        now: Duration,
    ) -> News {
        self.of.retain(|id, _| observed.instances.contains_key(id));
        let mut news = News::default();
        for (id, instance) in &observed.instances {
            let known = self.of.contains_key(id);
            // Of one that is new, an earlier supervisor may have written something down.
            let one = self.of.entry(id.clone());
            let one = one.or_insert_with(|| One::remembered(instance.restarts));
            let ended = one.look(instance, policy(id), now);
            // What had ended before anybody looked is no news.
            if ended && known {
                news.ended.insert(id.clone());
            }
            let noted = Noted { counts: one.counts, gave_up: one.gave_up, due: one.due };
            if one.noted != noted {
                one.noted = noted;
                news.noted.insert(id.clone());
            }
        }
        news
    }

    /// Those whose time has come. They are taken to be started by the caller.
    pub fn take_due(&mut self, now: Duration) -> BTreeSet<InstanceId> {
        let mut due = BTreeSet::new();
        for (id, one) in &mut self.of {
            if one.due.is_some_and(|at| at <= now) {
                (one.due, one.ours) = (None, true);
                due.insert(id.clone());
            }
        }
        due
    }

    /// They were started: what is seen of them next is news, even where a run
    /// ended like the one before within the same second.
    pub fn started(&mut self, ids: &BTreeSet<InstanceId>, by_user: bool) {
        for id in ids {
            let one = self.of.entry(id.clone()).or_default();
            if by_user {
                *one = One { noted: one.noted, ..One::default() };
            }
            (one.seen, one.ours) = (Seen::Nothing, true);
        }
    }

    /// Their start failed: they are judged as if they had ended at once.
    pub fn failed(
        &mut self,
        ids: &BTreeSet<InstanceId>,
        policy: impl Fn(&InstanceId) -> Restart,
        now: Duration,
    ) {
        for id in ids {
            if let Some(one) = self.of.get_mut(id)
                && let Seen::Ended(exit) = &one.seen
                && one.due.is_none()
            {
                let exit = Exit { code: None, ..exit.clone() };
                one.judge(&exit, false, Duration::ZERO, policy(id), now);
            }
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.of.values().filter_map(|one| one.due).min()
    }

    /// What is to be written down, and when it is started again on the caller's clock.
    pub fn note(&self, id: &InstanceId) -> Option<(Restarts, Option<Duration>)> {
        let one = self.of.get(id)?;
        let Counts { count, in_a_row } = one.counts;
        let (version, gave_up) = (Restarts::VERSION, one.gave_up);
        Some((Restarts { version, count, in_a_row, gave_up, due: None }, one.due))
    }
}

impl One {
    fn remembered(note: Restarts) -> Self {
        let counts = Counts { count: note.count, in_a_row: note.in_a_row };
        let (gave_up, owed) = (note.gave_up, note.due.is_some());
        let noted = Noted { counts, gave_up, due: owed.then_some(Duration::ZERO) };
        // Whatever runs now, it was not the user who started it since.
        Self { counts, gave_up, ours: note.count > 0, owed, noted, ..Self::default() }
    }

    /// Whether it has ended since it was looked last.
    fn look(&mut self, instance: &ObservedInstance, policy: Restart, now: Duration) -> bool {
        match &instance.state {
            State::Running { pid } | State::Paused { pid } | State::Degraded { pid, .. } => {
                self.alive(*pid, now);
            }
            State::Exited(exit) => return self.ended(exit, instance.held, policy, now),
            State::HalfMade | State::Created => {
                (self.seen, self.due, self.owed) = (Seen::Nothing, None, false);
            }
        }
        false
    }

    fn alive(&mut self, pid: i32, now: Duration) {
        (self.due, self.owed) = (None, false);
        if matches!(self.seen, Seen::Alive { pid: seen, .. } if seen == pid) {
            return;
        }
        if !self.ours {
            (self.counts, self.gave_up) = (Counts::default(), None);
        }
        self.ours = false;
        self.seen = Seen::Alive { pid, since: now };
    }

    fn ended(&mut self, exit: &Exit, held: bool, policy: Restart, now: Duration) -> bool {
        if held {
            self.due = None;
        }
        if self.seen == Seen::Ended(exit.clone()) {
            return false;
        }
        let ran = match self.seen {
            Seen::Alive { since, .. } => now.saturating_sub(since),
            _ => Duration::ZERO,
        };
        self.seen = Seen::Ended(exit.clone());
        if std::mem::take(&mut self.owed) && !held && policy != Restart::No {
            // Judged again it would be counted twice, and might be given up for that.
            self.due = Some(now);
            return true;
        }
        self.judge(exit, held, ran, policy, now);
        true
    }

    fn judge(&mut self, exit: &Exit, held: bool, ran: Duration, policy: Restart, now: Duration) {
        self.gave_up = None;
        self.due = None;
        match verdict(policy, exit, held, ran, self.counts) {
            Verdict::Rest => {}
            Verdict::GiveUp { limit } => self.gave_up = Some(limit),
            Verdict::Again { pause, counts } => {
                self.counts = counts;
                self.due = Some(now + pause);
            }
        }
    }
}

#[cfg(test)]
mod tests;
