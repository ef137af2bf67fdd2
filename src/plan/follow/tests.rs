//! Whole spells on a host in memory.

use super::*;
use crate::engine::fake::Fake;
use crate::observed::Health;
use crate::plan::{Options, Wait};
use crate::spec::{InMemory, Source};
use crate::stack;

/// `api` rests for web's sake, `web` for db's; `cron` restarts after db, `log` after cron.
const SHOP: &str = "
name: shop
services:
  db: { image: db, healthcheck: { test: is-well } }
  web: { image: web, depends_on: { db: { condition: service_healthy, on_unhealthy: stop } } }
  api: { image: api, depends_on: { web: { condition: service_started, on_unhealthy: stop } } }
  cron: { image: cron, depends_on: { db: { condition: service_started, on_unhealthy: restart } } }
  log: { image: log, depends_on: { cron: { condition: service_started, restart: true } } }
  idle: { image: idle, depends_on: { db: { condition: service_healthy } } }
";

struct Scene {
    stack: Stack,
    fake: Fake,
}

impl Scene {
    fn new() -> Self {
        let path = "/srv/shop/windlass.yaml";
        let files = InMemory([(path.into(), SHOP.to_owned())].into());
        let (files_of, directory) = (vec![path.into()], "/srv/shop".into());
        let source = Source { files: files_of, project_directory: directory, ..Source::default() };
        let stack = stack::read(&source, &files).expect("a stack").stack;
        let scene = Self { stack, fake: Fake::default() };
        scene.up();
        scene
    }

    fn up(&self) {
        let options = Options { wait: Wait::Dependencies, ..Options::default() };
        let observed = self.fake.observed();
        let plan = super::super::plan(&self.stack, &observed, &facts(), &options);
        self.perform(&plan, usize::MAX);
    }

    /// As many steps as `most`.
    fn perform(&self, plan: &Plan, most: usize) {
        for step in plan.steps.iter().take(most) {
            self.fake.perform(&step.action).expect("it works");
        }
    }

    fn db(&self, well: bool) {
        self.fake.meddle(|observed| {
            let verdict = if well { Verdict::Healthy } else { Verdict::Unhealthy };
            let (output, failures) = (String::new(), u32::from(!well));
            let health = Health { healthy: well, failures, output, at: 0, verdict, since: 0 };
            let db = observed.instances.get_mut(&id("db"));
            db.expect("it exists").health = Some(health);
        });
    }

    /// Does what is due, once, as far as `most` steps; why, by instance.
    fn act(&self, most: usize) -> Vec<String> {
        let observed = self.fake.observed();
        let Some(due) = due(&self.stack, &observed) else { return Vec::new() };
        let plan = follow(&self.stack, &observed, &facts(), &due);
        self.fake.meddle(|observed| observed.answers = due.answers.clone());
        self.perform(&plan, most);
        let said = plan.changes.iter().flat_map(|change| {
            let why = change.causes.iter().filter_map(crate::plan::display::cause);
            why.map(|why| match &change.resource {
                super::super::Resource::Instance(_, id) => format!("{id}: {why}"),
                other => format!("{other:?}: {why}"),
            })
        });
        said.collect()
    }

    /// Until nothing is due any more.
    fn settle(&self) {
        for _ in 0..10 {
            if due(&self.stack, &self.fake.observed()).is_none() {
                return;
            }
            self.act(usize::MAX);
        }
        panic!("it never comes to rest: {:#?}", self.fake.observed().answers);
    }

    /// What the user asked for, done.
    fn user(&self, ended: &[&str], plan: &Plan) {
        let observed = self.fake.observed();
        let ended = |it: &InstanceId| ended.contains(&it.workload.as_str());
        if let Some(answers) = overruled(Some(&self.stack), &observed, ended, plan) {
            self.fake.meddle(|observed| observed.answers = answers);
        }
        self.perform(plan, usize::MAX);
    }

    fn alive(&self) -> String {
        let observed = self.fake.observed();
        let alive = observed.instances.values().filter(|it| it.is_alive());
        alive.map(|it| it.id.to_string()).collect::<Vec<_>>().join(" ")
    }

