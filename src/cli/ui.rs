//! The only place that prints: data to standard output, the story to standard
//! error. Each may be a terminal or not, so each has a [`Look`] of its own.
//! It decides nothing about what is said, only how it looks.

pub mod ask;
pub mod json;
pub mod live;
pub mod look;
pub mod prefix;
pub mod progress;
pub mod table;
pub mod words;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::arguments::{Ansi, Progress};
use super::{CommandError, Exit};
use crate::diagnostic::{Diagnostic, Diagnostics, Sources, chain};
pub use look::{Colour, Look};
pub use table::Table;

/// How progress is shown, once `auto` is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In place.
    Tty,
    /// A line an event.
    Plain,
    /// A JSON object an event.
    Json,
    /// Nothing but errors.
    Quiet,
}

/// Where words go and how they look there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Screen {
    /// Standard output: data.
    pub stdout: Look,
    /// Standard error: the story.
    pub stderr: Look,
    /// How progress is shown.
    pub mode: Mode,
}

impl Screen {
    /// Looks at the two streams, the locale and `NO_COLOR`.
    pub fn new(progress: Progress, ansi: Ansi) -> Self {
        let stderr_is_terminal = io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let mode = match progress {
            Progress::Auto if stderr_is_terminal && !dumb && ansi != Ansi::Never => Mode::Tty,
            Progress::Auto | Progress::Plain => Mode::Plain,
            Progress::Tty => Mode::Tty,
            Progress::Json => Mode::Json,
            Progress::Quiet => Mode::Quiet,
        };
        Self {
            stdout: Look::detect(ansi, io::stdout().is_terminal()),
            stderr: Look::detect(ansi, stderr_is_terminal),
            mode,
        }
    }

    /// One line of data.
    pub fn data(&self, line: &str) -> Result<(), CommandError> {
        self.raw(format!("{line}\n").as_bytes())
    }

    /// Data as it is.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CommandError::Output)
    }

    /// Data for programs.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| CommandError::Output(error.into()))?;
        self.data(&text)
    }

    /// Data for programs, one object a line.
    pub fn json_line<T: Serialize>(&self, value: &T) -> Result<(), CommandError> {
        let text =
            serde_json::to_string(value).map_err(|error| CommandError::Output(error.into()))?;
        self.data(&text)
    }

    /// A table of data.
    pub fn table(&self, table: &Table) -> Result<(), CommandError> {
        self.raw(table.render().as_bytes())
    }

    /// A line of the story.
    pub fn say(&self, line: &str) {
        if self.mode != Mode::Quiet && self.mode != Mode::Json {
            tell(line);
        }
    }

    /// Worth knowing, in the way of nothing.
    pub fn note(&self, text: &str) {
        self.say(&format!("{}: {text}", self.stderr.paint(Colour::Cyan, "note")));
    }

    /// Worth a second look.
    pub fn warn(&self, text: &str) {
        let word = self.stderr.paint(Colour::Yellow, "warning");
        if self.mode == Mode::Json {
            tell(&json::message("warning", text, None));
        } else {
            tell(&format!("{word}: {text}"));
        }
    }

    /// What is to say about the user's files, each with its place.
    pub fn diagnostics(&self, diagnostics: &Diagnostics, sources: &Sources) {
        match self.mode {
            Mode::Quiet if !diagnostics.has_errors() => {}
            Mode::Json => {
                for diagnostic in diagnostics.iter() {
                    tell(&json::diagnostic(diagnostic, sources));
                }
            }
            _ => tell(diagnostics.render(sources, self.stderr.colour).trim_end()),
        }
    }

    /// What went wrong, why, and what to do about it.
    pub fn error(&self, error: &CommandError) {
        if error.is_silent() {
            return;
        }
        if let CommandError::StackFile { summary, failed } = error {
            self.diagnostics(&failed.diagnostics, &failed.sources);
            if self.mode != Mode::Json {
                tell(&format!("\n{summary}"));
            }
            return;
        }
        self.failure(&chain(error), error.help().as_deref());
    }

    /// An error as its message and causes, outermost first.
    pub fn failure(&self, chain: &[String], help: Option<&str>) {
        if self.mode == Mode::Json {
            tell(&json::message("error", &chain.join(": "), help));
            return;
        }
        tell(&words::failure(self.stderr, chain, help).join("\n"));
    }

    /// What came of something: the error at its place, the words of whom it is
    /// about, and what is next.
    pub(super) fn verdict(
        &self,
        diagnostic: &Diagnostic,
        sources: &Sources,
        words: &[String],
        next: &str,
    ) {
        if self.mode == Mode::Json {
            tell(&json::verdict(diagnostic, sources, words));
            return;
        }
        tell(&words::verdict(self.stderr, diagnostic, sources, words, next));
    }

    /// The answer to the first Ctrl-C.
    pub(super) fn stopping(&self) {
        self.say("stopping; press Ctrl-C again to leave everything as it is");
    }
}

/// Prints what clap says of the command line: help to standard output, errors
/// to standard error.
pub fn usage(error: &clap::Error) -> Exit {
    // The exit code tells the rest to whoever closed the stream.
    drop(error.print());
    let unknown = error.get(clap::error::ContextKind::InvalidArg).map(ToString::to_string);
    if matches!(unknown.as_deref(), Some("-f" | "--file" | "-p" | "--project-name")) {
        tell("\nhelp: -f and -p stand before the command: `windlass -f FILE -p NAME up`");
    }
    if error.use_stderr() { Exit::Usage } else { Exit::Done }
}

/// Writes to standard error; nobody can be told when that fails.
fn tell(text: &str) {
    let mut stderr = io::stderr().lock();
    drop(stderr.write_all(format!("{text}\n").as_bytes()));
}
