//! A web server for one file, which can break off; with TLS where it is given a
//! certificate.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

#[derive(Default)]
struct State {
    cuts: VecDeque<usize>,
    ranges: Vec<String>,
}

pub(crate) struct FileServer {
    port: u16,
    scheme: &'static str,
    state: Arc<Mutex<State>>,
}

/// A certificate for this host that nobody trusts who is not told to.
pub(crate) struct Certificate {
    /// Its file.
    pub(crate) path: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// The one that was made there.
    pub(crate) fn at(directory: &Path) -> Self {
        Self { path: directory.join("certificate.pem"), key: directory.join("key.pem") }
    }

    pub(crate) fn make(directory: &Path) -> Self {
        let made = Self::at(directory);
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=windlass test"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(&made.path)
            .arg("-keyout")
            .arg(&made.key)
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        made
    }

    fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_file(&self.path).unwrap();
        let key = PrivateKeyDer::from_pem_file(&self.key).unwrap();
        let versions =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = versions.unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }
}

impl FileServer {
    pub(crate) fn start(contents: Vec<u8>) -> Self {
        Self::serve("http", move |stream, state| answer(stream, &contents, state))
    }

    pub(crate) fn start_tls(contents: Vec<u8>, certificate: &Certificate) -> Self {
        let config = certificate.server();
        Self::serve("https", move |stream, state| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            answer(&mut stream, &contents, state);
            stream.conn.send_close_notify();
            drop(stream.flush());
        })
    }

    fn serve(
        scheme: &'static str,
        answer: impl Fn(TcpStream, &Mutex<State>) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &shared);
            }
        });
        Self { port, scheme, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port)
    }

    /// Breaks the next answers off after so many bytes each.
    pub(crate) fn cut_after(&self, bytes: &[usize]) {
        self.state.lock().unwrap().cuts.extend(bytes);
    }

    /// The `Range` of each GET, in order.
    pub(crate) fn ranges(&self) -> Vec<String> {
        self.state.lock().unwrap().ranges.clone()
    }
}

fn answer(stream: impl Read + Write, contents: &[u8], state: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    let lines = stream.by_ref().lines();
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
    let stream = stream.get_mut();
    drop(stream.write_all(head.as_bytes()));
    if is_get {
        let mut state = state.lock().unwrap();
        state.ranges.push(range);
        let end = state.cuts.pop_front().unwrap_or(length);
        drop(stream.write_all(&body[..end]));
    }
}
