//! What an attached `up` does after everything is up: shows what the workloads
//! say until they have all ended, or until Ctrl-C, which stops them. A second
//! Ctrl-C leaves at once, see [`super::interrupt`].

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::arguments::{Logs, Selection};
use super::carry_out::{Job, carry_out};
use super::logs::Show;
use super::report::{self, Attempt};
use super::watch::Watching;
use super::{CommandError, Exit, Invocation, instances};
use crate::logs::all_ended;
use crate::plan::Consent;
use crate::reconcile::{Goal, Verb};
use crate::stack::{InstanceId, Stack};
use crate::supervisor::client::Client;
use crate::supervisor::spawn;
use crate::watch::interest::Seen;

/// An `up` that stays.
pub(super) struct Attached<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) stack: &'a Stack,
    /// The instances whose logs are shown, and which Ctrl-C stops.
    pub(super) ids: Vec<InstanceId>,
    /// These are all of the stack's.
    pub(super) whole: bool,
    /// Lines since then are shown.
    pub(super) since: Timestamp,
    /// Replaces every workload's own grace period.
    pub(super) grace: Option<Duration>,
}

impl Attached<'_> {
    /// Shows logs until there is nobody left to write, or Ctrl-C.
    pub(super) async fn run(
        &self,
        mut interrupted: watch::Receiver<bool>,
    ) -> Result<Exit, CommandError> {
        let arguments = Logs { follow: true, ..Logs::default() };
        let mut show = Show::new(self.invocation, &self.stack.name, &self.ids, &arguments)?;
        show.past(&arguments, Some(self.since))?;
        let until = async {
            // It goes when nothing runs and nothing will be started again. Should it be
            // killed, what runs goes on all the same.
            let minded = Client::new(&self.invocation.directories, &self.stack.name);
            if self.whole {
                drop(spawn::gone(&minded).await);
            }
            all_ended(&self.invocation.directories, &self.stack.name, &self.ids).await;
        };
        tokio::select! {
            ended = show.future(until) => ended.map(|()| Exit::Done),
            _ = interrupted.wait_for(|stop| *stop) => self.stop().await,
        }
    }

    /// Shows logs and follows files until Ctrl-C.
    pub(super) async fn watch(
        &self,
        selection: &Selection,
        seen: Seen,
        interrupted: watch::Receiver<bool>,
    ) -> Result<Exit, CommandError> {
        let (orders, carried_out) = watch::channel(0);
        let (invocation, quiet) = (self.invocation, false);
        let watching = Watching { invocation, selection, quiet, stop: interrupted, orders };
        tokio::select! {
            followed = watching.follow(self.stack.clone(), seen) => followed?,
            shown = self.show_on(selection, carried_out) => shown?,
        }
        self.stop().await
    }

    /// Shows logs for ever: what was restarted or made anew goes on writing.
    async fn show_on(
        &self,
        selection: &Selection,
        mut carried_out: watch::Receiver<u64>,
    ) -> Result<(), CommandError> {
        let arguments = Logs { follow: true, ..Logs::default() };
        let mut since = self.since;
        loop {
            let records = instances::chosen(self.invocation, &self.stack.name, &selection.names)?;
            let ids: Vec<InstanceId> = records.into_iter().map(|record| record.id).collect();
            let mut show = Show::new(self.invocation, &self.stack.name, &ids, &arguments)?;
            show.past(&arguments, Some(since))?;
            let directories = &self.invocation.directories;
            let mut closed = false;
            tokio::select! {
                ended = show.future(all_ended(directories, &self.stack.name, &ids)) => {
                    ended?;
                    closed = carried_out.changed().await.is_err();
                }
                changed = carried_out.changed() => {
                    closed |= changed.is_err();
                    show.present()?;
                }
            }
            if closed {
                std::future::pending::<()>().await;
            }
            since = show.last().map_or(since, after);
        }
    }

    /// Stops what was attached to, dependents first.
    async fn stop(&self) -> Result<Exit, CommandError> {
        let began = Instant::now();
        let (_never, stop) = watch::channel(false);
        let goal = Goal::Verb {
            stack: Box::new(self.stack.clone()),
            verb: Verb::Stop,
            ids: self.ids.iter().cloned().collect(),
        };
        let consent = Consent::default();
        let job = Job { goal, consent, grace: self.grace, stop, needs_minding: false };
        let report = carry_out(self.invocation, job).await?;
        let (stack, files) = (&self.stack.name, &self.stack.files[..]);
        let attempt = Attempt { verb: "stop", stack, files, began, deadline: None };
        report::say(self.invocation, attempt, &report);
        Ok(Exit::Interrupted)
    }
}

/// The first instant after this one.
fn after(time: Timestamp) -> Timestamp {
    time.checked_add(Duration::from_nanos(1)).unwrap_or(time)
}
