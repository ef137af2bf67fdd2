//! The supervisor's socket as a stranger with `curl` uses it: a real socket, a host in
//! memory behind it.

#[path = "support/fake_world.rs"]
mod fake_world;
#[path = "support/records.rs"]
mod records;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use windlass::engine::fake::{Fake, Guest, Script};
use windlass::plan::Options;
use windlass::reconcile::Goal;
use windlass::spec::{InMemory, Source};
use windlass::stack::{self, InstanceId, Kind, Stack};
use windlass::state::Directories;
use windlass::supervisor::Supervisor;
use windlass::supervisor::server::{self, Office};

const SHOP: &str = "
name: shop
services:
  db: { image: db, healthcheck: { test: is-well, interval: 1s, start_period: 1h, start_interval: 50ms } }
  web: { image: web, depends_on: { db: { condition: service_healthy } } }
";

/// A supervisor that answers, and its host.
struct Stage {
    fake: Fake,
    directories: Directories,
    socket: PathBuf,
    stack: Stack,
    _leave: watch::Sender<bool>,
    _home: tempfile::TempDir,
}

/// An answer: its status and its body.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn error(&self) -> Value {
        self.json()["error"].clone()
    }
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let fake = Fake::default();
        let world = fake_world::world(&fake, home.path());
        let (stack, directories) = (read(SHOP), world.directories.clone());
        let (supervisor, messages, news) =
            Supervisor::new(world.clone(), stack.name.clone()).expect("a supervisor");
        let listener = server::listen(home.path()).expect("a socket");
        let hello = server::hello(stack.name.clone()).expect("who it is");
        let (leave, stop) = watch::channel(false);
        let mut leaving = stop.clone();
        tokio::spawn(supervisor.run(stop));
        let office = Office { hello, world, messages, news };
        tokio::spawn(server::serve(listener, office, async move {
            drop(leaving.wait_for(|left| *left).await);
        }));
        let socket = home.path().join(server::SOCKET);
        Self { fake, directories, socket, stack, _leave: leave, _home: home }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).await.expect("it listens");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: windlass\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        // One that is refused for its size is answered before it is read.
        drop(stream.write_all(body.as_bytes()).await);
        stream
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = self.send(method, path, body).await;
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes).await);
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Answer { status, body }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    fn goal(&self) -> String {
        let goal = Goal::Up(Box::new(self.stack.clone()), Options::default());
        json!({ "goal": goal }).to_string()
    }

    /// A record and a log, as an engine and a shim leave them.
    fn log(&self, name: &str, lines: &[&str]) {
        let id = InstanceId::single(name);
        let directory = self.directories.instance(&self.stack.name, &id);
        let record = records::record(self.stack.name.clone(), id, Kind::Container);
        record.write(&directory).expect("written");
        std::fs::create_dir_all(directory.join("log")).expect("made");
        let lines = lines.iter().map(|line| format!("2026-11-23T19:00:{line}"));
        let lines = lines.collect::<Vec<_>>().join("\n") + "\n";
        std::fs::write(directory.join("log/current.log"), lines).expect("written");
    }
}

/// The data of a chunked body.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a size");
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

