//! What can go wrong on a real host, and what a file may ask for that is only
//! seen from inside: each checked by the state it leaves.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use scenario::{Ran, Scenario};

const ONE: &str = "services: { web: { image: ./image, stop_grace_period: 100ms } }\n";

const TWO: &str = "
services:
  web: { image: ./image, stop_grace_period: 100ms }
  old: { image: ./image, stop_grace_period: 100ms }
";

fn state(stack: &Scenario, name: &str) -> String {
    let ps = stack.ps();
    let row = ps.iter().find(|row| row["Name"] == name).unwrap_or_else(|| panic!("{ps:#?}"));
    row["State"].as_str().expect("a state").to_owned()
}

fn refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "no `{word}` in: {}", ran.stderr);
    }
}

fn inside(stack: &Scenario, name: &str, script: &str) -> String {
    stack.ok(&["exec", "-T", name, "sh", "-c", script]).stdout
}

#[test]
fn scaling_up_and_down_leaves_nothing_to_do_and_right_names() {
    let file = "
services:
  web: { image: ./image, stop_grace_period: 100ms }
  worker: { image: ./image, stop_grace_period: 100ms, deploy: { replicas: COUNT } }
";
    let scaled = |count: &str| file.replace("COUNT", count);
    let Some(stack) = Scenario::containers("scale", &scaled("1")) else { return };
    stack.ok(&["up", "-d"]);
    let first = stack.pid("worker");
    let addresses = |name: &str| {
        let answer = inside(&stack, "web", &format!("nslookup {name}"));
        answer.matches(&format!("Name:\t{name}.")).count()
    };
    stack.write("windlass.yaml", &scaled("3"));
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    assert_eq!(stack.pid("worker-1"), first, "the first copy is only called otherwise");
    assert_eq!((addresses("worker"), addresses("worker-2")), (3, 1));
    stack.write("windlass.yaml", &scaled("1"));
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    assert_eq!(stack.pid("worker"), first);
    assert_eq!(addresses("worker"), 1);
    stack.finish();
}

#[test]
fn a_frozen_container_is_seen_thawed_and_taken_down() {
    let Some(stack) = Scenario::containers("frozen", ONE) else { return };
    stack.ok(&["up", "-d"]);
    let pid = stack.pid("web");
    stack.freeze("web");
    assert_eq!(state(&stack, "web"), "paused");
    stack.ok(&["up", "-d"]);
    assert_eq!((state(&stack, "web").as_str(), stack.pid("web")), ("running", pid));
    stack.freeze("web");
    stack.finish();
}

#[test]
fn a_container_whose_shim_was_killed_is_started_again() {
    let Some(stack) = Scenario::containers("shim-killed", TWO) else { return };
    stack.ok(&["up", "-d"]);
    let (web, old) = (stack.pid("web"), stack.pid("old"));
    scenario::kill_and_wait(scenario::shim_of(web));
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 10);
    stack.ok(&["up", "-d"]);
    assert_ne!(stack.pid("web"), web);
    assert_eq!(stack.pid("old"), old);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    stack.finish();
}

#[test]
fn a_registry_that_is_down_is_told_at_once_with_what_is_here() {
    let Some(stack) = Scenario::containers("no-registry", ONE) else { return };
    stack.ok(&["up", "-d"]);
    let before = stack.pid("web");
    let with_other = ONE.replace(" } }", " }, far: { image: '127.0.0.1:1/far/away:1' } }");
    stack.write("windlass.yaml", &with_other);
    let began = Instant::now();
    let up = stack.run(&["up", "-d"]);
    assert!(began.elapsed() < Duration::from_secs(5));
    refused(&up, 4, &["127.0.0.1:1/far/away:1", "images here: ", "project/image"]);
    assert_eq!(up.stderr.matches("container far  not started").count(), 1, "{}", up.stderr);
    assert_eq!(stack.pid("web"), before);
    stack.finish();
}

#[test]
fn a_program_that_the_image_lacks_is_named() {
    let file = ONE.replace("image:", "entrypoint: /no/such, image:");
    let Some(stack) = Scenario::containers("no-program", &file) else { return };
    refused(&stack.run(&["up", "-d"]), 1, &["`/no/such` is not in the image", "help: "]);
    stack.write("windlass.yaml", ONE);
    stack.ok(&["up", "-d"]);
    stack.finish();
}

