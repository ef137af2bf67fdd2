//! Collecting steps: every edge points to a step that was added before, so the
//! result is a DAG by construction.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Action, Resource, Step};

/// The steps so far.
#[derive(Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    /// Adds a step and gives its index.
    pub(super) fn add(
        &mut self,
        resource: Resource,
        action: Action,
        after: impl IntoIterator<Item = usize>,
    ) -> usize {
        let index = self.0.len();
        let mut after: Vec<usize> = after.into_iter().filter(|before| *before < index).collect();
        after.sort_unstable();
        after.dedup();
        self.0.push(Step { resource, action, after });
        index
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Step> {
        self.0
    }
}
