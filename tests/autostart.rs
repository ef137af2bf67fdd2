//! Coming back when the host starts, as far as it can be shown without a reboot:
//! the unit's two commands on real containers. `scripts/test-in-guest` does the rest.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/power.rs"]
mod power;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::fs;

use scenario::Scenario;
use serde_json::Value;

const SHOP: &str = "
services:
  db:
    image: ./image
    restart: always
    stop_grace_period: 100ms
    healthcheck: { test: [CMD, 'true'], interval: 100ms }
  web:
    image: ./image
    stop_grace_period: 100ms
    depends_on: { db: { condition: service_healthy } }
  cron: { image: ./image, restart: always, stop_grace_period: 100ms }
  job: { image: ./image, command: 'true' }
";

/// `cron` is stopped by hand, `job` has ended, the rest runs.
fn shop(name: &str) -> Option<Scenario> {
    let stack = Scenario::containers(name, SHOP)?;
    stack.ok(&["up", "-d"]);
    stack.ok(&["stop", "cron"]);
    Some(stack)
}

fn running(stack: &Scenario) -> Vec<String> {
    let runs = |row: &Value| row["State"] == "running";
    let mut names: Vec<String> = stack
        .ps()
        .iter()
        .filter(|row| runs(row))
        .map(|row| row["Name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

/// Where in the story both words stand: the first before the second.
fn in_order(story: &str, first: &str, second: &str) -> bool {
    let place = |word| story.find(word).unwrap_or_else(|| panic!("no `{word}` in {story}"));
    place(first) < place(second)
}

#[test]
fn what_ran_when_the_host_went_down_comes_back_in_order_and_nothing_else() {
    let Some(stack) = shop("boot") else { return };
    let down = stack.ok(&["autostart", "host-down"]);
    assert!(in_order(&down.stderr, "web", "db"), "{}", down.stderr);
    assert_eq!(running(&stack), [""; 0]);
    assert_eq!(stack.supervisor(), None, "it would start again what was stopped");

    let up = stack.ok(&["autostart", "host-up"]);
    assert_eq!(running(&stack), ["db", "web"]);
    assert!(in_order(&up.stderr, "db", "web"), "{}", up.stderr);
    assert!(stack.supervisor().is_some(), "nobody minds what came back");

    // What was brought back is forgotten: a stop by hand counts from here on.
    stack.ok(&["stop"]);
    stack.ok(&["autostart", "host-down"]);
    stack.ok(&["autostart", "host-up"]);
    assert_eq!(running(&stack), [""; 0]);
    stack.finish();
}

#[test]
fn an_up_by_hand_counts_for_more_than_what_ran_before() {
    let Some(stack) = shop("boot-by-hand") else { return };
    stack.ok(&["autostart", "host-down"]);
    stack.ok(&["up", "-d"]);
    stack.ok(&["stop"]);
    stack.ok(&["autostart", "host-down"]);
    stack.ok(&["autostart", "host-up"]);
    assert_eq!(running(&stack), [""; 0]);
    stack.finish();
}

#[test]
fn what_was_cut_off_comes_back_whatever_its_policy_is() {
    let Some(stack) = shop("power-cut") else { return };
    power::cut(&stack);
    assert_eq!(running(&stack), [""; 0]);
    stack.ok(&["autostart", "host-up"]);
    assert_eq!(running(&stack), ["db", "web"]);
    stack.finish();
}

#[test]
fn a_stack_that_is_down_stays_down() {
    let Some(stack) = shop("down-at-boot") else { return };
    stack.ok(&["down"]);
    let up = stack.ok(&["autostart", "host-up"]);
    assert!(up.stderr.contains("nothing of"), "{}", up.stderr);
    assert_eq!(stack.ps().len(), 0);
    stack.finish();
}

#[test]
fn the_unit_is_written_once_and_taken_away_while_the_stack_goes_on() {
    let Some(stack) = shop("unit") else { return };
    let units = stack.project().join("units");
    let run = |arguments: &[&str]| {
        let output = stack.command(arguments).env("WINDLASS_SYSTEMD_DIR", &units).output();
        let output = output.expect("the program runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        text(output.stdout) + &text(output.stderr)
    };
    assert_eq!(run(&["autostart", "status"]), "off\n");
    let said = run(&["autostart", "on"]);
    assert!(said.contains("systemctl enable --now windlass-"), "{said}");
    run(&["autostart", "on"]);
    let written: Vec<_> = fs::read_dir(&units).expect("there").flatten().collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let text = fs::read_to_string(written[0].path()).expect("readable");
    let home = stack.home();
    assert!(text.contains(&format!("WINDLASS_HOME={}", home.display())), "{text}");
    assert!(text.contains(&format!("-p {} autostart host-up", stack.name())), "{text}");
    assert!(run(&["autostart", "status"]).starts_with("written"));
    run(&["autostart", "off"]);
    assert_eq!(fs::read_dir(&units).expect("there").count(), 0);
    assert!(run(&["autostart", "off"]).contains("nothing to do"));
    assert_eq!(running(&stack), ["db", "web"]);
    stack.finish();
}
