//! Shows progress while it happens: draws when something was said, and ten
//! times a second only while something spins.

use std::io::{self, Write};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until};

use super::progress::{FRAME, Frame, Model, plain, render};
use super::{Mode, Screen, json, tell};
use crate::event::Event;

/// A burst of events is one picture, not many.
const SHORTEST: Duration = Duration::from_millis(30);

impl Screen {
    /// Shows events until their last sender is gone, then leaves the final
    /// lines. Runs beside whatever sends (`tokio::join!`); nothing else may
    /// print meanwhile.
    pub async fn follow(&self, title: &str, mut events: UnboundedReceiver<Event>) -> Model {
        let mut live = Live::new(self, title);
        loop {
            let redraw = live.next_drawing();
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => live.take(&event),
                    None => break,
                },
                () = sleep_until(redraw.unwrap_or_else(Instant::now)), if redraw.is_some() => {
                    live.draw();
                }
            }
        }
        live.finish();
        live.model
    }
}

/// What is on the screen.
struct Live<'a> {
    screen: &'a Screen,
    model: Model,
    began: Instant,
    /// When the last picture was drawn.
    drawn: Instant,
    /// Something was said since.
    stale: bool,
    /// Lines of the last picture: the next one goes over them.
    lines: usize,
}

impl<'a> Live<'a> {
    fn new(screen: &'a Screen, title: &str) -> Self {
        let began = Instant::now();
        Self { screen, model: Model::new(title), began, drawn: began, stale: false, lines: 0 }
    }

    fn take(&mut self, event: &Event) {
        let now = self.began.elapsed();
        match self.screen.mode {
            Mode::Tty => self.stale = true,
            Mode::Plain => {
                if let Some(line) = plain(event, now, self.screen.stderr) {
                    tell(&line);
                }
            }
            Mode::Json => tell(&json::event(event, now)),
            Mode::Quiet => {}
        }
        self.model.apply(event, now);
    }

    fn next_drawing(&self) -> Option<Instant> {
        match self.screen.mode {
            Mode::Tty if self.stale => Some(self.drawn + SHORTEST),
            Mode::Tty if self.model.is_spinning() => Some(self.drawn + FRAME),
            _ => None,
        }
    }

    fn draw(&mut self) {
        let (width, height) = size();
        // The last line stays free for the cursor.
        self.picture(width, Some(height.saturating_sub(1)));
    }

    fn finish(&mut self) {
        if self.screen.mode == Mode::Tty && !self.model.is_empty() {
            let (width, _) = size();
            self.picture(width, None);
        }
    }

    /// Writes over the last picture, in one piece so that it does not flicker.
    fn picture(&mut self, width: usize, height: Option<usize>) {
        let look = self.screen.stderr;
        let frame =
            Frame { width: width.saturating_sub(1), height, now: self.began.elapsed(), look };
        let lines = render(&self.model, frame);
        let mut text = String::new();
        if self.lines > 0 {
            text.extend(["\x1b[", &self.lines.to_string(), "A"]);
        }
        for line in &lines {
            text.extend(["\r", line, "\x1b[K\n"]);
        }
        text.push_str("\x1b[J");
        drop(io::stderr().lock().write_all(text.as_bytes()));
        self.lines = lines.len();
        self.drawn = Instant::now();
        self.stale = false;
    }
}

/// Columns and lines of the terminal, as they are now.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}
