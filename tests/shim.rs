//! Shims with real processes: what they start, what they leave behind, and
//! what happens when somebody kills something.

mod support;

use std::time::Duration;

use support::{Home, launcher, needs_root, script};
use windlass::observed::Exit;
use windlass::shim::{
    Cgroup, Payload, ProgramPayload, Refusal, ShimError, ShimSpec, VERSION, ended, look,
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
