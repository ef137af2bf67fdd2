//! Brings the host one step closer to what the file says: look, decide, act.
//! Read this first.
//!
//! One reconcile of a stack runs at a time: it holds the stack's lock. Whether
//! a plan is allowed is asked between deciding and acting, by whoever called.

pub mod report;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::apply::{self, Outcome, Walk};
use crate::engine::EngineError;
use crate::event::{Events, What};
use crate::facts::{self, Facts};
use crate::health::Board;
use crate::observed::Observed;
use crate::plan::consent::{self, Consent, Refused};
use crate::plan::{self, DownOptions, Loss, Options, Plan};
use crate::stack::{InstanceId, Stack, StackName};
use crate::state::{StateError, ledger::Ledger, project};
use crate::world::World;

pub use report::Report;

/// What is wanted of the stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// What the file says.
    Up(Box<Stack>, Options),
    /// Nothing running; volumes and disks stay unless asked for.
    Down {
        /// The stack's name.
        name: StackName,
        /// The file, where there is one.
        stack: Option<Box<Stack>>,
        /// Volumes and disks go too.
        volumes: bool,
        /// What is no longer in the file goes too.
        remove_orphans: bool,
    },
    /// One of the verbs that act on what exists, as it was made.
    Verb {
        /// The stack, as the file says.
        stack: Box<Stack>,
        /// What is done.
        verb: Verb,
        /// To which instances.
        ids: BTreeSet<InstanceId>,
    },
}

/// Verbs that act on what exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// `start`
    Start,
    /// `stop`
    Stop,
    /// `restart`
    Restart,
    /// A restart policy's: starts what ended by itself.
    Revive,
    /// The host has come up: starts what ran when it went down.
    Resume,
    /// `rm`; `stop_first` with `-s`.
    Remove {
        /// Stop what runs first.
        stop_first: bool,
    },
}

/// How it is to be done.
#[derive(Debug, Clone)]
pub struct Manner {
    /// What the user has agreed to.
    pub consent: Consent,
    /// Replaces every workload's own grace period.
    pub grace: Option<std::time::Duration>,
    /// Who is asked how it is.
    pub health: Board,
    /// Who listens.
    pub events: Events,
    /// Becomes true when the user wants it to stop.
    pub stop: watch::Receiver<bool>,
}

