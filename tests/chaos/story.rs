//! What happened, as it is told: a line for each harm and each check, and the
//! figures at the end. When the test fails, the last lines and the seed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// So many of the last lines are told again when it fails.
const LAST: usize = 30;

/// The story of one run.
pub(crate) struct Story {
    seed: u64,
    began: Instant,
    lines: Vec<String>,
    harms: BTreeMap<&'static str, usize>,
    converged: Vec<Duration>,
    checks: BTreeMap<&'static str, usize>,
}

impl Story {
    /// Begins now.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            began: Instant::now(),
            lines: Vec::new(),
            harms: BTreeMap::new(),
            converged: Vec::new(),
            checks: BTreeMap::new(),
        }
    }

    /// The clock starts again: what came before was preparation.
    pub(crate) fn starts(&mut self) {
        self.began = Instant::now();
    }

    /// Since the clock started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A line.
    pub(crate) fn say(&mut self, text: &str) {
        let at = self.began.elapsed().as_secs_f64();
        let line = format!("{at:7.1}s  {text}");
        eprintln!("{line}");
        self.lines.push(line);
    }

    /// Something was done to somebody.
    pub(crate) fn harm(&mut self, kind: &'static str, whom: &str) {
        *self.harms.entry(kind).or_default() += 1;
        self.say(&format!("{kind}: {whom}"));
    }

    /// Everything was there again after so long.
    pub(crate) fn converged(&mut self, after: Duration) {
        self.converged.push(after);
        self.say(&format!("  converged in {:.1}s", after.as_secs_f64()));
    }

    /// Something was checked and held.
    pub(crate) fn checked(&mut self, what: &'static str) {
        *self.checks.entry(what).or_default() += 1;
    }

    /// The figures.
    pub(crate) fn report(&self) -> String {
        let mut times = self.converged.clone();
        times.sort();
        let seconds = |time: Option<&Duration>| time.copied().unwrap_or_default().as_secs_f64();
        let (median, worst) = (seconds(times.get(times.len() / 2)), seconds(times.last()));
        let all: usize = self.harms.values().sum();
        let elapsed = self.elapsed().as_secs();
        let mut text = format!("{all} harms in {elapsed}s, seed {}; nothing was lost\n", self.seed);
        for (kind, count) in &self.harms {
            let _ = writeln!(text, "  {count:4} × {kind}");
        }
        let count = times.len();
        let _ = writeln!(text, "converged {count} times: median {median:.1}s, worst {worst:.1}s");
        for (what, count) in &self.checks {
            let _ = writeln!(text, "  {count:4} × {what}");
        }
        text
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\nit failed with WINDLASS_CHAOS_SEED={}; the last of it:", self.seed);
            for line in self.lines.iter().rev().take(LAST).rev() {
                eprintln!("{line}");
            }
        }
    }
}
