//! Reads logs in CRI format across rotated files. They are written by
//! [`crate::shim`]; this side never changes them.

mod line;
mod read;
mod watch;

use std::fmt;

pub use line::{Assembler, Line};
pub use read::{Reader, last};
pub use watch::Watch;

/// Name of the file that is written to.
pub const FILE: &str = "current.log";

/// Name of the file that was rotated away `number` times; 0: the current one.
pub fn rotated(number: u32) -> String {
    if number == 0 { FILE.to_owned() } else { format!("{FILE}.{number}") }
}

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and all of a terminal or a console.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// 0 or 1.
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        })
    }
}
