//! How a command speaks to a supervisor: one connection for each request.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::protocol::{Hello, Order, Said, Status};
use super::queue::Ticket;
use super::server::{Refusal, SOCKET, short_path};
use crate::shim;
use crate::stack::StackName;
use crate::state::Directories;

/// A supervisor begins to answer at once, whatever it is at work on: one that has
/// said nothing for so long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// The supervisor of one stack.
#[derive(Debug, Clone)]
pub struct Client {
    directory: PathBuf,
}

/// Why it could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none, or it has just gone.
    #[error("no supervisor answers")]
    Gone(#[source] io::Error),
    /// It is there and says nothing: stopped by a signal, or stuck.
    #[error("the supervisor{} does not answer", pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Silent {
        /// Its process, where that is known.
        pid: Option<i32>,
    },
    /// The connection broke.
    #[error("the supervisor ended while it was at work")]
    Broken(#[source] hyper::Error),
    /// It ended before it was done.
    #[error("the supervisor ended while it was at work")]
    Unfinished,
    /// It answered something else than was asked.
    #[error("the supervisor answered what this version does not understand")]
    Answer(#[source] serde_json::Error),
    /// It refused.
    #[error("the supervisor refused: {0}")]
    Refused(String),
}

impl ClientError {
    /// What to do about it, where that is known.
    pub fn help(&self) -> Option<String> {
        let Self::Silent { pid } = self else { return None };
        let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
        Some(format!(
            "`kill -CONT {pid}` wakes one that was stopped; `kill -9 {pid}` ends one that is stuck: \
             what it minds goes on, and the same command starts another"
        ))
    }
}

/// Where a supervisor of the stack has its socket.
pub fn directory(directories: &Directories, stack: &StackName) -> PathBuf {
    directories.stack_run(stack).join("supervisor")
}

/// The process of the stack's supervisor, by what its shim says; `None`: there is none.
pub fn process(directories: &Directories, stack: &StackName) -> Option<i32> {
    let alive = shim::look(&directory(directories, stack)).filter(|alive| alive.process)?;
    Some(alive.status.pid)
}

impl Client {
    /// The supervisor of the stack, whether or not there is one.
    pub fn new(directories: &Directories, stack: &StackName) -> Self {
        Self { directory: directory(directories, stack) }
    }

    /// Where its socket lies.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Who answers; `None`: nobody.
    pub async fn hello(&self) -> Result<Option<Hello>, ClientError> {
        match self.get("/v1/version").await {
            Ok(hello) => Ok(Some(hello)),
            Err(ClientError::Gone(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How things are.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Has something done.
    pub async fn order(&self, order: &Order) -> Result<Answer, ClientError> {
        let body = serde_json::to_vec(order).map_err(ClientError::Answer)?;
        let body = self.send(Method::POST, "/v1/orders", body).await?.into_body();
        Ok(Answer { body, heard: Vec::new() })
    }

    /// What happens, as it is said.
    pub async fn events(&self) -> Result<Answer, ClientError> {
        let body = self.send(Method::GET, "/v1/events", Vec::new()).await?.into_body();
        Ok(Answer { body, heard: Vec::new() })
    }

    /// Has an order given up.
    pub async fn give_up(&self, ticket: Ticket) -> Result<(), ClientError> {
        let path = format!("/v1/orders/{ticket}");
        self.send(Method::DELETE, &path, Vec::new()).await.map(drop)
    }

    /// Has it end; workloads go on.
    pub async fn leave(&self) -> Result<(), ClientError> {
        self.send(Method::POST, "/v1/leave", Vec::new()).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.send(Method::GET, path, Vec::new()).await?;
        let body = answer.into_body().collect().await.map_err(no_answer)?;
        serde_json::from_slice(&body.to_bytes()).map_err(ClientError::Answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "windlass")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| ClientError::Refused(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, self.begin(request)).await;
        let answer = answer.map_err(|_| self.silent())??;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            // It is on its way out: as if it had gone already.
            StatusCode::SERVICE_UNAVAILABLE => {
                Err(ClientError::Gone(io::ErrorKind::ConnectionRefused.into()))
            }
            status => {
                let body = answer.into_body().collect().await.map_err(ClientError::Broken)?;
                let text = match serde_json::from_slice::<Refusal>(&body.to_bytes()) {
                    Ok(refusal) => refusal.error.message,
                    Err(_) => status.to_string(),
                };
                Err(ClientError::Refused(text))
            }
        }
    }

    /// Sends it; returns when the answer begins.
    async fn begin(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let directory = File::open(&self.directory).map_err(ClientError::Gone)?;
        let stream = UnixStream::connect(short_path(&directory)).await;
        let stream = stream.map_err(|error| match error.kind() {
            // So many wait already that no more are let in.
            io::ErrorKind::WouldBlock => self.silent(),
            _ => ClientError::Gone(error),
        })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(no_answer)
    }

    /// It is there and says nothing.
    pub(super) fn silent(&self) -> ClientError {
        let alive = shim::look(&self.directory).filter(|alive| alive.process);
        ClientError::Silent { pid: alive.map(|alive| alive.status.pid) }
    }
}

/// It ended before it answered: it is on its way out, or was just killed.
fn no_answer(error: hyper::Error) -> ClientError {
    ClientError::Gone(io::Error::other(error))
}

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    heard: Vec<u8>,
}

impl Answer {
    /// The next thing that is said of an order; an end without a last word is an error.
    pub async fn next(&mut self) -> Result<Said, ClientError> {
        let line = self.line().await?.ok_or(ClientError::Unfinished)?;
        serde_json::from_slice(&line).map_err(ClientError::Answer)
    }

    /// The next line; `None` at the end.
    pub async fn line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.heard.drain(..=end).collect()));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(ClientError::Broken)?;
                    if let Ok(bytes) = frame.into_data() {
                        self.heard.extend_from_slice(&bytes);
                    }
                }
            }
        }
    }
}
