use super::*;
use crate::observed::Readiness;
use crate::stack::{Definition, ImageSource, Kind};

const SECOND: Duration = Duration::from_secs(1);

fn web() -> InstanceId {
    InstanceId::single("web")
}

fn seen(state: State, held: bool) -> Observed {
    let instance = ObservedInstance {
        id: web(),
        kind: Kind::Container,
        definition: Definition::default(),
        image: ImageSource::Reference("web".into()),
        image_digest: String::new(),
        addresses: BTreeMap::new(),
        state,
        minded: true,
        held,
        ever_ready: true,
        ready: Readiness::Ready,
        ready_since: None,
        health: None,
        drift: BTreeMap::new(),
        forwarded: BTreeSet::new(),
        since: 0,
        emulated: None,
        disk: None,
        restarts: Restarts::default(),
        image_check: None,
    };
    Observed { instances: [(web(), instance)].into(), ..Observed::default() }
}

fn running(pid: i32) -> Observed {
    seen(State::Running { pid }, false)
}

fn ended(code: i32, at: i64) -> Observed {
    seen(State::Exited(Exit { code: Some(code), out_of_memory: false, at }), false)
}

fn always(_: &InstanceId) -> Restart {
    Restart::Always
}

fn count(revival: &Revival) -> u32 {
    revival.note(&web()).expect("it is known").0.count
}

#[test]
fn one_that_ended_is_due_after_its_pause_and_once() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    let news = revival.look(&ended(1, 100), always, SECOND);
    assert_eq!(news, News { ended: [web()].into(), noted: [web()].into() });
    let due = SECOND + Duration::from_millis(100);
    assert_eq!(revival.next(), Some(due));
    assert!(revival.take_due(SECOND).is_empty());
    assert_eq!(revival.take_due(due), [web()].into());
    let news = revival.look(&ended(1, 100), always, due);
    assert!(news.ended.is_empty(), "seen before");
    assert_eq!(news.noted, [web()].into(), "it is not due any more");
    assert_eq!(revival.look(&ended(1, 100), always, due), News::default());
    assert_eq!(revival.next(), None);
}

#[test]
fn one_that_ends_like_before_within_the_same_second_is_due_again() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    revival.look(&ended(1, 100), always, SECOND);
    let due = revival.take_due(2 * SECOND);
    revival.started(&due, false);
    revival.look(&ended(1, 100), always, 2 * SECOND);
    assert_eq!(revival.next(), Some(2 * SECOND + Duration::from_millis(200)));
    assert_eq!(count(&revival), 2);
}

#[test]
fn a_start_by_the_user_counts_from_the_beginning() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    revival.look(&ended(1, 100), always, SECOND);
    revival.look(&running(8), always, SECOND);
    assert_eq!(count(&revival), 0, "another pid, and nobody here started it");
    assert_eq!(revival.next(), None);
    revival.look(&ended(1, 200), always, 2 * SECOND);
    revival.started(&[web()].into(), true);
    revival.look(&running(9), always, 2 * SECOND);
    assert_eq!(count(&revival), 0);
}

#[test]
fn a_start_by_us_keeps_the_count() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    revival.look(&ended(1, 100), always, SECOND);
    let due = revival.take_due(2 * SECOND);
    revival.started(&due, false);
    revival.look(&running(8), always, 2 * SECOND);
    assert_eq!(count(&revival), 1);
}

#[test]
fn what_the_user_stops_while_it_waits_is_not_started() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    let exit = Exit { code: Some(1), out_of_memory: false, at: 100 };
    revival.look(&seen(State::Exited(exit.clone()), false), always, SECOND);
    revival.look(&seen(State::Exited(exit), true), always, SECOND);
    assert_eq!(revival.next(), None);
}

#[test]
fn a_new_supervisor_goes_on_counting() {
    let mut revival = Revival::default();
    let mut observed = running(7);
    let web_as_seen = observed.instances.get_mut(&web()).expect("it is there");
    web_as_seen.restarts = Restarts { count: 4, in_a_row: 4, ..Restarts::default() };
    revival.look(&observed, always, Duration::ZERO);
    assert_eq!(count(&revival), 4);
    revival.look(&ended(1, 100), always, SECOND);
    assert_eq!(revival.next(), Some(SECOND + Duration::from_millis(1600)));
}

#[test]
fn an_end_that_was_judged_before_the_supervisor_was_killed_is_judged_once() {
    let once = |_: &InstanceId| Restart::OnFailure(Some(1));
    let mut first = Revival::default();
    first.look(&running(7), once, Duration::ZERO);
    first.look(&ended(1, 100), once, SECOND);
    let (note, due) = first.note(&web()).expect("it is known");
    assert!(due.is_some() && note.count == 1);

    let mut observed = ended(1, 100);
    let web_as_seen = observed.instances.get_mut(&web()).expect("it is there");
    web_as_seen.restarts = Restarts { due: Some(101), ..note };
    let mut second = Revival::default();
    second.look(&observed, once, Duration::ZERO);
    assert_eq!(second.take_due(Duration::ZERO), [web()].into(), "it is owed a start");
    assert_eq!(count(&second), 1);
}

#[test]
fn what_is_written_down_is_taken_back_when_the_user_starts_it() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    revival.look(&ended(1, 100), always, SECOND);
    revival.started(&[web()].into(), true);
    let news = revival.look(&running(8), always, SECOND);
    assert_eq!(news.noted, [web()].into());
    assert_eq!(count(&revival), 0);
}

#[test]
fn a_start_that_failed_is_tried_again_later() {
    let mut revival = Revival::default();
    revival.look(&running(7), always, Duration::ZERO);
    revival.look(&ended(0, 100), always, SECOND);
    let due = revival.take_due(2 * SECOND);
    revival.failed(&due, always, 2 * SECOND);
    assert_eq!(revival.next(), Some(2 * SECOND + Duration::from_millis(200)));
}

#[test]
fn an_end_that_nothing_follows_from_is_news_all_the_same() {
    let mut revival = Revival::default();
    let never = |_: &InstanceId| Restart::No;
    revival.look(&running(7), never, Duration::ZERO);
    let news = revival.look(&ended(1, 100), never, SECOND);
    assert_eq!(news, News { ended: [web()].into(), noted: BTreeSet::new() });
    let mut later = Revival::default();
    assert_eq!(later.look(&ended(1, 100), never, SECOND), News::default(), "before its time");
}
