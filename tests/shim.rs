//! Shims with real processes: what they start, what they leave behind, and
//! what happens when somebody kills something.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use support::{Home, launcher, needs_root, script};
use windlass::observed::Exit;
use windlass::shim::cgroup::Hierarchies;
use windlass::shim::{
    Attached, Cgroup, Payload, ProgramPayload, Refusal, Reply, Request, ShimError, ShimSpec,
    VERSION, ended, look, request,
};
use windlass::state::log;

fn spec(home: &Home, program: ProgramPayload) -> ShimSpec {
    ShimSpec {
        version: VERSION,
        label: "test".into(),
        run_directory: home.path("run"),
        log_directory: Some(home.path("log")),
        exit_file: home.path("exit.json"),
        cgroup: Some(Cgroup { path: home.cgroup.clone(), ..Cgroup::default() }),
        interfaces: Vec::new(),
        payload: Payload::Program(program),
    }
}

/// A wait that fails the test instead of hanging it.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await })
        .expect("in time")
}

fn exit_of(spec: &ShimSpec) -> Exit {
    wait(ended(&spec.run_directory, &spec.exit_file)).expect("exit")
}

fn log_of(spec: &ShimSpec) -> String {
    let directory = spec.log_directory.as_ref().expect("log directory");
    std::fs::read_to_string(directory.join(log::FILE)).expect("log")
}

#[test]
fn a_program_runs_is_logged_and_leaves_a_record() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let spec = spec(&home, script("echo out; echo err >&2; printf rest; exit 7"));
    launcher().launch(&spec).expect("launch");
    let exit = exit_of(&spec);
    assert_eq!(exit.code, Some(7));
    assert!(!exit.out_of_memory);
    let log = log_of(&spec);
    for line in ["stdout F out", "stderr F err", "stdout P rest"] {
        assert!(log.lines().any(|found| found.ends_with(line)), "{line} is not in {log}");
    }
    assert_eq!(look(&spec.run_directory), None);
}

#[test]
fn shims_start_while_somebody_takes_the_empty_groups_away() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    let hierarchies = Hierarchies::find().expect("hierarchies");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                hierarchies.tidy();
            }
        });
        let launched: Vec<_> = (0..20)
            .map(|_| {
                let launched = launcher().launch(&spec(&home, script("exit 0")));
                launched.map(|_| exit_of(&spec(&home, script(""))).code)
            })
            .collect();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for code in launched {
            assert_eq!(code.expect("launch"), Some(0));
        }
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let mut program = script("");
    program.argv = vec!["no-such-program".into()];
    let error = launcher().launch(&spec(&home, program)).expect_err("nothing to run");
    let ShimError::Refused(refusal) = error else { panic!("{error:?}") };
    assert_eq!(
        refusal,
        Refusal::NotFound { program: "no-such-program".into(), place: "on this host".into() }
    );
}

/// Kills, and waits until the process has ended.
fn kill(pid: i32) {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let pid = rustix::process::Pid::from_raw(pid).expect("pid");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("pidfd");
    pidfd_send_signal(&process, Signal::KILL).expect("kill");
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None).expect("poll");
}

/// Waits for a line, as an attached user would.
fn wait_for(attached: &mut Attached, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        let (_, bytes) = attached.next_output().expect("read").expect("it still runs");
        seen.push_str(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn it_leaves_the_caller() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let spec = spec(&home, script("sleep 1000"));
    let status = launcher().launch(&spec).expect("launch");
    let read = |pid: i32, file: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("proc")
    };
    let groups = read(status.shim_pid, "cgroup");
    for line in groups.lines() {
        assert!(line.ends_with(":/windlass.slice/shims"), "{line}");
    }
    for line in read(status.pid, "cgroup").lines() {
        assert!(line.ends_with(&home.cgroup), "{line}");
    }
    let fields = read(status.shim_pid, "stat");
    let fields: Vec<&str> = fields.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let own = std::process::id().to_string();
    assert_ne!(fields[1], own, "it is no child of ours");
    assert_eq!(fields[3], status.shim_pid.to_string(), "it leads its own session");
    // Standard streams go nowhere, and none of ours came along.
    for entry in std::fs::read_dir(format!("/proc/{}/fd", status.shim_pid)).expect("fd") {
        let path = entry.expect("fd").path();
        let number: i32 = path.file_name().expect("name").to_string_lossy().parse().expect("fd");
        let target = std::fs::read_link(&path).unwrap_or_default();
        assert!(number > 2 || target.ends_with("null"), "{number} is {}", target.display());
    }
    let reply = request(&spec.run_directory, &Request::Status).expect("status");
    assert_eq!(reply, Reply::Status { status, paused: false });
    request(&spec.run_directory, &Request::Signal { signal: 15 }).expect("signal");
    assert_eq!(exit_of(&spec).code, Some(143));
    assert!(!Hierarchies::find().expect("cgroups").exists(&home.cgroup));
}

