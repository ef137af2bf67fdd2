//! `watch` on real containers: what is saved on the host arrives, and nothing
//! else happens. Waits are for its word, never for a while.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;
#[path = "support/watch.rs"]
mod watch;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scenario::Scenario;
use watch::Watch;

/// A path inside a container, seen from the host.
fn inside(stack: &Scenario, name: &str, path: &str) -> PathBuf {
    Path::new(&format!("/proc/{}/root", stack.pid(name))).join(path)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("{}: {error}", path.display()))
}

const SYNC: &str = "
services:
  web:
    image: ./image
    stop_grace_period: 100ms
    develop:
      watch:
        - { path: ./src, action: sync, target: /srv/app, initial_sync: true, ignore: [out/, '**/*.log'] }
";

#[test]
fn what_is_saved_arrives_and_what_is_removed_goes() {
    let Some(stack) = Scenario::containers("sync", SYNC) else { return };
    stack.write("src/first", "one");
    stack.write("src/out/object", "binary");
    let mut watch = Watch::of(&stack, &["watch"]);
    watch.until("src/first…synced to web");
    let app = inside(&stack, "web", "srv/app");
    assert_eq!(text(&app.join("first")), "one");
    assert!(!app.join("out").exists(), "ignored");

    stack.write("src/first", "two");
    watch.until("src/first…synced to web");
    assert_eq!(text(&app.join("first")), "two");

    // As an editor saves: beside, then in its place.
    stack.write("src/.first.swp", "three");
    fs::rename(stack.project().join("src/.first.swp"), stack.project().join("src/first"))
        .expect("renamed");
    watch.until("src/first…synced to web");
    assert_eq!(text(&app.join("first")), "three");

    // A directory that comes whole brings what is in it.
    let elsewhere = stack.project().join("new");
    fs::create_dir_all(elsewhere.join("deep")).expect("made");
    fs::write(elsewhere.join("deep/file"), "deep").expect("written");
    fs::rename(&elsewhere, stack.project().join("src/new")).expect("moved in");
    watch.until("deep/file…synced to web");
    assert_eq!(text(&app.join("new/deep/file")), "deep");
    stack.write("src/new/deep/second", "heard of in a new directory");
    watch.until("deep/second…synced to web");

    fs::remove_dir_all(stack.project().join("src/new")).expect("removed");
    stack.write("src/marker", "1");
    watch.until("src/marker…synced to web");
    while app.join("new").exists() {
        watch.until("synced to web");
    }
    assert!(app.join("first").exists());

    // The whole tree goes and comes back, as another branch brings it.
    fs::remove_dir_all(stack.project().join("src")).expect("removed");
    stack.write("src/other", "branch");
    watch.until("src/other…synced to web");
    stack.write("src/other", "and on");
    watch.until("src/other…synced to web");
    assert_eq!(text(&app.join("other")), "and on");
    assert!(!app.join("first").exists());
    let before = stack.pid("web");
    assert_eq!(watch.interrupt(), Some(130));
    assert_eq!(stack.pid("web"), before, "Ctrl-C ends the watching, not what is watched");
    stack.finish();
}

