//! What several workloads wrote, of both kinds, merged by time, and what they go on
//! to write until all of them have ended. It shows nothing: every front end that
//! has logs to show reads them here.

pub mod since;

use std::path::PathBuf;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::shim;
use crate::stack::{InstanceId, StackName};
use crate::state::log::{Line, Reader, Watch};
use crate::state::{Directories, StateError};

/// Where the past begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct From {
    /// So many of each one's last lines; `None`: all.
    pub tail: Option<usize>,
    /// Lines since then.
    pub since: Option<Timestamp>,
}

/// The logs of some instances; a line comes with its place among them.
#[derive(Debug)]
pub struct Logs {
    logs: Vec<(PathBuf, Reader)>,
    /// Once somebody waits for more.
    watch: Option<Watch>,
}

impl Logs {
    /// The logs of these, of which nothing was read yet.
    pub fn open(
        directories: &Directories,
        stack: &StackName,
        ids: &[InstanceId],
    ) -> Result<Self, StateError> {
        let mut logs = Vec::new();
        for id in ids {
            let directory = directories.instance(stack, id).join("log");
            let reader = Reader::new(&directory).map_err(StateError::io("read", &directory))?;
            logs.push((directory, reader));
        }
        Ok(Self { logs, watch: None })
    }

    /// What has been written, by time. `last`: nothing more is asked for, so that
    /// lines without an end are lines too.
    pub fn past(&mut self, from: From, last: bool) -> Result<Vec<(usize, Line)>, StateError> {
        let mut lines: Vec<(usize, Line)> = Vec::new();
        for place in 0..self.logs.len() {
            let mut of_one = self.added_to(place)?;
            if last {
                of_one.extend(self.logs[place].1.rest());
            }
            of_one.retain(|line| from.since.is_none_or(|since| line.time >= since));
            let surplus = from.tail.map_or(0, |tail| of_one.len().saturating_sub(tail));
            lines.extend(of_one.into_iter().skip(surplus).map(|line| (place, line)));
        }
        // Stable: what one of them wrote in one instant stays in its order.
        lines.sort_by_key(|(_, line)| line.time);
        Ok(lines)
    }

    /// What was written since it was looked last.
    pub fn added(&mut self) -> Result<Vec<(usize, Line)>, StateError> {
        let mut lines = Vec::new();
        for place in 0..self.logs.len() {
            lines.extend(self.added_to(place)?.into_iter().map(|line| (place, line)));
        }
        Ok(lines)
    }

    /// The same, with lines that never ended: nothing more is written.
    pub fn rest(&mut self) -> Result<Vec<(usize, Line)>, StateError> {
        let mut lines = Vec::new();
        for place in 0..self.logs.len() {
            let mut of_one = self.added_to(place)?;
            of_one.extend(self.logs[place].1.rest());
            lines.extend(of_one.into_iter().map(|line| (place, line)));
        }
        Ok(lines)
    }

    /// What is written next; nothing is lost where it is dropped while it waits.
    pub async fn next(&mut self) -> Result<Vec<(usize, Line)>, StateError> {
        if self.watch.is_none() {
            self.watch = Some(self.watched()?);
            // What came before the watch.
            let lines = self.added()?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        loop {
            let Some(watch) = &self.watch else { return std::future::pending().await };
            let changed = watch.changed().await.map_err(StateError::io("watch", "the logs"))?;
            let mut lines = Vec::new();
            for place in changed {
                lines.extend(self.added_to(place)?.into_iter().map(|line| (place, line)));
            }
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    fn watched(&self) -> Result<Watch, StateError> {
        let mut watch = Watch::new().map_err(StateError::io("watch", "the logs"))?;
        for (place, (directory, _)) in self.logs.iter().enumerate() {
            // Without a directory it has never run: there is nothing to wait for.
            if directory.is_dir() {
                watch.add(directory, place).map_err(StateError::io("watch", directory))?;
            }
        }
        Ok(watch)
    }

    fn added_to(&mut self, place: usize) -> Result<Vec<Line>, StateError> {
        let (directory, reader) = &mut self.logs[place];
        reader.added().map_err(StateError::io("read", &*directory))
    }
}

/// Returns when none of them runs any more.
pub async fn all_ended(directories: &Directories, stack: &StackName, ids: &[InstanceId]) {
    join_all(ids.iter().map(|id| async move {
        let run = directories.instance_run(stack, id);
        let exit = directories.instance(stack, id).join("exit.json");
        // One that never ran, or whose end nobody saw, writes nothing either.
        drop(shim::ended(&run, &exit).await);
    }))
    .await;
}