#[test]
fn one_run_directory_has_one_shim() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let spec = spec(&home, script("sleep 1000"));
    let first = launcher().launch(&spec).expect("launch");
    let error = launcher().launch(&spec).expect_err("a second one");
    assert!(matches!(error, ShimError::Refused(Refusal::AlreadyMinded)), "{error:?}");
    assert_eq!(look(&spec.run_directory).expect("alive").status, first);
}

#[test]
fn a_program_says_when_it_is_ready_or_why_not() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let ready = |text: &str| ProgramPayload { says_ready: true, ..script(text) };
    let good =
        spec(&home, ready("printf 'ok\\n' >/proc/self/fd/$WINDLASS_READY_FD; exec sleep 1000"));
    launcher().launch(&good).expect("ready");
    request(&good.run_directory, &Request::Signal { signal: 9 }).expect("signal");
    assert_eq!(exit_of(&good).code, Some(137));
    let cases = [
        (
            "printf 'the port is taken' >/proc/self/fd/$WINDLASS_READY_FD; exit 1",
            "the port is taken",
        ),
        ("exit 3", "it ended before it was ready, with exit code 3"),
    ];
    for (text, expected) in cases {
        let error = launcher().launch(&spec(&home, ready(text))).expect_err("not ready");
        assert_eq!(error.to_string(), expected);
    }
    // Longer than one read, and over at once: it arrives whole each time, and
    // whoever has heard it may try again.
    let long = "0123456789".repeat(200);
    let text = format!("printf {long} >/proc/self/fd/$WINDLASS_READY_FD; exit 1");
    for _ in 0..10 {
        let error = launcher().launch(&spec(&home, ready(&text))).expect_err("not ready");
        assert_eq!(error.to_string(), long);
    }
}

#[test]
fn a_program_that_outlives_its_shim_is_adopted_and_logged_on() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let console = home.path("console");
    let text = format!(
        "n=0; while :; do n=$((n+1)); echo line $n >> {}; sleep 0.02; done",
        console.display()
    );
    let program =
        ProgramPayload { dies_with_shim: false, follow: Some(console.clone()), ..script(&text) };
    let mut spec = spec(&home, program);
    let status = launcher().launch(&spec).expect("launch");
    wait_for(&mut Attached::connect(&spec.run_directory).expect("attach"), "line");
    kill(status.shim_pid);
    let exit = look(&spec.run_directory);
    let alive = exit.expect("the process is alive");
    assert!(alive.process);
    // As if its number had been given to another process meanwhile.
    let adopted = |start_time| Payload::Adopted {
        pid: status.pid,
        start_time,
        follow: Some(console.clone()),
    };
    spec.payload = adopted(status.start_time + 1);
    let error = launcher().launch(&spec).expect_err("another process");
    assert!(matches!(error, ShimError::Refused(Refusal::NoSuchProcess { .. })), "{error:?}");
    spec.payload = adopted(status.start_time);
    let again = launcher().launch(&spec).expect("adopt");
    assert_eq!((again.pid, again.start_time), (status.pid, status.start_time));
    wait_for(&mut Attached::connect(&spec.run_directory).expect("attach"), "line");
    request(&spec.run_directory, &Request::Signal { signal: 9 }).expect("signal");
    assert_eq!(exit_of(&spec).code, None, "an adopted process's code is not known");
    let log = log_of(&spec);
    let mut expected = 1;
    for line in log.lines() {
        let number: u32 =
            line.rsplit(' ').next().and_then(|word| word.parse().ok()).expect("a whole line");
        assert!(number <= expected, "line {expected} is lost");
        expected = expected.max(number + 1);
    }
    assert!(expected > 2, "{log}");
}

