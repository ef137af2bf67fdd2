//! `logs`: what workloads wrote, of both kinds, merged by time; with `-f`, what
//! they go on to write until all of them have ended.

mod since;

use std::path::PathBuf;

use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::arguments::Logs;
use super::ui::prefix::Prefixes;
use super::{CommandError, Exit, Invocation, instances, project};
use crate::shim;
use crate::stack::{InstanceId, StackName};
use crate::state::log::{Line, Reader, Watch};

pub(super) async fn run(invocation: &Invocation, arguments: &Logs) -> Result<Exit, CommandError> {
    let stack = project::name(invocation)?;
    let records = instances::chosen(invocation, &stack, &arguments.names)?;
    let since = arguments.since.as_deref().map(time).transpose()?;
    if records.is_empty() {
        invocation.screen.note(&format!("nothing of `{stack}` is there to have a log"));
    }
    let ids: Vec<InstanceId> = records.into_iter().map(|record| record.id).collect();
    let mut show = Show::new(invocation, &stack, &ids, arguments)?;
    show.past(arguments, since)?;
    if arguments.follow {
        show.future(all_ended(invocation, &stack, &ids)).await?;
    }
    Ok(Exit::Done)
}

fn time(text: &str) -> Result<Timestamp, CommandError> {
    since::parse(text, Timestamp::now(), &TimeZone::system()).ok_or_else(|| CommandError::Usage {
        reason: format!("`{text}` is not a time"),
        help: Some("`--since 10m`, `--since 2026-11-02` or `--since 2026-11-02T10:00:00Z`".into()),
    })
}

/// The logs of some instances, and how they are shown.
pub(super) struct Show<'a> {
    invocation: &'a Invocation,
    stack: &'a StackName,
    ids: &'a [InstanceId],
    readers: Vec<Reader>,
    prefixes: Option<Prefixes>,
    timestamps: bool,
    last: Option<Timestamp>,
}

impl<'a> Show<'a> {
    pub(super) fn new(
        invocation: &'a Invocation,
        stack: &'a StackName,
        ids: &'a [InstanceId],
        arguments: &Logs,
    ) -> Result<Self, CommandError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let prefixes = Prefixes::new(invocation.screen.stdout, names.iter().map(String::as_str));
        let mut show = Self {
            invocation,
            stack,
            ids,
            readers: Vec::new(),
            prefixes: (!arguments.no_log_prefix).then_some(prefixes),
            timestamps: arguments.timestamps,
            last: None,
        };
        for id in ids {
            let directory = show.directory(id);
            let reader = Reader::new(&directory).map_err(unreadable(directory))?;
            show.readers.push(reader);
        }
        Ok(show)
    }

    fn directory(&self, id: &InstanceId) -> PathBuf {
        self.invocation.directories.instance(self.stack, id).join("log")
    }

    /// What has been written, by time.
    pub(super) fn past(
        &mut self,
        arguments: &Logs,
        since: Option<Timestamp>,
    ) -> Result<(), CommandError> {
        let mut lines: Vec<(usize, Line)> = Vec::new();
        for place in 0..self.ids.len() {
            let mut of_one = self.added(place)?;
            if !arguments.follow {
                of_one.extend(self.readers[place].rest());
            }
            of_one.retain(|line| since.is_none_or(|since| line.time >= since));
            let surplus = arguments.tail.0.map_or(0, |tail| of_one.len().saturating_sub(tail));
            lines.extend(of_one.into_iter().skip(surplus).map(|line| (place, line)));
        }
        // Stable: what one of them wrote in one instant stays in its order.
        lines.sort_by_key(|(_, line)| line.time);
        self.print(&lines)
    }

    /// What is being written, until nobody writes any more.
    pub(super) async fn future(
        &mut self,
        until: impl Future<Output = ()>,
    ) -> Result<(), CommandError> {
        let unwatched = |source| CommandError::Setup { what: "a watch on logs", source };
        let mut watch = Watch::new().map_err(unwatched)?;
        for (place, id) in self.ids.iter().enumerate() {
            let directory = self.directory(id);
            // Without a directory it has never run: there is nothing to wait for.
            if directory.is_dir() {
                watch.add(&directory, place).map_err(unwatched)?;
            }
        }
        let mut ended = std::pin::pin!(until);
        let mut changed: Vec<usize> = (0..self.ids.len()).collect();
        loop {
            // Also once before the first wait: for what came before the watch.
            for place in changed {
                let lines = self.added(place)?;
                self.print(&lines.into_iter().map(|line| (place, line)).collect::<Vec<_>>())?;
            }
            tokio::select! {
                biased;
                written = watch.changed() => changed = written.map_err(unwatched)?,
                () = &mut ended => break,
            }
        }
        for place in 0..self.ids.len() {
            let mut lines = self.added(place)?;
            lines.extend(self.readers[place].rest());
            self.print(&lines.into_iter().map(|line| (place, line)).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    fn added(&mut self, place: usize) -> Result<Vec<Line>, CommandError> {
        let directory = self.directory(&self.ids[place]);
        self.readers[place].added().map_err(unreadable(directory))
    }

    /// What was written since it was looked last.
    pub(super) fn present(&mut self) -> Result<(), CommandError> {
        for place in 0..self.ids.len() {
            let lines = self.added(place)?;
            self.print(&lines.into_iter().map(|line| (place, line)).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// The time of the last line that was shown.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.last
    }

    fn print(&mut self, lines: &[(usize, Line)]) -> Result<(), CommandError> {
        self.last = self.last.max(lines.iter().map(|(_, line)| line.time).max());
        let mut text = String::new();
        for (place, line) in lines {
            let mut shown = line.text.clone();
            if self.timestamps {
                shown = format!("{} {shown}", line.time);
            }
            if let Some(prefixes) = &self.prefixes {
                shown = prefixes.line(&self.ids[*place].to_string(), &shown);
            }
            text.push_str(&shown);
            text.push('\n');
        }
        self.invocation.screen.raw(text.as_bytes())
    }
}

fn unreadable(path: PathBuf) -> impl FnOnce(std::io::Error) -> CommandError {
    move |source| CommandError::File { operation: "read", path, source }
}

/// Returns when none of them runs any more.
pub(super) async fn all_ended(invocation: &Invocation, stack: &StackName, ids: &[InstanceId]) {
    let directories = &invocation.directories;
    join_all(ids.iter().map(|id| async move {
        let run = directories.instance_run(stack, id);
        let exit = directories.instance(stack, id).join("exit.json");
        // One that never ran, or whose end nobody saw, writes nothing either.
        drop(shim::ended(&run, &exit).await);
    }))
    .await;
}
