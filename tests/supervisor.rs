//! What a supervisor does while nobody looks, on real containers: it starts
//! again what ends, says what drifts, and its own end harms nobody. Waits are
//! for its word, never for a while.

#[path = "support/events.rs"]
mod events;
#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use events::{Events, LISTEN};
use scenario::{Scenario, kill_and_wait};
use serde_json::Value;

fn row(stack: &Scenario, name: &str) -> Value {
    let ps = stack.ps();
    ps.iter().find(|row| row["Name"] == name).unwrap_or_else(|| panic!("{ps:#?}")).clone()
}

const STEADY: &str = "
services:
  web: { image: ./image, restart: always, stop_grace_period: 100ms }
  other: { image: ./image, stop_grace_period: 100ms }
";

#[test]
fn what_is_killed_is_started_again_where_its_policy_says_so() {
    let Some(stack) = Scenario::containers("restart", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    let (web, other) = (stack.pid("web"), stack.pid("other"));
    let mut events = Events::of(stack.command(&LISTEN));
    kill_and_wait(other);
    events.next("other", "ended");
    kill_and_wait(web);
    assert_eq!(events.next("web", "again")["count"], 1);
    assert_eq!(events.next("web", "done")["state"], "started");
    assert_ne!(stack.pid("web"), web);
    assert_eq!(row(&stack, "other")["State"], "exited", "its policy is `no`");
    assert!(stack.ok(&["ps"]).stdout.contains("restarted 1×"));
    stack.finish();
}

#[test]
fn one_that_goes_on_failing_is_given_up_at_its_limit() {
    let file = "services: { flaps: { image: ./image, command: 'false', restart: 'on-failure:2' } }";
    let Some(stack) = Scenario::containers("gives-up", &format!("{file}\n")) else { return };
    stack.write("windlass.yaml", &file.replace(" } }", " }, web: { image: ./image } }"));
    stack.ok(&["up", "-d"]);
    let mut events = Events::of(stack.command(&LISTEN));
    if !stack.ok(&["ps", "-a"]).stdout.contains("gave up") {
        assert_eq!(events.next("flaps", "gave_up")["limit"], 2);
    }
    let ps = stack.ok(&["ps", "-a"]).stdout;
    assert!(ps.contains("exited (1), gave up after 2 restarts"), "{ps}");
    stack.finish();
}

#[test]
fn what_the_user_stopped_is_not_started_behind_their_back() {
    let Some(stack) = Scenario::containers("held", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    stack.ok(&["stop", "web"]);
    // A new supervisor, too, leaves it.
    stack.kill_supervisor();
    stack.ok(&["up", "-d", "other"]);
    let mut events = Events::of(stack.command(&LISTEN));
    stack.ok(&["restart", "other"]);
    events.next("other", "done");
    assert_eq!(row(&stack, "web")["State"], "exited");
    stack.ok(&["start", "web"]);
    assert_eq!(row(&stack, "web")["State"], "running");
    stack.finish();
}

#[test]
fn a_supervisor_killed_at_any_time_is_replaced_and_nothing_restarts() {
    let Some(stack) = Scenario::containers("replaced", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    kill_and_wait(stack.pid("web"));
    let first = stack.supervisor().expect("one minds it");
    while row(&stack, "web")["State"] != "running" {
        // `up` waits for whatever is at work, and starts it if nothing is.
        stack.ok(&["up", "-d"]);
    }
    let before = (stack.pid("web"), stack.pid("other"));
    stack.kill_supervisor();
    assert_eq!(stack.supervisor(), None);
    assert_eq!((stack.pid("web"), stack.pid("other")), before);
    let second = stack.ok(&["up", "-d"]);
    assert!(second.stderr.contains("nothing to do"), "{}", second.stderr);
    assert_eq!((stack.pid("web"), stack.pid("other")), before);
    assert_ne!(stack.supervisor().expect("another one"), first);
    // It minds what it did not start.
    let mut events = Events::of(stack.command(&LISTEN));
    kill_and_wait(before.0);
    events.next("web", "again");
    events.next("web", "done");
    stack.finish();
}

#[test]
fn whoever_listens_to_one_that_is_killed_is_told_so() {
    let Some(stack) = Scenario::containers("unheard", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    let mut events = stack.command(&["events"]);
    let mut events = events.stderr(Stdio::piped()).spawn().expect("started");
    let mut said = BufReader::new(events.stderr.take().expect("piped")).lines();
    let first = said.next().expect("it listens").expect("text");
    assert!(first.contains("from now on"), "{first}");
    stack.kill_supervisor();
    let rest: Vec<String> = said.map(|line| line.expect("text")).collect();
    assert!(rest.join(" ").contains("`windlass up -d` starts another one"), "{rest:?}");
    assert_eq!(events.wait().expect("it ended").code(), Some(1));
    stack.finish();
}

#[test]
fn one_that_does_not_answer_is_named_with_what_to_do() {
    let Some(stack) = Scenario::containers("silent", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    let before = (stack.pid("web"), stack.pid("other"));
    let pid = stack.supervisor().expect("one minds it");
    let process = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(process, rustix::process::Signal::STOP).expect("stopped");
    for command in [["up", "-d"].as_slice(), &["down"]] {
        let ran = stack.run(command);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        let named = format!("the supervisor (pid {pid}) does not answer");
        assert!(ran.stderr.contains(&named), "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("help: `kill -CONT {pid}`")), "{}", ran.stderr);
    }
    // As it was told.
    kill_and_wait(pid);
    let up = stack.ok(&["up", "-d"]);
    assert!(up.stderr.contains("nothing to do"), "{}", up.stderr);
    assert_eq!((stack.pid("web"), stack.pid("other")), before);
    stack.finish();
}

#[test]
fn one_whose_command_was_killed_while_it_started_is_used() {
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    let Some(stack) = Scenario::containers("half-started", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    stack.kill_supervisor();
    let directory = stack.supervisor_directory();
    let news = Inotify::init(InitFlags::IN_CLOEXEC).expect("inotify");
    // The shim writes its process there, before it starts the supervisor.
    let lock = directory.join("shim.lock");
    let writes = news.add_watch(&lock, AddWatchFlags::IN_MODIFY).expect("watched");
    let mut up = stack.command(&["up", "-d"]).stderr(Stdio::null()).spawn().expect("started");
    news.read_events().expect("a shim");
    news.rm_watch(writes).expect("heard enough");
    let shim = std::fs::read_to_string(&lock).expect("its process");
    let shim = rustix::process::Pid::from_raw(shim.trim().parse().expect("a number"));
    let tell = |signal| rustix::process::kill_process(shim.expect("a process"), signal);
    // It takes its time, and who wanted it does not see the end of it.
    tell(rustix::process::Signal::STOP).expect("stopped");
    up.kill().expect("killed");
    up.wait().expect("reaped");
    news.add_watch(&directory.join("starting"), AddWatchFlags::IN_OPEN).expect("watched");
    let mut again = stack.command(&["up", "-d"]).stderr(Stdio::piped()).spawn().expect("started");
    news.read_events().expect("it wants a supervisor, too");
    tell(rustix::process::Signal::CONT).expect("it goes on");
    let pid = rustix::process::Pid::from_child(&again);
    let ended = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let ended = ended.expect("a child");
    let mut ended = [rustix::event::PollFd::new(&ended, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 60, tv_nsec: 0 };
    let in_time = rustix::event::poll(&mut ended, Some(&limit)).expect("waited") > 0;
    if !in_time {
        again.kill().expect("killed");
    }
    let again = scenario::Ran::of(&again.wait_with_output().expect("it ended"));
    assert!(in_time && again.stderr.contains("nothing to do"), "{}", again.stderr);
    stack.finish();
}

#[test]
fn what_was_wanted_is_written_again_where_it_was_damaged() {
    let Some(stack) = Scenario::containers("intent-damaged", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    let before = (stack.pid("web"), stack.pid("other"));
    let intent = stack.home().join("lib/stacks").join(stack.name()).join("intent.json");
    std::fs::write(&intent, "{\"vers").expect("damaged");
    stack.kill_supervisor();
    let up = stack.ok(&["up", "-d"]);
    assert!(up.stderr.contains("nothing to do"), "{}", up.stderr);
    assert_eq!((stack.pid("web"), stack.pid("other")), before);
    assert_eq!(stack.run(&["diff", "--exit-code"]).code, 0, "it can be read again");
    // Also where the supervisor that knows it goes on.
    std::fs::remove_file(&intent).expect("removed");
    stack.ok(&["up", "-d"]);
    assert!(intent.exists(), "the next supervisor has nothing else to go by");
    stack.finish();
}

#[test]
fn an_upgraded_program_takes_over_and_nothing_restarts() {
    let Some(stack) = Scenario::containers("upgraded", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    let before = (stack.pid("web"), stack.pid("other"));
    let old = stack.supervisor();
    let told = stack.command(&["up", "-d"]);
    let newer = stack.project().join("windlass-newer");
    std::fs::copy(told.get_program(), &newer).expect("another program");
    let mut upgraded = Command::new(&newer);
    upgraded.args(["up", "-d"]).current_dir(stack.project());
    for (name, value) in told.get_envs() {
        upgraded.env(name, value.unwrap_or_default());
    }
    let up = scenario::Ran::of(&upgraded.output().expect("it runs"));
    assert!(up.code == 0 && up.stderr.contains("nothing to do"), "{}", up.stderr);
    assert_ne!(stack.supervisor(), old);
    assert_eq!((stack.pid("web"), stack.pid("other")), before);
    stack.finish();
}

#[test]
fn a_supervisor_leaves_when_there_is_nothing_left_to_mind() {
    let Some(stack) = Scenario::containers("leaves", STEADY) else { return };
    stack.ok(&["up", "-d"]);
    assert!(stack.supervisor().is_some());
    let second = stack.run(&["supervise"]);
    assert_eq!(second.code, 5, "one is enough: {}", second.stderr);
    stack.ok(&["stop"]);
    assert_eq!(stack.supervisor(), None, "everything is at rest");
    stack.ok(&["start"]);
    assert!(stack.supervisor().is_some());
    stack.ok(&["down"]);
    assert_eq!(stack.supervisor(), None);
    stack.finish();
}

#[test]
fn health_is_asked_for_as_long_as_it_runs() {
    let file = "
services:
  web:
    image: ./image
    stop_grace_period: 100ms
    healthcheck: { test: [CMD, test, -e, /tmp/well], interval: 50ms, retries: 2 }
  other: { image: ./image, stop_grace_period: 100ms }
";
    let Some(stack) = Scenario::containers("health", file) else { return };
    stack.ok(&["up", "-d"]);
    let mut events = Events::of(stack.command(&LISTEN));
    stack.ok(&["exec", "-T", "web", "touch", "/tmp/well"]);
    events.find("web", "health", |health| health["healthy"] == true);
    assert_eq!(row(&stack, "web")["Health"], "healthy");
    stack.ok(&["exec", "-T", "web", "rm", "/tmp/well"]);
    events.find("web", "health", |health| health["healthy"] == false);
    assert_eq!(row(&stack, "web")["Health"], "unhealthy");
    stack.finish();
}

#[test]
fn drift_is_said_and_put_right_where_that_is_wanted() {
    let file = "
drift: correct
services:
  web: { image: ./image, mem_limit: 64m, stop_grace_period: 100ms }
  other: { image: ./image, mem_limit: 64m, stop_grace_period: 100ms, drift: detect }
";
    let Some(stack) = Scenario::containers("drift", file) else { return };
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.run(&["diff", "--exit-code"]).code, 0);
    let pids = (stack.pid("web"), stack.pid("other"));
    let mut events = Events::of(stack.command(&LISTEN));
    stack.set_memory_limit("other", 48 * 1024 * 1024);
    stack.delete_firewall_table();
    let drifted = events.next("other", "drifted");
    assert_eq!(drifted["causes"][0], "mem_limit: 48MiB → 64MiB (changed outside)");
    events.next("firewall", "done");
    assert_eq!(stack.tables().len(), 1, "the table is back");
    let diff = stack.run(&["diff", "--exit-code"]);
    assert_eq!(diff.code, 10);
    assert!(diff.stdout.contains("mem_limit: 48MiB → 64MiB"), "{}", diff.stdout);
    assert_eq!((stack.pid("web"), stack.pid("other")), pids);
    stack.finish();
}

#[test]
fn a_down_takes_the_place_of_an_up_that_still_waits() {
    let file = "
services:
  never:
    image: ./image
    stop_grace_period: 100ms
    healthcheck: { test: [CMD, 'false'], interval: 50ms, start_period: 1h, start_interval: 50ms }
  after:
    image: ./image
    depends_on: { never: { condition: service_healthy } }
";
    let Some(stack) = Scenario::containers("given-up", file) else { return };
    let mut up = stack
        .command(&["--progress", "json", "up", "-d"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut lines = BufReader::new(up.stderr.take().expect("piped")).lines();
    let waits = |line: &String| line.contains("waiting to be healthy");
    assert!(lines.any(|line| waits(&line.expect("text"))));
    let mut restart = stack
        .command(&["restart", "never"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut told = BufReader::new(restart.stderr.take().expect("piped")).lines();
    assert!(told.any(|line| line.expect("text").contains("waiting for `up`")));
    stack.ok(&["down"]);
    assert_eq!(restart.wait().expect("it ends").code(), Some(130), "nor is it done afterwards");
    assert_eq!(up.wait().expect("it ends").code(), Some(130));
    stack.finish();
}
