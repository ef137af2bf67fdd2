//! Pictures of progress, as a reader sees them.

use super::*;
use crate::stack::{ImageSource, InstanceId, Kind};

fn vm(name: &str) -> Resource {
    Resource::Instance(Kind::Vm, InstanceId::single(name))
}

fn container(name: &str) -> Resource {
    Resource::Instance(Kind::Container, InstanceId::single(name))
}

fn model(events: Vec<(u64, Resource, What)>) -> Model {
    let mut model = Model::new("shop");
    for (at, resource, what) in events {
        model.apply(&Event { resource, what }, Duration::from_millis(at));
    }
    model
}

fn running(doing: &str) -> What {
    What::Running { doing: doing.into() }
}

fn done(state: &str, detail: &str) -> What {
    What::Done { state: state.into(), detail: detail.into() }
}

fn picture(model: &Model, width: usize, height: Option<usize>) -> String {
    let look = Look { colour: false, unicode: true };
    render(model, Frame { width, height, now: Duration::from_millis(7250), look }).join("\n")
}

fn half_way() -> Model {
    model(vec![
        (0, Resource::Network("back".into()), running("creating")),
        (0, vm("db"), running("creating")),
        (0, container("migrate"), What::Waiting { on: "waiting for db to be healthy".into() }),
        (40, Resource::Network("back".into()), done("created", "10.77.0.0/24")),
        (900, vm("db"), running("waiting to be ready")),
        (6400, vm("db"), What::Note { text: "cloud-init done in 4.9s".into() }),
        (6500, vm("db"), running("waiting to be healthy (no response, 3rd try)")),
    ])
}

#[test]
fn each_line_says_what_it_waits_for() {
    insta::assert_snapshot!(picture(&half_way(), 80, None));
}

#[test]
fn a_failure_says_why_and_what_was_not_started() {
    let mut model = half_way();
    let failed = What::Failed { reason: "cloud-init reported an error".into() };
    let not_started = What::NotStarted { needs: "db".into() };
    for (resource, what) in
        [(vm("db"), failed), (vm("db"), not_started.clone()), (container("migrate"), not_started)]
    {
        model.apply(&Event { resource, what }, Duration::from_millis(41_200));
    }
    insta::assert_snapshot!(picture(&model, 80, None));
}

#[test]
fn a_low_terminal_folds_what_is_done_first() {
    let mut model = half_way();
    for number in 0..40 {
        let what = if number < 38 { done("started", "") } else { running("starting") };
        let event = Event { resource: container(&format!("web-{number}")), what };
        model.apply(&event, Duration::from_secs(7));
    }
    insta::assert_snapshot!(picture(&model, 80, Some(7)));
    assert!(
        render(
            &model,
            Frame { width: 80, height: Some(0), now: Duration::ZERO, look: Look::ASCII }
        )
        .len()
            <= 2
    );
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut model = half_way();
    let source = ImageSource::Reference("registry.example.org/a/very/long/name/indeed:1.4".into());
    let resource = Resource::Image(source);
    let text = "a registry that is down and says so at great length".to_owned();
    model.apply(&Event { resource, what: What::Failed { reason: text } }, Duration::ZERO);
    for width in [20, 40, 60, 120] {
        let look = Look { colour: false, unicode: true };
        let frame = Frame { width, height: None, now: Duration::from_secs(7), look };
        for line in render(&model, frame) {
            // Below the width of its fixed columns a picture cannot shrink.
            assert!(line.width() <= width.max(40), "{width}: {line}");
        }
    }
}

#[test]
fn without_unicode_everything_is_ascii() {
    let frame =
        Frame { width: 80, height: Some(4), now: Duration::from_secs(7), look: Look::ASCII };
    assert!(render(&half_way(), frame).join("\n").is_ascii());
}

#[test]
fn a_line_an_event_without_a_terminal() {
    let event = Event { resource: vm("db"), what: done("ready", "10.77.0.2  kvm") };
    let line = plain(&event, Duration::from_millis(6400), Look::ASCII);
    assert_eq!(line.as_deref(), Some("   6.4s  vm db  ready  10.77.0.2  kvm"));
    let event = Event { resource: vm("db"), what: What::Progress { text: "42 %".into() } };
    assert_eq!(plain(&event, Duration::ZERO, Look::ASCII), None);
}
