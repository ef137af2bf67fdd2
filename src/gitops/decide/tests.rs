//! Scenarios as tables of news, and properties over many of them.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::gitops::record::KEPT;

/// A loop without a world.
struct Bench {
    record: Record,
    policy: Policy,
    wishes: Wishes,
    settled: bool,
    clock: i64,
    said: Vec<String>,
}

fn revision(name: &str) -> Revision {
    Revision { commit: name.repeat(40 / name.len()), subject: format!("Change {name}") }
}

fn removals(names: &[&str]) -> Gates {
    let removed = names.iter().map(|name| (*name).to_owned()).collect();
    Gates { removed, existing: 3, ..Gates::default() }
}

impl Bench {
    fn new() -> Self {
        Self {
            record: Record::new("main of /srv/shop".to_owned()),
            policy: Policy::default(),
            wishes: Wishes::default(),
            settled: false,
            clock: 0,
            said: Vec::new(),
        }
    }

    fn learn(&mut self, news: News) {
        self.clock += 1;
        let now = Timestamp::from_second(self.clock).unwrap();
        for line in learn(&mut self.record, &self.policy, now, news) {
            self.said.push(match line {
                Line::Said(text) | Line::Warned(text) | Line::Shown(text) => text,
                Line::Failed(trouble) => trouble.line(),
            });
        }
    }

    fn fetched(&mut self, name: &str) {
        self.learn(News::Fetched { revision: revision(name), rewrites: None });
    }

    fn next(&self) -> Next {
        next(&self.record, &self.wishes, self.settled)
    }

    /// As the loop does it.
    fn act(&mut self, intention: Intention, outcome: Outcome) {
        self.record.intention = Some(intention.clone());
        self.settled |= outcome != Outcome::Stopped;
        self.learn(News::Acted(intention, outcome));
    }

    /// Insists on an act, and lets it come to this.
    fn expect(&mut self, act: Act, name: &str, outcome: Outcome) {
        match self.next() {
            Next::Act(intention) => {
                assert_eq!((intention.act, &intention.revision), (act, &revision(name)));
                self.act(intention, outcome);
            }
            other => panic!("expected {act:?} of {name}, not {other:?}"),
        }
    }

    fn judge(&mut self, name: &str, verdict: Verdict) {
        assert_eq!(self.next(), Next::Judge(revision(name)));
        self.learn(News::Judged(verdict));
    }

    /// Fetched, judged and deployed without anything being wrong.
    fn good(&mut self, name: &str) {
        self.fetched(name);
        self.judge(name, Verdict::Possible(Gates::default()));
        self.expect(Act::Deploy, name, Outcome::Healthy);
        assert_eq!(self.next(), Next::Rest);
    }

    fn running(&self) -> Option<String> {
        self.record.running.as_ref().map(|running| running.revision.subject.clone())
    }
}

#[test]
fn a_new_commit_is_judged_deployed_and_then_left_alone() {
    let mut bench = Bench::new();
    assert_eq!(bench.next(), Next::Rest);
    bench.good("a");
    bench.fetched("a");
    assert_eq!(bench.next(), Next::Rest);
    bench.good("b");
    assert_eq!(bench.running().as_deref(), Some("Change b"));
    let history: Vec<&str> =
        bench.record.history.iter().map(|past| past.revision.subject.as_str()).collect();
    assert_eq!(history, ["Change b", "Change a"]);
}

#[test]
fn what_fails_is_rolled_back_and_not_tried_again_until_somebody_or_a_commit_says_so() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "b", Outcome::Failed("web is not healthy".into()));
    bench.expect(Act::RollBack, "a", Outcome::Healthy);
    assert_eq!(bench.running().as_deref(), Some("Change a"));
    let why = bench.record.running.as_ref().unwrap().why.clone();
    assert_eq!(why, "rolled back: bbbbbbbbbb failed: web is not healthy");
    bench.fetched("b");
    bench.learn(News::Afresh);
    assert_eq!(bench.next(), Next::Rest);

    let (found, gates) = approvable(&bench.record, "bbbbbbb").unwrap();
    let approval = Approval { serial: 1, commit: found.commit, gates };
    bench.learn(News::Approved(approval));
    bench.judge("b", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "b", Outcome::Healthy);
    assert_eq!(bench.running().as_deref(), Some("Change b"));
}

#[test]
fn the_first_one_that_fails_is_left_as_it_is_and_may_become_well() {
    let mut bench = Bench::new();
    bench.fetched("a");
    bench.judge("a", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "a", Outcome::Failed("slow".into()));
    assert_eq!(bench.next(), Next::Rest);
    assert!(bench.record.good.is_none());
    bench.settled = false;
    bench.expect(Act::BringUp, "a", Outcome::Healthy);
    assert_eq!(bench.record.good, Some(revision("a")));
    assert_eq!(bench.record.head.as_ref().unwrap().standing, Standing::InPlace);
}