/// A plan and what came of it.
#[derive(Debug)]
pub struct Reconciled {
    /// What was decided.
    pub plan: Plan,
    /// What was done.
    pub outcome: Outcome,
}

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// State on disk could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// Looking failed.
    #[error("cannot see what exists")]
    Look(#[source] EngineError),
    /// Something the plan needs to know could not be found out.
    #[error("cannot find out what the plan needs to know")]
    Facts(#[source] EngineError),
    /// The plan cannot be carried out as a whole, so none of it was.
    #[error("this cannot be done")]
    Blocked(Box<Plan>),
    /// The plan needs consent that was not given.
    #[error("refused")]
    Refused(Box<Plan>, #[source] Refused),
}

/// How often a plan is made anew because somebody took what it had chosen.
const RACES: usize = 5;

/// Looks, decides and acts, once. The caller holds the stack's lock.
pub async fn reconcile(
    world: &World,
    goal: &Goal,
    manner: &Manner,
) -> Result<Reconciled, ReconcileError> {
    let mut races = 0;
    loop {
        let plan = look_and_plan(world, goal).await?;
        if !plan.blocked.is_empty() {
            return Err(ReconcileError::Blocked(Box::new(plan)));
        }
        if let Err(refused) = manner.consent.check(&plan) {
            return Err(ReconcileError::Refused(Box::new(plan), refused));
        }
        remember(world, goal, &plan)?;
        announce_losses(&manner.events, &plan);
        let outcome = apply::apply(&walk(world, goal, manner), &plan).await;
        forget(world, goal, &outcome).await?;
        races += 1;
        if !outcome.lost_a_race() || races == RACES {
            return Ok(Reconciled { plan, outcome });
        }
    }
}

/// The first half: what would be done, and why. Changes nothing.
pub async fn look_and_plan(world: &World, goal: &Goal) -> Result<Plan, ReconcileError> {
    let observed = world.observe(goal.stack()).await.map_err(ReconcileError::Look)?;
    Ok(match goal {
        Goal::Up(stack, options) => {
            let facts = facts(world, stack, &observed, options).await?;
            plan::plan(stack, &observed, &facts, options)
        }
        Goal::Down { name, stack, volumes, remove_orphans } => {
            let facts = Facts { home_id: world.home_id.clone(), ..Facts::default() };
            let stack = stack.as_deref();
            let (volumes, remove_orphans) = (*volumes, *remove_orphans);
            plan::down(&observed, &facts, &DownOptions { name, stack, volumes, remove_orphans })
        }
        Goal::Verb { stack, verb, ids } => {
            let facts = facts(world, stack, &observed, &Options::default()).await?;
            match verb {
                Verb::Start => plan::start(stack, &observed, &facts, ids),
                Verb::Restart => plan::restart(stack, &observed, &facts, ids),
                Verb::Revive => plan::revive(stack, &observed, &facts, ids),
                Verb::Resume => plan::resume(stack, &observed, &facts, ids),
                Verb::Stop => plan::stop(&observed, Some(stack), ids),
                Verb::Remove { stop_first } => {
                    plan::remove(&observed, Some(stack), ids, *stop_first)
                }
            }
        }
    })
}

async fn facts(
    world: &World,
    stack: &Stack,
    observed: &Observed,
    options: &Options,
) -> Result<Facts, ReconcileError> {
    facts::gather::gather(world, stack, observed, options).await.map_err(ReconcileError::Facts)
}

/// Writes the ledger before anything is done, so that a command killed half-way
/// is still known by its project and its subnets.
fn remember(world: &World, goal: &Goal, plan: &Plan) -> Result<(), StateError> {
    match goal {
        Goal::Up(stack, _) => Ledger::of(stack, plan).merge_into(&world.directories),
        Goal::Down { .. } | Goal::Verb { .. } => Ok(()),
    }
}

/// What is agreed to be lost is named before it is.
fn announce_losses(events: &Events, plan: &Plan) {
    for (resource, loss) in consent::losses(plan) {
        if let Loss::Data(what) = loss {
            events.send(resource.clone(), What::Note { text: what.clone() });
        }
    }
}

/// A stack of which nothing is left after a `down` belongs to nobody.
async fn forget(world: &World, goal: &Goal, outcome: &Outcome) -> Result<(), ReconcileError> {
    let Goal::Down { name, .. } = goal else { return Ok(()) };
    let volumes = world.volumes.observe(name).await.map_err(ReconcileError::Look)?;
    if outcome.is_complete() && volumes.is_empty() {
        project::forget(&world.directories, name)?;
    }
    Ok(())
}

fn walk(world: &World, goal: &Goal, manner: &Manner) -> Walk {
    Walk {
        world: world.clone(),
        stack: goal.stack().clone(),
        grace: manner.grace,
        health: manner.health.clone(),
        events: manner.events.clone(),
        stop: manner.stop.clone(),
    }
}

impl Goal {
    /// As a user would say it: `up`, `restart web`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Up(..) => "up".into(),
            Self::Down { volumes: false, .. } => "down".into(),
            Self::Down { volumes: true, .. } => "down -v".into(),
            Self::Verb { verb, ids, .. } => {
                let word = match verb {
                    Verb::Start => "start",
                    Verb::Stop => "stop",
                    Verb::Restart => "restart",
                    Verb::Revive => "starting again",
                    Verb::Resume => return "bringing back what ran".into(),
                    Verb::Remove { .. } => "rm",
                };
                let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
                format!("{word} {}", names.join(" "))
            }
        }
    }

    /// The stack it is about.
    pub fn stack(&self) -> &StackName {
        match self {
            Self::Up(stack, _) | Self::Verb { stack, .. } => &stack.name,
            Self::Down { name, .. } => name,
        }
    }
}
