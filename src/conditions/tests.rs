use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::observed::{Answer, Restarts, Stage};
use crate::stack::{Definition, ImageSource};

fn seen(state: State, kind: Kind) -> ObservedInstance {
    ObservedInstance {
        id: InstanceId::single("web"),
        kind,
        definition: Definition::default(),
        image: ImageSource::Reference("web".into()),
        image_digest: String::new(),
        addresses: BTreeMap::new(),
        state,
        minded: true,
        held: false,
        ever_ready: true,
        ready: Readiness::Ready,
        ready_since: None,
        health: None,
        image_check: None,
        drift: BTreeMap::new(),
        forwarded: BTreeSet::new(),
        since: 100,
        emulated: None,
        disk: None,
        restarts: Restarts::default(),
    }
}

fn running(kind: Kind) -> ObservedInstance {
    seen(State::Running { pid: 7 }, kind)
}

fn ended(code: Option<i32>, held: bool) -> ObservedInstance {
    let exit = Exit { code, out_of_memory: false, at: 100 };
    ObservedInstance { held, ..seen(State::Exited(exit), Kind::Container) }
}

/// One line a condition: `started true 100 runs`.
fn shown(instance: &ObservedInstance, answers: Vec<Answer>) -> String {
    let instances = [(instance.id.clone(), instance.clone())].into();
    let observed = Observed { instances, answers, ..Observed::default() };
    let lines = of(&observed, instance, None).into_iter().take(4).map(|it| {
        let since = it.since.map_or_else(|| "–".into(), |since| since.to_string());
        format!("{} {} {since} {}", it.name, it.status, it.reason)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_container_without_a_check_is_ready_and_healthy_when_it_runs() {
    assert_eq!(
        shown(&running(Kind::Container), vec![]),
        "started true 100 runs\n\
         ready true 100 it runs\n\
         healthy true 100 it has no healthcheck: it runs\n\
         completed false 100 it runs"
    );
}

#[test]
fn each_condition_of_a_vm_has_a_time_of_its_own() {
    let (output, verdict) = ("no response\n".to_owned(), Verdict::Unhealthy);
    let health = Health { healthy: false, failures: 3, output, at: 150, verdict, since: 140 };
    let vm = running(Kind::Vm);
    let vm = ObservedInstance { ready_since: Some(120), health: Some(health), ..vm };
    assert_eq!(
        shown(&vm, vec![]),
        "started true 100 runs\n\
         ready true 120 the guest said that it is ready\n\
         healthy false 140 its healthcheck failed 3 times in a row: no response\n\
         completed false 100 it runs"
    );
    let waiting = ObservedInstance { ready: Readiness::Waiting, ..running(Kind::Vm) };
    assert!(shown(&waiting, vec![]).contains(
        "ready false 100 the guest has not said yet that it is ready\n\
         healthy false 100 it has no healthcheck: the guest has not said yet"
    ));
}

#[test]
fn one_at_rest_says_why_and_for_what_it_waits() {
    assert!(shown(&ended(Some(0), false), vec![]).contains("completed true 100 ended with exit"));
    let failed = shown(&ended(Some(3), false), vec![]);
    assert!(failed.contains("started false 100 exited with code 3"), "{failed}");
    assert!(failed.contains("completed false 100 exited with code 3"), "{failed}");
    assert!(shown(&ended(Some(0), true), vec![]).contains("completed false 100 was stopped"));
    let (id, on) = (InstanceId::single("web"), "db".to_owned());
    let answer = Answer { id, on, run: Some(7), stage: Stage::Stopped };
    let rests = shown(&ended(Some(0), true), vec![answer]);
    assert!(rests.contains("started false 100 rests until db is healthy (on_unhealthy: stop)"));
}

#[test]
fn whether_it_is_as_declared_is_known_once_somebody_looked() {
    let instance = running(Kind::Container);
    let observed = Observed::default();
    let last = |declared: Option<&Declared>| {
        of(&observed, &instance, declared).pop().expect("there are some")
    };
    assert_eq!(last(None).status, Status::Unknown);
    let id = instance.id.clone();
    let drifted = vec!["mem_limit: 48MiB → 64MiB (changed outside)".to_owned()];
    let found = Declared { id, drifted, since: 170 };
    let seen = last(Some(&found));
    assert_eq!((seen.status, seen.since), (Status::False, Some(170)));
    let as_made = Declared { drifted: Vec::new(), ..found.clone() };
    assert_eq!(last(Some(&as_made)).status, Status::True);
}