#[test]
fn without_rollback_what_failed_stays() {
    let mut bench = Bench::new();
    bench.policy.rollback = false;
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "b", Outcome::Failed("slow".into()));
    assert_eq!(bench.next(), Next::Rest);
    assert_eq!(bench.running().as_deref(), Some("Change b"));
}

#[test]
fn too_much_waits_for_approval_of_exactly_what_was_shown() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(removals(&["x", "y"])));
    assert_eq!(bench.next(), Next::Rest);
    assert!(
        bench.said.iter().any(|line| line == "  it removes 2 of 3: x and y"),
        "{:?}",
        bench.said
    );

    let refusal = |asked: &str| approvable(&bench.record, asked).unwrap_err().to_string();
    assert_eq!(refusal("bbbbbb"), "`bbbbbb` is not a commit");
    assert_eq!(refusal("main-branch"), "`main-branch` is not a commit");
    assert_eq!(
        refusal("aaaaaaa"),
        "`aaaaaaa` does not wait for approval; bbbbbbbbbb (Change b) does"
    );

    let (found, gates) = approvable(&bench.record, "BBBBBBB").unwrap();
    let approval = Approval { serial: 1, commit: found.commit, gates };
    bench.learn(News::Approved(approval.clone()));
    // Meanwhile it would take a third one away.
    bench.judge("b", Verdict::Possible(removals(&["x", "y", "z"])));
    assert_eq!(bench.next(), Next::Rest);

    bench.learn(News::Approved(Approval { gates: removals(&["x", "y", "z"]), ..approval }));
    bench.judge("b", Verdict::Possible(removals(&["x", "y", "z"])));
    match bench.next() {
        Next::Act(Intention { act: Act::Deploy, approved, why, .. }) => {
            assert_eq!(approved, removals(&["x", "y", "z"]));
            assert_eq!(why, "newest of main of /srv/shop, approved");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_plan_that_changed_while_it_was_carried_out_waits_and_the_files_are_put_back() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(Gates::default()));
    let data = Gates { data: vec![("db".into(), "3 GiB".into())], ..Gates::default() };
    bench.expect(Act::Deploy, "b", Outcome::Refused(data));
    bench.expect(Act::Restore, "a", Outcome::Healthy);
    assert_eq!(bench.next(), Next::Rest);
    assert!(approvable(&bench.record, "bbbbbbb").is_ok());
    assert_eq!(bench.running().as_deref(), Some("Change a"));
}

#[test]
fn a_wrong_file_is_said_once_and_what_this_host_cannot_do_is_tried_with_each_fetch() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    let wrong = Verdict::Wrong { summary: "1 error".into(), details: "unknown key".into() };
    bench.judge("b", wrong.clone());
    let said = bench.said.len();
    bench.fetched("b");
    assert_eq!(bench.next(), Next::Rest);
    bench.learn(News::Afresh);
    bench.judge("b", wrong);
    assert_eq!(bench.said.len(), said, "{:?}", bench.said);

    let blocked = || Verdict::Blocked(Trouble::new("port 80 is taken", None));
    bench.fetched("c");
    bench.judge("c", blocked());
    let expected = "cccccccccc (Change c) cannot be put in place now: port 80 is taken";
    assert!(bench.said.iter().any(|line| line == expected), "{:?}", bench.said);
    let said = bench.said.len();
    bench.fetched("c");
    bench.judge("c", blocked());
    assert_eq!(bench.said.len(), said, "{:?}", bench.said);
    bench.fetched("c");
    bench.judge("c", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "c", Outcome::Healthy);
}

#[test]
fn a_fetch_that_fails_is_said_once_and_so_is_its_end() {
    let mut bench = Bench::new();
    bench.good("a");
    let before = bench.said.len();
    bench.learn(News::NotFetched(Trouble::new("no route", None)));
    bench.learn(News::NotFetched(Trouble::new("no route", None)));
    assert_eq!(bench.said[before..], ["no route", "aaaaaaaaaa (Change a) stays in place"]);
    assert_eq!(bench.next(), Next::Rest);
    bench.fetched("a");
    assert_eq!(bench.said.last().unwrap(), "main of /srv/shop can be fetched again");
}

#[test]
fn a_loop_that_begins_finishes_first_and_brings_up_what_ran_without_a_fetch() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(Gates::default()));
    bench.expect(Act::Deploy, "b", Outcome::Stopped);
    bench.settled = false;
    bench.expect(Act::Deploy, "b", Outcome::Healthy);
    assert_eq!(bench.next(), Next::Rest);
    bench.settled = false;
    bench.expect(Act::BringUp, "b", Outcome::Healthy);
    assert_eq!(bench.next(), Next::Rest);
}

