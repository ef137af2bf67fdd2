//! What the rows share: running the program, waiting, medians, and how a row
//! looks. It knows nothing of what is measured.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often each thing is measured; the median counts.
pub(crate) const ROUNDS: usize = 5;

/// The program in a project of the bench.
pub(crate) fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command
        .args(arguments)
        .current_dir(root.join("project"))
        .env("WINDLASS_HOME", root.join("home"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs the program; how long it took and its peak memory in KiB.
pub(crate) fn windlass(root: &Path, arguments: &[&str]) -> (Duration, u64) {
    let began = Instant::now();
    let memory = finish(command(root, arguments).spawn().expect("the program runs"));
    (began.elapsed(), memory)
}

/// Waits for a child; its peak memory in KiB.
#[expect(unsafe_code, reason = "no crate at hand gives a child's own peak memory")]
fn finish(child: Child) -> u64 {
    let pid = i32::try_from(child.id()).expect("a pid");
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    // SAFETY: both pointers lead to live values of the types that wait4 fills in.
    let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
    // Reaped: nobody may wait for this number again.
    drop(child);
    assert_eq!((reaped, status), (pid, 0), "the command failed");
    // SAFETY: wait4 has filled it in; all zeroes was a valid value before.
    let usage = unsafe { usage.assume_init() };
    u64::try_from(usage.ru_maxrss).unwrap_or(0)
}

pub(crate) fn kill_and_wait(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended by itself; the wait below sees that too.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    wait_for(pid);
}

pub(crate) fn wait_for(pid: i32) {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return };
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(fd) = rustix::process::pidfd_open(pid, flags) else { return };
    let mut ended = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    // An interrupted wait is only a figure measured too early.
    let _ = rustix::event::poll(&mut ended, None);
}

pub(crate) fn private_kib(process: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(process.join("smaps_rollup")).ok()?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Some(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

pub(crate) fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "sizes of processes are far below 2^52")]
pub(crate) fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

/// A line of the table; with something to compare it to, the ratio too.
pub(crate) fn row(what: &str, ours: Duration, floor: Option<Duration>, aim: &str) {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    match floor {
        Some(floor) => println!(
            "{what:<52} {:>7.1} ms {:>7.1} ms {:>7.2}  {aim}",
            milliseconds(ours),
            milliseconds(floor),
            ours.as_secs_f64() / floor.as_secs_f64(),
        ),
        None => println!("{what:<52} {:>7.1} ms {:>18}  {aim}", milliseconds(ours), ""),
    }
}

/// What cannot be measured here, and why.
pub(crate) fn absent(what: &str, why: &str) {
    println!("{what:<52} absent: {why}");
}

/// Whether the program is there and says yes.
pub(crate) fn answers(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}
