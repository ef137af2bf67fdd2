//! The supervisor's door: HTTP and JSON on a unix socket that root alone may
//! use. It turns requests into messages and decides nothing.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/version` | who answers ([`Hello`]) |
//! | `GET /v1/status` | how things are ([`super::protocol::Status`]) |
//! | `GET /v1/stack` | what the stack shall be, as the last `up` resolved it ([`crate::stack::Stack`]) |
//! | `POST /v1/plan` | of a [`Proposal`]: what would be done, and why ([`crate::plan::Plan`]) |
//! | `POST /v1/orders` | of an [`Order`]: lines of [`Said`], until it is done |
//! | `DELETE /v1/orders/TICKET` | gives an order up |
//! | `GET /v1/events` | what happens, as server-sent events |
//! | `GET /v1/logs` | what workloads wrote, lines of [`LogLine`] |
//! | `POST /v1/leave` | ends the supervisor; workloads go on |
//!
//! Whatever is no success is answered by a [`Refusal`]: 400 what is asked cannot be
//! read, 403 the caller is not root, 404 there is nothing of that name, 405 not by that
//! method, 409 it is another stack's, 413 the body is larger than 16 MiB, 500 the host
//! could not be looked at, 503 the supervisor leaves.

mod logs;
mod refusal;

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path as InPath, Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use tokio::net::{UnixListener, unix::UCred};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::Message;
use super::intent::Intent;
use super::protocol::{Hello, Order, Program, Proposal, Said};
use super::queue::Ticket;
use crate::event::Event;
use crate::reconcile::look_and_plan;
use crate::stack::StackName;
use crate::world::World;

pub use logs::LogLine;
pub use refusal::{Refusal, Wrong};

/// Version of what is said over the socket.
pub const API: u32 = 1;

/// Name of the socket within the supervisor's directory.
pub const SOCKET: &str = "api.sock";

/// Bytes of the largest body: a stack of some thousand workloads.
const LARGEST_BODY: usize = 16 << 20;

/// The requests there are, for whoever asks for another.
const REQUESTS: &str = "GET /v1/version, GET /v1/status, GET /v1/stack, POST /v1/plan, \
                        POST /v1/orders, DELETE /v1/orders/TICKET, GET /v1/events, GET /v1/logs, \
                        POST /v1/leave";

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Office {
    /// Who answers.
    pub hello: Hello,
    /// What is looked at where nobody has to be asked.
    pub world: World,
    /// To the task that owns the stack.
    pub messages: mpsc::UnboundedSender<Message>,
    /// What happens.
    pub news: broadcast::Sender<Event>,
}

/// Makes the socket in place of one that a killed supervisor left, readable by
/// root alone from the beginning.
pub fn listen(directory: &Path) -> io::Result<UnixListener> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let opened = File::open(directory)?;
    let path = short_path(&opened);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The socket by way of its directory's descriptor: however long the path of
/// the state directory is, it fits into a socket's address.
pub(super) fn short_path(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

/// Answers until `leaving` resolves; what is being answered then is finished.
pub async fn serve(
    listener: UnixListener,
    office: Office,
    leaving: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let router = Router::new()
        .route("/v1/version", get(version))
        .route("/v1/status", get(status))
        .route("/v1/stack", get(stack))
        .route("/v1/plan", post(plan))
        .route("/v1/orders", post(order))
        .route("/v1/orders/{ticket}", delete(give_up))
        .route("/v1/events", get(events))
        .route("/v1/logs", get(logs::logs))
        .route("/v1/leave", post(leave))
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_by_that_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(only_root))
        .with_state(office);
    let service = router.into_make_service_with_connect_info::<Peer>();
    axum::serve(listener, service).with_graceful_shutdown(leaving).await
}

/// Who this program is: the file it was started from.
pub fn program() -> io::Result<Program> {
    let file = fs::metadata("/proc/self/exe")?;
    let modified = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
    Ok(Program { device: file.dev(), inode: file.ino(), modified })
}

/// Who this supervisor is.
pub fn hello(stack: StackName) -> io::Result<Hello> {
    let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
    Ok(Hello { api: API, version, pid, stack, program: program()? })
}

/// The other end of a connection, by the kernel's word.
#[derive(Debug, Clone)]
struct Peer(Option<UCred>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok())
    }
}

