//! Since when each instance is as it was made, or is not: what a look for drift
//! found, and when that last changed. Kept in a file, so that the next supervisor
//! (and `ps`) goes on from it: a cache, which costs only the times when it is lost.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::conditions::Declared;
use crate::plan::{Change, Resource, display};
use crate::stack::{Drift, InstanceId, Stack};
use crate::state::{StateError, atomic};

/// Name of the file within the stack's directory.
const FILE: &str = "declared.json";

/// Form of the file.
const VERSION: u32 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Found {
    version: u32,
    instances: Vec<Declared>,
}

/// What was found before.
pub fn read(stack_directory: &Path) -> BTreeMap<InstanceId, Declared> {
    let found = atomic::read_cache::<Found>(&stack_directory.join(FILE), VERSION);
    found.instances.into_iter().map(|it| (it.id.clone(), it)).collect()
}

/// Replaces it.
pub(super) fn write(
    stack_directory: &Path,
    found: &BTreeMap<InstanceId, Declared>,
) -> Result<(), StateError> {
    let found = Found { version: VERSION, instances: found.values().cloned().collect() };
    atomic::write_cache(&stack_directory.join(FILE), &found)
}

/// Takes it away: of a stack that is down there is nothing to say.
pub(super) fn forget(stack_directory: &Path) {
    // Lost or left, it only costs times.
    drop(std::fs::remove_file(stack_directory.join(FILE)));
}

/// What a look comes to, at `now`: the time stays where the status does.
pub(super) fn after_look(
    before: &BTreeMap<InstanceId, Declared>,
    stack: &Stack,
    changes: &[Change],
    now: i64,
) -> BTreeMap<InstanceId, Declared> {
    let looked_for = stack.instances().filter(|(_, workload)| workload.drift != Drift::Off);
    let found = looked_for.map(|(id, _)| {
        let of = |change: &&Change| {
            matches!(&change.resource, Resource::Instance(_, about) if *about == id)
        };
        let drifted: Vec<String> = changes.iter().filter(of).flat_map(words).collect();
        let same =
            before.get(&id).filter(|before| before.drifted.is_empty() == drifted.is_empty());
        let since = same.map_or(now, |same| same.since);
        (id.clone(), Declared { id, drifted, since })
    });
    found.collect()
}

/// Its causes; what is simply not there has none in words.
fn words(change: &Change) -> Vec<String> {
    let words: Vec<String> = change.causes.iter().filter_map(display::cause).collect();
    if words.is_empty() { vec!["does not exist".to_owned()] } else { words }
}
