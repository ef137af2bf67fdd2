//! What ran when the host went down. Written before it is stopped for that, so
//! that it can be told from what the user had stopped; gone once it was brought
//! back. Where the power failed there is none: what was cut off is seen to be.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::stack::InstanceId;
use crate::state::{StateError, atomic};

/// Form of the file.
const VERSION: u32 = 1;

/// Name of the file within the stack's directory.
const FILE: &str = "ran.json";

#[derive(Serialize, Deserialize)]
struct Ran {
    version: u32,
    ids: BTreeSet<InstanceId>,
}

/// Reads it; nobody where there is none.
pub fn read(stack_directory: &Path) -> Result<BTreeSet<InstanceId>, StateError> {
    let ran: Option<Ran> = atomic::read_versioned(&stack_directory.join(FILE), VERSION)?;
    Ok(ran.map(|ran| ran.ids).unwrap_or_default())
}

/// Replaces it, durably. Where nothing runs, what is still to be brought back stays.
pub fn write(stack_directory: &Path, ids: &BTreeSet<InstanceId>) -> Result<(), StateError> {
    if ids.is_empty() {
        return Ok(());
    }
    atomic::write(&stack_directory.join(FILE), &Ran { version: VERSION, ids: ids.clone() })
}

/// Takes it away: what runs from now on is what counts.
pub fn forget(stack_directory: &Path) -> Result<(), StateError> {
    atomic::remove(&stack_directory.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_be_brought_back_outlives_a_boot_in_which_nothing_ran() {
        let directory = tempfile::tempdir().unwrap();
        let web = BTreeSet::from([InstanceId::single("web")]);
        write(directory.path(), &web).unwrap();
        write(directory.path(), &BTreeSet::new()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), web);
        forget(directory.path()).unwrap();
        forget(directory.path()).unwrap();
        assert_eq!(read(directory.path()).unwrap(), BTreeSet::new());
    }
}
