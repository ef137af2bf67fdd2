//! What an attached `up` does after everything is up: shows what the workloads
//! say until they have all ended, or until Ctrl-C, which stops them. A second
//! Ctrl-C leaves at once, see [`super::interrupt`].

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::arguments::Logs;
use super::logs::Show;
use super::report::{self, Attempt};
use super::{CommandError, Exit, Invocation, session};
use crate::event::Events;
use crate::plan::Consent;
use crate::reconcile::{Goal, Manner, Verb, reconcile};
use crate::stack::{InstanceId, Stack};
use crate::world::World;

/// An `up` that stays.
pub(super) struct Attached<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) world: &'a World,
    pub(super) stack: &'a Stack,
    /// The instances whose logs are shown, and which Ctrl-C stops.
    pub(super) ids: Vec<InstanceId>,
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
        tokio::select! {
            ended = show.future() => ended.map(|()| Exit::Done),
            _ = interrupted.wait_for(|stop| *stop) => self.stop().await,
        }
    }

    /// Stops what was attached to, dependents first.
    async fn stop(&self) -> Result<Exit, CommandError> {
        let began = Instant::now();
        let _lock = session::lock(self.invocation, &self.stack.name).await?;
        let (events, receiver) = Events::channel();
        let (_never, stop) = watch::channel(false);
        let manner = Manner { consent: Consent::default(), grace: self.grace, events, stop };
        let goal = Goal::Verb {
            stack: Box::new(self.stack.clone()),
            verb: Verb::Stop,
            ids: self.ids.iter().cloned().collect(),
        };
        let work = async {
            let result = reconcile(self.world, &goal, &manner).await;
            drop(manner);
            result
        };
        let name = &self.stack.name;
        let (result, _) =
            tokio::join!(work, self.invocation.screen.follow(name.as_str(), receiver));
        let attempt =
            Attempt { verb: "stop", stack: name, files: &self.stack.files, began, deadline: None };
        report::say(self.invocation, attempt, result)?;
        Ok(Exit::Interrupted)
    }
}
