//! Walking a plan over the fake engine: what is done, what is not when a step
//! fails, and that the next reconcile finishes whatever was cut short.

#[path = "support/fake_world.rs"]
mod fake_world;

use std::path::PathBuf;

use tokio::sync::watch;
use windlass::apply::{self, Outcome, Walk};
use windlass::engine::ErrorKind;
use windlass::engine::fake::{Fake, Fault, Guest, Script};
use windlass::event::{Event, Events, What};
use windlass::facts::Facts;
use windlass::health::Board;
use windlass::plan::{self, Options, Plan, Resource, display};
use windlass::spec::{InMemory, Source};
use windlass::stack::{self, InstanceId, Kind, Stack};

const FILE: &str = "
name: shop
vms:
  db: { image: 'debian:12' }
services:
  migrate:
    image: tools
    depends_on: { db: { condition: service_ready } }
  web:
    image: web
    depends_on: { migrate: { condition: service_completed_successfully } }
    ports: ['8080:80']
  other: { image: other }
";

fn stack() -> Stack {
    let file = PathBuf::from("/srv/shop/windlass.yaml");
    let files = InMemory([(file.clone(), FILE.to_owned())].into());
    let source =
        Source { files: vec![file], project_directory: "/srv/shop".into(), ..Source::default() };
    stack::read(&source, &files).expect("a stack").stack
}

/// A host in memory, and the walk of one command over it.
struct Stage {
    fake: Fake,
    walk: Walk,
    heard: tokio::sync::mpsc::UnboundedReceiver<Event>,
    stop: watch::Sender<bool>,
    // Healthchecks write their last answer here.
    _home: tempfile::TempDir,
}

impl Stage {
    fn new(script: Script) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let fake = Fake::new(script);
        let world = fake_world::world(&fake, home.path());
        let (events, heard) = Events::channel();
        let (stop, stopped) = watch::channel(false);
        let stack = stack().name;
        let health = Board::new(None);
        let walk = Walk { world, stack, grace: None, health, events, stop: stopped };
        Self { fake, walk, heard, stop, _home: home }
    }

    fn plan(&self) -> Plan {
        let facts = Facts { home_id: "0123abcd".into(), mtu: 1500, ..Facts::default() };
        let plan = plan::plan(&stack(), &self.fake.observed(), &facts, &Options::default());
        assert!(plan.blocked.is_empty(), "{:#?}", plan.blocked);
        plan
    }

    async fn up(&self) -> Outcome {
        apply::apply(&self.walk, &self.plan()).await
    }

    fn said(&mut self, name: &str) -> Vec<What> {
        let mut said = Vec::new();
        while let Ok(event) = self.heard.try_recv() {
            if matches!(&event.resource, Resource::Instance(_, id) if id.workload == name) {
                said.push(event.what);
            }
        }
        said
    }
}

fn one_shot() -> Script {
    Script::default().guest("migrate", Guest::Ends(0))
}

#[tokio::test]
async fn everything_comes_up_in_order_and_then_there_is_nothing_to_do() {
    let mut stage = Stage::new(one_shot());
    let outcome = stage.up().await;
    assert!(outcome.is_complete(), "{outcome:#?}");
    assert!(display::is_nothing(&stage.plan()), "{:#?}", stage.plan().changes);
    let said = stage.said("web");
    let waited =
        said.iter().any(|what| matches!(what, What::Waiting { on } if on.contains("migrate")));
    assert!(waited, "{said:#?}");
    assert!(
        matches!(said.last(), Some(What::Done { state, .. }) if state == "started"),
        "{said:#?}"
    );
}

#[tokio::test]
async fn what_needs_something_that_failed_is_not_started_and_names_it() {
    let stage = Stage::new(Script::default().guest("migrate", Guest::Ends(3)));
    let outcome = stage.up().await;
    let web = Resource::Instance(Kind::Container, InstanceId::single("web"));
    assert_eq!(outcome.failed.len(), 1, "{outcome:#?}");
    assert_eq!(outcome.not_started.get(&web).map(String::as_str), Some("migrate"));
    let observed = stage.fake.observed();
    assert!(observed.instances[&InstanceId::single("other")].is_alive(), "the rest goes on");
    let web = observed.instances.get(&InstanceId::single("web"));
    assert!(!web.is_some_and(windlass::observed::ObservedInstance::is_alive));
}

#[tokio::test]
async fn a_call_that_fails_at_any_step_is_made_good_by_the_next_up() {
    let calls = {
        let stage = Stage::new(one_shot());
        stage.up().await;
        stage.fake.calls()
    };
    let kinds =
        [Fault::Fail(ErrorKind::System), Fault::LostReply(ErrorKind::TimedOut), Fault::Crash];
    for call in 0..calls {
        for fault in kinds {
            let stage = Stage::new(one_shot().fail_at(call, fault));
            let outcome = stage.up().await;
            assert!(!outcome.failed.is_empty(), "call {call} {fault:?}");
            stage.fake.follow(one_shot());
            let outcome = stage.up().await;
            assert!(outcome.is_complete(), "call {call} {fault:?}: {outcome:#?}");
            let left = stage.plan();
            assert!(display::is_nothing(&left), "call {call} {fault:?}: {:#?}", left.changes);
        }
    }
}

#[tokio::test]
async fn ctrl_c_begins_nothing_new() {
    let stage = Stage::new(one_shot());
    stage.stop.send_replace(true);
    let outcome = stage.up().await;
    assert!(outcome.interrupted);
    stage.stop.send_replace(false);
    let outcome = stage.up().await;
    assert!(outcome.is_complete(), "{outcome:#?}");
}

#[tokio::test]
async fn a_race_that_was_lost_is_told_from_a_failure() {
    let conflict = Script::default().fail_at(0, Fault::Fail(ErrorKind::Conflict));
    assert!(Stage::new(conflict).up().await.lost_a_race());
    let other = Script::default().fail_at(0, Fault::Fail(ErrorKind::System));
    assert!(!Stage::new(other).up().await.lost_a_race());
}
