//! Which files matter, and to what: made from the stack and from what was asked
//! of the disk while it was read. It looks at no file itself.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::stack::develop::pattern::Filter;
use crate::stack::develop::{Action, Rule};
use crate::stack::workload::SecretSource;
use crate::stack::{Kind, MountSource, Stack};

/// What a changed file sets off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// The stack is read from it, or a workload is given its content.
    Stack,
    /// While the stack was read it was asked whether this is there.
    Presence,
    /// It is mounted by itself into this container.
    Bound(String),
    /// The rule of this workload at this place.
    Rule(String, usize),
}

/// What was asked of the disk while the stack was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Files that were read, or that could not be.
    pub read: BTreeSet<PathBuf>,
    /// Paths of which it was asked whether they are there.
    pub asked: BTreeSet<PathBuf>,
}

/// What must be known of the disk to know what matters.
pub trait Look {
    /// Whether it is a directory, links followed.
    fn is_directory(&self, path: &Path) -> bool;
    /// Where it really lies, links followed.
    fn real(&self, path: &Path) -> Option<PathBuf>;
}

/// Which files matter.
#[derive(Debug, Default)]
pub struct Interest {
    files: BTreeMap<PathBuf, BTreeSet<Trigger>>,
    /// Files whose content workloads are given.
    given: BTreeSet<PathBuf>,
    trees: Vec<Tree>,
}

/// A rule, and what it follows.
#[derive(Debug)]
pub struct Tree {
    /// What a change sets off.
    pub trigger: Trigger,
    /// The rule.
    pub rule: Rule,
    /// The workload.
    pub workload: String,
    filter: Filter,
    is_directory: bool,
}

impl Interest {
    /// What matters to this stack; rules only of the workloads that are `wanted`.
    pub fn of(stack: &Stack, seen: &Seen, wanted: &dyn Fn(&str) -> bool, look: &dyn Look) -> Self {
        let mut interest = Self::default();
        interest.reads(seen, look);
        for (name, workload) in &stack.workloads {
            for file in workload.secrets.iter().chain(&workload.configs) {
                if let SecretSource::File(path) = &file.source {
                    interest.file(path, &Trigger::Stack, look);
                    interest.given.insert(path.clone());
                }
            }
            if !wanted(name) {
                continue;
            }
            let bound = workload.mounts.iter().filter_map(|mount| match &mount.source {
                MountSource::Bind { path, .. } if workload.kind() == Kind::Container => Some(path),
                _ => None,
            });
            for path in bound.filter(|path| !look.is_directory(path)) {
                interest.file(path, &Trigger::Bound(name.clone()), look);
            }
            for (place, rule) in workload.develop.iter().enumerate() {
                interest.trees.push(Tree {
                    trigger: Trigger::Rule(name.clone(), place),
                    rule: rule.clone(),
                    workload: name.clone(),
                    filter: Filter::new(&rule.ignore, &rule.include),
                    is_directory: look.is_directory(&rule.path),
                });
            }
        }
        interest
    }

    /// The stack is read from these files too.
    pub fn reads(&mut self, seen: &Seen, look: &dyn Look) {
        for path in &seen.read {
            self.file(path, &Trigger::Stack, look);
        }
        for path in seen.asked.difference(&seen.read) {
            self.file(path, &Trigger::Presence, look);
        }
    }

    /// Also by its real name: that is where the change of a link's aim is heard.
    fn file(&mut self, path: &Path, trigger: &Trigger, look: &dyn Look) {
        let real = look.real(path).filter(|real| real != path);
        for path in real.into_iter().chain([path.to_owned()]) {
            self.files.entry(path).or_default().insert(trigger.clone());
        }
    }

    /// What a change of this path sets off.
    pub fn triggers(&self, path: &Path) -> Vec<Trigger> {
        let files = self.files.get(path).into_iter().flatten().cloned();
        let trees = self.trees.iter().filter(|tree| tree.has(path));
        files.chain(trees.map(|tree| tree.trigger.clone())).collect()
    }

    /// Every file that matters by itself, with what it sets off.
    pub fn files(&self) -> impl Iterator<Item = (&Trigger, &Path)> {
        self.files.iter().flat_map(|(path, triggers)| {
            triggers.iter().map(move |trigger| (trigger, path.as_path()))
        })
    }

    /// The rules.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.trees.iter()
    }

    /// The rule that a trigger stands for.
    pub fn tree(&self, trigger: &Trigger) -> Option<&Tree> {
        self.trees.iter().find(|tree| tree.trigger == *trigger)
    }

    /// Whether a workload is given the content of this file.
    pub fn is_given(&self, path: &Path) -> bool {
        self.given.contains(path)
    }

    /// Directories in which files appear that matter by themselves, or a rule's
    /// whole tree. A file that is replaced is heard of here, never at itself.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let roots = self.trees.iter().map(|tree| tree.rule.path.as_path());
        let paths = self.files.keys().map(PathBuf::as_path).chain(roots);
        paths.filter_map(Path::parent).map(Path::to_owned).collect()
    }
}

impl Tree {
    /// Whether a change of this path counts.
    fn has(&self, path: &Path) -> bool {
        match path.strip_prefix(&self.rule.path) {
            Ok(below) if below.as_os_str().is_empty() => !self.is_directory,
            Ok(below) => self.is_directory && self.filter.counts(below),
            Err(_) => false,
        }
    }

    /// Whether something below this directory (or it itself) may count.
    pub fn may_have(&self, directory: &Path) -> bool {
        match directory.strip_prefix(&self.rule.path) {
            Ok(below) if below.as_os_str().is_empty() => self.is_directory,
            Ok(below) => self.is_directory && !self.filter.is_closed(below),
            Err(_) => false,
        }
    }

    /// Where a file goes; `None`: nowhere, or its name is no text.
    pub fn target(&self, path: &Path) -> Option<String> {
        let Action::Sync(sync) = &self.rule.action else { return None };
        let below = path.strip_prefix(&self.rule.path).ok()?;
        if below.as_os_str().is_empty() {
            return Some(sync.target.clone());
        }
        Some(format!("{}/{}", sync.target.trim_end_matches('/'), below.to_str()?))
    }
}
