//! One long story with a virtual machine in it, because each boot costs the
//! better part of a minute where there is no KVM: both kinds on one network,
//! what a change to the file costs, what happens when something is killed, and
//! that no data is lost over `down` and `up`.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/power.rs"]
mod power;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;
#[path = "support/watch.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod watch;

use scenario::Scenario;
use watch::Watch;

const FILE: &str = "
vms:
  db:
    image: debian:12
    cpus: 2
    memory: 768MiB
    cloud_init: ./db.yaml
    mounts: ['./shared:/srv/shared']
    disks: ['data:/var/lib/data']
    healthcheck: { test: [CMD, test, -e, /var/lib/data/made-by-the-user], interval: 1s }
    develop:
      watch:
        - { path: ./code, action: sync+exec, target: /srv/code, exec: { command: cp -r /srv/code /built } }
services:
  client:
    image: ./image
    depends_on: { db: { condition: service_healthy } }
volumes:
  data: { driver: disk, driver_opts: { size: 1GiB } }
";

/// In the range that is set aside for benchmarks (RFC 2544).
const ANOTHER_SUBNET: &str = "
networks: { default: { ipam: { config: [ { subnet: 198.18.66.0/24 } ] } } }
";

/// User-data that would break a readiness that relied on keys of its own.
const USER_DATA: &str = "#cloud-config
users:
  - name: ann
    ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMnTqSB9QeV0pZFJ6zIkx0d1g4yHkUpk4x4bnzwq1gS1 ann]
runcmd:
  - [ sh, -c, 'who=guest; echo $who > /var/lib/data/made-by-the-user' ]
  - [ sh, -c, 'cat /srv/shared/greeting > /var/lib/data/greeting' ]
";

#[test]
fn a_vm_and_containers_live_on_one_network_and_nothing_is_lost() {
    let Some(stack) = Scenario::vms("both-kinds", FILE) else { return };
    stack.write("db.yaml", USER_DATA);
    stack.write("shared/greeting", "hello from the host\n");
    stack.write("code/main", "before\n");

    stack.ok(&["up", "-d"]);
    let (db, client) = (stack.pid("db"), stack.pid("client"));
    reach_each_other_by_name(&stack);
    assert_eq!(in_db(&stack, "cat /var/lib/data/greeting"), "hello from the host\n");
    assert_eq!(in_db(&stack, "id -u"), "0\n", "exec runs as root");
    let made = in_db(&stack, "cat /var/lib/data/made-by-the-user");
    assert_eq!(made, "guest\n", "user-data is never interpolated");

    a_second_up_leaves_it_alone(&stack, db, client);
    what_is_saved_arrives_in_the_vm(&stack);
    a_service_added_later_is_known_to_the_vm(&stack, db);
    one_paused_behind_our_back_is_seen_and_thawed(&stack, db);
    changes_say_what_they_cost(&stack);
    changed_user_data_costs_what_the_file_says(&stack);
    a_shim_that_dies_takes_no_vm_with_it(&stack, db);
    a_host_without_power_brings_it_back_with_its_data(&stack);

    stack.ok(&["down"]);
    assert!(stack.leftovers().is_empty(), "{:#?}", stack.leftovers());
    // Meanwhile its subnet may have been taken by another stack.
    stack.write("windlass.yaml", &format!("{FILE}{ANOTHER_SUBNET}"));
    stack.ok(&["up", "-d"]);
    assert!(in_db(&stack, "ip -4 -o address").contains("198.18.66."), "its address of before");
    reach_each_other_by_name(&stack);
    assert_eq!(in_db(&stack, "cat /var/lib/data/mine"), "kept\n");
    assert_eq!(in_db(&stack, "cat /root/mine"), "kept\n", "the root disk is data too");
    stack.finish();
}

/// Runs a shell line in the VM.
fn in_db(stack: &Scenario, line: &str) -> String {
    stack.ok(&["exec", "-T", "db", "sh", "-c", line]).stdout
}

fn reach_each_other_by_name(stack: &Scenario) {
    stack.ok(&["exec", "-T", "client", "ping", "-c", "1", "-W", "5", "db"]);
    assert!(in_db(stack, "getent hosts client").contains("client"));
}

fn a_second_up_leaves_it_alone(stack: &Scenario, db: i32, client: i32) {
    let second = stack.ok(&["up", "-d"]);
    assert!(second.stderr.contains("nothing to do"), "{}", second.stderr);
    assert_eq!((db, client), (stack.pid("db"), stack.pid("client")));
}

