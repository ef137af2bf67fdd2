//! Children of a shim. A shim has one thread, so a child may do what it likes
//! between `fork` and `exec`; all that costs memory is done there.
#![expect(unsafe_code, reason = "fork and its like have no safe form")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;

use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2};

use rustix::event::{PollFd, PollFlags, Timespec};

use super::Refusal;

/// What a child says before it runs the program, or ends.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Word {
    /// It cannot.
    Refused(Refusal),
    /// The process that shall be minded, where that is not the child itself.
    Made {
        /// Its number.
        pid: i32,
    },
}

/// Where a child says its word. Closes by itself when the program runs.
#[derive(Debug)]
pub(super) struct Mouth(File);

impl Mouth {
    /// Whether nobody is left who could hear it.
    pub(super) fn is_unheard(&self) -> bool {
        let mut set = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec::default();
        rustix::event::poll(&mut set, Some(&now)).is_ok()
            && set[0].revents().contains(PollFlags::ERR)
    }

    /// Says `word`. Whoever should hear it has gone: then so has its reason.
    pub(super) fn say(&mut self, word: &Word) {
        let mut line = serde_json::to_vec(word).unwrap_or_default();
        line.push(b'\n');
        drop(self.0.write_all(&line));
    }
}

/// Forks; the child does `work`, which returns only when it failed or has said
/// its word and shall end. Gives the child and what it said; nothing said means
/// that it runs its program.
pub(super) fn child<F>(work: F) -> Result<(Pid, Option<Word>), Refusal>
where
    F: FnOnce(&mut Mouth) -> Result<(), Refusal>,
{
    let (read_end, write) = pipe2(OFlag::O_CLOEXEC).map_err(Refusal::system("make a pipe"))?;
    // SAFETY: the process has one thread.
    match unsafe { fork() }.map_err(Refusal::system("fork"))? {
        ForkResult::Child => {
            drop(read_end);
            let mut mouth = Mouth(write.into());
            if let Err(refusal) = work(&mut mouth) {
                mouth.say(&Word::Refused(refusal));
            }
            leave(127)
        }
        ForkResult::Parent { child } => {
            drop(write);
            let said = hear(&File::from(read_end))?;
            if said.is_some() {
                // It has nothing left to do but to end.
                let _ = waitpid(child, None);
            }
            match said {
                Some(Word::Refused(refusal)) => Err(refusal),
                said => Ok((child, said)),
            }
        }
    }
}

/// Waits for a word, or for the last who could say one to run its program. A
/// line is a word: others may hold the pipe longer than the speaker lives.
pub(super) fn hear(pipe: &File) -> Result<Option<Word>, Refusal> {
    let mut line = Vec::new();
    BufReader::new(pipe)
        .read_until(b'\n', &mut line)
        .map_err(Refusal::system("hear the child process"))?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(Refusal::system("understand the child process"))
}

/// A pipe for a word.
pub(super) fn ear_and_mouth() -> Result<(File, Mouth), Refusal> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(Refusal::system("make a pipe"))?;
    Ok((read.into(), Mouth(write.into())))
}

/// Lets the caller of this process go on without it: the rest of the shim is a
/// child with a session of its own.
pub(super) fn leave_caller() -> nix::Result<()> {
    // SAFETY: the process has one thread.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        leave(0);
    }
    nix::unistd::setsid()?;
    Ok(())
}

/// Ends at once, without running what the parent's copy has registered.
pub(super) fn leave(code: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(code) }
}

/// Ends this process when its parent does.
pub(super) fn die_with_parent() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
}

/// Signals as a program expects to find them.
pub(super) fn default_signals() -> nix::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    // SAFETY: the default action is no code of ours.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) }?;
    Ok(())
}

/// Replaces this process by the command. Returns only with an error.
pub(super) fn exec(command: &mut std::process::Command) -> io::Error {
    command.exec()
}

/// Has the descriptor survive `exec`.
pub(super) fn keep(descriptor: &OwnedFd) -> io::Result<()> {
    rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    Ok(())
}

/// Names the process for lists of processes.
pub(super) fn rename(name: &str) {
    let Ok(name) = CString::new(name) else { return };
    // SAFETY: a C string that lives through the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
}

/// Orphans of our process come to us and not to the host's init.
pub(super) fn adopt_orphans() {
    // SAFETY: takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// The number of a descriptor, to be handed to a program in an argument.
pub(super) fn number(descriptor: &OwnedFd) -> String {
    descriptor.as_raw_fd().to_string()
}

/// Replaces every variable of this process; the last of a name counts.
pub(super) fn set_environment(variables: &[String], home: &str) {
    for (name, _) in std::env::vars_os() {
        // SAFETY: the process has one thread.
        unsafe { std::env::remove_var(name) };
    }
    let default = [("HOME", home)];
    let given = variables.iter().filter_map(|text| text.split_once('='));
    for (name, value) in default.into_iter().chain(given).filter(|(name, _)| !name.is_empty()) {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
}