#[test]
fn what_is_ignored_or_says_the_same_does_nothing() {
    let Some(stack) = Scenario::containers("same", SYNC) else { return };
    stack.write("src/file", "one");
    let mut watch = Watch::of(&stack, &["watch"]);
    watch.until("src/file…synced to web");
    stack.write("src/file", "one");
    stack.write("src/debug.log", "noise");
    stack.write("src/out/object", "binary");
    stack.write("src/.git/index", "git's own");
    stack.write("src/marker", "1");
    let said = watch.until("src/marker");
    assert_eq!(said.len(), 1, "{said:#?}");
    let names: Vec<_> = fs::read_dir(inside(&stack, "web", "srv/app"))
        .expect("there")
        .map(|entry| entry.expect("read").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    drop(watch);
    stack.finish();
}

#[test]
fn a_restart_or_a_command_follows_the_files() {
    let Some(stack) = Scenario::containers(
        "follows",
        "
services:
  restarts:
    image: ./image
    stop_grace_period: 100ms
    develop: { watch: [{ path: ./conf, action: sync+restart, target: /conf }] }
  runs:
    image: ./image
    stop_grace_period: 100ms
    develop:
      watch:
        - path: ./code
          action: sync+exec
          target: /code
          exec: { command: [sh, -c, 'cat /code/main > /built-$$MARK'], environment: { MARK: x } }
        - { path: ./plain, action: restart }
",
    ) else {
        return;
    };
    for file in ["conf/main", "code/main", "plain"] {
        stack.write(file, "before");
    }
    let mut watch = Watch::of(&stack, &["watch"]);
    let (restarts, runs) = (stack.pid("restarts"), stack.pid("runs"));

    stack.write("code/main", "after");
    watch.until("code/main…synced to runs, command run");
    assert_eq!(text(&inside(&stack, "runs", "built-x")), "after");
    assert_eq!(stack.pid("runs"), runs, "a command is no restart");

    stack.write("conf/main", "after");
    watch.until("conf/main changed: restarting restarts");
    watch.until("restart in");
    assert_ne!(stack.pid("restarts"), restarts);
    assert_eq!(text(&inside(&stack, "restarts", "conf/main")), "after");
    assert_eq!(stack.pid("runs"), runs, "its neighbour is none of it");

    stack.write("plain", "after");
    watch.until("plain changed: restarting runs");
    watch.until("restart in");
    assert_ne!(stack.pid("runs"), runs);
    drop(watch);
    stack.finish();
}

#[test]
fn the_stacks_own_files_are_followed() {
    let file = |command: &str| {
        format!(
            "include: [./more.yaml]
services:
  web: {{ image: ./image, stop_grace_period: 100ms, labels: {{ v: '{command}' }} }}
  given: {{ image: ./image, stop_grace_period: 100ms, configs: [{{ source: c, target: /c }}] }}
configs: {{ c: {{ file: ./c.txt }} }}
"
        )
    };
    let more = |extra: &str| {
        format!(
            "services: {{ more: {{ image: ./image, environment: {{ V: '${{V:-none}}{extra}' }}, stop_grace_period: 100ms }} }}\n"
        )
    };
    let Some(stack) = Scenario::containers("own-files", &file("one")) else { return };
    stack.write("more.yaml", &more(""));
    stack.write("c.txt", "one");
    let mut watch = Watch::of(&stack, &["watch"]);
    let before = (stack.pid("web"), stack.pid("more"), stack.pid("given"));

    // What means the same does nothing.
    stack.write("windlass.yaml", &format!("# a word\n{}", file("one")));
    watch.until("windlass.yaml changed: nothing to do");

    // A mistake is shown and changes nothing; mended, it is carried out.
    stack.write("windlass.yaml", &file("two").replace("services:", "servises:"));
    let said = watch.until("what was good last stays in force").join("\n");
    assert!(said.contains("`servises`") && said.contains("windlass.yaml:2:1"), "{said}");
    assert_eq!((stack.pid("web"), stack.pid("more"), stack.pid("given")), before);
    let fixed = file("two").replace("labels: { v: 'two' }", "environment: { V: two }");
    stack.write("windlass.yaml", &fixed);
    watch.until("windlass.yaml changed: up");
    watch.until("up in");
    assert_ne!(stack.pid("web"), before.0);
    assert_eq!((stack.pid("more"), stack.pid("given")), (before.1, before.2));

    // An included file, and variables in a file that was not there before.
    stack.write("more.yaml", &more("!"));
    watch.until("more.yaml changed: up");
    watch.until("up in");
    let included = stack.pid("more");
    assert_ne!(included, before.1);
    stack.write(".env", "V=some\n");
    watch.until(".env changed: up");
    watch.until("up in");
    assert_ne!(stack.pid("more"), included);

    // What a workload is given of the host.
    stack.write("c.txt", "two");
    watch.until("c.txt changed: up");
    watch.until("up in");
    assert_eq!(text(&inside(&stack, "given", "c")), "two");
    drop(watch);
    stack.finish();
}

#[test]
fn a_file_that_is_mounted_by_itself_restarts_who_has_it() {
    let Some(stack) = Scenario::containers(
        "bound",
        "services:
  web: { image: ./image, stop_grace_period: 100ms, volumes: ['./conf:/conf:ro'] }
  other: { image: ./image, stop_grace_period: 100ms }
",
    ) else {
        return;
    };
    stack.write("conf", "one");
    let mut watch = Watch::of(&stack, &["watch"]);
    let other = stack.pid("other");
    stack.write("conf.new", "two");
    fs::rename(stack.project().join("conf.new"), stack.project().join("conf")).expect("renamed");
    watch.until("conf changed: restarting web");
    watch.until("restart in");
    assert_eq!(text(&inside(&stack, "web", "conf")), "two");
    assert_eq!(stack.pid("other"), other);
    drop(watch);
    stack.finish();
}

#[test]
fn what_is_made_anew_gets_back_what_was_synced() {
    let rules = "develop: { watch: [
      { path: ./src, action: sync, target: /app },
      { path: ./image/index.json, action: rebuild } ] }";
    let file = format!(
        "services: {{ web: {{ image: ./image, stop_grace_period: 100ms,
    {rules} }} }}\n"
    );
    let Some(stack) = Scenario::containers("anew", &file) else { return };
    stack.write("src/file", "one");
    let mut watch = Watch::of(&stack, &["watch"]);
    stack.write("src/file", "two");
    watch.until("src/file…synced to web");
    let before = stack.pid("web");
    oci::write_layout(&stack.project().join("image"), &["sleep", "2000000"]).expect("an image");
    watch.until("image/index.json changed: rebuilding web");
    watch.until("src/file…synced to web");
    assert_ne!(stack.pid("web"), before);
    assert_eq!(text(&inside(&stack, "web", "app/file")), "two");
    let line = text(Path::new(&format!("/proc/{}/cmdline", stack.pid("web"))));
    assert!(line.contains("2000000"), "the new image's command: {line}");
    drop(watch);
    stack.finish();
}

