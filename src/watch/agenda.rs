//! What is to be done about the files that changed, merged and in an order that
//! makes sense: files go in before what follows from them, one workload never
//! waits for another, and what asks the supervisor is done one after another.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::interest::{Interest, Trigger};
use crate::stack::develop::{Action, Hook, Then};

/// Files that caused something.
pub type Causes = BTreeSet<PathBuf>;

/// What is done by the stack's supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Read the stack again and make the host match it.
    Reload(Causes),
    /// Stop and start these workloads.
    Restart(BTreeMap<String, Causes>),
    /// Make this workload's image anew, and it from that.
    Rebuild(String, Causes),
}

/// Files that go into a workload, and what follows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Path inside → path on the host.
    pub files: BTreeMap<String, PathBuf>,
    /// Commands that run inside afterwards.
    pub hooks: Vec<Hook>,
    /// Files for which it is restarted afterwards; none: it is not.
    pub restart: Causes,
    /// When the first of them changed; `None`: nobody changed anything.
    pub since: Option<Duration>,
}

/// What to begin now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// Put files into this workload.
    Deliver(String, Delivery),
    /// Have the supervisor do this.
    Order(Order),
}

/// How an order ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Workloads that were made anew: what was put into them is gone.
    pub made_anew: BTreeSet<String>,
}

/// What is to be done, what is being done, what has gone into whom.
#[derive(Debug, Default)]
pub struct Agenda {
    reload: Causes,
    rebuild: BTreeMap<String, Causes>,
    restart: BTreeMap<String, Causes>,
    deliveries: BTreeMap<String, Delivery>,
    /// Workloads that could not be delivered to: until something changes.
    stuck: BTreeSet<String>,
    delivering: BTreeSet<String>,
    /// Of these, the ones that were made anew meanwhile.
    overtaken: BTreeSet<String>,
    order: Option<Order>,
    carried: BTreeMap<String, BTreeMap<String, PathBuf>>,
}

impl Agenda {
    /// A file has changed that means something: what it sets off.
    pub fn add(&mut self, interest: &Interest, trigger: &Trigger, path: &Path, since: Duration) {
        let cause = path.to_owned();
        match trigger {
            Trigger::Stack | Trigger::Presence => drop(self.reload.insert(cause)),
            Trigger::Bound(workload) => {
                self.restart.entry(workload.clone()).or_default().insert(cause);
            }
            Trigger::Rule(workload, _) => {
                let Some(tree) = interest.tree(trigger) else { return };
                match &tree.rule.action {
                    Action::Restart => {
                        self.restart.entry(workload.clone()).or_default().insert(cause);
                    }
                    Action::Rebuild => {
                        self.rebuild.entry(workload.clone()).or_default().insert(cause);
                    }
                    Action::Sync(sync) => {
                        let Some(target) = tree.target(path) else { return };
                        let delivery = self.delivery(workload);
                        delivery.files.insert(target, cause.clone());
                        delivery.since = Some(delivery.since.map_or(since, |it| it.min(since)));
                        match &sync.then {
                            Then::Nothing => {}
                            Then::Restart => drop(delivery.restart.insert(cause)),
                            Then::Exec(hook) if delivery.hooks.contains(hook) => {}
                            Then::Exec(hook) => delivery.hooks.push(hook.clone()),
                        }
                    }
                }
            }
        }
    }

    /// Something goes into a workload although nobody changed it.
    pub fn bring(&mut self, workload: &str, target: String, source: PathBuf) {
        self.delivery(workload).files.insert(target, source);
    }

    fn delivery(&mut self, workload: &str) -> &mut Delivery {
        self.stuck.remove(workload);
        self.deliveries.entry(workload.to_owned()).or_default()
    }

    /// What can begin now, and is taken to have begun.
    pub fn begin(&mut self) -> Option<Job> {
        if let Some(workload) = self.deliverable() {
            let delivery = self.deliveries.remove(&workload).unwrap_or_default();
            self.delivering.insert(workload.clone());
            return Some(Job::Deliver(workload, delivery));
        }
        if self.order.is_some() {
            return None;
        }
        let order = self.next_order()?;
        self.order = Some(order.clone());
        Some(Job::Order(order))
    }

    fn deliverable(&self) -> Option<String> {
        let is_held = |workload: &String| match &self.order {
            Some(Order::Restart(restarted)) => restarted.contains_key(workload),
            Some(Order::Rebuild(rebuilt, _)) => rebuilt == workload,
            Some(Order::Reload(_)) | None => false,
        };
        let free = |workload: &&String| {
            !self.delivering.contains(*workload)
                && !self.stuck.contains(*workload)
                && !self.rebuild.contains_key(*workload)
                && !is_held(workload)
        };
        self.deliveries.keys().find(free).cloned()
    }

