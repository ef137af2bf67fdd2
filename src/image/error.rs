//! What can go wrong with images, and what a caller or a reader does about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::{EngineError, ErrorKind};
use crate::stack::ImageSource;
use crate::state::StateError;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No image with this name or digest.
    #[error("no image `{name}` here")]
    NotHere {
        /// What was asked for.
        name: String,
    },
    /// A file of the store could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file or directory could not be worked on.
    #[error("cannot {operation} `{path}`", path = path.display())]
    Io {
        /// A verb: `read`, `unpack into`.
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What is written as an image's name is none.
    #[error("`{text}` is not an image reference")]
    Reference {
        /// As written.
        text: String,
        /// Why.
        source: oci_client::ParseError,
    },
    /// The registry, mirror or server does not answer.
    #[error("cannot reach the registry of `{name}` ({how})")]
    Unreachable {
        /// The image, as written.
        name: String,
        /// `connect failed after 3 s`.
        how: String,
        /// Names of images that are here.
        here: Vec<String>,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server's certificate is not accepted.
    #[error("the certificate of the server of `{name}` is not trusted: {why}")]
    Untrusted {
        /// The image, as written.
        name: String,
        /// Why not.
        why: Distrust,
    },
    /// The registry answers and has no such image.
    #[error("the registry `{registry}` has no image `{name}`")]
    Unknown {
        /// The image, as written.
        name: String,
        /// Who was asked.
        registry: String,
    },
    /// The registry does not let us in.
    #[error("the registry `{registry}` refuses `{name}`: {why}")]
    Denied {
        /// The image, as written.
        name: String,
        /// Who was asked.
        registry: String,
        /// `it wants a login`, `the login was not accepted`.
        why: String,
    },
    /// The registry said something else.
    #[error("the registry of `{name}` failed")]
    Registry {
        /// The image, as written.
        name: String,
        /// What the client said.
        source: Box<oci_client::errors::OciDistributionError>,
    },
    /// The image exists for other machines only.
    #[error("`{name}` has no variant for linux/amd64")]
    Platform {
        /// The image, as written.
        name: String,
    },
    /// What came is not what was announced.
    #[error("{what} is damaged: {found} instead of {expected}")]
    Mismatch {
        /// `a layer of nginx:1.27`.
        what: String,
        /// Digest or size that was announced.
        expected: String,
        /// Digest or size that came.
        found: String,
    },
    /// An archive reaches outside itself.
    #[error("the archive is hostile: {reason}")]
    Hostile {
        /// What it tried, naming the entry.
        reason: String,
    },
    /// A file is not what it was taken for.
    #[error("`{name}` is not an image that can be used: {reason}")]
    Unusable {
        /// The file, or the image's name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A JSON document of an image cannot be understood.
    #[error("{what} cannot be understood")]
    Document {
        /// `the manifest of nginx:1.27`.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Unpacking would fill the disk.
    #[error("no room for it in `{path}`: {free} bytes would be left", path = path.display())]
    NoRoom {
        /// Where it was unpacked.
        path: PathBuf,
        /// What is free there.
        free: u64,
    },
    /// A program that is needed is not installed.
    #[error("`{program}` is not installed")]
    ProgramMissing {
        /// The program.
        program: &'static str,
        /// The package that brings it.
        package: &'static str,
    },
    /// A file that a program needs is not installed.
    #[error("the archive keys of `{suite}` are not installed")]
    KeyringMissing {
        /// The suite they are for.
        suite: String,
        /// The package that brings them.
        package: &'static str,
    },
    /// A program that was run failed.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: &'static str,
        /// The lines of its log that say why.
        said: String,
    },
    /// A VM's image that the catalogue does not know.
    #[error("the catalogue has no image `{name}`")]
    NotInCatalogue {
        /// As written.
        name: String,
        /// A name that was probably meant.
        meant: Option<&'static str>,
    },
    /// A suite that no distribution we know has.
    #[error("`{suite}` is not a suite that can be bootstrapped")]
    Suite {
        /// As written.
        suite: String,
        /// A suite that was probably meant.
        meant: Option<&'static str>,
    },
    /// The image cannot be used for that kind of workload.
    #[error("`{name}` cannot be the image of a {kind}")]
    WrongKind {
        /// The image.
        name: String,
        /// What it was wanted for.
        kind: crate::stack::Kind,
    },
    /// Something is made from the image.
    #[error("`{name}` is in use by {users}", users = users.join(", "))]
    InUse {
        /// The image.
        name: String,
        /// What is made from it.
        users: Vec<String>,
    },
    /// A server's answer to a download.
    #[error("`{url}` cannot be downloaded (HTTP {status})")]
    Status {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
    },
    /// A download broke off.
    #[error("`{url}` cannot be downloaded")]
    Download {
        /// The address.
        url: String,
        /// What the client said.
        source: reqwest::Error,
    },
    /// A URL that cannot be used.
    #[error("`{url}` is not a URL that images come from")]
    Url {
        /// As written.
        url: String,
    },
    /// A part of our own ended without an answer.
    #[error("the work was cut short")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// Why a certificate is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// Its authority is none of this host's.
    #[error("nobody this host trusts has signed it")]
    Unknown,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It names other servers.
    #[error("it is for another name")]
    OtherName,
    /// It cannot be used at all.
    #[error("{0}")]
    Damaged(rustls::CertificateError),
}

impl ImageError {
    /// Wraps what the kernel said about `path`.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source }
    }

    /// What callers act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotHere { .. } | Self::Unknown { .. } => ErrorKind::NotFound,
            Self::State(StateError::Io { source, .. }) | Self::Io { source, .. } => of_io(source),
            Self::NoRoom { .. } => ErrorKind::DiskFull,
            Self::Unreachable { .. }
            | Self::ProgramMissing { .. }
            | Self::KeyringMissing { .. }
            | Self::Download { .. } => ErrorKind::Unavailable,
            Self::InUse { .. }
            | Self::Hostile { .. }
            | Self::Denied { .. }
            | Self::Untrusted { .. } => ErrorKind::Refused,
            Self::Reference { .. }
            | Self::Platform { .. }
            | Self::Unusable { .. }
            | Self::NotInCatalogue { .. }
            | Self::Suite { .. }
            | Self::WrongKind { .. }
            | Self::Url { .. } => ErrorKind::Invalid,
            Self::Registry { .. }
            | Self::Mismatch { .. }
            | Self::Document { .. }
            | Self::Program { .. }
            | Self::Status { .. } => ErrorKind::Failed,
            Self::State(_) | Self::Interrupted(_) => ErrorKind::System,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { here, .. } if here.is_empty() => {
                "no image is here yet; `build.bootstrap` makes one from your mirror".to_owned()
            }
            Self::Unreachable { here, .. } => format!(
                "images here: {}; `build.bootstrap` makes one from your mirror",
                here.join(", ")
            ),
            Self::Untrusted { why: Distrust::Unknown, .. } => {
                "put the authority's certificate into `/usr/local/share/ca-certificates/NAME.crt` \
                 and run `update-ca-certificates`, or name its file in `SSL_CERT_FILE`"
                    .to_owned()
            }
            Self::Unknown { name, .. } => format!("check the spelling and the tag of `{name}`"),
            Self::Denied { registry, .. } => format!("`docker login {registry}` stores a login"),
            Self::ProgramMissing { package, .. } | Self::KeyringMissing { package, .. } => {
                format!("`apt-get install {package}`")
            }
            Self::NotInCatalogue { meant: Some(meant), .. }
            | Self::Suite { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::NotInCatalogue { .. } => format!(
                "the catalogue has {}; a path, a URL with `sha256` or `build.bootstrap` work too",
                super::catalogue::names().collect::<Vec<_>>().join(", ")
            ),
            Self::InUse { .. } => "remove what is made from it first".to_owned(),
            _ if self.kind() == ErrorKind::DiskFull => {
                "`windlass prune` removes images that nothing uses".to_owned()
            }
            _ => return None,
        })
    }

    /// The error as an engine's call gives it.
    pub(super) fn of(self, operation: &'static str, source: &ImageSource) -> EngineError {
        let (kind, help) = (self.kind(), self.help());
        let error = EngineError::new("image", operation, format!("image {source}"), kind, self);
        match help {
            Some(help) => error.with_help(help),
            None => error,
        }
    }
}

fn of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::System,
    }
}
