//! What a stack shall be, as the last `up` said it: what a supervisor holds the
//! host to, also one that takes over from another. It is not read from the stack
//! file again: an edited file means nothing until somebody says `up`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::diagnostic::chain;
use crate::plan::Options;
use crate::stack::Stack;
use crate::state::{StateError, atomic};

/// Form of the file.
const VERSION: u32 = 1;

/// Name of the file within the stack's directory.
pub const FILE: &str = "intent.json";

/// What the stack shall be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Form of this file.
    version: u32,
    /// Every workload that somebody brought up, as it was brought up.
    pub stack: Stack,
}

impl Intent {
    /// Reads it; `None`: nothing of the stack shall run.
    pub fn read(stack_directory: &Path) -> Result<Option<Self>, StateError> {
        atomic::read_versioned(&stack_directory.join(FILE), VERSION)
    }

    /// The same for whoever goes on without it: a damaged one is as good as none, and
    /// the next `up` writes another.
    pub fn read_or_none(stack_directory: &Path) -> Result<Option<Self>, StateError> {
        match Self::read(stack_directory) {
            Err(error @ StateError::Damaged { .. }) => {
                tracing::warn!(error = %chain(&error).join(": "), "what was wanted is not known");
                Ok(None)
            }
            read => read,
        }
    }

    /// Replaces it, durably.
    pub fn write(&self, stack_directory: &Path) -> Result<(), StateError> {
        atomic::write(&stack_directory.join(FILE), self)
    }

    /// Takes it away: nothing shall run any more.
    pub fn remove(stack_directory: &Path) -> Result<(), StateError> {
        atomic::remove(&stack_directory.join(FILE))
    }

    /// What shall be after an `up`: what it named (and what that depends on) as it
    /// is in the file now, the rest as it was meant before.
    pub fn after_up(before: Option<&Self>, stack: &Stack, options: &Options) -> Self {
        let mut stack = stack.clone();
        if options.only.is_some() {
            let named: BTreeSet<String> =
                options.scope(&stack).into_iter().map(str::to_owned).collect();
            stack.workloads.retain(|name, _| named.contains(name));
            if let Some(before) = before {
                let before = before.stack.clone();
                for (name, workload) in before.workloads {
                    stack.workloads.entry(name).or_insert(workload);
                }
                for (name, network) in before.networks {
                    stack.networks.entry(name).or_insert(network);
                }
                for (name, volume) in before.volumes {
                    stack.volumes.entry(name).or_insert(volume);
                }
            }
        }
        Self { version: VERSION, stack }
    }
}
