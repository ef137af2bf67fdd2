//! Asking the user, where there is one.

use std::io::{self, BufRead, IsTerminal, Write};

use super::Screen;

/// What a question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No, or nothing.
    No,
    /// There is nobody to ask: standard input or standard error is no terminal.
    Nobody,
}

impl Screen {
    /// Asks; only a `y` or `yes` is one.
    pub fn confirm(&self, question: &str) -> io::Result<Answer> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Ok(Answer::Nobody);
        }
        let mut stderr = io::stderr().lock();
        stderr.write_all(format!("{question} [y/N] ").as_bytes())?;
        stderr.flush()?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Answer::Yes,
            _ => Answer::No,
        })
    }
}
