//! Whole stories on real engines: one intent each, checked by the state of the
//! host, never by waiting a while. VMs have their own file; here are containers
//! and the network.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use scenario::Scenario;

const TWO_ON_A_NETWORK: &str = "
services:
  web:
    image: ./image
    command: httpd -f -p 8000 -h /data
    environment: { COLOUR: blue }
    ports: ['127.0.0.1:0:8000']
    volumes: ['pages:/data']
    stop_grace_period: 100ms
  other:
    image: ./image
    stop_grace_period: 100ms
volumes:
  pages: {}
";

#[test]
fn a_second_up_starts_nothing_and_says_so() {
    let Some(stack) = Scenario::containers("second-up", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let before = (stack.pid("web"), stack.pid("other"));
    let second = stack.ok(&["up", "-d"]);
    assert!(second.stderr.contains("nothing to do"), "{}", second.stderr);
    assert_eq!(before, (stack.pid("web"), stack.pid("other")));
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    stack.finish();
}

#[test]
fn changing_one_variable_recreates_that_container_alone() {
    let Some(stack) = Scenario::containers("one-change", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let (web, other) = (stack.pid("web"), stack.pid("other"));
    stack.write("windlass.yaml", &TWO_ON_A_NETWORK.replace("blue", "green"));
    let plan = stack.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 10, "{}", plan.stderr);
    assert!(plan.stdout.contains(r#"environment.COLOUR: "blue" → "green""#), "{}", plan.stdout);
    stack.ok(&["up", "-d"]);
    assert_ne!(web, stack.pid("web"));
    assert_eq!(other, stack.pid("other"));
    assert_eq!(stack.ok(&["exec", "-T", "web", "sh", "-c", "echo $COLOUR"]).stdout, "green\n");
    stack.finish();
}

#[test]
fn a_service_added_later_is_found_by_name_from_one_that_already_ran() {
    let Some(stack) = Scenario::containers("added-later", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let web = stack.pid("web");
    let with_late = TWO_ON_A_NETWORK.replace(
        "volumes:\n  pages",
        "  late: { image: ./image, stop_grace_period: 100ms }\nvolumes:\n  pages",
    );
    stack.write("windlass.yaml", &with_late);
    stack.ok(&["up", "-d"]);
    assert_eq!(web, stack.pid("web"));
    stack.ok(&["exec", "-T", "web", "ping", "-c", "1", "-W", "5", "late"]);
    stack.finish();
}

#[test]
fn down_keeps_volumes_and_up_finds_their_data_again() {
    let Some(stack) = Scenario::containers("volumes", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let seen = stack.ok(&["exec", "-T", "web", "cat", "/data/from-image"]);
    assert_eq!(seen.stdout, "the image's own\n", "an empty volume gets what the image has there");
    stack.ok(&["exec", "-T", "web", "sh", "-c", "echo kept > /data/mine"]);
    stack.ok(&["down"]);
    assert!(stack.leftovers().is_empty(), "{:#?}", stack.leftovers());
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.ok(&["exec", "-T", "web", "cat", "/data/mine"]).stdout, "kept\n");
    stack.finish();
}

#[test]
fn down_with_volumes_names_what_it_deletes_and_frees_the_name() {
    let Some(stack) = Scenario::containers("emptied", TWO_ON_A_NETWORK) else { return };
    let elsewhere = stack.copy_of_the_project();
    stack.ok(&["up", "-d"]);
    let down = stack.ok(&["down", "-v"]);
    let pages = format!("volume {}_pages", stack.name());
    let said = |line: &str| line.contains(&pages) && line.contains("in it are deleted");
    assert!(down.stderr.lines().any(said), "{}", down.stderr);
    assert!(!stack.home().join("lib/stacks").join(stack.name()).exists());
    let other = stack.run_in(&elsewhere, &["up", "-d"]);
    assert_eq!(other.code, 0, "nobody has that name any more: {}", other.stderr);
    assert_eq!(stack.run_in(&elsewhere, &["down", "-v"]).code, 0);
    stack.finish();
}

#[test]
fn a_container_killed_by_hand_is_started_again_and_the_plan_says_why() {
    let Some(stack) = Scenario::containers("killed", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let (web, other) = (stack.pid("web"), stack.pid("other"));
    scenario::kill_and_wait(web);
    let plan = stack.ok(&["plan"]);
    assert!(plan.stdout.contains("signal 9"), "{}", plan.stdout);
    stack.ok(&["up", "-d"]);
    assert_ne!(web, stack.pid("web"));
    assert_eq!(other, stack.pid("other"));
    stack.finish();
}

#[test]
fn what_was_deleted_from_the_network_behind_our_back_comes_back() {
    let Some(stack) = Scenario::containers("network-drift", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let web = stack.pid("web");
    for part in ["name-server", "forward"] {
        stack.kill_part(part);
        assert_eq!(stack.run(&["plan", "--exit-code"]).code, 10, "{part} is missed");
        stack.ok(&["up", "-d"]);
    }
    stack.delete_firewall_table();
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 10, "the table is missed");
    stack.ok(&["up", "-d"]);
    assert_eq!(web, stack.pid("web"), "none of it interrupted a container");
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    stack.delete_bridges();
    stack.ok(&["up", "-d"]);
    stack.ok(&["exec", "-T", "web", "ping", "-c", "1", "-W", "5", "other"]);
    stack.finish();
}

#[test]
fn limits_change_while_it_runs() {
    let file = "services: { web: { image: ./image, mem_limit: 64m, pids_limit: 50, stop_grace_period: 100ms } }\n";
    let Some(stack) = Scenario::containers("limits", file) else { return };
    stack.ok(&["up", "-d"]);
    let web = stack.pid("web");
    stack.write("windlass.yaml", &file.replace("64m", "96m"));
    let up = stack.ok(&["up", "-d"]);
    assert_eq!(web, stack.pid("web"), "{}", up.stderr);
    assert_eq!(stack.memory_limit("web"), 96 * 1024 * 1024);
    stack.set_memory_limit("web", 80 * 1024 * 1024);
    let plan = stack.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 10, "a limit changed by hand is drift");
    assert!(plan.stdout.contains("mem_limit"), "{}", plan.stdout);
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.memory_limit("web"), 96 * 1024 * 1024);
    assert_eq!(web, stack.pid("web"));
    stack.finish();
}

#[test]
fn two_at_once_do_not_collide() {
    let Some(stack) = Scenario::containers("two-at-once", TWO_ON_A_NETWORK) else { return };
    let mut ups: Vec<_> = (0..3)
        .map(|_| stack.command(&["up", "-d"]).stderr(Stdio::null()).spawn().expect("started"))
        .collect();
    for up in &mut ups {
        assert!(up.wait().expect("ended").success());
    }
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    stack.finish();
}

#[test]
fn the_same_name_from_another_directory_is_refused_unless_adopted() {
    let Some(stack) = Scenario::containers("two-checkouts", TWO_ON_A_NETWORK) else { return };
    // The copy's own `./image` would be another image: both shall mean one file.
    let image = stack.project().join("image");
    let file = TWO_ON_A_NETWORK.replace("./image", &image.to_string_lossy());
    stack.write("windlass.yaml", &file);
    stack.ok(&["up", "-d"]);
    let web = stack.pid("web");
    let elsewhere = stack.copy_of_the_project();
    for verb in [&["up", "-d"][..], &["down"]] {
        let refused = stack.run_in(&elsewhere, verb);
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        for directory in [&stack.project(), &elsewhere] {
            assert!(refused.stderr.contains(&*directory.to_string_lossy()), "{}", refused.stderr);
        }
    }
    let adopted = stack.run_in(&elsewhere, &["up", "-d", "--adopt"]);
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    assert_eq!(web, stack.pid_in(&elsewhere, "web"), "adopting changes nothing that runs");
    assert_eq!(stack.run_in(&elsewhere, &["down", "-v"]).code, 0);
    stack.ok(&["up", "-d", "--adopt"]);
    stack.finish();
}

#[test]
fn a_lost_or_damaged_ledger_recreates_nothing_and_a_newer_one_is_refused() {
    let Some(stack) = Scenario::containers("ledger", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let web = stack.pid("web");
    let ledger = stack.home().join("lib/stacks").join(stack.name()).join("ledger.json");
    let whole = fs::read(&ledger).expect("a ledger");
    for damage in [None, Some(&b""[..]), Some(&whole[..whole.len() / 2]), Some(b"\x00\xff")] {
        match damage {
            None => fs::remove_file(&ledger).expect("deleted"),
            Some(bytes) => fs::write(&ledger, bytes).expect("damaged"),
        }
        stack.ok(&["up", "-d"]);
        assert_eq!(web, stack.pid("web"));
        assert!(ledger.exists(), "it is written again");
    }
    fs::write(&ledger, br#"{"version": 4711}"#).expect("made newer");
    let refused = stack.run(&["up", "-d"]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("4711"), "{}", refused.stderr);
    fs::write(&ledger, whole).expect("put back");
    stack.finish();
}

#[test]
fn an_up_killed_at_any_step_is_finished_by_the_next() {
    let Some(stack) = Scenario::containers("killed-up", TWO_ON_A_NETWORK) else { return };
    for line in 1.. {
        if !kill_up_after_line(&stack, line) {
            assert!(line > 5, "so few steps cannot be a whole up");
            break;
        }
        stack.ok(&["up", "-d"]);
        assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0, "killed after line {line}");
        stack.ok(&["exec", "-T", "web", "ping", "-c", "1", "-W", "5", "other"]);
        stack.ok(&["down", "-v"]);
        assert!(stack.leftovers().is_empty(), "{line}: {:#?}", stack.leftovers());
    }
    stack.finish();
}

/// Runs `up` and kills it when it has said so many lines; `false` when it ended before.
fn kill_up_after_line(stack: &Scenario, count: usize) -> bool {
    let mut up = stack
        .command(&["--progress", "json", "up", "-d"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let lines = BufReader::new(up.stderr.take().expect("piped")).lines();
    let seen = lines.take(count).count();
    if seen == count {
        // Who does the work, and who waits for it.
        stack.kill_supervisor();
        up.kill().expect("killed");
    }
    let status = up.wait().expect("ended");
    seen == count && !status.success()
}

#[test]
fn a_taken_port_is_named_before_anything_is_done() {
    let file = "services: { web: { image: ./image, stop_grace_period: 100ms, ports: ['127.0.0.1:PORT:80'] } }\n";
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let file = file.replace("PORT", &port.to_string());
    let Some(stack) = Scenario::containers("port-taken", &file) else { return };
    let up = stack.run(&["up", "-d"]);
    assert_eq!(up.code, 1, "{}", up.stderr);
    assert!(up.stderr.contains(&port.to_string()), "{}", up.stderr);
    assert!(up.stderr.contains(&format!("pid {}", std::process::id())), "{}", up.stderr);
    assert!(stack.ps().is_empty(), "nothing was made");
    drop(taken);
    stack.ok(&["up", "-d"]);
    stack.finish();
}

const CHAIN: &str = "
services:
  db:
    image: ./image
    stop_grace_period: 100ms
    command: sh -c 'touch /tmp/up && exec sleep 1000000'
    healthcheck: { test: [CMD, test, -e, /tmp/up], interval: 50ms }
  migrate:
    image: ./image
    command: sh -c 'echo migrated'
    depends_on: { db: { condition: service_healthy } }
  web:
    image: ./image
    stop_grace_period: 100ms
    depends_on: { migrate: { condition: service_completed_successfully } }
";

#[test]
fn a_chain_waits_for_health_and_completion_and_the_one_shot_runs_once() {
    let Some(stack) = Scenario::containers("chain", CHAIN) else { return };
    stack.ok(&["up", "-d"]);
    let state = |name: &str| {
        let ps = stack.ps();
        let row = ps.iter().find(|row| row["Name"] == name).expect("there").clone();
        row["State"].as_str().expect("a state").to_owned()
    };
    assert_eq!((state("db").as_str(), state("migrate").as_str()), ("running", "exited"));
    assert_eq!(stack.ok(&["logs", "migrate"]).stdout.matches("migrated").count(), 1);
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.ok(&["logs", "migrate"]).stdout.matches("migrated").count(), 1);
    stack.finish();
}

#[test]
fn a_dependency_that_fails_stops_what_needs_it_and_nothing_else() {
    let file = CHAIN.replace("echo migrated", "echo no; exit 3");
    let Some(stack) = Scenario::containers("failing", &file) else { return };
    let up = stack.run(&["up", "-d"]);
    assert_eq!(up.code, 1);
    assert!(up.stderr.contains("exit code 3"), "{}", up.stderr);
    assert!(up.stderr.contains("needs migrate"), "{}", up.stderr);
    assert!(stack.pid("db") > 0);
    stack.finish();
}

#[test]
fn a_container_that_ignores_sigterm_is_killed_after_its_grace_period() {
    let file = "services: { deaf: { image: ./image, stop_grace_period: 300ms,
        command: \"sh -c 'trap \\\"\\\" TERM; touch /tmp/deaf; while :; do sleep 1000; done'\" } }\n";
    let Some(stack) = Scenario::containers("deaf", file) else { return };
    stack.ok(&["up", "-d"]);
    stack.ok(&["stop", "deaf"]);
    let ps = stack.ps();
    assert_eq!(ps[0]["ExitCode"], 137, "{ps:#?}");
    stack.finish();
}

#[test]
fn what_the_user_stopped_can_be_started_again_and_keeps_what_it_wrote() {
    let Some(stack) = Scenario::containers("stop-start", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    stack.ok(&["exec", "-T", "other", "touch", "/written"]);
    stack.ok(&["stop", "other"]);
    stack.ok(&["start", "other"]);
    stack.ok(&["exec", "-T", "other", "test", "-e", "/written"]);
    let web = stack.pid("web");
    stack.ok(&["restart", "web"]);
    assert_ne!(web, stack.pid("web"));
    stack.finish();
}

#[test]
fn an_interface_that_the_last_run_left_is_no_obstacle() {
    let Some(stack) = Scenario::containers("left-interface", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    stack.ok(&["stop", "other"]);
    stack.leave_interface("other", "default");
    stack.ok(&["up", "-d"]);
    stack.ok(&["exec", "-T", "web", "ping", "-c", "1", "-W", "5", "other"]);
    stack.finish();
}

#[test]
fn a_published_port_answers_on_loopback() {
    let Some(stack) = Scenario::containers("published", TWO_ON_A_NETWORK) else { return };
    stack.ok(&["up", "-d"]);
    let ps = stack.ps();
    let web = ps.iter().find(|row| row["Name"] == "web").expect("there");
    let port = web["Publishers"][0]["PublishedPort"].as_u64().expect("a port");
    assert_eq!(scenario::http_get(port, "/from-image"), "the image's own\n");
    stack.finish();
}
