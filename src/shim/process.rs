//! Telling processes apart for good: a number alone is reused, a number with
//! its start time and the boot it belongs to is not.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags};

/// Field 22 of `/proc/<pid>/stat`: when the process started, in ticks since the
/// boot. `None` where there is no such process, or only its corpse.
pub fn start_time(pid: i32) -> Option<u64> {
    let (state, start) = state_and_start(pid)?;
    (!matches!(state, 'Z' | 'X')).then_some(start)
}

/// The same of a child that may have ended and was not reaped yet.
pub(super) fn start_time_of_child(pid: i32) -> Option<u64> {
    state_and_start(pid).map(|(_, start)| start)
}

fn state_and_start(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows it does not.
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let fields = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // That was field 3: the next one is field 4.
    Some((state, fields.nth(22 - 4)?.parse().ok()?))
}

/// Whether the process with this number is still the one that started then.
pub fn is_same(pid: i32, start: u64, boot: &str) -> bool {
    start_time(pid) == Some(start) && boot == boot_id()
}

/// The identity of the present boot, which no process outlives: read once.
pub fn boot_id() -> String {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    let read = || {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    BOOT_ID.get_or_init(read).clone()
}

/// A descriptor that becomes readable when the process ends; `None` where it
/// is not the process that started at `start`.
pub fn watch(pid: i32, start: u64) -> io::Result<Option<OwnedFd>> {
    let Some(number) = Pid::from_raw(pid) else {
        return Ok(None);
    };
    let descriptor = match rustix::process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(error) if is_nobody(error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Looked at after opening: the descriptor cannot change its process any more.
    Ok((start_time(pid) == Some(start)).then_some(descriptor))
}

/// Whether `pidfd_open` has found no process of the number. Of one that is being
/// reaped Linux 6.1 says `EINVAL`, as of a thread; later ones `ENOENT` of a thread.
pub fn is_nobody(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::SRCH | Errno::INVAL | Errno::NOENT)
}

/// Seconds since the epoch.
pub fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{is_same, start_time, watch};

    #[test]
    fn a_reused_number_is_another_process() {
        let own = i32::try_from(std::process::id()).expect("a process number");
        let start = start_time(own).expect("own start time");
        assert!(is_same(own, start, &super::boot_id()));
        assert!(!is_same(own, start + 1, &super::boot_id()));
        assert!(!is_same(own, start, "another boot"));
        assert!(watch(own, start).expect("pidfd").is_some());
        assert!(watch(own, start + 1).expect("pidfd").is_none());
    }

    #[test]
    fn a_number_that_is_no_process_is_nobody_and_no_error() {
        let thread = std::thread::spawn(|| rustix::thread::gettid().as_raw_nonzero().get());
        // A thread's number, alive or gone, is what one that is being reaped looks like.
        let number = thread.join().expect("a number");
        assert!(watch(number, 0).expect("no error").is_none());
        let alive =
            std::thread::spawn(|| watch(rustix::thread::gettid().as_raw_nonzero().get(), 0));
        assert!(alive.join().expect("it ends").expect("no error").is_none());
    }
}
