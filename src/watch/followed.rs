//! What is followed, and what it was when it was last looked at: from the
//! kernel's notices to files that say something else than before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::WatchError;
use super::debounce::Debounce;
use super::flapping::Flapping;
use super::interest::{Interest, Look, Trigger};
use super::notices::{Notice, Notices};
use super::print::{self, Print};
use crate::stack::develop::{Action, Sync, Then};

/// So long at rest, and a change counts.
const REST: Duration = Duration::from_millis(50);
/// So long after its first change something that goes on changing counts too.
const MOST: Duration = Duration::from_millis(500);

/// What rests by itself: a file that only is to be copied, and otherwise all
/// that sets off the same.
type Key = (Trigger, Option<PathBuf>);

/// A file that says something else than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) trigger: Trigger,
    pub(super) path: PathBuf,
    /// When the first word of it came.
    pub(super) since: Duration,
}

/// What the kernel's notices came to.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Files that say something else.
    pub(super) other: Vec<Change>,
    /// Files that are left alone from now on.
    pub(super) suspended: Vec<PathBuf>,
    /// Files that are not left alone any longer.
    pub(super) resumed: Vec<PathBuf>,
}

/// Everything that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) interest: Interest,
    notices: Notices,
    known: BTreeMap<(Trigger, PathBuf), Print>,
    waiting: Debounce<Key, PathBuf>,
    flapping: Flapping,
}

/// The disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnDisk;

impl Look for OnDisk {
    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn real(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()
    }
}

impl Followed {
    pub(super) fn new() -> Result<Self, WatchError> {
        Ok(Self {
            interest: Interest::default(),
            notices: Notices::new()?,
            known: BTreeMap::new(),
            waiting: Debounce::new(REST, MOST),
            flapping: Flapping::default(),
        })
    }

    /// From now on this matters. What was known of the same before stays known,
    /// so that no change is lost in between; `is_same` says what is the same.
    pub(super) fn turn_to(
        &mut self,
        interest: Interest,
        is_same: &dyn Fn(&Trigger) -> bool,
    ) -> Result<(), WatchError> {
        self.interest = interest;
        self.known.retain(|(trigger, _), _| is_same(trigger));
        for directory in self.interest.directories() {
            self.notices.follow(&directory)?;
        }
        let roots: Vec<PathBuf> =
            self.interest.trees().map(|tree| tree.rule.path.clone()).collect();
        for root in roots {
            self.walk(&root, None)?;
        }
        let files: Vec<(Trigger, PathBuf)> = self
            .interest
            .files()
            .map(|(trigger, path)| (trigger.clone(), path.to_owned()))
            .collect();
        for (trigger, path) in files {
            self.know(trigger, path);
        }
        Ok(())
    }

    fn know(&mut self, trigger: Trigger, path: PathBuf) {
        self.known
            .entry((trigger, path))
            .or_insert_with_key(|(trigger, path)| print::of(trigger, path));
    }

    /// Follows `top` and what is below it, as far as a rule may care. What is
    /// found is known from now on, or (with a time) as good as changed.
    fn walk(&mut self, top: &Path, now: Option<Duration>) -> Result<(), WatchError> {
        let mut open = vec![top.to_owned()];
        let mut found = vec![top.to_owned()];
        while let Some(directory) = open.pop() {
            if !self.interest.trees().any(|tree| tree.may_have(&directory)) {
                continue;
            }
            // First followed, then read: what appears in between is heard of.
            self.notices.follow(&directory)?;
            let (directories, paths) = print::entries(&directory);
            open.extend(directories);
            found.extend(paths);
        }
        for path in found {
            for trigger in self.interest.triggers(&path) {
                match now {
                    Some(now) => self.touch(trigger, path.clone(), now),
                    None => self.know(trigger, path.clone()),
                }
            }
        }
        Ok(())
    }

    /// Everything that a rule has and that is there.
    pub(super) fn all_of(&self, trigger: &Trigger) -> Vec<PathBuf> {
        self.known
            .iter()
            .filter(|((of, _), print)| of == trigger && **print != Print::Absent)
            .map(|((_, path), _)| path.clone())
            .collect()
    }

    /// The next notice, taken note of.
    pub(super) async fn hear(&mut self) -> Option<Notice> {
        self.notices.next().await
    }

    /// Takes note of what was heard.
    pub(super) fn note(&mut self, notice: Notice, now: Duration) -> Result<(), WatchError> {
        match notice {
            Notice::Broken(error) => Err(WatchError::Kernel(error)),
            Notice::Overflow => self.look_at_everything(now),
            Notice::Changed { paths, gone } => {
                for path in paths {
                    self.changed(&path, gone, now)?;
                }
                Ok(())
            }
        }
    }

    fn changed(&mut self, path: &Path, gone: bool, now: Duration) -> Result<(), WatchError> {
        let was_directory = gone && self.notices.forget(path);
        for trigger in self.interest.triggers(path) {
            self.touch(trigger, path.to_owned(), now);
        }
        // A directory that goes takes with it what was in it, one that comes brings it.
        let known = self.known.keys().filter(|(_, known)| was_directory && known.starts_with(path));
        let below: Vec<(Trigger, PathBuf)> = known.cloned().collect();
        for (trigger, path) in below {
            self.touch(trigger, path, now);
        }
        let may_come = self.interest.trees().any(|tree| tree.may_have(path));
        if may_come && std::fs::symlink_metadata(path).is_ok_and(|it| it.is_dir()) {
            self.walk(path, Some(now))?;
        }
        Ok(())
    }

