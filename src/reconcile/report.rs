//! How a reconcile ended, as data: what a front end shows, and what crosses a
//! socket when it was done by another process. Errors are words and a kind here.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::{Deserialize, Serialize};

use super::{ReconcileError, Reconciled};
use crate::apply::Outcome;
use crate::cloud_init;
use crate::diagnostic::chain;
use crate::engine::qemu::QemuError;
use crate::engine::{EngineError, ErrorKind};
use crate::plan::{Plan, Refused, Resource};
use crate::state::StateError;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The plan was carried out, as far as it went.
    Done(Box<Plan>, Walked),
    /// The plan cannot be carried out as a whole, so none of it was.
    Blocked(Box<Plan>),
    /// The plan needs consent that was not given.
    Refused(Box<Plan>, Refused),
    /// There was no plan.
    Failed(Trouble),
}

/// What the walk came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// How many steps succeeded.
    pub done: usize,
    /// Steps that failed, in the order they did.
    pub failed: Vec<(Resource, Trouble)>,
    /// Resources not reached, with what they needed.
    pub not_started: Vec<(Resource, String)>,
    /// It was stopped before the end.
    pub interrupted: bool,
}

/// An error in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Message and causes, outermost first.
    pub chain: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// What callers act on.
    pub kind: ErrorKind,
    /// What the guest said, where its cloud-init failed.
    #[serde(default)]
    pub cloud_init: Option<cloud_init::Failure>,
}

impl Report {
    /// Whether everything that was planned was done.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::Done(_, walked) => {
                walked.failed.is_empty() && walked.not_started.is_empty() && !walked.interrupted
            }
            _ => false,
        }
    }

    /// It was given up before it began.
    pub fn given_up() -> Self {
        let walked = Walked { interrupted: true, ..Walked::default() };
        Self::Done(Box::default(), walked)
    }

    /// From what a reconcile gave.
    pub fn of(result: Result<Reconciled, ReconcileError>) -> Self {
        match result {
            Ok(done) => Self::Done(Box::new(done.plan), Walked::of(&done.outcome)),
            Err(ReconcileError::Blocked(plan)) => Self::Blocked(plan),
            Err(ReconcileError::Refused(plan, refused)) => Self::Refused(plan, refused),
            Err(error) => Self::Failed(Trouble::of_reconcile(&error)),
        }
    }
}

impl Walked {
    fn of(outcome: &Outcome) -> Self {
        let failed = outcome.failed.iter();
        let not_started = outcome.not_started.iter();
        Self {
            done: outcome.done,
            failed: failed.map(|it| (it.resource.clone(), Trouble::of(&it.error))).collect(),
            not_started: not_started.map(|(it, needs)| (it.clone(), needs.clone())).collect(),
            interrupted: outcome.interrupted,
        }
    }
}

impl Trouble {
    /// From an engine's error.
    pub fn of(error: &EngineError) -> Self {
        let cloud_init = match error.source.downcast_ref() {
            Some(QemuError::CloudInit(said)) => Some(said.clone()),
            _ => None,
        };
        Self { chain: chain(error), help: error.help.clone(), kind: error.kind, cloud_init }
    }

    fn of_reconcile(error: &ReconcileError) -> Self {
        let (help, kind) = match error {
            ReconcileError::State(state) => {
                let newer = matches!(state, StateError::Newer { .. });
                (state.help(), if newer { ErrorKind::Refused } else { ErrorKind::System })
            }
            ReconcileError::Look(error) | ReconcileError::Facts(error) => {
                (error.help.clone(), error.kind)
            }
            ReconcileError::Blocked(_) => (None, ErrorKind::Failed),
            ReconcileError::Refused(..) => (None, ErrorKind::Refused),
        };
        Self { chain: chain(error), help, kind, cloud_init: None }
    }
}