#[test]
fn a_bind_source_that_is_not_there_is_named_before_anything_is_done() {
    let mount = "volumes: [{ type: bind, source: ./missing, target: /in,
        bind: { create_host_path: false } }], image:";
    let Some(stack) = Scenario::containers("no-source", &ONE.replace("image:", mount)) else {
        return;
    };
    refused(
        &stack.run(&["up", "-d"]),
        3,
        &["`missing`", "windlass.yaml:1:", "nothing was changed"],
    );
    stack.write("windlass.yaml", ONE);
    assert!(stack.ps().is_empty());
    stack.finish();
}

const ASKS_FOR_MUCH: &str = "
services:
  confined:
    image: ./image
    stop_grace_period: 100ms
    read_only: true
    cap_drop: [ALL]
    env_file: [web.env]
    extra_hosts: ['somewhere:10.9.8.7']
    tmpfs: ['/scratch:size=1m']
    configs: [{ source: conf, target: /etc/conf, mode: 0440 }]
    secrets: [{ source: key, mode: 0400, uid: '42' }]
  free:
    image: ./image
    stop_grace_period: 100ms
    privileged: true
    networks: [closed]
configs: { conf: { file: ./conf.txt } }
secrets: { key: { file: ./key.txt } }
networks: { closed: { internal: true } }
";

#[test]
fn what_the_file_asks_for_is_so_inside() {
    let Some(stack) = Scenario::containers("inside", ASKS_FOR_MUCH) else { return };
    stack.write("web.env", "COLOUR=blue\n");
    stack.write("conf.txt", "conf\n");
    stack.write("key.txt", "key\n");
    stack.ok(&["up", "-d"]);
    let confined = |script: &str| inside(&stack, "confined", script);
    assert_eq!(confined("echo $COLOUR"), "blue\n");
    assert_eq!(confined("touch /x 2>/dev/null || echo read only"), "read only\n");
    assert_eq!(confined("touch /scratch/x && echo written"), "written\n");
    assert!(confined("cat /etc/hosts").contains("10.9.8.7\tsomewhere"));
    assert_eq!(confined("stat -c '%a %u' /run/secrets/key /etc/conf"), "400 42\n440 0\n");
    assert_eq!(confined("cat /etc/conf"), "conf\n");
    let owner = ["exec", "-T", "-u", "42", "confined", "cat", "/run/secrets/key"];
    assert_eq!(stack.ok(&owner).stdout, "key\n");
    let capabilities = "grep CapEff /proc/self/status";
    assert!(confined(capabilities).ends_with("\t0000000000000000\n"));
    let free = |script: &str| inside(&stack, "free", script);
    assert!(free("mount -t tmpfs none /tmp && echo mounted").contains("mounted"));
    assert!(!free("ip route").contains("default"), "an internal network leads nowhere");
    let out = free("ping -c 1 -W 1 192.0.2.1 >/dev/null 2>&1 || echo unreachable");
    assert_eq!(out, "unreachable\n");
    stack.finish();
}

#[test]
fn verbs_on_one_name_leave_the_others_alone() {
    let hears = "command: \"sh -c 'trap \\\"echo heard\\\" HUP; echo listens;
        while :; do sleep 1000000 & wait; done'\", image:";
    let file = TWO.replacen("image:", hears, 1);
    let Some(stack) = Scenario::containers("verbs", &file) else { return };
    stack.ok(&["up", "-d"]);
    let old = stack.pid("old");
    stack.wait_for_log("web", "listens");
    stack.ok(&["kill", "-s", "HUP", "web"]);
    stack.wait_for_log("web", "heard");
    let web = stack.pid("web");
    stack.ok(&["restart", "web"]);
    assert_ne!(stack.pid("web"), web);
    stack.ok(&["stop", "web"]);
    assert_eq!(state(&stack, "web"), "exited");
    stack.ok(&["start", "web"]);
    assert_eq!(state(&stack, "web"), "running");
    refused(&stack.run(&["rm", "-s", "web"]), 5, &["web", "rm -f"]);
    stack.ok(&["rm", "-s", "-f", "web"]);
    assert!(stack.ps().iter().all(|row| row["Name"] != "web"));
    refused(&stack.run(&["stop", "wbe"]), 2, &["`wbe`", "there are old"]);
    assert_eq!(stack.pid("old"), old);
    stack.finish();
}

#[test]
fn a_service_no_longer_in_the_file_is_left_until_asked_for() {
    let Some(stack) = Scenario::containers("orphan", TWO) else { return };
    stack.ok(&["up", "-d"]);
    let old = stack.pid("old");
    stack.write("windlass.yaml", ONE);
    let plan = stack.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 0);
    assert!(plan.stdout.contains("? container old"), "{}", plan.stdout);
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.pid("old"), old);
    stack.ok(&["up", "-d", "--remove-orphans"]);
    assert!(stack.ps().iter().all(|row| row["Name"] != "old"));
    stack.finish();
}

