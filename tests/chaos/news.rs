//! What the supervisor says, read with patience that ends: for harms that it is
//! to put right by itself.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::stage::Stage;

/// How long the supervisor may take to put something right.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is said from now on.
pub(crate) struct News {
    program: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl News {
    /// Begins to listen; `None`: nobody minds the stack just now.
    pub(crate) fn listen(stage: &Stage) -> Option<Self> {
        let mut command = stage.main.command(&["events", "--json"]);
        let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut program = started.expect("started");
        let mut word = String::new();
        let mut told = BufReader::new(program.stderr.take().expect("piped"));
        told.read_line(&mut word).expect("text");
        let (sender, lines) = channel();
        let said = BufReader::new(program.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in said.map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let news = Self { program, lines, heard: Vec::new() };
        word.contains("from now on").then_some(news)
    }

    /// Waits until it says that something about `name` is done.
    pub(crate) fn until_done(&mut self, name: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let last = self.heard.iter().rev().take(10).rev().cloned().collect::<Vec<_>>();
                panic!("the supervisor did not put {name} right; it said\n{}", last.join("\n"));
            };
            let event: Value = serde_json::from_str(&line).expect("JSON");
            self.heard.push(line);
            let event = &event["event"];
            let about = event["resource"].to_string();
            if about.contains(&format!("\"{name}\"")) && !event["what"]["done"].is_null() {
                return;
            }
        }
    }
}

impl Drop for News {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
