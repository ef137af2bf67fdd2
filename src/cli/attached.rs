//! What an attached `up` does after everything is up: shows what the workloads
//! say until they have all ended, or until Ctrl-C, which stops them. A second
//! Ctrl-C leaves at once, see [`super::interrupt`].

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::arguments::Logs;
use super::carry_out::{Job, carry_out};
use super::logs::{self, Show};
use super::report::{self, Attempt};
use super::{CommandError, Exit, Invocation};
use crate::plan::Consent;
use crate::reconcile::{Goal, Verb};
use crate::stack::{InstanceId, Stack};
use crate::supervisor::client::Client;
use crate::supervisor::spawn;

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
            logs::all_ended(self.invocation, &self.stack.name, &self.ids).await;
        };
        tokio::select! {
            ended = show.future(until) => ended.map(|()| Exit::Done),
            _ = interrupted.wait_for(|stop| *stop) => self.stop().await,
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