#[test]
fn a_stack_whose_files_are_gone_is_taken_down_by_its_name() {
    let Some(stack) = Scenario::containers("no-file", ONE) else { return };
    stack.ok(&["up", "-d"]);
    fs::remove_file(stack.project().join("windlass.yaml")).expect("removed");
    let name = stack.name().to_owned();
    stack.ok(&["-p", &name, "down"]);
    assert!(stack.leftovers().is_empty(), "{:#?}", stack.leftovers());
    stack.write("windlass.yaml", ONE);
    stack.finish();
}

#[test]
fn plan_without_root_says_what_to_run() {
    let Some(stack) = Scenario::containers("no-root", ONE) else { return };
    // Where everybody may read and run them.
    let open = tempfile::Builder::new().prefix("wl-open-").tempdir().expect("a directory");
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o755)).expect("opened");
    fs::write(open.path().join("windlass.yaml"), "services: { web: { image: nginx } }\n")
        .expect("written");
    let program = open.path().join("windlass");
    fs::copy(env!("CARGO_BIN_EXE_windlass"), &program).expect("copied");
    let output = Command::new(&program)
        .arg("plan")
        .current_dir(open.path())
        .env("WINDLASS_HOME", stack.home())
        .uid(65534)
        .output()
        .expect("it runs");
    refused(&Ran::of(&output), 4, &["needs root", "sudo", "windlass plan"]);
    stack.finish();
}

#[test]
fn a_full_disk_leaves_nothing_half_in_the_image_store() {
    let Some(stack) = Scenario::containers("disk-full", ONE) else { return };
    let up = stack.command(&["up", "-d"]);
    let images = stack.home().join("lib/images");
    // A namespace of its own: the small disk is gone with it.
    let script = "mkdir -p $0 && mount -t tmpfs -o size=256k none $0 && \"$@\"; code=$?; \
                  find $0 -type f -size +0 >&2; exit $code";
    let mut alone = Command::new("unshare");
    alone.args(["--mount", "sh", "-c", script]).arg(&images);
    alone.arg(up.get_program()).args(up.get_args()).current_dir(stack.project());
    for (name, value) in up.get_envs() {
        alone.env(name, value.unwrap_or_default());
    }
    let ran = Ran::of(&alone.output().expect("it runs"));
    refused(&ran, 1, &["image", "space"]);
    for part in ["images/layers/", "images/tmp/", "images/blobs/"] {
        assert!(!ran.stderr.contains(part), "{}", ran.stderr);
    }
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    stack.finish();
}

#[test]
fn a_damaged_record_of_a_container_is_made_anew_and_troubles_nobody_else() {
    let Some(stack) = Scenario::containers("damaged", TWO) else { return };
    stack.ok(&["up", "-d"]);
    let old = stack.pid("old");
    fs::write(stack.record("web"), "{\"vers").expect("damaged");
    assert_eq!(state(&stack, "old"), "running");
    let plan = stack.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 10, "{}", plan.stderr);
    assert!(plan.stdout.contains("its record is damaged"), "{}", plan.stdout);
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.pid("old"), old);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    fs::write(stack.record("web"), "").expect("damaged");
    refused(&stack.run(&["prune"]), 1, &["instance.json", "help: "]);
    stack.ok(&["stop", "web"]);
    refused(&stack.run(&["start", "web"]), 1, &["instance.json", "`windlass up`"]);
    stack.finish();
}

#[test]
fn a_damaged_record_of_a_vm_is_named_and_hides_no_other_stack() {
    let Some(stack) = Scenario::containers("damaged-vm", ONE) else { return };
    let record = stack.home().join("lib/stacks/elsewhere/db/1/instance.json");
    fs::create_dir_all(record.parent().expect("a directory")).expect("made");
    fs::write(&record, "{\"vers").expect("damaged");
    stack.ok(&["up", "-d"]);
    let ls = stack.ok(&["ls"]);
    assert!(ls.stdout.contains(stack.name()) && ls.stdout.contains("damaged"), "{}", ls.stdout);
    let there = record.to_string_lossy().into_owned();
    refused(&stack.run(&["-p", "elsewhere", "ps"]), 1, &["vm db", &there, "backup"]);
    assert!(record.exists());
    stack.finish();
}
