//! What was confirmed and may not be lost: the record on the volume, the one on
//! the machine's disk, the lines of the log, and the files that volumes are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::stage::Stage;

/// Records begin after this number.
const BASE: u64 = 100_000_000_000_000;

/// What was seen last; it only grows.
#[derive(Default)]
pub(crate) struct Records {
    volume: u64,
    disk: u64,
    log: Vec<u64>,
    /// Volumes and disks, each with the file that it is.
    kept: BTreeMap<PathBuf, u64>,
}

impl Records {
    /// Takes note of what there is to be kept.
    pub(crate) fn note(stage: &Stage) -> Self {
        let kept = things(stage).into_iter().map(|path| {
            let inode = fs::metadata(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
            (path, inode.ino())
        });
        Self { kept: kept.collect(), ..Self::default() }
    }

    /// No volume and no disk was taken away or made anew.
    pub(crate) fn check_things(&self) {
        for (path, inode) in &self.kept {
            let now = fs::metadata(path).map(|found| found.ino()).ok();
            assert_eq!(now, Some(*inode), "{} was lost", path.display());
        }
    }

    /// The record on the volume has everything, in order; what the log says was
    /// written is.
    pub(crate) fn check_volume(&mut self, stage: &Stage) {
        // The log first: what it says was written before.
        let said = stage.run(&["logs", "ledger"]).ok().said;
        let said = said.lines().filter_map(|line| line.split("wrote ").nth(1)?.trim().parse().ok());
        let said: Vec<u64> = said.collect();
        let path = stage.volume(stage.main.name(), "records").join("data/record");
        let record = fs::read_to_string(&path).expect("the record");
        self.volume = whole(&record, self.volume, "the record on the volume");
        let last = said.last().copied().unwrap_or_default();
        assert!(
            last <= self.volume,
            "{last} was confirmed, and the record ends at {}",
            self.volume
        );
        assert!(said.is_sorted_by(|one, next| one < next), "the log is out of order");
        let missing = self.log.iter().find(|line| said.binary_search(line).is_err());
        assert_eq!(missing, None, "a line of the log is gone that was read before");
        self.log = said;
    }

    /// A `down` takes containers away, and what they said with them.
    pub(crate) fn forget_log(&mut self) {
        self.log.clear();
    }

    /// The record on the machine's disk; the last line may not have been flushed yet.
    pub(crate) fn check_disk(&mut self, stage: &Stage) {
        let record = stage.run(&["exec", "-T", "db", "cat", "/var/lib/data/record"]).ok().said;
        let last = whole(&record, self.disk, "the record on the machine's disk");
        self.disk = last - 1;
    }

    /// How far the records are.
    pub(crate) fn in_words(&self) -> String {
        let (volume, disk, log) =
            (self.volume - BASE, self.disk.saturating_sub(BASE), self.log.len());
        format!("{volume} lines on the volume, {disk} on the machine's disk, {log} in the log")
    }
}

/// The last number of a record that has every number; at least `confirmed`.
fn whole(record: &str, confirmed: u64, what: &str) -> u64 {
    let mut expected = BASE;
    for line in record.lines() {
        expected += 1;
        assert_eq!(line.trim().parse(), Ok(expected), "a gap in {what}");
    }
    assert!(expected >= confirmed, "{what} ends at {expected}, confirmed was {confirmed}");
    expected
}

/// Volumes and disks of both stacks.
fn things(stage: &Stage) -> Vec<PathBuf> {
    let (main, side) = (stage.main.name(), stage.side_name());
    let mut things = vec![
        stage.volume(main, "records").join("data"),
        stage.volume(main, "records").join("data/set-up"),
        stage.volume(&side, "kept").join("data"),
        stage.volume(&side, "kept").join("data/made"),
    ];
    if stage.machine {
        things.push(stage.volume(main, "vmdata").join("disk.qcow2"));
        things.push(stage.instance_file("db", "disk.qcow2"));
    }
    things
}
