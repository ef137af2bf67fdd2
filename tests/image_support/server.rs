//! A web server for one file, which can break off.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    cut_after: Option<usize>,
    ranges: Vec<String>,
}

pub(crate) struct FileServer {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl FileServer {
    pub(crate) fn start(contents: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &contents, &shared);
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Breaks the next answer off after so many bytes.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.state.lock().unwrap().cut_after = Some(bytes);
    }

    /// The `Range` of each GET, in order.
    pub(crate) fn ranges(&self) -> Vec<String> {
        self.state.lock().unwrap().ranges.clone()
    }
}

fn answer(mut stream: TcpStream, contents: &[u8], state: &Mutex<State>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|l| !l.is_empty()).collect();
    let is_get = head.first().is_some_and(|line| line.starts_with("GET"));
    let header = |line: &String| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("range").then(|| value.to_owned())
    };
    let range = head.iter().find_map(header).unwrap_or_default();
    let from = range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0);
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    let body = &contents[from..];
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    drop(stream.write_all(head.as_bytes()));
    if is_get {
        let mut state = state.lock().unwrap();
        state.ranges.push(range);
        let end = state.cut_after.take().unwrap_or(length);
        drop(stream.write_all(&body[..end]));
    }
}
