//! Who is asked how it is, and by whom: checks that images bring along, and
//! those that the host asks over the network.

#[path = "support/events.rs"]
mod events;
#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use events::{Events, LISTEN};
use scenario::Scenario;
use serde_json::json;

/// `check` is an image that is well once `/tmp/well` is there, and says so
/// every 100 ms; what runs from it makes the file after a moment.
const CHECKED: &str = "
services:
  db:
    image: ./checked
    command: [sh, -c, 'sleep 0.4; touch /tmp/well; exec sleep 1000']
    stop_grace_period: 100ms
  web:
    image: ./image
    depends_on: { db: { condition: service_healthy } }
    stop_grace_period: 100ms
";

/// The scenario with its image; `test` is what the image says.
fn checked(name: &str, file: &str, test: &str) -> Option<Scenario> {
    let stack = Scenario::containers(name, file)?;
    let config = json!({
        "Cmd": ["sleep", "1000"], "Env": ["PATH=/bin"],
        "Healthcheck": {
            "Test": ["CMD-SHELL", test],
            "Interval": 100_000_000_u64, "Timeout": 5_000_000_000_u64, "Retries": 40,
        },
    });
    oci::write_image(&stack.project().join("checked"), &config).expect("an image");
    Some(stack)
}

fn health(stack: &Scenario, name: &str) -> String {
    let rows = stack.ok(&["ps", "--format", "json"]).stdout;
    let rows: Vec<serde_json::Value> =
        rows.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let row = rows.iter().find(|row| row["Name"] == name);
    row.expect("it is listed")["Health"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_depends_on_health_waits_for_the_images_own_check() {
    let Some(stack) = checked("image-check", CHECKED, "test -e /tmp/well") else { return };
    stack.ok(&["up", "-d"]);
    stack.ok(&["exec", "-T", "db", "test", "-e", "/tmp/well"]);
    assert_eq!((health(&stack, "db"), health(&stack, "web")), ("healthy".into(), String::new()));
    let again = stack.ok(&["up", "-d"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    stack.finish();
}

#[test]
fn what_was_said_to_another_check_does_not_count() {
    let file = "
services:
  web:
    image: ./image
    command: [sleep, '1000']
    healthcheck: { test: [CMD, 'true'], interval: 100ms }
    stop_grace_period: 100ms
";
    let Some(stack) = Scenario::containers("other-check", file) else { return };
    stack.ok(&["up", "-d", "--wait"]);
    stack.write("windlass.yaml", &file.replace("'true'], ", "'false'], retries: 2, "));
    let up = stack.run(&["up", "-d", "--wait"]);
    assert_eq!(up.code, 1, "{}", up.stderr);
    assert!(up.stderr.contains("its healthcheck failed 2 times in a row"), "{}", up.stderr);
    stack.write("windlass.yaml", file);
    stack.ok(&["up", "-d", "--wait"]);
    assert_eq!(health(&stack, "web"), "healthy");
    stack.finish();
}

#[test]
fn the_file_overrides_what_the_image_says() {
    let patient = CHECKED.replace(
        "    image: ./checked\n",
        "    image: ./checked\n    healthcheck: { retries: 2 }\n",
    );
    let Some(stack) = checked("image-check-timed", &patient, "echo not well; false") else {
        return;
    };
    let up = stack.run(&["up", "-d"]);
    assert_eq!(up.code, 1, "{}", up.stderr);
    assert!(
        up.stderr.contains("its healthcheck failed 2 times in a row: not well"),
        "{}",
        up.stderr
    );
    stack.write("windlass.yaml", &patient.replace("retries: 2", "disable: true"));
    stack.ok(&["up", "-d"]);
    stack.write("windlass.yaml", &patient.replace("retries: 2", "test: 'true'"));
    stack.ok(&["up", "-d", "--wait"]);
    assert_eq!(health(&stack, "db"), "healthy");
    stack.finish();
}

#[test]
fn with_wait_an_image_without_a_check_is_not_waited_for() {
    let file = "services: { once: { image: ./image, command: 'true' } }\n";
    let Some(stack) = Scenario::containers("no-check", file) else { return };
    stack.ok(&["up", "-d", "--wait"]);
    stack.finish();
}

const ASKED: &str = "
services:
  page:
    image: ./image
    command: [sh, -c, 'sleep 0.4; exec httpd -f -p 8000 -h /data']
    healthcheck: { http: 8000/from-image, interval: 100ms, retries: 50 }
    stop_grace_period: 100ms
  port:
    image: ./image
    command: [sh, -c, 'sleep 0.4; exec httpd -f -p 8000 -h /data']
    healthcheck: { tcp: 8000, interval: 100ms, retries: 50 }
    stop_grace_period: 100ms
  last:
    image: ./image
    depends_on: { page: { condition: service_healthy }, port: { condition: service_healthy } }
    stop_grace_period: 100ms
";

#[test]
fn the_host_asks_a_port_and_a_page_of_a_container() {
    let Some(stack) = Scenario::containers("asked", ASKED) else { return };
    stack.ok(&["up", "-d"]);
    assert_eq!(
        (health(&stack, "page"), health(&stack, "port")),
        ("healthy".into(), "healthy".into())
    );
    stack.write(
        "windlass.yaml",
        &ASKED.replace(
            "8000/from-image, interval: 100ms, retries: 50",
            "8000/nowhere, interval: 400ms, retries: 3",
        ),
    );
    let up = stack.run(&["up", "-d", "--force-recreate", "--wait"]);
    assert_eq!(up.code, 1, "{}", up.stderr);
    assert!(up.stderr.contains("/nowhere: HTTP/1.1 404"), "{}", up.stderr);
    let by_hand = up.stderr.contains(":8000/nowhere` asks as the check does");
    assert!(by_hand, "it is asked from outside: {}", up.stderr);
    stack.finish();
}

/// `db` is well for as long as the file is there; `web` rests for its sake, `cron`
/// restarts after it, `idle` does neither.
const FOLLOWED: &str = "
services:
  db:
    image: ./image
    command: [sh, -c, 'touch /tmp/well; exec sleep 1000']
    healthcheck: { test: [CMD, test, -e, /tmp/well], interval: 100ms, retries: 2 }
    stop_grace_period: 100ms
  web:
    image: ./image
    depends_on: { db: { condition: service_healthy, on_unhealthy: stop } }
    stop_grace_period: 100ms
  cron:
    image: ./image
    depends_on: { db: { condition: service_healthy, on_unhealthy: restart } }
    stop_grace_period: 100ms
  idle:
    image: ./image
    depends_on: { db: { condition: service_healthy } }
    stop_grace_period: 100ms
";

#[test]
fn dependents_follow_one_that_becomes_unhealthy_each_as_its_edge_says() {
    let Some(stack) = Scenario::containers("followed", FOLLOWED) else { return };
    stack.ok(&["up", "-d"]);
    let (cron, idle) = (stack.pid("cron"), stack.pid("idle"));
    let mut events = Events::of(stack.command(&LISTEN));
    stack.ok(&["exec", "-T", "db", "rm", "/tmp/well"]);
    let said = events.next("web", "follows");
    assert_eq!(said["because"], "db became unhealthy (on_unhealthy: stop)");
    events.find("web", "done", |done| done["state"] == "stopped");
    let ps = stack.ok(&["ps"]).stdout;
    assert!(ps.contains("until db is healthy"), "{ps}");
    // Whoever supervises next goes on from what is written down.
    stack.kill_supervisor();
    stack.ok(&["start", "idle"]);
    let (mut events, mut of_cron) =
        (Events::of(stack.command(&LISTEN)), Events::of(stack.command(&LISTEN)));
    stack.ok(&["exec", "-T", "db", "touch", "/tmp/well"]);
    let said = events.next("web", "follows");
    assert_eq!(said["because"], "db is healthy again (on_unhealthy: stop)");
    events.find("web", "done", |done| done["state"] == "started");
    of_cron.find("cron", "done", |done| done["state"] == "started");
    assert_ne!(stack.pid("cron"), cron, "once, after it was healthy again");
    assert_eq!(stack.pid("idle"), idle);
    let cron = stack.pid("cron");
    let up = stack.ok(&["up", "-d"]);
    assert!(up.stderr.contains("nothing to do"), "{}", up.stderr);
    assert_eq!(stack.pid("cron"), cron);
    stack.finish();
}

#[test]
fn what_the_user_stopped_while_it_rested_stays_so() {
    let Some(stack) = Scenario::containers("followed-held", FOLLOWED) else { return };
    stack.ok(&["up", "-d"]);
    let mut events = Events::of(stack.command(&LISTEN));
    stack.ok(&["exec", "-T", "db", "rm", "/tmp/well"]);
    events.find("web", "done", |done| done["state"] == "stopped");
    stack.ok(&["stop", "web"]);
    stack.ok(&["exec", "-T", "db", "touch", "/tmp/well"]);
    events.next("cron", "follows");
    events.find("cron", "done", |done| done["state"] == "started");
    let ps = stack.ok(&["ps", "-a"]).stdout;
    assert!(!ps.contains("until db is healthy"), "{ps}");
    assert!(!stack.ok(&["ps"]).stdout.contains("web"), "it was stopped by hand");
    stack.finish();
}