    /// Nobody knows what changed: all may have.
    fn look_at_everything(&mut self, now: Duration) -> Result<(), WatchError> {
        let known: Vec<(Trigger, PathBuf)> = self.known.keys().cloned().collect();
        for (trigger, path) in known {
            self.touch(trigger, path, now);
        }
        let roots: Vec<PathBuf> =
            self.interest.trees().map(|tree| tree.rule.path.clone()).collect();
        for root in roots {
            self.walk(&root, Some(now))?;
        }
        Ok(())
    }

    fn touch(&mut self, trigger: Trigger, path: PathBuf, now: Duration) {
        if self.flapping.is_suspended(&path, now) {
            return;
        }
        let by_itself = self.interest.tree(&trigger).is_some_and(|tree| {
            matches!(&tree.rule.action, Action::Sync(Sync { then: Then::Nothing, .. }))
        });
        let alone = by_itself.then(|| path.clone());
        self.waiting.touch((trigger, alone), path, now);
    }

    /// When there is something to look at next.
    pub(super) fn next(&self) -> Option<Duration> {
        self.waiting.next().into_iter().chain(self.flapping.next()).min()
    }

    /// Looks at what has rested: what says something else than before?
    pub(super) fn look(&mut self, now: Duration) -> Changes {
        let mut found = Changes { resumed: self.flapping.rested(now), ..Changes::default() };
        for path in found.resumed.clone() {
            for trigger in self.interest.triggers(&path) {
                // It has rested long enough.
                found.other.extend(self.compare(trigger, path.clone(), now));
            }
        }
        for due in self.waiting.take(now) {
            let (trigger, _) = due.key;
            for path in due.values {
                let Some(change) = self.compare(trigger.clone(), path, due.first) else { continue };
                if self.flapping.acted(&change.path, now) {
                    found.suspended.push(change.path.clone());
                }
                found.other.push(change);
            }
        }
        found
    }

    fn compare(&mut self, trigger: Trigger, path: PathBuf, since: Duration) -> Option<Change> {
        let print = print::of(&trigger, &path);
        let is_directory = print == Print::Directory;
        let before = self.known.insert((trigger.clone(), path.clone()), print.clone());
        let before = before.unwrap_or(Print::Absent);
        if print == Print::Absent {
            self.known.remove(&(trigger.clone(), path.clone()));
        }
        // Directories are nothing to whoever only wants to know what files say.
        let is_of_files = is_directory || before == Print::Directory;
        let copies = self.interest.tree(&trigger).is_some_and(|tree| tree.target(&path).is_some());
        let counts = print != before && (copies || !is_of_files);
        counts.then_some(Change { trigger, path, since })
    }

    /// How many directories and files are followed.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.notices.count(), self.known.len())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::spec::{Disk, Source};
    use crate::stack;
    use crate::watch::interest::Seen;

    const FILE: &str = "
services:
  web:
    build: { bootstrap: bookworm }
    command: sleep 1
    develop: { watch: [{ path: ./src, action: sync, target: /app }] }
";

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A project whose `src` is followed.
    fn followed() -> (tempfile::TempDir, Followed) {
        let project = tempfile::tempdir().expect("a directory");
        fs::create_dir(project.path().join("src")).expect("made");
        fs::write(project.path().join("src/a"), "one").expect("written");
        let file = project.path().join("windlass.yaml");
        fs::write(&file, FILE).expect("written");
        let source = Source {
            files: vec![file],
            project_directory: project.path().to_owned(),
            project_name: Some("test".into()),
            ..Source::default()
        };
        let stack = stack::read(&source, &Disk).expect("it is right").stack;
        let interest = Interest::of(&stack, &Seen::default(), &|_| true, &OnDisk);
        let mut followed = Followed::new().expect("inotify");
        followed.turn_to(interest, &|_| true).expect("followed");
        (project, followed)
    }

    fn names(changes: &Changes) -> Vec<String> {
        let name = |change: &Change| change.path.file_name().map(|it| it.to_string_lossy().into());
        changes.other.iter().filter_map(name).collect()
    }

    #[test]
    fn when_the_kernel_could_not_tell_everything_all_is_looked_at() {
        let (project, mut followed) = followed();
        fs::write(project.path().join("src/a"), "two").expect("written");
        fs::create_dir(project.path().join("src/new")).expect("made");
        fs::write(project.path().join("src/new/b"), "new").expect("written");
        followed.note(Notice::Overflow, at(0)).expect("noted");
        assert_eq!(names(&followed.look(at(49))), [] as [&str; 0]);
        assert_eq!(names(&followed.look(at(50))), ["a", "new", "b"]);
        // What says the same is no change, however often it is looked at.
        followed.note(Notice::Overflow, at(100)).expect("noted");
        assert_eq!(names(&followed.look(at(150))), [] as [&str; 0]);
    }

    #[test]
    fn a_file_that_flaps_is_named_once_and_its_last_word_counts_in_the_end() {
        let (project, mut followed) = followed();
        let file = project.path().join("src/a");
        let mut acted = 0;
        let mut suspended = Vec::new();
        for number in 0..60 {
            fs::write(&file, format!("{number}")).expect("written");
            let paths = vec![file.clone()];
            followed.note(Notice::Changed { paths, gone: false }, at(number * 60)).expect("noted");
            let changes = followed.look(at(number * 60 + 50));
            acted += changes.other.len();
            suspended.extend(changes.suspended);
        }
        assert_eq!((acted, suspended), (21, vec![file.clone()]));
        let rested = followed.look(at(59 * 60 + 2000));
        assert_eq!((rested.resumed.clone(), names(&rested)), (vec![file], vec!["a".to_owned()]));
    }
}