fn read(text: &str) -> Stack {
    let path = Path::new("/srv/shop/windlass.yaml");
    let files = InMemory([(path.to_owned(), text.to_owned())].into());
    let source = Source {
        files: vec![path.to_owned()],
        project_directory: "/srv/shop".into(),
        ..Source::default()
    };
    stack::read(&source, &files).expect("a stack").stack
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone() {
    let stage = Stage::new();
    let mode = std::fs::metadata(&stage.socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let version = stage.get("/v1/version").await;
    assert_eq!((version.status, &version.json()["api"]), (200, &json!(1)));
}

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_and_where() {
    let stage = Stage::new();
    stage.log("web", &[]);
    let other = stage.goal().replace("\"name\":\"shop\"", "\"name\":\"other\"");
    let far_too_much = " ".repeat((16 << 20) + 1);
    for (method, path, body, status, message, help) in [
        ("GET", "/v2/status", "", 404, "there is no `/v2/status`", "GET /v1/status"),
        ("DELETE", "/v1/status", "", 405, "`/v1/status` does not take DELETE", "GET /v1/status"),
        ("POST", "/v1/plan", "{", 400, "EOF while parsing an object", ""),
        (
            "POST",
            "/v1/plan",
            r#"{"goal": {"upp": []}}"#,
            400,
            "unknown variant `upp`, expected",
            "",
        ),
        ("POST", "/v1/orders", r#"{"gaol": 1}"#, 400, "missing field `goal`", ""),
        ("POST", "/v1/orders", &other, 409, "this is the supervisor of `shop`", ""),
        (
            "POST",
            "/v1/orders",
            &far_too_much,
            413,
            "failed to buffer the request body",
            "at most 16 MiB",
        ),
        ("DELETE", "/v1/orders/first", "", 400, "a ticket is a number", "first line"),
        ("GET", "/v1/logs?names=wep", "", 404, "there is no `wep`", "there are web"),
        ("GET", "/v1/logs?tail=few", "", 400, "`few` is not a number of lines", ""),
        ("GET", "/v1/logs?lines=3", "", 400, "there is no parameter `lines`", "`tail`"),
        ("GET", "/v1/stack", "", 404, "nothing of the stack shall run", "windlass up"),
    ] {
        let answer = stage.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        let error = answer.error();
        let said = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        assert!(said("message").starts_with(message), "{method} {path}: {error}");
        assert!(said("help").contains(help), "{method} {path}: {error}");
    }
    let placed = stage.ask("POST", "/v1/plan", "{\n  \"goal\": 7 }").await.error();
    assert_eq!((&placed["line"], &placed["column"]), (&json!(2), &json!(11)), "{placed}");
    let parameter = stage.get("/v1/logs?since=yesterday").await.error();
    assert_eq!(parameter["parameter"], "since");
}

#[tokio::test]
async fn a_plan_waits_for_nobody_and_changes_nothing() {
    let stage = Stage::new();
    stage.fake.follow(Script::default().guest("db", Guest::Unhealthy));
    let goal = stage.goal();
    let plan = stage.ask("POST", "/v1/plan", &goal).await;
    assert_eq!(plan.status, 200, "{}", plan.body);
    let verbs = plan.json()["changes"].as_array().map(Vec::len);
    assert!(verbs >= Some(3) && stage.fake.observed().instances.is_empty(), "{}", plan.body);
    // An `up` that waits for db, which is not well for as long as nobody says so.
    let mut up = stage.send("POST", "/v1/orders", &goal).await;
    let mut said = String::new();
    while !said.contains("waiting to be healthy") {
        let mut bytes = [0; 4096];
        let count = up.read(&mut bytes).await.expect("it goes on");
        assert_ne!(count, 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let status = stage.get("/v1/status").await.json();
    assert_eq!(status["working_on"], "up");
    let plan = stage.ask("POST", "/v1/plan", &goal).await.json();
    let web = plan["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .find(|change| change["resource"]["instance"][1]["workload"] == "web");
    assert_eq!(web.expect("it waits for db")["verb"], "start");
    let stack = stage.get("/v1/stack").await;
    assert_eq!(serde_json::from_str::<Stack>(&stack.body).expect("a stack"), stage.stack);
}

#[tokio::test]
async fn an_order_is_carried_out_and_status_says_how_everything_is() {
    let stage = Stage::new();
    let answer = stage.ask("POST", "/v1/orders", &stage.goal()).await;
    let lines: Vec<&str> = answer.body.lines().collect();
    assert!(lines.first().is_some_and(|line| line.contains("accepted")), "{lines:#?}");
    assert!(lines.last().is_some_and(|line| line.contains("ended")), "{lines:#?}");
    let status = stage.get("/v1/status").await.json();
    let conditions = status["conditions"]["db"].as_array().expect("conditions");
    let names: Vec<&str> = conditions.iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(names, ["started", "ready", "healthy", "completed", "as_declared"]);
    assert_eq!(
        (&conditions[0]["status"], &conditions[0]["reason"]),
        (&json!("true"), &json!("runs"))
    );
    assert_eq!(conditions[2]["status"], "true");
    assert!(conditions.iter().all(|it| it["reason"].is_string()));
}

#[tokio::test]
async fn logs_are_lines_of_json_by_time() {
    let stage = Stage::new();
    stage.log("web", &["01Z stdout F one", "03Z stderr F three"]);
    stage.log("db", &["02Z stdout F two"]);
    let lines = |answer: &Answer| -> Vec<Value> {
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let all = lines(&stage.get("/v1/logs").await);
    let texts: Vec<&str> = all.iter().filter_map(|line| line["text"].as_str()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(
        all[2],
        json!({ "instance": "web", "stream": "stderr", "text": "three",
                "time": "2026-11-23T19:00:03Z" })
    );
    let last = lines(&stage.get("/v1/logs?names=web&tail=1").await);
    assert_eq!((last.len(), &last[0]["text"]), (1, &json!("three")));
    let since = lines(&stage.get("/v1/logs?since=2026-11-23T19:00:02Z").await);
    assert_eq!(since.len(), 2);
    // Nobody runs: followed, they end at once.
    assert_eq!(lines(&stage.get("/v1/logs?follow=true").await).len(), 3);
}
