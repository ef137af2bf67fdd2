//! Commands that must end within a time: one that does not is the finding. Also
//! those that are killed half-way, and processes found and killed.

use std::fs;
use std::io::{Read, Seek};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A command at work.
pub(crate) struct Running {
    child: Child,
    line: String,
    output: fs::File,
    began: Instant,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    /// Everything it said, in the order it was said.
    pub(crate) said: String,
    /// How long it took.
    pub(crate) took: Duration,
    /// How it was called.
    line: String,
}

impl Running {
    /// Starts it.
    pub(crate) fn start(mut command: Command) -> Self {
        let output = tempfile::tempfile().expect("a file");
        let line: Vec<_> = command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
        let to = || Stdio::from(output.try_clone().expect("the file"));
        let child = command.stdin(Stdio::null()).stdout(to()).stderr(to()).spawn();
        let line = format!("windlass {}", line.join(" "));
        Self { child: child.expect("it starts"), line, output, began: Instant::now() }
    }

    /// Waits for its end; one that takes longer than `limit` fails the test.
    pub(crate) fn within(mut self, limit: Duration) -> Ended {
        let ended = self.wait(limit);
        let ended_in_time = self.end(ended);
        assert!(ended, "it did not end within {limit:?}: {ended_in_time}");
        ended_in_time
    }

    /// Kills it after a moment, unless it ends before.
    pub(crate) fn killed_after(mut self, moment: Duration) -> Ended {
        let ended = self.wait(moment);
        self.end(ended)
    }

    fn wait(&self, limit: Duration) -> bool {
        let fd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).expect("a child");
        ends_within(&fd, limit)
    }

    fn end(&mut self, ended: bool) -> Ended {
        if !ended {
            self.child.kill().expect("killed");
        }
        let status = self.child.wait().expect("reaped");
        let mut said = Vec::new();
        self.output.rewind().expect("rewound");
        self.output.read_to_end(&mut said).expect("read");
        Ended {
            code: status.code(),
            said: String::from_utf8_lossy(&said).into_owned(),
            took: self.began.elapsed(),
            line: self.line.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ended {
    /// Insists on success.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (line, code, took) = (&self.line, self.code, self.took.as_secs_f64());
        write!(f, "`{line}` ended with {code:?} after {took:.1}s and said\n{}", self.said)
    }
}

/// Kills a process and waits for its end; whether it was there.
pub(crate) fn kill(pid: i32) -> bool {
    let Some(fd) = Pid::from_raw(pid).and_then(|it| pidfd_open(it, PidfdFlags::empty()).ok())
    else {
        return false;
    };
    let killed = pidfd_send_signal(&fd, Signal::KILL).is_ok();
    assert!(!killed || ends_within(&fd, Duration::from_mins(1)), "{pid} survives SIGKILL");
    killed
}

/// Kills one that may have gone already.
pub(crate) fn kill_if_there(pid: Option<i32>) {
    if let Some(pid) = pid {
        kill(pid);
    }
}

/// Sends a process a signal, if it is there.
pub(crate) fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
}

/// Processes with this in their command line, by number.
pub(crate) fn processes(needle: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse().ok();
        let (Some(pid), Ok(line)) = (pid, fs::read(entry.path().join("cmdline"))) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(needle) && u32::try_from(pid) != Ok(std::process::id()) {
            found.push((pid, line));
        }
    }
    found.sort();
    found
}

/// The process that minds another one.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|parent| *parent > 1)
}

/// Runs a program of the host and insists on success.
pub(crate) fn host(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ends_within(process: &std::os::fd::OwnedFd, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("a moment");
        let mut ended = [PollFd::new(process, PollFlags::IN)];
        match poll(&mut ended, Some(&left)) {
            Ok(count) => return count > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}
