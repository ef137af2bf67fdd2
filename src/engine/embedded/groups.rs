//! Control groups that were left behind: a shim that was killed cannot take
//! its own away, and where the record went too nobody else would. Once in each
//! process the stack's groups without a record are removed, if nothing runs in
//! them: the kernel keeps those that hold a process.

use std::path::Path;

use super::Home;
use crate::shim::cgroup::Hierarchies;
use crate::stack::{InstanceId, StackName};
use crate::state::{names, record};

/// Removes the empty groups of the stack that belong to no instance of it.
pub(super) fn sweep(home: &Home, stack: &StackName) {
    let first = home.swept.lock().is_ok_and(|mut swept| swept.insert(stack.clone()));
    let Ok(hierarchies) = Hierarchies::find() else { return };
    if !first {
        return;
    }
    let group = names::cgroup(&home.id, stack, &InstanceId::single(""));
    let Some(above) = Path::new(&group).parent() else { return };
    for name in hierarchies.below(above) {
        // The record comes before the group and goes after it.
        let Some((workload, number)) = name.rsplit_once('-') else { continue };
        let id = number.parse().map(|number| InstanceId { number, ..InstanceId::single(workload) });
        let has_record = id.is_ok_and(|id| home.instance(stack, &id).join(record::FILE).exists());
        if !has_record && let Err(error) = hierarchies.remove(&above.join(&name).to_string_lossy())
        {
            tracing::debug!(%error, name, "a group without a record is in use");
        }
    }
}
