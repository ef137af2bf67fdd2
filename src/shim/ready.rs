//! Tells the shim that launched this process that it works, or why it does not.

use std::fs::File;
use std::io::Write;

use super::READY_FD;

/// It works.
pub fn ready() {
    say("ok\n");
}

/// It does not, and ends.
pub fn refuse(reason: &str) {
    say(&format!("{}\n", reason.replace('\n', " ")));
}

/// Nobody listens when the process was started by hand.
fn say(word: &str) {
    let Some(number) = std::env::var(READY_FD).ok().and_then(|text| text.parse::<i32>().ok())
    else {
        return;
    };
    if let Ok(mut pipe) = File::options().write(true).open(format!("/proc/self/fd/{number}")) {
        drop(pipe.write_all(word.as_bytes()));
    }
    let _ = nix::unistd::close(number);
}
