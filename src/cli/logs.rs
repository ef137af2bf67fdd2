//! `logs`: what workloads wrote, of both kinds, merged by time; with `-f`, what
//! they go on to write until all of them have ended.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::arguments;
use super::ui::prefix::Prefixes;
use super::{CommandError, Exit, Invocation, instances, project};
use crate::logs::{From, Logs, all_ended, since};
use crate::stack::{InstanceId, StackName};
use crate::state::log::Line;

pub(super) async fn run(
    invocation: &Invocation,
    arguments: &arguments::Logs,
) -> Result<Exit, CommandError> {
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
        show.future(all_ended(&invocation.directories, &stack, &ids)).await?;
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
    ids: &'a [InstanceId],
    logs: Logs,
    prefixes: Option<Prefixes>,
    timestamps: bool,
    last: Option<Timestamp>,
}

impl<'a> Show<'a> {
    pub(super) fn new(
        invocation: &'a Invocation,
        stack: &StackName,
        ids: &'a [InstanceId],
        arguments: &arguments::Logs,
    ) -> Result<Self, CommandError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let prefixes = Prefixes::new(invocation.screen.stdout, names.iter().map(String::as_str));
        Ok(Self {
            invocation,
            ids,
            logs: Logs::open(&invocation.directories, stack, ids)?,
            prefixes: (!arguments.no_log_prefix).then_some(prefixes),
            timestamps: arguments.timestamps,
            last: None,
        })
    }

    /// What has been written, by time.
    pub(super) fn past(
        &mut self,
        arguments: &arguments::Logs,
        since: Option<Timestamp>,
    ) -> Result<(), CommandError> {
        let from = From { tail: arguments.tail.0, since };
        let lines = self.logs.past(from, !arguments.follow)?;
        self.print(&lines)
    }

    /// What is being written, until nobody writes any more.
    pub(super) async fn future(
        &mut self,
        until: impl Future<Output = ()>,
    ) -> Result<(), CommandError> {
        let mut ended = std::pin::pin!(until);
        loop {
            let lines = tokio::select! {
                biased;
                lines = self.logs.next() => lines?,
                () = &mut ended => break,
            };
            self.print(&lines)?;
        }
        let lines = self.logs.rest()?;
        self.print(&lines)
    }

    /// What was written since it was looked last.
    pub(super) fn present(&mut self) -> Result<(), CommandError> {
        let lines = self.logs.added()?;
        self.print(&lines)
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
