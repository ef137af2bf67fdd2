//! What happened, as data: the terminal, JSON output and logs all read this.
//! Whoever emits an event does not know who listens.

use serde::{Deserialize, Serialize};

use crate::plan::Resource;

/// Where events go. Cloning is cheap; sending never blocks.
#[derive(Debug, Clone)]
pub struct Events(tokio::sync::mpsc::UnboundedSender<Event>);

/// Something that happened to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What it happened to.
    pub resource: Resource,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A step waits for others.
    Waiting {
        /// For what, in words: `waiting for db to be healthy`.
        on: String,
    },
    /// A step runs: `pulling`, `starting`.
    Running {
        /// In words.
        doing: String,
    },
    /// How far something long is, or what it says.
    Progress {
        /// In words: `42 of 118 MiB`.
        text: String,
    },
    /// It reached what was wanted.
    Done {
        /// `created`, `ready`, `healthy`, `completed`.
        state: String,
        /// Address, digest, link: what a reader wants next.
        detail: String,
    },
    /// Worth a line of its own under the resource.
    Note {
        /// The line.
        text: String,
    },
    /// It failed.
    Failed {
        /// In words.
        reason: String,
    },
    /// It ended by itself.
    Ended {
        /// `exited (1)`, `out of memory (137)`.
        how: String,
    },
    /// It is started again, as its restart policy says.
    Again {
        /// After so many milliseconds.
        pause_ms: u64,
        /// How often it has been by then.
        count: u32,
    },
    /// It is not started again: its restart policy's limit is reached.
    GaveUp {
        /// The limit.
        limit: u32,
    },
    /// It became healthy, or unhealthy: its healthcheck failed as often in a row as `retries` says.
    Health {
        /// Which of the two.
        healthy: bool,
        /// What the check said.
        output: String,
    },
    /// Something is done to it because of what it depends on (`on_unhealthy:`).
    Follows {
        /// Why, in words: `db became unhealthy (on_unhealthy: stop)`.
        because: String,
    },
    /// It is not as it was made; what was changed behind its back, in words.
    Drifted {
        /// `cpus: 1 → 2 (changed outside)`.
        causes: Vec<String>,
    },
    /// It was not tried because something it needs failed.
    NotStarted {
        /// What it needs.
        needs: String,
    },
}

impl Events {
    /// A sender and the receiver that a front end drains.
    pub fn channel() -> (Self, tokio::sync::mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Says that something happened. A front end that has gone is no error.
    pub fn send(&self, resource: Resource, what: What) {
        drop(self.0.send(Event { resource, what }));
    }
}
