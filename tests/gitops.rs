//! A stack that follows a repository, on real repositories and containers. Waits
//! are for the loop's word, or for `gitops sync` to return; never for a while.

#[path = "gitops/followed.rs"]
mod followed;
#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::fs;
use std::path::Path;

use followed::{Followed, SHOP, shop};
use scenario::{Ran, Scenario};
use serde_json::Value;

#[test]
fn a_commit_changes_what_it_changes_and_nothing_else() {
    let Some(mut shop_) = Followed::new("go-deploy", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    assert_eq!((shop_.names(), shop_.runs()), (vec!["db".into(), "web".into()], "First".into()));
    let (db, web) = (shop_.stack.pid("db"), shop_.stack.pid("web"));

    let second = shop_.commit("Second", &shop("two"));
    shop_.sync(0);
    assert_eq!(shop_.variable("web", "LEVEL"), "two");
    assert_ne!(shop_.stack.pid("web"), web);
    assert_eq!(shop_.stack.pid("db"), db, "nothing of it changed");
    let status = shop_.status();
    assert_eq!(status["running"]["revision"]["commit"], second.as_str());
    let follows = format!("newest of main of {}", shop_.repository().display());
    assert_eq!(status["running"]["why"], follows.as_str());
    assert_eq!(status["history"].as_array().map(Vec::len), Some(2));

    // Nothing new: nothing is done.
    let web = shop_.stack.pid("web");
    shop_.signal(rustix::process::Signal::HUP);
    shop_.sync(0);
    assert_eq!((shop_.stack.pid("db"), shop_.stack.pid("web")), (db, web));
    let written = || {
        let record = fs::metadata(shop_.directory().join("record.json")).expect("there");
        std::os::unix::fs::MetadataExt::ino(&record)
    };
    let before = written();
    let text = shop_.gitops(&["status"]).stdout;
    assert!(text.contains(&format!("runs      {} (Second)", &second[..10])), "{text}");
    assert_eq!(written(), before, "a loop at rest writes nothing");

    // What is taken away by hand would come back: that is refused.
    let down = shop_.stack.run(&["-p", shop_.stack.name(), "down"]);
    assert_eq!(down.code, 5, "{}", down.stderr);
    assert!(down.stderr.contains("gitops suspend` first"), "{}", down.stderr);
    // So is a second loop.
    let again = shop_.gitops(&["run", "gitops.yaml"]);
    assert_eq!(again.code, 5, "{}", again.stderr);
    assert!(again.stderr.contains("is followed already, by process"), "{}", again.stderr);
    shop_.finish();
}

#[test]
fn a_wrong_file_keeps_what_runs_and_is_said_once() {
    let Some(mut shop_) = Followed::new("go-wrong", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    let web = shop_.stack.pid("web");
    shop_.commit("Wrong", "services:\n  web: { imagee: IMAGE }\n");
    let sync = shop_.sync(3);
    assert!(sync.stderr.contains("did you mean `image`?"), "{}", sync.stderr);
    assert!(sync.stderr.contains("windlass.yaml:2:10"), "{}", sync.stderr);
    shop_.sync(3);
    assert_eq!((shop_.stack.pid("web"), shop_.runs()), (web, "First".into()));
    let said = shop_.said();
    assert_eq!(said.matches("unknown key `imagee`").count(), 1, "{said}");
    // What is in place was not touched either.
    let tree = fs::read_to_string(shop_.directory().join("tree/windlass.yaml")).expect("there");
    assert!(tree.contains("LEVEL"), "{tree}");

    shop_.commit("Right", &shop("two"));
    shop_.sync(0);
    assert_eq!(shop_.runs(), "Right");
    shop_.finish();
}

#[test]
fn what_is_not_healthy_is_rolled_back_and_not_tried_again() {
    let Some(mut shop_) = Followed::new("go-sick", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    let db = shop_.stack.pid("db");
    let sick = shop("two").replace(
        "LEVEL: two }",
        "LEVEL: two }, healthcheck: { test: [CMD, 'false'], interval: 100ms, retries: 2 }",
    );
    let second = shop_.commit("Sick", &sick);
    let sync = shop_.sync(1);
    assert!(sync.stderr.contains("First) runs"), "{}", sync.stderr);
    assert_eq!((shop_.variable("web", "LEVEL"), shop_.runs()), ("one".into(), "First".into()));
    assert_eq!(shop_.stack.pid("db"), db);
    let status = shop_.status();
    let why = status["running"]["why"].as_str().expect("a reason");
    assert!(why.starts_with(&format!("rolled back: {} failed: ", &second[..10])), "{why}");
    assert_eq!(status["head"]["standing"]["is"], "failed");
    assert_eq!(status["history"][0]["came"]["is"], "failed");

    let web = shop_.stack.pid("web");
    shop_.sync(1);
    assert_eq!(shop_.stack.pid("web"), web, "it was tried again");
    assert_eq!(shop_.said().matches("deploying").count(), 2);

    // Somebody wants it tried again.
    let approved = shop_.gitops(&["approve", &second[..7]]);
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    shop_.sync(1);
    assert_eq!(shop_.said().matches("deploying").count(), 3);
    shop_.commit("Well", &shop("three"));
    shop_.sync(0);
    assert_eq!(shop_.variable("web", "LEVEL"), "three");
    shop_.finish();
}

#[test]
fn what_ends_at_once_is_rolled_back_although_nobody_asks_for_its_health() {
    let Some(mut shop_) = Followed::new("go-crash", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    shop_.commit("Crash", &shop("two").replace("LEVEL: two }", "LEVEL: two }, command: 'false'"));
    shop_.sync(1);
    assert_eq!(shop_.variable("web", "LEVEL"), "one");
    let status = shop_.status();
    let reason = status["head"]["standing"]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "container web exited with code 1");
    shop_.finish();
}

#[test]
fn removing_more_than_half_waits_for_approval() {
    let Some(mut shop_) = Followed::new("go-prune", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    let only = "services:\n  cron: { image: IMAGE, stop_grace_period: 100ms }\n";
    let second = shop_.commit("Only cron", only);
    let sync = shop_.sync(5);
    assert!(sync.stderr.contains("it removes 2 of 2: db and web"), "{}", sync.stderr);
    assert_eq!(shop_.names(), ["db", "web"]);
    let text = shop_.gitops(&["status"]).stdout;
    assert!(text.contains(&format!("`windlass gitops approve {}`", &second[..10])), "{text}");

    let other = shop_.gitops(&["approve", "0123456"]);
    assert_eq!(other.code, 5, "{}", other.stderr);
    assert!(other.stderr.contains("(Only cron) does"), "{}", other.stderr);
    assert_eq!(shop_.gitops(&["approve", &second[..6]]).code, 5);

    let approved = shop_.gitops(&["approve", &second[..7]]);
    assert_eq!(approved.code, 0, "{}", approved.stderr);
    shop_.sync(0);
    assert_eq!((shop_.names(), shop_.runs()), (vec!["cron".into()], "Only cron".into()));
    let nothing = shop_.gitops(&["approve", &second[..7]]);
    assert!(nothing.stderr.contains("nothing waits for approval"), "{}", nothing.stderr);
    shop_.finish();
}

#[test]
fn without_pruning_what_is_gone_from_the_file_stays() {
    let Some(mut shop_) = Followed::new("go-keep", SHOP) else { return };
    shop_.settings("policy: { prune: false }\n");
    shop_.follow();
    shop_.sync(0);
    shop_.commit("Only web", "services:\n  web: { image: IMAGE, stop_grace_period: 100ms }\n");
    shop_.sync(0);
    assert_eq!(shop_.names(), ["db", "web"]);
    shop_.finish();
}

#[test]
fn a_repository_that_cannot_be_reached_keeps_what_runs_also_when_the_loop_begins_anew() {
    let Some(mut shop_) = Followed::new("go-gone", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    let away = shop_.stack.project().join("away");
    fs::rename(shop_.repository(), &away).expect("moved");
    shop_.sync(1);
    shop_.sync(1);
    assert_eq!(shop_.said().matches("cannot fetch").count(), 1);
    let status = shop_.status();
    assert!(status["fetch"]["error"].as_str().is_some_and(|error| error.contains("cannot fetch")));
    let web = shop_.stack.pid("web");

    // As after a boot without a network: nothing runs, nobody can be asked.
    shop_.end(rustix::process::Signal::TERM);
    assert_eq!(shop_.stack.pid("web"), web, "the loop's end is not the stack's");
    let tree = shop_.directory().join("tree");
    assert_eq!(shop_.stack.run_in(&tree, &["down", "-t", "0"]).code, 0);
    // What git knew is lost as well.
    fs::remove_dir_all(shop_.directory().join("mirror.git")).expect("removed");
    shop_.follow();
    shop_.sync(1);
    assert_eq!(shop_.names(), ["db", "web"]);

    fs::rename(&away, shop_.repository()).expect("moved back");
    shop_.commit("Back", &shop("two"));
    shop_.sync(0);
    assert_eq!(shop_.runs(), "Back", "it descends from what runs, which was fetched again");
    assert!(shop_.said().contains("can be fetched again"));

    // A branch that is deleted is such a repository as well.
    shop_.git(&["branch", "-m", "main", "other"]);
    let gone = shop_.sync(1);
    assert!(gone.stderr.contains("`main` is not in "), "{}", gone.stderr);
    assert_eq!(shop_.runs(), "Back");
    shop_.git(&["branch", "-m", "other", "main"]);

    // History that was rewritten is not followed blindly.
    shop_.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    let rewritten = shop_.commit("Rewritten", &shop("three"));
    let sync = shop_.sync(5);
    assert!(sync.stderr.contains("history was rewritten"), "{}", sync.stderr);
    assert_eq!(shop_.gitops(&["approve", &rewritten]).code, 0);
    shop_.sync(0);
    assert_eq!(shop_.variable("web", "LEVEL"), "three");

    // Another branch is chosen on purpose: it need not descend from what runs.
    shop_.end(rustix::process::Signal::TERM);
    shop_.git(&["checkout", "--quiet", "-b", "other", "HEAD~1"]);
    shop_.commit("Another", &shop("four"));
    let file = fs::read_to_string(shop_.stack.project().join("gitops.yaml")).expect("there");
    shop_.stack.write("gitops.yaml", &file.replace("ref: main", "ref: other"));
    shop_.follow();
    shop_.sync(0);
    assert_eq!(shop_.runs(), "Another");
    shop_.finish();
}

#[test]
fn a_suspended_stack_is_the_users() {
    let Some(mut shop_) = Followed::new("go-rest", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    assert_eq!(shop_.gitops(&["suspend"]).code, 0);
    shop_.until("suspended: nothing is fetched");
    shop_.commit("Second", &shop("two"));
    let sync = shop_.sync(5);
    assert!(sync.stderr.contains("is suspended"), "{}", sync.stderr);
    let down = shop_.stack.run_in(&shop_.directory().join("tree"), &["down", "-t", "0"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert_eq!(shop_.names(), [""; 0]);
    assert_eq!(shop_.status()["suspended"], true);

    assert_eq!(shop_.gitops(&["resume"]).code, 0);
    shop_.until("(Second) is in place and healthy");
    assert_eq!(shop_.variable("web", "LEVEL"), "two");
    shop_.finish();
}

/// `web` is healthy once `SHARED/open` is there.
const GATED: &str = "
services:
  db: { image: IMAGE, stop_grace_period: 100ms, environment: { LEVEL: one } }
  web:
    image: IMAGE
    stop_grace_period: 100ms
    environment: { LEVEL: two }
    volumes: [ 'SHARED:/shared' ]
    healthcheck: { test: [CMD, test, -e, /shared/open], interval: 100ms, retries: 1000 }
";

#[test]
fn a_loop_that_is_killed_in_a_deployment_is_gone_on_with_by_the_next() {
    let Some(mut shop_) = Followed::new("go-killed", SHOP) else { return };
    shop_.follow();
    shop_.sync(0);
    let db = shop_.stack.pid("db");
    shop_.commit("Gated", GATED);
    shop_.signal(rustix::process::Signal::HUP);
    shop_.until("(Gated): newest of");
    shop_.until("container web");
    shop_.end(rustix::process::Signal::KILL);
    assert_eq!(shop_.status()["intention"]["act"], "deploy");
    assert_eq!(shop_.runs(), "First", "it is not known to be well");

    shop_.follow();
    shop_.until("deploying");
    shop_.stack.write("shared/open", "");
    shop_.until("(Gated) is in place and healthy");
    assert_eq!((shop_.runs(), shop_.stack.pid("db")), ("Gated".into(), db));
    assert_eq!(shop_.status()["intention"], Value::Null);
    shop_.finish();
}

#[test]
fn what_is_not_healthy_in_time_is_rolled_back() {
    let Some(mut shop_) = Followed::new("go-slow", SHOP) else { return };
    shop_.settings("policy: { health_deadline: 2s }\n");
    shop_.follow();
    shop_.sync(0);
    shop_.commit("Gated", GATED);
    shop_.sync(1);
    assert_eq!(shop_.variable("web", "LEVEL"), "one");
    let status = shop_.status();
    let reason = status["head"]["standing"]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "not healthy within 2.0s: container web");
    shop_.finish();
}

#[test]
fn paths_of_a_revision_mean_what_they_will_mean_and_none_leads_out() {
    let Some(mut shop_) = Followed::new("go-paths", SHOP) else { return };
    shop_.settings("path: deploy/windlass.yaml\nenv_file: ./host.env\n");
    shop_.stack.write("host.env", "LEVEL=host\n");
    shop_.stack.write("repository/deploy/.env", "LEVEL=repository\nOTHER=repository\n");
    shop_.stack.write("repository/deploy/site/index", "one");
    let file = format!(
        "services:\n  web:\n    image: {}\n    stop_grace_period: 100ms\n    \
         environment: {{ LEVEL: '${{LEVEL}}', OTHER: '${{OTHER}}' }}\n    volumes: ['./site:/site']\n",
        shop_.stack.project().join("image").display()
    );
    shop_.stack.write("repository/deploy/windlass.yaml", &file);
    shop_.commit("Paths", SHOP);
    shop_.follow();
    shop_.sync(0);
    assert_eq!(shop_.variable("web", "LEVEL"), "host");
    assert_eq!(shop_.variable("web", "OTHER"), "repository");
    let inside = |stack: &Scenario, name: &str| {
        Path::new(&format!("/proc/{}/root/site", stack.pid("web"))).join(name)
    };
    assert_eq!(fs::read_to_string(inside(&shop_.stack, "index")).expect("mounted"), "one");

    // A new file arrives in the mount: the tree's path is always the same.
    let web = shop_.stack.pid("web");
    shop_.stack.write("repository/deploy/site/more", "two");
    shop_.commit("More", SHOP);
    shop_.sync(0);
    assert_eq!(shop_.stack.pid("web"), web);
    assert_eq!(fs::read_to_string(inside(&shop_.stack, "more")).expect("mounted"), "two");

    let outside = shop_.stack.project().join("outside.yaml");
    fs::write(&outside, SHOP).expect("written");
    let file = shop_.repository().join("deploy/windlass.yaml");
    fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink(&outside, &file).expect("linked");
    shop_.commit("Link", SHOP);
    let sync = shop_.sync(3);
    assert!(sync.stderr.contains("More) runs"), "{}", sync.stderr);
    assert!(shop_.said().contains("`deploy/windlass.yaml` leads out of the repository"));
    shop_.finish();
}

#[test]
fn nothing_of_what_was_fetched_is_run() {
    let Some(mut shop_) = Followed::new("go-hooks", SHOP) else { return };
    let witness = shop_.stack.project().join("witness");
    let script = format!("#!/bin/sh\ntouch {}\n", witness.display());
    for name in ["hooks/post-checkout", ".git-hooks/post-index-change"] {
        shop_.stack.write(&format!("repository/{name}"), &script);
    }
    shop_.stack.write("repository/.gitattributes", "*.yaml filter=lfs\n");
    shop_.stack.write("repository/.lfsconfig", "[lfs]\n url = https://127.0.0.1:1/\n");
    shop_.commit("Hooks", SHOP);
    shop_.follow();
    shop_.sync(0);
    assert!(shop_.said().contains("large files (LFS) are not fetched"));
    assert!(!witness.exists());
    shop_.finish();
}

#[test]
fn a_file_that_is_wrong_is_said_before_anything_is_done() {
    let Some(shop_) = Followed::new("go-file", SHOP) else { return };
    shop_.settings("deploy_key: ./key\npolicy: { max_removal: 10% }\n");
    let ran = shop_.gitops(&["run", "gitops.yaml"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `max_removals`?"), "{}", ran.stderr);
    assert!(ran.stderr.contains("gitops.yaml:6:11"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 error, nothing was changed"), "{}", ran.stderr);
    shop_.settings("deploy_key: ./key\n");
    let ran = shop_.gitops(&["run", "gitops.yaml"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot read"), "{}", ran.stderr);
    let none = shop_.gitops(&["status"]);
    assert_eq!(none.code, 2, "{}", none.stderr);
    assert!(none.stderr.contains("no stack of this host follows a repository"), "{}", none.stderr);
}

#[test]
fn the_unit_is_written_and_taken_away() {
    let Some(shop_) = Followed::new("go-unit", SHOP) else { return };
    let units = shop_.stack.project().join("units");
    let run = |arguments: &[&str]| {
        let output = shop_.stack.command(arguments).env("WINDLASS_SYSTEMD_DIR", &units).output();
        Ran::of(&output.expect("the program runs"))
    };
    let installed = run(&["gitops", "install", "gitops.yaml"]);
    assert_eq!(installed.code, 0, "{}", installed.stderr);
    let written: Vec<_> = fs::read_dir(&units).expect("there").flatten().collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let name = written[0].file_name().into_string().expect("text");
    assert!(name.starts_with(&format!("windlass-gitops-{}-", shop_.stack.name())), "{name}");
    let text = fs::read_to_string(written[0].path()).expect("readable");
    let file = shop_.stack.project().join("gitops.yaml");
    assert!(text.contains(&format!(" gitops run {}\n", file.display())), "{text}");
    assert!(text.contains(&format!("WINDLASS_HOME={}", shop_.stack.home().display())), "{text}");
    assert!(run(&["gitops", "status"]).stdout.contains("none runs: "));
    let sync = run(&["gitops", "sync"]);
    assert_eq!(sync.code, 5, "{}", sync.stderr);
    assert!(sync.stderr.contains("gitops run FILE"), "{}", sync.stderr);
    let removed = run(&["gitops", "uninstall"]);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert_eq!(fs::read_dir(&units).expect("there").count(), 0);
    assert!(!shop_.directory().exists());
}

/// Says what it was asked, and does it on this host.
const SSH: &str = "#!/bin/sh
printf '%s\\n' \"$@\" >> WITNESS
eval \"last=\\${$#}\"
exec sh -c \"$last\"
";

#[test]
fn ssh_is_given_the_deploy_key_and_never_asks() {
    use std::os::unix::fs::PermissionsExt;
    let Some(mut shop_) = Followed::new("go-ssh", SHOP) else { return };
    let project = shop_.stack.project();
    let witness = project.join("witness");
    shop_.stack.write("bin/ssh", &SSH.replace("WITNESS", &witness.display().to_string()));
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(project.join("bin/ssh"), executable).expect("permitted");
    shop_.stack.write("my key", "secret");
    fs::set_permissions(project.join("my key"), fs::Permissions::from_mode(0o644)).expect("so");
    let path = std::env::var("PATH").expect("a path");
    shop_.environment =
        vec![("PATH".to_owned(), format!("{}:{path}", project.join("bin").display()))];
    let text = format!(
        "repo: git@forge.example.org:{}\nref: main\nname: {}\ninterval: 1h\n\
         deploy_key: ./my key\nknown_hosts: /dev/null\n",
        shop_.repository().display(),
        shop_.stack.name()
    );
    shop_.stack.write("gitops.yaml", &text);
    shop_.follow();
    let open = shop_.sync(1);
    assert!(open.stderr.contains("can be read by others (mode 644)"), "{}", open.stderr);
    assert!(!witness.exists(), "such a key is not used");

    fs::set_permissions(project.join("my key"), fs::Permissions::from_mode(0o600)).expect("so");
    shop_.sync(0);
    assert_eq!(shop_.names(), ["db", "web"]);
    let asked = fs::read_to_string(&witness).expect("asked");
    let key = project.join("my key").display().to_string();
    for word in ["BatchMode=yes", "IdentitiesOnly=yes", "StrictHostKeyChecking=yes", &key] {
        assert!(asked.lines().any(|line| line == word), "{word}: {asked}");
    }
    assert!(asked.lines().any(|line| line == "git@forge.example.org"), "{asked}");
    shop_.finish();
}

const MACHINE: &str = "
vms:
  db:
    image: debian:12
    cpus: 2
    memory: 768MiB
    cloud_init: { user_data: ./db.yaml, on_change: replace }
";

#[test]
fn data_is_never_replaced_without_approval_not_even_that_of_a_vm() {
    let Some(stack) = Scenario::vms("go-data", "services: {}\n") else { return };
    stack.write("repository/db.yaml", "#cloud-config\nruncmd: [ 'echo one > /root/which' ]\n");
    let mut shop_ = Followed::of(stack, MACHINE);
    shop_.settings("policy: { health_deadline: 15m, max_removals: 100% }\n");
    shop_.follow();
    shop_.sync(0);
    let db = shop_.stack.pid("db");
    let user_data = "#cloud-config\nruncmd: [ 'echo two > /root/which' ]\n";
    shop_.stack.write("repository/db.yaml", user_data);
    let second = shop_.commit("Other data", MACHINE);
    let sync = shop_.sync(5);
    assert!(sync.stderr.contains("would be set aside"), "{}", sync.stderr);
    assert_eq!(shop_.stack.pid("db"), db);
    // The candidate's file was judged, and is not in place.
    let in_place = fs::read_to_string(shop_.directory().join("tree/db.yaml")).expect("there");
    assert!(in_place.contains("one"), "{in_place}");

    assert_eq!(shop_.gitops(&["approve", &second]).code, 0);
    shop_.sync(0);
    assert_ne!(shop_.stack.pid("db"), db);
    assert_eq!(shop_.stack.ok(&["exec", "db", "cat", "/root/which"]).stdout, "two\n");
    let kept = shop_.stack.ok(&["volumes"]).stdout;
    assert!(kept.contains("db.old-1"), "{kept}");
    shop_.finish();
}
