//! Which stacks and instances have left anything on disk: the one walk over
//! `stacks/<stack>/<workload>/<n>/`. A directory that is not there is empty; one
//! that cannot be read is an error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Directories, InstanceRecord, StateError};
use crate::stack::StackName;

impl Directories {
    /// Every stack that has a directory, by name.
    pub fn stacks(&self) -> Result<Vec<StackName>, StateError> {
        stacks_in(&self.lib.join("stacks"))
    }

    /// Every stack that a `GitOps` loop keeps, by name.
    pub fn gitops_stacks(&self) -> Result<Vec<StackName>, StateError> {
        stacks_in(&self.lib.join("gitops"))
    }

    /// Every directory of an instance of the stack, whether or not it has a record.
    pub fn instances(&self, stack: &StackName) -> Result<Vec<PathBuf>, StateError> {
        let mut instances = Vec::new();
        for workload in directories_in(&self.stack(stack))? {
            instances.extend(directories_in(&workload)?);
        }
        Ok(instances)
    }
}

impl InstanceRecord {
    /// The records of a stack, in the order of their ids; a container's that is
    /// damaged is stood in for.
    pub fn of_stack(directories: &Directories, stack: &StackName) -> Result<Vec<Self>, StateError> {
        all(directories, stack, Self::read_or_stand_in)
    }

    /// The same without stand-ins: a damaged record is an error.
    pub fn whole_of_stack(
        directories: &Directories,
        stack: &StackName,
    ) -> Result<Vec<Self>, StateError> {
        all(directories, stack, Self::read)
    }

    /// Those that `names` mean: a copy by its own name, all copies by their
    /// workload's, everything by none.
    pub fn named(all: Vec<Self>, names: &[String]) -> Result<Vec<Self>, UnknownName> {
        let is_named = |record: &Self, name: &String| {
            record.id.workload == *name || record.id.to_string() == *name
        };
        if let Some(name) = names.iter().find(|name| !all.iter().any(|it| is_named(it, name))) {
            let known = all.iter().map(|record| record.id.to_string()).collect();
            return Err(UnknownName { name: name.clone(), known });
        }
        let wanted =
            |record: &Self| names.is_empty() || names.iter().any(|name| is_named(record, name));
        Ok(all.into_iter().filter(wanted).collect())
    }
}

/// A name that nothing of the stack has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no `{name}`")]
pub struct UnknownName {
    /// As it was written.
    pub name: String,
    /// The names there are.
    pub known: Vec<String>,
}

/// The stacks that the directories in this one are named after.
fn stacks_in(directory: &Path) -> Result<Vec<StackName>, StateError> {
    let directories = directories_in(directory)?;
    let name = |path: &PathBuf| StackName::new(path.file_name()?.to_str()?);
    Ok(directories.iter().filter_map(name).collect())
}

fn all(
    directories: &Directories,
    stack: &StackName,
    read: impl Fn(&Path) -> Result<Option<InstanceRecord>, StateError>,
) -> Result<Vec<InstanceRecord>, StateError> {
    let mut records = Vec::new();
    for directory in directories.instances(stack)? {
        records.extend(read(&directory)?);
    }
    records.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(records)
}

/// Directories within `path`, by name.
fn directories_in(path: &Path) -> Result<Vec<PathBuf>, StateError> {
    let read = || -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    match read() {
        // Removed by another command between two looks: as if it had never been.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(StateError::io("read", path)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Directories, StackName, StateError};

    #[test]
    fn what_is_not_there_is_empty_and_what_cannot_be_read_is_an_error() {
        let home = tempfile::tempdir().expect("directory");
        let directories = Directories::new(Some(home.path()), None);
        let stack = StackName::new("shop").expect("name");
        assert!(directories.stacks().expect("none").is_empty());
        assert!(directories.instances(&stack).expect("none").is_empty());

        for instance in ["web/2", "web/1", "db/1"] {
            fs::create_dir_all(directories.stack(&stack).join(instance)).expect("made");
        }
        fs::write(directories.stack(&stack).join("lock"), "").expect("written");
        assert_eq!(directories.stacks().expect("read"), std::slice::from_ref(&stack));
        let found = directories.instances(&stack).expect("read");
        let below = |path: &std::path::PathBuf| {
            path.strip_prefix(directories.stack(&stack)).expect("below").display().to_string()
        };
        assert_eq!(found.iter().map(below).collect::<Vec<_>>(), ["db/1", "web/1", "web/2"]);

        // Not a directory: what root, too, cannot read as one.
        let other = StackName::new("other").expect("name");
        fs::write(directories.stack(&other), "").expect("written");
        let error = directories.instances(&other).expect_err("a file");
        assert!(matches!(error, StateError::Io { operation: "read", .. }), "{error}");
    }
}
