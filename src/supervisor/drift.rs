//! What is not as it was made, and what of it is put right without anybody
//! asking: by the `drift:` policy of the stack and of each workload. Data is
//! never put right.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;

use crate::plan::{Change, Initiative, Loss, Options, Plan, Resource, Wait};
use crate::stack::{Drift, Stack};

/// What a plan says that nobody asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// What is not as it was made, where that is looked for.
    pub changes: Vec<Change>,
    /// How to put right what is to be put right; `None`: nothing is.
    pub correction: Option<Options>,
}

/// The plan of these says what has drifted.
pub fn options() -> Options {
    Options {
        initiative: Initiative::Supervisor,
        wait: Wait::Dependencies,
        no_deps: true,
        ..Options::default()
    }
}

/// Sorts a plan by the policies of what it is about.
pub fn find(plan: &Plan, stack: &Stack) -> Findings {
    let policy = |change: &Change| match &change.resource {
        Resource::Instance(_, id) => {
            stack.workloads.get(&id.workload).map_or(stack.drift, |workload| workload.drift)
        }
        _ => stack.drift,
    };
    let changes: Vec<Change> =
        plan.changes.iter().filter(|change| policy(change) != Drift::Off).cloned().collect();
    let correctable = |change: &&Change| {
        policy(change) == Drift::Correct && !matches!(change.loss, Loss::Data(_))
    };
    let correction = changes.iter().any(|change| correctable(&change)).then(|| {
        let at_stake: BTreeSet<&str> = plan
            .changes
            .iter()
            .filter(|change| matches!(change.loss, Loss::Data(_)))
            .filter_map(|change| match &change.resource {
                Resource::Instance(_, id) => Some(id.workload.as_str()),
                _ => None,
            })
            .collect();
        let corrected = stack.workloads.values().filter(|it| it.drift == Drift::Correct);
        let names = corrected.map(|it| it.name.clone());
        let only = names.filter(|name| !at_stake.contains(name.as_str())).collect();
        Options { only: Some(only), ..options() }
    });
    Findings { changes, correction }
}