/// The socket's mode keeps others out; this keeps out who was handed it.
async fn only_root(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    let own = nix::unistd::geteuid().as_raw();
    match peer.0 {
        Some(peer) if peer.uid() == 0 || peer.uid() == own => next.run(request).await,
        _ => Wrong::new("only root may ask").answer(StatusCode::FORBIDDEN),
    }
}

async fn nothing_there(uri: Uri) -> Response {
    let wrong = Wrong::new(format!("there is no `{}`", uri.path()));
    wrong.help(format!("there are {REQUESTS}")).answer(StatusCode::NOT_FOUND)
}

async fn not_by_that_method(method: Method, uri: Uri) -> Response {
    let wrong = Wrong::new(format!("`{}` does not take {method}", uri.path()));
    wrong.help(format!("there are {REQUESTS}")).answer(StatusCode::METHOD_NOT_ALLOWED)
}

async fn version(State(office): State<Office>) -> Json<Hello> {
    Json(office.hello)
}

async fn status(State(office): State<Office>) -> Response {
    let (reply, answer) = oneshot::channel();
    drop(office.messages.send(Message::Status(reply)));
    match answer.await {
        Ok(status) => Json(status).into_response(),
        Err(_) => leaving_now(),
    }
}

async fn stack(State(office): State<Office>) -> Response {
    match Intent::read(&office.world.directories.stack(&office.hello.stack)) {
        Ok(Some(intent)) => Json(intent.stack).into_response(),
        Ok(None) => {
            let wrong = Wrong::new("nothing of the stack shall run");
            wrong.help("`windlass up` says what shall").answer(StatusCode::NOT_FOUND)
        }
        Err(error) => refusal::failed(&error),
    }
}

/// Looks and plans by itself: whoever is at work is not waited for, and nothing is changed.
async fn plan(State(office): State<Office>, body: Result<Bytes, BytesRejection>) -> Response {
    let Proposal { goal } = match refusal::read(body) {
        Ok(proposal) => proposal,
        Err(refused) => return refused,
    };
    if *goal.stack() != office.hello.stack {
        return anothers(&office);
    }
    match look_and_plan(&office.world, &goal).await {
        Ok(plan) => Json(plan).into_response(),
        Err(error) => refusal::failed(&error),
    }
}

fn anothers(office: &Office) -> Response {
    let wrong = Wrong::new(format!("this is the supervisor of `{}`", office.hello.stack));
    wrong.answer(StatusCode::CONFLICT)
}

async fn order(State(office): State<Office>, body: Result<Bytes, BytesRejection>) -> Response {
    let order: Order = match refusal::read(body) {
        Ok(order) => order,
        Err(refused) => return refused,
    };
    if *order.goal.stack() != office.hello.stack {
        return anothers(&office);
    }
    let (replies, said) = mpsc::unbounded_channel::<Said>();
    if office.messages.send(Message::Order(Box::new(order), replies)).is_err() {
        return leaving_now();
    }
    let lines = stream::unfold(said, |mut said| async {
        let line = said.recv().await?;
        Some((line, said))
    });
    let body = Body::from_stream(lines.map(|said| as_line(&said)));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn give_up(
    State(office): State<Office>,
    ticket: Result<InPath<Ticket>, PathRejection>,
) -> Response {
    let Ok(InPath(ticket)) = ticket else {
        let wrong = Wrong::new("a ticket is a number");
        let help = "the first line of the answer to an order has it";
        return wrong.help(help).answer(StatusCode::BAD_REQUEST);
    };
    match office.messages.send(Message::GiveUp(ticket)) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(_) => leaving_now(),
    }
}

async fn events(State(office): State<Office>) -> Response {
    let body = Body::from_stream(heard(office.news.subscribe()));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// Events as they come. A reader that is behind misses the oldest, and is told how many.
fn heard(
    news: broadcast::Receiver<Event>,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::unfold(news, |mut news| async {
        let text = match news.recv().await {
            Ok(event) => {
                let at = jiff::Timestamp::now();
                let event = serde_json::json!({ "at": at.to_string(), "event": event });
                format!("data: {event}\n\n")
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                format!("event: missed\ndata: {missed}\n\n")
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(Bytes::from(text)), news))
    })
}

async fn leave(State(office): State<Office>) -> Response {
    match office.messages.send(Message::Leave) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(_) => leaving_now(),
    }
}

fn leaving_now() -> Response {
    Wrong::new("this supervisor is leaving").answer(StatusCode::SERVICE_UNAVAILABLE)
}

fn as_line(said: &Said) -> serde_json::Result<Bytes> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    Ok(line.into())
}
