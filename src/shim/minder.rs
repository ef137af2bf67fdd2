//! The loop in which a shim spends its life: one `poll` over its process, the
//! process's output, the file it follows and the socket.

mod requests;
mod streams;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::cgroup::Hierarchies;
use super::door::Guest;
use super::follow::Follow;
use super::interfaces::remove_host_ends;
use super::log_file::LogFile;
use super::look::STATUS_FILE;
use super::process::now;
use super::protocol::SOCKET;
use super::start::{Reporter, Started};
use super::{ExitRecord, Payload, Refusal, ShimSpec, Status, VERSION};
use crate::observed::Exit;
use crate::state::atomic;
use crate::state::log::Stream;

/// A shim at work.
#[derive(Debug)]
pub(super) struct Minder {
    spec: ShimSpec,
    status: Status,
    process: Started,
    /// Accepted by the socket, not yet by the process.
    input_pending: Vec<u8>,
    input_ended: bool,
    log: Option<LogFile>,
    follow: Option<Follow>,
    door: UnixListener,
    guests: Vec<Guest>,
    signals: SignalFd,
    hierarchies: Hierarchies,
    reporter: Option<Reporter>,
    ready_said: Vec<u8>,
    /// Outputs that have ended, to be taken out of the set.
    closed: Vec<usize>,
    buffer: Vec<u8>,
    _lock: File,
}

/// The process has ended.
#[derive(Debug, Clone, Copy)]
struct Ended {
    /// `None`: nobody told us.
    code: Option<i32>,
}

/// What a descriptor in the poll set belongs to.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Adopted,
    Output(usize),
    Input,
    Ready,
    Follow,
    Door,
    Guest(usize),
}

impl Minder {
    pub(super) fn new(
        spec: ShimSpec,
        status: Status,
        process: Started,
        door: UnixListener,
        follow: Option<Follow>,
        hierarchies: Hierarchies,
        lock: File,
    ) -> Result<Self, Refusal> {
        let log = spec.log_directory.as_deref().map(LogFile::open).transpose();
        let log = log.map_err(Refusal::system("open the log"))?;
        let signals = listen_for_signals().map_err(Refusal::system("listen for signals"))?;
        let streams = process.outputs.iter().map(|(output, _)| output);
        for stream in streams.chain(&process.input).chain(&process.ready) {
            rustix::io::ioctl_fionbio(stream, true).map_err(Refusal::system("prepare a pipe"))?;
        }
        // The payload was carried out; a container's configuration is large.
        let payload = match &spec.payload {
            Payload::Adopted { .. } => spec.payload.clone(),
            _ => Payload::Adopted { pid: status.pid, start_time: status.start_time, follow: None },
        };
        let spec = ShimSpec { payload, ..spec };
        Ok(Self {
            spec,
            status,
            process,
            input_pending: Vec::new(),
            input_ended: false,
            log,
            follow,
            door,
            guests: Vec::new(),
            signals,
            hierarchies,
            reporter: None,
            ready_said: Vec::new(),
            closed: Vec::new(),
            buffer: vec![0; 8192],
            _lock: lock,
        })
    }

    /// Minds the process until it has ended.
    pub(super) fn mind(mut self, reporter: Reporter) -> ExitCode {
        let path = self.spec.run_directory.join(STATUS_FILE);
        if let Err(error) = atomic::write_cache(&path, &self.status) {
            // Nobody would ever find the process again.
            drop(self.signal(libc::SIGKILL));
            reporter.say(&Err(Refusal::system("write the status")(error)));
            return ExitCode::FAILURE;
        }
        self.reporter = Some(reporter);
        if self.process.ready.is_none() {
            self.report();
        }
        // What was written, and whether it ended, before we watched.
        self.read_followed();
        if self.process.adopted.is_none()
            && let Some(ended) = self.reap()
        {
            return self.end(ended);
        }
        loop {
            match self.turn() {
                Ok(None) => {}
                Ok(Some(ended)) => return self.end(ended),
                // Without its poll a shim can do nothing; the process would be
                // left alone either way.
                Err(_) => return ExitCode::FAILURE,
            }
        }
    }

    /// It works.
    fn report(&mut self) {
        if let Some(reporter) = self.reporter.take() {
            reporter.say(&Ok(self.status.clone()));
        }
    }

    /// Waits once and does what there is to do. How the process ended, when
    /// it has.
    fn turn(&mut self) -> io::Result<Option<Ended>> {
        let mut ended = None;
        for (source, flags) in self.wait()? {
            match source {
                Source::Signals => ended = ended.or(self.take_signals()),
                Source::Adopted => ended = Some(Ended { code: None }),
                Source::Output(index) => drop(self.read_output(index)),
                Source::Input => self.write_input(),
                Source::Ready => {
                    self.hear_ready();
                    if ended.is_none() {
                        self.end_refusing();
                    }
                }
                Source::Follow => self.read_followed(),
                Source::Door => self.open_door(),
                Source::Guest(index) => self.serve(index, flags),
            }
        }
        self.closed.sort_unstable();
        for index in std::mem::take(&mut self.closed).into_iter().rev() {
            drop(self.process.outputs.swap_remove(index));
        }
        self.guests.retain(|guest| !guest.is_gone());
        Ok(ended)
    }

