//! A running `watch`, and what it says.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use crate::scenario::Scenario;

/// A running `watch`, and what it says.
pub(crate) struct Watch {
    program: Child,
    lines: Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
    data: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    /// Started; returns when it follows files.
    pub(crate) fn of(stack: &Scenario, arguments: &[&str]) -> Self {
        let mut program = stack
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let lines = BufReader::new(program.stderr.take().expect("piped")).lines();
        let data = BufReader::new(program.stdout.take().expect("piped")).lines();
        let mut watch = Self { program, lines, said: Vec::new(), data };
        watch.until("watching ");
        watch
    }

    /// Reads on until a line has all of these words; all that was said up to it.
    pub(crate) fn until(&mut self, words: &str) -> Vec<String> {
        let mut said = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            self.said.push(line.clone());
            said.push(line);
            let last = said.last().map(String::as_str).unwrap_or_default();
            if words.split('…').all(|word| last.contains(word)) {
                return said;
            }
        }
        panic!("it ended before it said `{words}`: {:#?}", self.said);
    }

    /// Reads its data on until a line has this in it.
    pub(crate) fn until_data(&mut self, needle: &str) {
        let found = self.data.by_ref().any(|line| line.expect("text").contains(needle));
        assert!(found, "it ended before it showed `{needle}`");
    }

    /// Ctrl-C; the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.program);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("told");
        self.program.wait().expect("ended").code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