#[test]
fn a_suspended_loop_does_nothing() {
    let mut bench = Bench::new();
    bench.fetched("a");
    bench.wishes.suspended = true;
    assert_eq!(bench.next(), Next::Rest);
    bench.wishes.suspended = false;
    assert_eq!(bench.next(), Next::Judge(revision("a")));
}

#[test]
fn a_ref_that_goes_back_to_what_runs_changes_nothing() {
    let mut bench = Bench::new();
    bench.good("a");
    bench.fetched("b");
    bench.judge("b", Verdict::Possible(removals(&["x"])));
    bench.fetched("a");
    assert_eq!(bench.next(), Next::Rest);
    let approval = Approval { serial: 1, commit: revision("b").commit, gates: removals(&["x"]) };
    bench.learn(News::Approved(approval));
    assert_eq!(bench.next(), Next::Rest);
    assert!(bench.said.last().unwrap().contains("no longer the newest"));
}

/// What may happen, by small numbers.
#[derive(Debug, Clone)]
enum Happens {
    Fetched(usize),
    NotFetched,
    Afresh,
    Approved,
    Suspended(bool),
    /// The loop is killed and begins anew.
    Killed,
    /// The loop does what is next; what that comes to.
    Step(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        2 => (0..4_usize).prop_map(Happens::Fetched),
        1 => Just(Happens::NotFetched),
        1 => Just(Happens::Afresh),
        1 => Just(Happens::Approved),
        1 => any::<bool>().prop_map(Happens::Suspended),
        1 => Just(Happens::Killed),
        8 => (0..6_usize).prop_map(Happens::Step),
    ]
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn verdict(number: usize) -> Verdict {
    match number {
        0 => Verdict::Wrong { summary: "1 error".into(), details: "unknown key".into() },
        1 => Verdict::Blocked(Trouble::new("port 80 is taken", None)),
        2 => Verdict::Possible(removals(&["x"])),
        _ => Verdict::Possible(Gates::default()),
    }
}

fn outcome(number: usize) -> Outcome {
    match number {
        0 => Outcome::Failed("not healthy".into()),
        1 => Outcome::Refused(removals(&["y"])),
        2 => Outcome::Stopped,
        _ => Outcome::Healthy,
    }
}

proptest! {
    /// Whatever happens: nothing is deployed that was not judged since it was
    /// fetched, nothing that waits is deployed unapproved, a suspended loop does
    /// nothing, and with a ref that rests the loop comes to rest too.
    #[test]
    fn whatever_happens_the_rules_hold(events in prop::collection::vec(happens(), 1..60)) {
        let mut bench = Bench::new();
        let mut judged: BTreeSet<String> = BTreeSet::new();
        for event in events {
            match event {
                Happens::Fetched(number) => bench.fetched(NAMES[number]),
                Happens::NotFetched => bench.learn(News::NotFetched(Trouble::new("no", None))),
                Happens::Afresh => bench.learn(News::Afresh),
                Happens::Suspended(suspended) => bench.wishes.suspended = suspended,
                Happens::Killed => bench.settled = false,
                Happens::Approved => {
                    let Some(head) = &bench.record.head else { continue };
                    let name = head.revision.commit.clone();
                    let Ok((found, gates)) = approvable(&bench.record, &name) else { continue };
                    let approval = Approval { serial: 1, commit: found.commit, gates };
                    bench.learn(News::Approved(approval));
                }
                Happens::Step(number) => match bench.next() {
                    Next::Rest => {}
                    next => {
                        prop_assert!(!bench.wishes.suspended);
                        step(&mut bench, next, number, &mut judged)?;
                    }
                },
            }
            prop_assert!(bench.record.history.len() <= KEPT);
            if let Some(good) = &bench.record.good {
                prop_assert!(bench.record.kept().contains(&good.commit.as_str()));
            }
        }
        // From here on nothing new is heard, and all goes well or all goes badly.
        bench.wishes.suspended = false;
        for number in [0, 3] {
            let mut steps = 0;
            while bench.next() != Next::Rest {
                let next = bench.next();
                step(&mut bench, next, number, &mut judged)?;
                steps += 1;
                prop_assert!(steps < 6, "{:?}", bench.record);
            }
        }
    }
}

fn step(
    bench: &mut Bench,
    next: Next,
    number: usize,
    judged: &mut BTreeSet<String>,
) -> Result<(), TestCaseError> {
    match next {
        Next::Rest => {}
        Next::Judge(revision) => {
            judged.insert(revision.commit);
            bench.learn(News::Judged(verdict(number)));
        }
        Next::Act(intention) => {
            prop_assert!(judged.contains(&intention.revision.commit));
            let head = bench.record.head.as_ref();
            if let (Act::Deploy, None, Some(head)) = (intention.act, &bench.record.intention, head)
            {
                let cleared = matches!(head.standing, Standing::Cleared { .. });
                prop_assert!(cleared && head.revision == intention.revision);
            }
            bench.act(intention, outcome(number));
        }
    }
    Ok(())
}