    fn next_order(&mut self) -> Option<Order> {
        if !self.reload.is_empty() {
            return Some(Order::Reload(std::mem::take(&mut self.reload)));
        }
        if let Some((workload, causes)) = self.rebuild.pop_first() {
            // It starts anew anyway.
            self.restart.remove(&workload);
            return Some(Order::Rebuild(workload, causes));
        }
        let waits = |workload: &String| {
            self.delivering.contains(workload)
                || (self.deliveries.contains_key(workload) && !self.stuck.contains(workload))
        };
        let (later, now) =
            std::mem::take(&mut self.restart).into_iter().partition(|(it, _)| waits(it));
        self.restart = later;
        let now: BTreeMap<String, Causes> = now;
        (!now.is_empty()).then_some(Order::Restart(now))
    }

    /// A delivery has ended, well or not.
    pub fn delivered(&mut self, workload: &str, delivery: Delivery, well: bool) {
        self.delivering.remove(workload);
        let was_overtaken = self.overtaken.remove(workload);
        if well {
            if was_overtaken {
                for (target, source) in &delivery.files {
                    self.bring(workload, target.clone(), source.clone());
                }
            }
            let carried = self.carried.entry(workload.to_owned()).or_default();
            carried.extend(delivery.files);
            if !delivery.restart.is_empty() {
                self.restart.entry(workload.to_owned()).or_default().extend(delivery.restart);
            }
            return;
        }
        let newer = self.deliveries.remove(workload);
        if newer.is_none() {
            self.stuck.insert(workload.to_owned());
        }
        self.deliveries.insert(workload.to_owned(), delivery.and(newer.unwrap_or_default()));
    }

    /// The order has ended.
    pub fn ordered(&mut self, ended: &Ended) {
        self.order = None;
        self.stuck.clear();
        for workload in &ended.made_anew {
            if self.delivering.contains(workload) {
                self.overtaken.insert(workload.clone());
            }
            for (target, source) in self.carried.get(workload).cloned().unwrap_or_default() {
                self.bring(workload, target, source);
            }
        }
    }
}

impl Delivery {
    fn and(mut self, newer: Self) -> Self {
        self.files.extend(newer.files);
        for hook in newer.hooks {
            if !self.hooks.contains(&hook) {
                self.hooks.push(hook);
            }
        }
        self.restart.extend(newer.restart);
        self.since = self.since.or(newer.since);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{InMemory, Source};
    use crate::stack::{self, Stack};
    use crate::watch::interest::{Look, Seen};

    /// A disk on which `/p/src` and `/p/conf` are directories.
    struct OnPaper;

    impl Look for OnPaper {
        fn is_directory(&self, path: &Path) -> bool {
            path.extension().is_none()
        }

        fn real(&self, path: &Path) -> Option<PathBuf> {
            Some(path.to_owned())
        }
    }

    const FILE: &str = "
services:
  web:
    build: { bootstrap: bookworm }
    command: sleep 1
    volumes: [ ./alone.conf:/etc/alone.conf ]
    develop:
      watch:
        - { path: ./src, action: sync, target: /app, ignore: [ out ] }
        - { path: ./conf, action: sync+restart, target: /conf/ }
        - { path: ./make.txt, action: rebuild }
  other:
    build: { bootstrap: bookworm }
    command: sleep 1
    develop:
      watch:
        - { path: ./src, action: restart, include: [ '*.conf' ] }
";

    fn stack() -> Stack {
        let names = ["windlass.yaml", "src/a.txt", "conf/a.txt", "make.txt", "alone.conf"];
        let files: InMemory =
            names.iter().map(|name| (format!("/p/{name}"), FILE.to_owned())).collect();
        let source = Source {
            files: vec!["/p/windlass.yaml".into()],
            project_directory: "/p".into(),
            ..Source::default()
        };
        stack::read(&source, &files).expect("it is right").stack
    }

    fn interest() -> Interest {
        let read = BTreeSet::from([PathBuf::from("/p/windlass.yaml")]);
        let seen = Seen { read, asked: BTreeSet::from([PathBuf::from("/p/.env")]) };
        Interest::of(&stack(), &seen, &|_| true, &OnPaper)
    }

    /// An agenda of these changes.
    fn changed(agenda: &mut Agenda, paths: &[&str]) {
        let interest = interest();
        for path in paths {
            for trigger in interest.triggers(Path::new(path)) {
                agenda.add(&interest, &trigger, Path::new(path), Duration::ZERO);
            }
        }
    }

    fn begun(agenda: &mut Agenda) -> Vec<Job> {
        std::iter::from_fn(|| agenda.begin()).collect()
    }

    fn delivery(job: Option<&Job>) -> Delivery {
        let Some(Job::Deliver(workload, delivery)) = job else { panic!("{job:?}") };
        assert_eq!(workload, "web");
        delivery.clone()
    }

    #[test]
    fn files_go_where_their_rule_says_and_ignored_ones_nowhere() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/src/a.txt", "/p/src/out/b", "/p/src", "/p/elsewhere"]);
        let begun = begun(&mut agenda);
        let files = BTreeMap::from([("/app/a.txt".to_owned(), "/p/src/a.txt".into())]);
        assert_eq!((begun.len(), delivery(begun.first()).files), (1, files));
    }

