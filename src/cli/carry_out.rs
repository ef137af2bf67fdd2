//! Has a goal carried out and shows it while it happens: by the stack's
//! supervisor where there is one or one is needed, else in this process.

use std::time::Duration;

use tokio::sync::watch;

use super::{CommandError, Invocation, project, session};
use crate::event::Events;
use crate::health::Board;
use crate::plan::Consent;
use crate::reconcile::{Goal, Manner, Report, reconcile};
use crate::supervisor::client::{Client, ClientError};
use crate::supervisor::protocol::{Order, Said};
use crate::supervisor::spawn;

/// How often a supervisor that has just gone is looked for again.
const TRIES: usize = 5;

/// What is to be carried out.
pub(super) struct Job {
    pub(super) goal: Goal,
    pub(super) consent: Consent,
    /// Replaces every workload's own grace period.
    pub(super) grace: Option<Duration>,
    /// Becomes true when the user wants it to stop.
    pub(super) stop: watch::Receiver<bool>,
    /// It leaves something running, which is to be minded.
    pub(super) needs_minding: bool,
}

/// Carries it out.
pub(super) async fn carry_out(invocation: &Invocation, job: Job) -> Result<Report, CommandError> {
    let name = job.goal.stack().clone();
    for _ in 0..TRIES {
        let client = if job.needs_minding {
            spawn::ensure(&invocation.directories, &name).await?
        } else {
            Client::new(&invocation.directories, &name)
        };
        let order =
            Order { goal: job.goal.clone(), consent: job.consent.clone(), grace: job.grace };
        match ask(invocation, &client, &order, job.stop.clone()).await {
            Err(ClientError::Gone(_)) if job.needs_minding => {}
            Err(ClientError::Gone(_)) => return here(invocation, job).await,
            Err(error) => return Err(CommandError::Supervisor { source: error, stack: name }),
            Ok(report) => return Ok(report),
        }
    }
    let source = ClientError::Gone(std::io::ErrorKind::ConnectionRefused.into());
    Err(CommandError::Supervisor { source, stack: name })
}

/// Has the supervisor do it.
async fn ask(
    invocation: &Invocation,
    client: &Client,
    order: &Order,
    mut stop: watch::Receiver<bool>,
) -> Result<Report, ClientError> {
    let mut answer = client.order(order).await?;
    let (events, receiver) = Events::channel();
    let title = order.goal.stack().as_str();
    let listen = async {
        let mut ticket = None;
        let mut begun = false;
        let mut stopping = false;
        let result = loop {
            tokio::select! {
                said = answer.next() => match said {
                    Ok(Said::Accepted { ticket: given, behind }) => {
                        ticket = Some(given);
                        if let Some(behind) = behind {
                            invocation.screen.note(&format!("waiting for `{behind}`"));
                        }
                    }
                    Ok(Said::Event(event)) => {
                        begun = true;
                        events.send(event.resource, event.what);
                    }
                    Ok(Said::Ended { report, leaving }) => break Ok((report, leaving)),
                    // It left before it began: another one does it.
                    Err(ClientError::Unfinished | ClientError::Broken(_)) if !begun => {
                        break Err(ClientError::Gone(std::io::ErrorKind::ConnectionReset.into()));
                    }
                    Err(error) => break Err(error),
                },
                Ok(_) = stop.wait_for(|stop| *stop), if !stopping && ticket.is_some() => {
                    stopping = true;
                    if let Some(ticket) = ticket
                        && let Err(error) = client.give_up(ticket).await
                    {
                        break Err(error);
                    }
                }
            }
        };
        // The screen ends when nobody can send any more.
        drop(events);
        result
    };
    let (result, _) = tokio::join!(listen, invocation.screen.follow(title, receiver));
    let (report, leaving) = result?;
    if leaving {
        // So that nothing is left when this command returns. How it ended is not ours to judge.
        drop(spawn::gone(client).await);
    }
    Ok(*report)
}

/// Does it in this process, under the stack's lock.
async fn here(invocation: &Invocation, job: Job) -> Result<Report, CommandError> {
    let world = project::world(invocation)?;
    let name = job.goal.stack().clone();
    let _lock = session::lock(invocation, &name).await?;
    let (events, receiver) = Events::channel();
    let work = async {
        let manner = Manner {
            consent: job.consent,
            grace: job.grace,
            health: Board::new(None),
            events,
            stop: job.stop,
        };
        let result = reconcile(&world, &job.goal, &manner).await;
        drop(manner);
        result
    };
    let (result, _) = tokio::join!(work, invocation.screen.follow(name.as_str(), receiver));
    Ok(Report::of(result))
}