#[test]
fn a_program_dies_with_its_shim_where_it_shall() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let spec = spec(&home, script("sleep 1000"));
    let status = launcher().launch(&spec).expect("launch");
    kill(status.shim_pid);
    assert_eq!(exit_of(&spec).code, None);
    assert_eq!(look(&spec.run_directory), None);
}

#[test]
fn a_shim_answers_what_it_does_not_know() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let spec = spec(&home, script("sleep 1000"));
    launcher().launch(&spec).expect("launch");
    let ask = |line: &str| {
        let mut stream = UnixStream::connect(spec.run_directory.join("shim.sock")).expect("socket");
        stream.write_all(line.as_bytes()).expect("write");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("read");
        answer
    };
    let unknown = ask("{\"version\":99,\"body\":{\"dance\":{}}}\n");
    assert!(unknown.contains("error") && unknown.contains("99"), "{unknown}");
    assert!(ask("nonsense\n").contains("error"));
    let newer = ask("{\"version\":99,\"body\":\"status\"}\n");
    assert!(newer.contains("shim_pid"), "what it knows it does: {newer}");
    request(&spec.run_directory, &Request::Signal { signal: 9 }).expect("signal");
}

#[test]
fn a_program_gets_open_taps_that_go_with_it() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let own = std::process::id();
    let (bridge, tap) = (format!("wltb-{own}"), format!("wltt-{own}"));
    let ip = |arguments: &[&str]| {
        std::process::Command::new("ip").args(arguments).status().expect("ip").success()
    };
    assert!(ip(&["link", "add", &bridge, "type", "bridge"]));
    let mut program = script("");
    let text = "echo fd $0; echo ok >/proc/self/fd/$WINDLASS_READY_FD; sleep 1000";
    program.argv = ["/bin/sh", "-c", text, "{tap0}"].map(String::from).into();
    program.says_ready = true;
    let mut spec = spec(&home, program);
    spec.interfaces.push(windlass::shim::Interface {
        host_name: tap.clone(),
        bridge: bridge.clone(),
        label: "windlass:test".into(),
        ipv4: std::net::Ipv4Addr::UNSPECIFIED,
        prefix: 0,
        gateway: None,
        mac: String::new(),
        mtu: 1400,
    });
    let launched = launcher().launch(&spec);
    let read = |file: &str| std::fs::read_to_string(format!("/sys/class/net/{tap}/{file}"));
    let (label, mtu) = (read("ifalias"), read("mtu"));
    let ended = launched.as_ref().ok().map(|status| {
        kill(status.pid);
        exit_of(&spec)
    });
    assert!(ip(&["link", "del", &bridge]));
    launched.expect("launch");
    assert_eq!(ended.and_then(|exit| exit.code), Some(137));
    assert_eq!(label.expect("ifalias").trim(), "windlass:test");
    assert_eq!(mtu.expect("mtu").trim(), "1400");
    assert!(read("mtu").is_err(), "the tap is left");
    let log = log_of(&spec);
    let number = log.trim().rsplit(' ').next().and_then(|word| word.parse::<i32>().ok());
    assert!(number.is_some_and(|number| number > 2), "{log}");
}

#[test]
fn a_group_is_cleared_of_whoever_entered_it_last() {
    if !needs_root("shim") {
        return;
    }
    let home = Home::new();
    let hierarchies = Hierarchies::find().expect("cgroups");
    hierarchies.make(&home.cgroup).expect("a group");
    let mut late = std::process::Command::new("sleep").arg("1000").spawn().expect("started");
    let pid = i32::try_from(late.id()).expect("a pid");
    hierarchies.enter(&home.cgroup, pid).expect("entered");
    hierarchies.clear(&home.cgroup).expect("cleared");
    assert!(!hierarchies.exists(&home.cgroup));
    assert!(!late.wait().expect("it ended").success());
}
