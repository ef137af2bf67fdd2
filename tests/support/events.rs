//! What a stack's supervisor says, as a test waits for it.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// What has the program say it.
pub(crate) const LISTEN: [&str; 2] = ["events", "--json"];

/// What the supervisor says, from now on.
pub(crate) struct Events {
    program: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    /// `listen` is the program with [`LISTEN`].
    pub(crate) fn of(mut listen: Command) -> Self {
        let mut program =
            listen.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        // It says so once it listens.
        let mut word = String::new();
        let mut told = BufReader::new(program.stderr.take().expect("piped"));
        told.read_line(&mut word).expect("text");
        assert!(word.contains("from now on"), "{word}");
        let lines = BufReader::new(program.stdout.take().expect("piped")).lines();
        Self { program, lines }
    }

    /// The next event of this kind about `name`.
    pub(crate) fn next(&mut self, name: &str, kind: &str) -> Value {
        self.find(name, kind, |_| true)
    }

    /// The next one that is as it is looked for.
    pub(crate) fn find(
        &mut self,
        name: &str,
        kind: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        for line in self.lines.by_ref() {
            let line: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            let event = &line["event"];
            let about = event["resource"].to_string();
            let said = &event["what"][kind];
            if about.contains(&format!("\"{name}\"")) && !said.is_null() && wanted(said) {
                return said.clone();
            }
        }
        panic!("the supervisor ended before it said `{kind}` of {name}");
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
    }
}
