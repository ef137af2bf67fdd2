//! The caller's terminal while a command elsewhere has it: raw mode, given back
//! however the command ends, and its size. It never reads or writes.

use std::io::{self, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

/// Raw mode for as long as it lives.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Option<Termios>,
}

impl Raw {
    /// Enters raw mode; nothing where standard input is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        if !isatty(stdin()) {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // Not when all is written: a terminal that was stopped would keep us here.
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that has gone needs nothing back.
            let _ = tcsetattr(stdin(), OptionalActions::Now, before);
        }
    }
}

/// Columns and rows of the caller's terminal.
pub(crate) fn size() -> (u32, u32) {
    tcgetwinsize(stdout())
        .ok()
        .filter(|size| size.ws_col > 0)
        .map_or((80, 24), |size| (u32::from(size.ws_col), u32::from(size.ws_row)))
}