fn what_is_saved_arrives_in_the_vm(stack: &Scenario) {
    let mut watch = Watch::of(stack, &["watch", "--no-up", "db"]);
    stack.write("code/it's here", "after\n");
    let said = watch.until("code/it's here…synced to db, command run");
    assert_eq!(in_db(stack, "cat \"/built/it's here\""), "after\n", "{said:#?}");
    std::fs::remove_file(stack.project().join("code/it's here")).expect("removed");
    watch.until("code/it's here…synced to db, command run");
    assert_eq!(in_db(stack, "ls /srv/code"), "");
}

fn a_service_added_later_is_known_to_the_vm(stack: &Scenario, db: i32) {
    let later = FILE.replace("volumes:\n  data", "  late: { image: ./image }\nvolumes:\n  data");
    stack.write("windlass.yaml", &later);
    stack.ok(&["up", "-d"]);
    assert_eq!(db, stack.pid("db"));
    assert!(in_db(stack, "getent hosts late").contains("late"));
}

fn changes_say_what_they_cost(stack: &Scenario) {
    stack.write("windlass.yaml", &FILE.replace("768MiB", "832MiB"));
    let plan = stack.ok(&["plan"]).stdout;
    let line = plan.lines().find(|line| line.contains("vm db")).expect("the VM is in the plan");
    assert!(line.contains("restart") && line.contains("memory: 768MiB → 832MiB"), "{plan}");
    assert!(plan.contains("no data lost"), "{plan}");

    stack.write("windlass.yaml", &FILE.replace("debian:12", "debian:13"));
    let plan = stack.ok(&["plan"]).stderr;
    assert!(plan.contains("Not without consent: this plan replaces data"), "{plan}");
    assert!(plan.contains("`windlass up --replace-disk db` does it"), "{plan}");
    let refused = stack.run(&["up", "-d", "--yes"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("--replace-disk db"), "{}", refused.stderr);
    stack.write("windlass.yaml", FILE);
    stack.ok(&["up", "-d", "--remove-orphans"]);
}

fn one_paused_behind_our_back_is_seen_and_thawed(stack: &Scenario, db: i32) {
    stack.freeze("db");
    let plan = stack.ok(&["plan"]).stdout;
    let line = plan.lines().find(|line| line.contains("vm db")).expect("the VM is in the plan");
    assert!(line.contains("in place") && line.contains("was paused"), "{plan}");
    stack.ok(&["up", "-d"]);
    assert_eq!(db, stack.pid("db"));
    assert_eq!(in_db(stack, "echo it runs"), "it runs\n");
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
}

fn changed_user_data_costs_what_the_file_says(stack: &Scenario) {
    stack.write("db.yaml", &format!("{USER_DATA}# changed\n"));
    let with = |on_change: &str| {
        let long = format!("cloud_init: {{ user_data: ./db.yaml, on_change: {on_change} }}");
        stack.write("windlass.yaml", &FILE.replace("cloud_init: ./db.yaml", &long));
    };
    with("rerun");
    let plan = stack.ok(&["plan"]).stdout;
    let line = plan.lines().find(|line| line.contains("vm db")).expect("the VM is in the plan");
    assert!(line.contains("restart") && line.contains("cloud_init"), "{plan}");
    assert!(plan.contains("no data lost"), "{plan}");
    with("ignore");
    let plan = stack.ok(&["plan"]).stdout;
    assert!(plan.contains("nothing is interrupted") && !plan.contains("restart"), "{plan}");
    with("replace");
    let refused = stack.run(&["up", "-d", "--yes"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("--replace-disk db"), "{}", refused.stderr);
    stack.write("db.yaml", USER_DATA);
    stack.write("windlass.yaml", FILE);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
}

fn a_shim_that_dies_takes_no_vm_with_it(stack: &Scenario, db: i32) {
    let shim = scenario::shim_of(db);
    scenario::kill_and_wait(shim);
    assert_eq!(db, stack.pid("db"));
    stack.ok(&["up", "-d"]);
    assert_eq!(db, stack.pid("db"), "it is adopted, never restarted for it");
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
}

fn a_host_without_power_brings_it_back_with_its_data(stack: &Scenario) {
    in_db(stack, "echo kept > /var/lib/data/mine && echo kept > /root/mine && sync");
    stack.kill_minded("fs0");
    let plan = stack.ok(&["plan"]).stdout;
    assert!(plan.contains("what serves /srv/shared has died"), "{plan}");
    power::cut(stack);
    let up = stack.ok(&["autostart", "host-up"]).stderr;
    let place = |word: &str| up.find(word).unwrap_or_else(|| panic!("no `{word}` in {up}"));
    assert!(place("vm db") < place("container client"), "{up}");
    assert_eq!(in_db(stack, "cat /var/lib/data/mine"), "kept\n");
    reach_each_other_by_name(stack);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
}
