//! The ledger: a cache per stack of what can be found again by looking. Lost,
//! truncated or damaged, it is as if it had never been; only a *newer* one is
//! refused, because a newer Windlass may rely on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Directories, StateError, atomic};
use crate::plan::{Action, Plan};
use crate::stack::{Stack, StackName};

/// Version of the file's form.
pub const VERSION: u32 = 1;

/// Name of the file within the stack's directory.
pub const FILE: &str = "ledger.json";

/// What the last `up` knew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Form of this file.
    pub version: u32,
    /// The stack.
    pub stack: StackName,
    /// The project's directory: `up` from another one is refused.
    pub directory: PathBuf,
    /// The files it was read from.
    pub files: Vec<PathBuf>,
    /// Subnets that were chosen, by the file's name of the network: kept over
    /// a reboot, which takes the bridges away.
    pub subnets: BTreeMap<String, Ipv4Net>,
}

/// What was found where the ledger should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A ledger.
    Ledger(Box<Ledger>),
    /// None, or one that cannot be read; in words when it was damaged.
    Lost(Option<String>),
}

/// Reads the ledger of the stack whose directory this is.
pub fn read(stack_directory: &Path) -> Result<Found, StateError> {
    match atomic::read_versioned(&stack_directory.join(FILE), VERSION) {
        Ok(Some(ledger)) => Ok(Found::Ledger(Box::new(ledger))),
        Ok(None) => Ok(Found::Lost(None)),
        Err(StateError::Damaged { path, source }) => {
            Ok(Found::Lost(Some(format!("`{}` is damaged ({source})", path.display()))))
        }
        Err(error) => Err(error),
    }
}

/// Replaces the ledger, unless it says the same already.
pub fn write(stack_directory: &Path, ledger: &Ledger) -> Result<(), StateError> {
    if let Ok(Found::Ledger(old)) = read(stack_directory)
        && *old == *ledger
    {
        return Ok(());
    }
    atomic::write(&stack_directory.join(FILE), ledger)
}

impl Ledger {
    /// What is worth remembering of a stack and the plan for it.
    pub fn of(stack: &Stack, plan: &Plan) -> Self {
        let subnets = plan.steps.iter().filter_map(|step| match &step.action {
            Action::CreateNetwork(network) => Some((network.name.clone(), network.subnet)),
            _ => None,
        });
        Self {
            version: VERSION,
            stack: stack.name.clone(),
            directory: stack.directory.clone(),
            files: stack.files.clone(),
            subnets: subnets.collect(),
        }
    }

    /// Writes it, keeping the subnets that are remembered already.
    pub fn merge_into(mut self, directories: &Directories) -> Result<(), StateError> {
        let directory = directories.stack(&self.stack);
        if let Found::Ledger(old) = read(&directory)? {
            for (network, subnet) in old.subnets {
                self.subnets.entry(network).or_insert(subnet);
            }
        }
        write(&directory, &self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        Ledger {
            version: VERSION,
            stack: StackName::new("shop").expect("a valid name"),
            directory: "/srv/shop".into(),
            files: vec!["/srv/shop/windlass.yaml".into()],
            subnets: BTreeMap::new(),
        }
    }

    #[test]
    fn a_damaged_ledger_is_a_lost_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join(FILE), b"{\"version\": 1, \"sta").expect("written");
        assert!(matches!(read(directory.path()), Ok(Found::Lost(Some(_)))));
        write(directory.path(), &ledger()).expect("replaced");
        assert_eq!(read(directory.path()).expect("read"), Found::Ledger(Box::new(ledger())));
    }

    #[test]
    fn a_newer_ledger_is_refused_even_if_the_rest_is_unknown() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join(FILE), b"{\"version\": 99}").expect("written");
        assert!(matches!(read(directory.path()), Err(StateError::Newer { found: 99, .. })));
    }
}