    #[test]
    fn a_restart_waits_for_the_files_and_for_nobody_else() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/conf/a.txt", "/p/src/b.conf"]);
        let jobs = begun(&mut agenda);
        let brought = delivery(jobs.first());
        assert!(brought.files.contains_key("/conf/a.txt"), "{brought:?}");
        // The neighbour's restart began; ours comes when the files are in.
        let cause = |path: &str| Causes::from([PathBuf::from(path)]);
        let other = BTreeMap::from([("other".to_owned(), cause("/p/src/b.conf"))]);
        assert_eq!(jobs[1..], [Job::Order(Order::Restart(other))]);
        agenda.delivered("web", brought, true);
        assert_eq!(begun(&mut agenda), []);
        agenda.ordered(&Ended::default());
        let web = BTreeMap::from([("web".to_owned(), cause("/p/conf/a.txt"))]);
        assert_eq!(begun(&mut agenda), [Job::Order(Order::Restart(web))]);
        // Meanwhile nothing goes in.
        changed(&mut agenda, &["/p/src/a.txt"]);
        assert_eq!(begun(&mut agenda), []);
        agenda.ordered(&Ended::default());
        assert_eq!(begun(&mut agenda).len(), 1);
    }

    #[test]
    fn what_was_made_anew_gets_back_what_had_gone_in() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/src/a.txt"]);
        let before = delivery(begun(&mut agenda).first());
        agenda.delivered("web", before.clone(), true);
        changed(&mut agenda, &["/p/make.txt", "/p/alone.conf"]);
        let causes = Causes::from([PathBuf::from("/p/make.txt")]);
        let rebuild = Job::Order(Order::Rebuild("web".into(), causes));
        assert_eq!(begun(&mut agenda), [rebuild], "which is a restart, too");
        agenda.ordered(&Ended { made_anew: BTreeSet::from(["web".to_owned()]) });
        let jobs = begun(&mut agenda);
        assert_eq!((jobs.len(), delivery(jobs.first()).files), (1, before.files));
    }

    #[test]
    fn what_went_into_one_that_is_just_made_anew_goes_in_again() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/windlass.yaml", "/p/src/a.txt"]);
        let jobs = begun(&mut agenda);
        assert_eq!(jobs.len(), 2, "a delivery does not wait for the stack's file");
        let first = delivery(jobs.first());
        agenda.ordered(&Ended { made_anew: BTreeSet::from(["web".to_owned()]) });
        agenda.delivered("web", first.clone(), true);
        assert_eq!(delivery(begun(&mut agenda).first()).files, first.files);
    }

    #[test]
    fn what_did_not_get_in_is_kept_for_the_next_time() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/src/a.txt"]);
        let first = delivery(begun(&mut agenda).first());
        agenda.delivered("web", first, false);
        assert_eq!(begun(&mut agenda), [], "it is not tried for ever");
        changed(&mut agenda, &["/p/src/b.txt"]);
        assert_eq!(delivery(begun(&mut agenda).first()).files.len(), 2);
    }

    #[test]
    fn the_stack_is_read_again_before_anything_else_is_ordered() {
        let mut agenda = Agenda::default();
        changed(&mut agenda, &["/p/alone.conf", "/p/windlass.yaml", "/p/.env", "/p/make.txt"]);
        let causes: Causes = ["/p/.env", "/p/windlass.yaml"].iter().map(PathBuf::from).collect();
        assert_eq!(begun(&mut agenda), [Job::Order(Order::Reload(causes))]);
    }
}