    fn pid(&self, name: &str) -> i32 {
        self.fake.observed().instances[&id(name)].pid().expect("it runs")
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId::single(name)
}

fn facts() -> Facts {
    Facts { home_id: "0123abcd".into(), mtu: 1500, ..Facts::default() }
}

#[test]
fn dependents_rest_while_it_is_unhealthy_each_by_its_own_edge() {
    let scene = Scene::new();
    scene.db(false);
    assert_eq!(
        scene.act(usize::MAX),
        ["api: web rests (on_unhealthy: stop)", "web: db became unhealthy (on_unhealthy: stop)"]
    );
    assert_eq!(scene.alive(), "cron db idle log");
    scene.settle();
    assert_eq!(scene.alive(), "cron db idle log");
    let observed = scene.fake.observed();
    assert_eq!(rests_until(&observed, &id("web")).as_deref(), Some("db is healthy"));
    assert_eq!(rests_until(&observed, &id("api")).as_deref(), Some("web is healthy"));
    assert_eq!(rests_until(&observed, &id("idle")), None);
    scene.db(true);
    let said = scene.act(usize::MAX);
    assert!(said.contains(&"web: db is healthy again (on_unhealthy: stop)".to_owned()), "{said:?}");
    scene.settle();
    assert_eq!(scene.alive(), "api cron db idle log web");
    assert_eq!(scene.fake.observed().answers, []);
}

#[test]
fn a_restart_comes_once_a_spell_when_it_is_healthy_again() {
    let scene = Scene::new();
    let (cron, log, idle) = (scene.pid("cron"), scene.pid("log"), scene.pid("idle"));
    scene.db(false);
    scene.settle();
    assert_eq!(scene.pid("cron"), cron, "not before it is of use");
    scene.db(true);
    let said = scene.act(usize::MAX);
    assert!(said.contains(&"cron: db is healthy again (on_unhealthy: restart)".into()), "{said:?}");
    assert!(
        said.contains(&"log: depends on cron, which is restarted (restart: true)".into()),
        "{said:?}"
    );
    let again = (scene.pid("cron"), scene.pid("log"));
    assert!(again.0 != cron && again.1 != log);
    scene.settle();
    assert_eq!((scene.pid("cron"), scene.pid("log"), scene.pid("idle")), (again.0, again.1, idle));
    scene.db(false);
    scene.settle();
    scene.db(true);
    scene.settle();
    assert_ne!(scene.pid("cron"), again.0, "the next spell is another");
}

#[test]
fn cut_after_any_step_it_comes_to_the_same_end() {
    for most in 0..12 {
        let scene = Scene::new();
        let (cron, web) = (scene.pid("cron"), scene.pid("web"));
        scene.db(false);
        scene.act(most);
        scene.settle();
        assert_eq!(scene.alive(), "cron db idle log", "cut after {most}");
        scene.db(true);
        scene.act(most);
        scene.settle();
        assert_eq!(scene.alive(), "api cron db idle log web", "cut after {most}");
        assert_eq!(scene.fake.observed().answers, []);
        assert!(scene.pid("cron") != cron && scene.pid("web") != web);
    }
}

#[test]
fn what_the_user_stopped_meanwhile_is_not_started() {
    for paused in [false, true] {
        let scene = Scene::new();
        scene.db(false);
        scene.settle();
        let ids = [id("web"), id("cron")].into();
        let plan = super::super::stop(&scene.fake.observed(), Some(&scene.stack), &ids);
        scene.user(&["web", "cron"], &plan);
        if paused {
            scene.fake.meddle(|observed| {
                let idle = observed.instances.get_mut(&id("idle")).expect("it exists");
                (idle.state, idle.held) = (State::Paused { pid: 1 }, true);
            });
        }
        scene.settle();
        scene.db(true);
        scene.settle();
        assert_eq!(scene.alive(), "db idle log", "api waits for web");
    }
}

#[test]
fn what_the_user_started_meanwhile_is_left_alone_until_the_next_spell() {
    let scene = Scene::new();
    scene.db(false);
    scene.settle();
    let observed = scene.fake.observed();
    let plan = super::super::start(&scene.stack, &observed, &facts(), &[id("web")].into());
    scene.user(&[], &plan);
    let web = scene.pid("web");
    scene.settle();
    assert_eq!(scene.pid("web"), web);
    scene.db(true);
    scene.settle();
    assert_eq!(scene.pid("web"), web);
    assert_eq!(scene.alive(), "api cron db idle log web");
    scene.db(false);
    scene.settle();
    assert_eq!(scene.alive(), "cron db idle log");
}

#[test]
fn one_that_was_at_rest_is_no_ones_business() {
    let scene = Scene::new();
    let plan = super::super::stop(&scene.fake.observed(), Some(&scene.stack), &[id("web")].into());
    scene.user(&["web"], &plan);
    scene.db(false);
    scene.settle();
    let observed = scene.fake.observed();
    let plan = super::super::start(&scene.stack, &observed, &facts(), &[id("web")].into());
    scene.user(&[], &plan);
    scene.settle();
    assert!(scene.alive().contains("web"), "it was started knowing that db is unhealthy");
}
