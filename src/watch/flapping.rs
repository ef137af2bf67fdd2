//! A file whose changes have led to something too often is left alone until it
//! rests: a loop of a user's own tools shall not restart a workload for ever.
//! It knows no clock: it is told the time.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More changes than this that led to something …
pub const TOO_OFTEN: usize = 20;
/// … within this time.
pub const WITHIN: Duration = Duration::from_secs(10);
/// So long without a change, and it counts again.
pub const RESTED: Duration = Duration::from_secs(2);

/// Which files are left alone.
#[derive(Debug, Default)]
pub struct Flapping {
    acted: BTreeMap<PathBuf, VecDeque<Duration>>,
    suspended: BTreeMap<PathBuf, Duration>,
}

impl Flapping {
    /// The file changed: whether it is left alone.
    pub fn is_suspended(&mut self, path: &Path, now: Duration) -> bool {
        match self.suspended.get_mut(path) {
            Some(last) => {
                *last = now;
                true
            }
            None => false,
        }
    }

    /// Something was done because the file changed: whether it is left alone from now on.
    pub fn acted(&mut self, path: &Path, now: Duration) -> bool {
        let times = self.acted.entry(path.to_owned()).or_default();
        times.push_back(now);
        while times.front().is_some_and(|first| *first + WITHIN <= now) {
            times.pop_front();
        }
        let too_often = times.len() > TOO_OFTEN;
        if too_often {
            self.acted.remove(path);
            self.suspended.insert(path.to_owned(), now);
        }
        too_often
    }

    /// When the next one has rested.
    pub fn next(&self) -> Option<Duration> {
        self.suspended.values().map(|last| *last + RESTED).min()
    }

    /// Those that have rested by now.
    pub fn rested(&mut self, now: Duration) -> Vec<PathBuf> {
        let rested: Vec<PathBuf> = self
            .suspended
            .iter()
            .filter(|(_, last)| **last + RESTED <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in &rested {
            self.suspended.remove(path);
        }
        rested
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_that_acts_too_often_is_left_alone_until_it_rests() {
        let mut flapping = Flapping::default();
        let path = Path::new("/a");
        let suspended = (0_u64..100).position(|n| flapping.acted(path, at(n * 100)));
        assert_eq!(suspended, Some(TOO_OFTEN));
        assert!(flapping.is_suspended(path, at(3000)));
        assert!(!flapping.is_suspended(Path::new("/b"), at(3000)));
        assert_eq!(flapping.rested(at(4999)), [] as [PathBuf; 0]);
        assert_eq!(flapping.next(), Some(at(5000)));
        assert_eq!(flapping.rested(at(5000)), [path]);
        assert!(!flapping.is_suspended(path, at(5001)));
    }

    #[test]
    fn one_that_is_written_all_the_while_is_merely_busy() {
        let mut flapping = Flapping::default();
        // The debounce gives it out twice a second.
        assert!(!(0..1000).any(|n| flapping.acted(Path::new("/log"), at(n * 500))));
    }
}
