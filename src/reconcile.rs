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
use crate::plan::{self, DownOptions, Initiative, Loss, Options, Plan, follow};
use crate::stack::{InstanceId, Stack, StackName};
use crate::state::{StateError, answers, ledger::Ledger, project};
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
    /// What dependents do about dependencies that became unhealthy or are healthy
    /// again. Nobody asks for it: the stack's supervisor sees that it is due.
    Follow(Box<Stack>),
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
    /// What was there before.
    pub observed: Observed,
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
        let observed = world.observe(goal.stack()).await.map_err(ReconcileError::Look)?;
        let plan = decide(world, goal, &observed).await?;
        if !plan.blocked.is_empty() {
            return Err(ReconcileError::Blocked(Box::new(plan)));
        }
        if let Err(refused) = manner.consent.check(&plan) {
            return Err(ReconcileError::Refused(Box::new(plan), refused));
        }
        remember(world, goal, &observed, &plan)?;
        announce_losses(&manner.events, &plan);
        announce_causes(&manner.events, goal, &plan);
        let outcome = apply::apply(&walk(world, goal, manner), &plan).await;
        forget(world, goal, &outcome).await?;
        races += 1;
        if !outcome.lost_a_race() || races == RACES {
            return Ok(Reconciled { plan, outcome, observed });
        }
    }
}

/// The first half: what would be done, and why. Changes nothing.
pub async fn look_and_plan(world: &World, goal: &Goal) -> Result<Plan, ReconcileError> {
    let observed = world.observe(goal.stack()).await.map_err(ReconcileError::Look)?;
    decide(world, goal, &observed).await
}

/// What would be done about what is there, and why. Changes nothing.
pub async fn decide(
    world: &World,
    goal: &Goal,
    observed: &Observed,
) -> Result<Plan, ReconcileError> {
    Ok(match goal {
        Goal::Up(stack, options) => {
            let facts = facts(world, stack, observed, options).await?;
            plan::plan(stack, observed, &facts, options)
        }
        Goal::Down { name, stack, volumes, remove_orphans } => {
            let facts = Facts { home_id: world.home_id.clone(), ..Facts::default() };
            let stack = stack.as_deref();
            let (volumes, remove_orphans) = (*volumes, *remove_orphans);
            plan::down(observed, &facts, &DownOptions { name, stack, volumes, remove_orphans })
        }
        Goal::Verb { stack, verb, ids } => {
            let facts = facts(world, stack, observed, &Options::default()).await?;
            match verb {
                Verb::Start => plan::start(stack, observed, &facts, ids),
                Verb::Restart => plan::restart(stack, observed, &facts, ids),
                Verb::Revive => plan::revive(stack, observed, &facts, ids),
                Verb::Resume => plan::resume(stack, observed, &facts, ids),
                Verb::Stop => plan::stop(observed, Some(stack), ids),
                Verb::Remove { stop_first } => {
                    plan::remove(observed, Some(stack), ids, *stop_first)
                }
            }
        }
        Goal::Follow(stack) => {
            let Some(due) = follow::due(stack, observed) else { return Ok(Plan::default()) };
            let facts = facts(world, stack, observed, &Options::default()).await?;
            follow::follow(stack, observed, &facts, &due)
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

/// Writes down before anything is done what a command killed half-way is known by: the
/// stack's project and subnets, and what is done for dependencies' sake.
fn remember(
    world: &World,
    goal: &Goal,
    observed: &Observed,
    plan: &Plan,
) -> Result<(), StateError> {
    if let Goal::Up(stack, _) = goal {
        Ledger::of(stack, plan).merge_into(&world.directories)?;
    }
    let answers = match goal {
        Goal::Follow(stack) => follow::due(stack, observed).map(|due| due.answers),
        Goal::Up(_, options) if options.initiative != Initiative::User => None,
        Goal::Up(stack, _) => follow::overruled(Some(stack), observed, |_| false, plan),
        Goal::Down { .. } => follow::overruled(None, observed, |_| true, plan),
        Goal::Verb { stack, verb, ids } => match verb {
            Verb::Start | Verb::Restart => {
                follow::overruled(Some(stack), observed, |_| false, plan)
            }
            Verb::Stop | Verb::Remove { .. } => {
                follow::overruled(None, observed, |id| ids.contains(id), plan)
            }
            Verb::Revive | Verb::Resume => None,
        },
    };
    match answers {
        Some(answers) => answers::write(&world.directories.stack(goal.stack()), &answers),
        None => Ok(()),
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

/// Why something happens that nobody asked for is said before it does.
fn announce_causes(events: &Events, goal: &Goal, plan: &Plan) {
    if !matches!(goal, Goal::Follow(_)) {
        return;
    }
    for change in &plan.changes {
        for because in change.causes.iter().filter_map(plan::display::cause) {
            events.send(change.resource.clone(), What::Follows { because });
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
            Self::Follow(_) => "what follows from health".into(),
        }
    }

    /// The stack it is about.
    pub fn stack(&self) -> &StackName {
        match self {
            Self::Up(stack, _) | Self::Verb { stack, .. } | Self::Follow(stack) => &stack.name,
            Self::Down { name, .. } => name,
        }
    }
}