#[test]
fn a_busy_neighbour_starves_nobody() {
    let Some(stack) = Scenario::containers("busy", SYNC) else { return };
    stack.write("src/first", "one");
    let mut watch = Watch::of(&stack, &["watch"]);
    watch.until("src/first…synced to web");
    let app = inside(&stack, "web", "srv/app");
    let busy = stack.project().join("src/busy");
    let done = AtomicBool::new(false);
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let _whatever_happens = Done(&done);
        scope.spawn(|| {
            for number in 0_u64.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                fs::write(&busy, number.to_string()).expect("written");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let times = (0..15).map(|number| {
            let saved = Instant::now();
            stack.write("src/saved", &format!("save {number}"));
            watch.until("src/saved…synced to web");
            let took = saved.elapsed();
            assert_eq!(text(&app.join("saved")), format!("save {number}"));
            took
        });
        times.collect()
    });
    times.sort();
    eprintln!(
        "saved → synced beside a busy file: median {:?}, most {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    assert!(times[times.len() / 2] < Duration::from_secs(1), "{times:?}");
    drop(watch);
    stack.finish();
}

/// Ends the writer, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_attached_up_shows_what_was_made_anew_and_stops_it_in_the_end() {
    let Some(stack) = Scenario::containers(
        "up-watch",
        "services:
  web:
    image: ./image
    command: [sh, -c, 'echo it says $$(cat /c); exec sleep 1000000']
    stop_grace_period: 100ms
    configs: [{ source: c, target: /c }]
configs: { c: { file: ./c.txt } }
",
    ) else {
        return;
    };
    stack.write("c.txt", "one");
    let mut watch = Watch::of(&stack, &["up", "--watch"]);
    watch.until_data("it says one");
    stack.write("c.txt", "two");
    watch.until("c.txt changed: up");
    watch.until_data("it says two");
    assert_eq!(watch.interrupt(), Some(130));
    assert_eq!(stack.ps()[0]["State"], "exited");
    assert_eq!(stack.run(&["up", "--watch", "-d"]).code, 2);
    stack.finish();
}