    /// Sleeps until something of what it minds has news.
    fn wait(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let (reads, writes) = (PollFlags::POLLIN, PollFlags::POLLOUT);
        let mut sources = vec![(Source::Signals, self.signals.as_fd(), reads)];
        sources.push((Source::Door, self.door.as_fd(), reads));
        if let Some(adopted) = &self.process.adopted {
            sources.push((Source::Adopted, adopted.as_fd(), reads));
        }
        for (index, (output, _)) in self.process.outputs.iter().enumerate() {
            sources.push((Source::Output(index), output.as_fd(), reads));
        }
        if let Some(input) = self.process.input.as_ref().filter(|_| !self.input_pending.is_empty())
        {
            sources.push((Source::Input, input.as_fd(), writes));
        }
        if let Some(ready) = &self.process.ready {
            sources.push((Source::Ready, ready.as_fd(), reads));
        }
        if let Some(follow) = &self.follow {
            sources.push((Source::Follow, follow.descriptor(), reads));
        }
        let full = !self.input_pending.is_empty();
        for (index, guest) in self.guests.iter().enumerate() {
            let mut flags = PollFlags::empty();
            flags.set(reads, guest.listens(full));
            flags.set(writes, guest.has_unsent());
            sources.push((Source::Guest(index), guest.descriptor(), flags));
        }
        let mut set: Vec<PollFd<'_>> =
            sources.iter().map(|(_, descriptor, flags)| PollFd::new(*descriptor, *flags)).collect();
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let news = set.iter().map(|entry| entry.revents().unwrap_or(PollFlags::empty()));
        let found = sources.iter().zip(news).filter(|(_, flags)| !flags.is_empty());
        Ok(found.map(|((source, ..), flags)| (*source, flags)).collect())
    }

    /// Reaps what has ended; a request to end is handed on to the process.
    fn take_signals(&mut self) -> Option<Ended> {
        let mut ended = None;
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == libc::SIGCHLD.cast_unsigned() {
                ended = ended.or(self.reap());
            } else {
                let signal = i32::try_from(signal.ssi_signo).unwrap_or(libc::SIGTERM);
                drop(self.signal(signal));
            }
        }
        ended
    }

    fn reap(&self) -> Option<Ended> {
        let mut ended = None;
        loop {
            let ours = Pid::from_raw(self.status.pid);
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == ours => {
                    ended = Some(Ended { code: Some(code) });
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == ours => {
                    ended = Some(Ended { code: Some(128 + signal as i32) });
                }
                Ok(WaitStatus::StillAlive) | Err(_) => return ended,
                Ok(_) => {}
            }
        }
    }

    fn signal(&self, signal: i32) -> io::Result<()> {
        // Ours until we reap it: the number cannot have been reused. An adopted
        // process is known by its descriptor.
        let signal = rustix::process::Signal::from_named_raw(signal)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        if let Some(process) = &self.process.adopted {
            rustix::process::pidfd_send_signal(process, signal)?;
        } else {
            let pid = rustix::process::Pid::from_raw(self.status.pid)
                .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            rustix::process::kill_process(pid, signal)?;
        }
        Ok(())
    }

    /// Ends what the process left in its cgroup. All of it has become our child;
    /// a group can only be removed when it is reaped.
    fn empty(&self, path: &str) {
        while !self.hierarchies.processes(path).is_empty() {
            self.hierarchies.kill(path);
            if waitpid(None, None).is_err() {
                // Those of an adopted process are somebody else's children.
                return;
            }
        }
    }

    /// The process has ended: its last words, the record, and nothing of ours
    /// stays behind.
    fn end(mut self, ended: Ended) -> ExitCode {
        let code = ended.code;
        for index in 0..self.process.outputs.len() {
            while self.read_output(index) {}
        }
        self.read_followed();
        // What it said last came together with its end.
        self.hear_ready();
        if let Some(log) = &mut self.log {
            drop(log.finish(Stream::Stdout));
            drop(log.finish(Stream::Stderr));
        }
        let cgroup = self.spec.cgroup.as_ref().map(|cgroup| cgroup.path.as_str());
        let kills = cgroup.map_or(0, |path| self.hierarchies.out_of_memory_kills(path));
        let record = ExitRecord {
            version: VERSION,
            pid: self.status.pid,
            start_time: self.status.start_time,
            boot_id: self.status.boot_id.clone(),
            exit: Exit { code, out_of_memory: kills > 0 && code == Some(137), at: now() },
        };
        drop(atomic::write(&self.spec.exit_file, &record));
        if let Some(path) = cgroup {
            self.empty(path);
            drop(self.hierarchies.remove(path));
        }
        // Nobody is left to be told; the next run takes over what stays.
        drop(remove_host_ends(&self.spec.interfaces));
        drop(std::fs::remove_file(self.spec.run_directory.join(STATUS_FILE)));
        drop(std::fs::remove_file(self.spec.run_directory.join(SOCKET)));
        if let Some(reporter) = self.reporter.take() {
            let refusal = self.not_ready(code);
            // With the lock: the next shim may come.
            drop(self);
            reporter.say(&Err(refusal));
        }
        ExitCode::SUCCESS
    }
}

/// Signals arrive as data: a child that has ended, and what asks a process to end.
fn listen_for_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]
    {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
