//! Changes come in bursts: each key is given out when it has been at rest for a
//! while, or when it has waited long enough although it goes on changing. One
//! key never waits for another. It knows no clock: it is told the time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Keys that wait, each with what was said of it.
#[derive(Debug)]
pub struct Debounce<K, V> {
    rest: Duration,
    most: Duration,
    waiting: BTreeMap<K, Waiting<V>>,
}

#[derive(Debug)]
struct Waiting<V> {
    first: Duration,
    last: Duration,
    values: BTreeSet<V>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due<K, V> {
    /// Of what.
    pub key: K,
    /// Since when it had been waiting.
    pub first: Duration,
    /// What was said of it.
    pub values: BTreeSet<V>,
}

impl<K: Ord + Clone, V: Ord> Debounce<K, V> {
    /// A key is due after `rest` without a change, and `most` after its first in any case.
    pub fn new(rest: Duration, most: Duration) -> Self {
        Self { rest, most, waiting: BTreeMap::new() }
    }

    /// Something was said of `key`, now.
    pub fn touch(&mut self, key: K, value: V, now: Duration) {
        let new = || Waiting { first: now, last: now, values: BTreeSet::new() };
        let waiting = self.waiting.entry(key).or_insert_with(new);
        waiting.last = now;
        waiting.values.insert(value);
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.waiting.values().map(|waiting| self.due(waiting)).min()
    }

    /// Takes what is due now.
    pub fn take(&mut self, now: Duration) -> Vec<Due<K, V>> {
        let due = self.waiting.iter().filter(|(_, waiting)| self.due(waiting) <= now);
        let keys: Vec<K> = due.map(|(key, _)| key.clone()).collect();
        let taken = keys.into_iter().filter_map(|key| self.waiting.remove_entry(&key));
        taken.map(|(key, it)| Due { key, first: it.first, values: it.values }).collect()
    }

    fn due(&self, waiting: &Waiting<V>) -> Duration {
        (waiting.last + self.rest).min(waiting.first + self.most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: Duration = Duration::from_millis(50);
    const MOST: Duration = Duration::from_millis(500);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_one() {
        let mut debounce = Debounce::new(REST, MOST);
        for ms in [0, 20, 40] {
            debounce.touch("a", ms, at(ms));
        }
        assert_eq!(debounce.next(), Some(at(90)));
        assert_eq!(debounce.take(at(89)), []);
        let values = BTreeSet::from([0, 20, 40]);
        assert_eq!(debounce.take(at(90)), [Due { key: "a", first: at(0), values }]);
        assert_eq!(debounce.next(), None);
    }

    #[test]
    fn a_busy_neighbour_delays_nobody_and_is_not_delayed_for_ever() {
        let mut debounce = Debounce::new(REST, MOST);
        let mut taken = Vec::new();
        for ms in (0..1000).step_by(10) {
            taken.extend(debounce.take(at(ms)).into_iter().map(|due| (due.key, ms)));
            debounce.touch("busy", (), at(ms));
            if ms == 100 {
                debounce.touch("saved", (), at(ms));
            }
        }
        assert_eq!(taken, [("saved", 150), ("busy", 500)]);
    }

    proptest! {
        /// Whatever the order of changes: nothing is lost, nothing is due before
        /// its rest without the limit, nothing after either.
        #[test]
        fn every_change_is_given_out_once_and_in_time(
            steps in prop::collection::vec((0_u8..4, 0_u64..80), 1..60),
        ) {
            let mut debounce = Debounce::new(REST, MOST);
            let (mut now, mut given, mut last) = (at(0), BTreeMap::new(), BTreeMap::new());
            let check = |debounce: &mut Debounce<u8, usize>, now: Duration,
                             given: &mut BTreeMap<usize, u32>,
                             last: &BTreeMap<u8, Duration>| {
                for due in debounce.take(now) {
                    assert!(now >= last[&due.key] + REST || now >= due.first + MOST);
                    for value in due.values {
                        *given.entry(value).or_default() += 1;
                    }
                }
            };
            for (number, (key, pause)) in steps.iter().enumerate() {
                let until = now + at(*pause);
                while let Some(due) = debounce.next().filter(|due| *due <= until) {
                    // The loop wakes when something is due, never late.
                    now = due.max(now);
                    check(&mut debounce, now, &mut given, &last);
                }
                now = until;
                debounce.touch(*key, number, now);
                last.insert(*key, now);
            }
            while let Some(due) = debounce.next() {
                now = due.max(now);
                check(&mut debounce, now, &mut given, &last);
            }
            prop_assert_eq!(given.len(), steps.len());
            prop_assert!(given.values().all(|times| *times == 1));
        }
    }
}
