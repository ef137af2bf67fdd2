//! What the processes of a group may use: memory, processors, how many they are.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::{Hierarchies, unsupported};
use crate::shim::Cgroup;

/// Period over which processors are measured out, in microseconds.
const PERIOD: u64 = 100_000;

/// What version 1 shows for "no limit": the largest multiple of a page.
const V1_UNLIMITED: u64 = 1 << 62;

impl Hierarchies {
    /// Sets the limits; those that are `None` are lifted.
    pub fn limit(&self, limits: &Cgroup) -> io::Result<()> {
        let path = &limits.path;
        self.limit_memory(path, limits.memory)?;
        self.limit_cpus(path, limits.milli_cpus)?;
        let pids = limits
            .pids
            .filter(|pids| *pids > 0)
            .map_or_else(|| "max".to_owned(), |pids| pids.to_string());
        let file =
            self.unified_file(path, "pids.max").or_else(|| self.legacy_file(path, "pids.max"));
        set(file, &pids, limits.pids.is_some(), "pids")
    }

    fn limit_memory(&self, path: &str, bytes: Option<u64>) -> io::Result<()> {
        if let Some(file) = self.unified_file(path, "memory.max") {
            let text = bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
            fs::write(file, &text)?;
            // A limit on memory that may swap without end is none.
            if let Some(swap) = self.unified_file(path, "memory.swap.max") {
                fs::write(swap, if bytes.is_some() { "0" } else { "max" })?;
            }
            return Ok(());
        }
        let text = bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
        let memory = self.legacy_file(path, "memory.limit_in_bytes");
        let both = self.legacy_file(path, "memory.memsw.limit_in_bytes");
        // The sum with swap may never be below the limit: which of them goes
        // first depends on the direction, so the second try settles it.
        if let (Some(memory), Some(both)) = (&memory, &both) {
            if fs::write(memory, &text).is_err() {
                fs::write(both, &text)?;
                fs::write(memory, &text)?;
            }
            return fs::write(both, &text);
        }
        set(memory, &text, bytes.is_some(), "memory")
    }

    fn limit_cpus(&self, path: &str, thousandths: Option<u64>) -> io::Result<()> {
        let quota = thousandths.map(|thousandths| thousandths * PERIOD / 1000);
        if let Some(file) = self.unified_file(path, "cpu.max") {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            return fs::write(file, format!("{quota} {PERIOD}"));
        }
        if quota.is_some()
            && let Some(file) = self.legacy_file(path, "cpu.cfs_period_us")
        {
            fs::write(file, PERIOD.to_string())?;
        }
        let text = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
        set(self.legacy_file(path, "cpu.cfs_quota_us"), &text, quota.is_some(), "cpu")
    }

    /// The limits in force.
    pub fn limits(&self, path: &str) -> Cgroup {
        let unified = |file| number(&self.read_unified(path, file)?);
        let legacy = |file| number(&self.read_legacy(path, file)?);
        let memory = unified("memory.max")
            .or_else(|| legacy("memory.limit_in_bytes").filter(|bytes| *bytes < V1_UNLIMITED));
        let pids = unified("pids.max").or_else(|| legacy("pids.max"));
        Cgroup {
            path: path.to_owned(),
            memory,
            milli_cpus: self.milli_cpus(path),
            pids: pids.and_then(|pids| i64::try_from(pids).ok()),
        }
    }

    fn milli_cpus(&self, path: &str) -> Option<u64> {
        if let Some(text) = self.read_unified(path, "cpu.max") {
            let (quota, period) = text.trim().split_once(' ')?;
            let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
            return quota.checked_mul(1000)?.checked_div(period);
        }
        let quota: u64 = number(&self.read_legacy(path, "cpu.cfs_quota_us")?)?;
        let period = number(&self.read_legacy(path, "cpu.cfs_period_us")?)?;
        quota.checked_mul(1000)?.checked_div(period)
    }
}

fn set(file: Option<PathBuf>, value: &str, needed: bool, controller: &str) -> io::Result<()> {
    match file {
        Some(file) => fs::write(file, value),
        None if needed => Err(unsupported(controller)),
        None => Ok(()),
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}
