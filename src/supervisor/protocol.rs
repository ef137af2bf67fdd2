//! What is said over a supervisor's socket: HTTP and JSON, version 1. A
//! version only grows fields; what is not understood is ignored.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queue::Ticket;
use crate::conditions::Condition;
use crate::event::Event;
use crate::plan::Consent;
use crate::reconcile::{Goal, Report};
use crate::stack::StackName;

/// Something to be done: the body of `POST /v1/orders`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is wanted.
    pub goal: Goal,
    /// What the user has agreed to.
    #[serde(default)]
    pub consent: Consent,
    /// Replaces every workload's own grace period.
    #[serde(default)]
    pub grace: Option<Duration>,
}

/// Something to be planned: the body of `POST /v1/plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// What is wanted.
    pub goal: Goal,
}

/// The answer to an order, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// It stands in line.
    Accepted {
        /// `DELETE /v1/orders/TICKET` gives it up.
        ticket: Ticket,
        /// What is at work meanwhile.
        behind: Option<String>,
    },
    /// Something happened to a resource.
    Event(Event),
    /// It is done with. The last line.
    Ended {
        /// How it ended.
        report: Box<Report>,
        /// The supervisor ends too: there is nothing left to mind.
        leaving: bool,
    },
}

/// Who answers: `GET /v1/version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of this protocol.
    pub api: u32,
    /// Version of Windlass.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// The stack it minds.
    pub stack: StackName,
    /// The program it runs, so that an upgraded one is told apart.
    pub program: Program,
}

/// Identity of a program's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Device of its file system.
    pub device: u64,
    /// Number of its file there.
    pub inode: u64,
    /// When its file was last written, in nanoseconds since the epoch.
    pub modified: i128,
}

/// How things are: `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The stack.
    pub stack: StackName,
    /// The supervisor's process.
    pub pid: u32,
    /// Seconds since it started.
    pub up_seconds: u64,
    /// What it is doing: `up`, `restart web`; nothing when it only watches.
    pub working_on: Option<String>,
    /// Every instance.
    pub instances: Vec<crate::observed::ObservedInstance>,
    /// How each is, in conditions, by the instance's name.
    #[serde(default)]
    pub conditions: BTreeMap<String, Vec<Condition>>,
    /// What has been changed behind the stack's back, by resource.
    pub drift: Vec<crate::plan::Change>,
}
