//! Whether a stream takes colours and signs beyond ASCII, and what the marks
//! are there.

use super::super::arguments::Ansi;

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Colours are understood and wanted.
    pub colour: bool,
    /// Signs beyond ASCII are understood.
    pub unicode: bool,
}

/// The few colours there are; each means one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Look here.
    Yellow,
    /// Names and links.
    Cyan,
    /// Of less weight.
    Dim,
    /// Of more weight.
    Bold,
}

/// What stands before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// `✔`
    Done,
    /// `✘`
    Failed,
    /// `·`
    Idle,
    /// `!`
    Attention,
    /// `–`
    Absent,
    /// A spinner, by the frame it is in.
    Spinner(usize),
}

impl Look {
    /// Neither colours nor signs.
    pub const ASCII: Self = Self { colour: false, unicode: false };

    /// From the stream, `--ansi`, `NO_COLOR` and the locale.
    pub fn detect(ansi: Ansi, terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match ansi {
            Ansi::Always => true,
            Ansi::Never => false,
            Ansi::Auto => terminal && !refused,
        };
        Self { colour, unicode: locale_is_utf8() }
    }

    /// `text` in a colour, or as it is.
    pub fn paint(self, colour: Colour, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let style = owo_colors::Style::new();
        let style = match colour {
            Colour::Green => style.green(),
            Colour::Red => style.red().bold(),
            Colour::Yellow => style.yellow(),
            Colour::Cyan => style.cyan(),
            Colour::Dim => style.dimmed(),
            Colour::Bold => style.bold(),
        };
        style.style(text).to_string()
    }

    /// The sign, in its colour.
    pub fn mark(self, mark: Mark) -> String {
        const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
        const ASCII_FRAMES: [&str; 4] = ["|", "/", "-", "\\"];
        let (sign, ascii, colour) = match mark {
            Mark::Done => ("✔", "+", Colour::Green),
            Mark::Failed => ("✘", "x", Colour::Red),
            Mark::Idle => ("·", ".", Colour::Dim),
            Mark::Attention => ("!", "!", Colour::Yellow),
            Mark::Absent => ("–", "-", Colour::Dim),
            Mark::Spinner(frame) => {
                let ascii = ASCII_FRAMES[frame % ASCII_FRAMES.len()];
                (FRAMES[frame % FRAMES.len()], ascii, Colour::Cyan)
            }
        };
        self.paint(colour, if self.unicode { sign } else { ascii })
    }

    /// `…`
    pub fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }

    /// `→`
    pub fn arrow(self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// What stands where there is nothing: `–`
    pub fn nothing(self) -> &'static str {
        if self.unicode { "–" } else { "-" }
    }
}

/// The first of these variables that is set decides, as in the C library.
fn locale_is_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
