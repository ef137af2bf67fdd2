//! What is said to a running VM and what it says itself: its word that it is
//! ready, and commands over ssh. It decides nothing and starts no machine.

pub mod command;
pub mod mirror;
pub mod readiness;
pub mod ssh;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::engine::ErrorKind;

/// What can go wrong with a guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A file that the guest's words go to could not be read or watched.
    #[error("cannot {operation} `{path}`", path = path.display())]
    Io {
        /// `read`, `watch`.
        operation: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("cannot reach its sshd at {address}")]
    Unreachable {
        /// Where it was tried.
        address: SocketAddr,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It does not answer in time.
    #[error("its sshd at {address} does not answer")]
    Silent {
        /// Where it was tried.
        address: SocketAddr,
    },
    /// It has not said its keys yet.
    #[error("it has not told its host keys yet: it was never ready")]
    NoHostKeys,
    /// It has no network to be reached over.
    #[error("it has no address")]
    NoAddress,
    /// The machine at its address has other keys than the guest told.
    #[error("the host key at {address} is not the guest's")]
    WrongHostKey {
        /// Where it was tried.
        address: SocketAddr,
    },
    /// Our key was refused.
    #[error("its sshd refuses Windlass' key for `{user}`")]
    Denied {
        /// Whom we wanted to be.
        user: String,
    },
    /// Our own key in the record is damaged.
    #[error("the ssh key in the VM's record is damaged")]
    Key(#[source] russh::keys::Error),
    /// The command was not started.
    #[error("its sshd does not run the command")]
    Refused,
    /// It ended without saying how.
    #[error("the connection broke while the command ran")]
    Broken,
    /// The caller's terminal cannot be used.
    #[error("cannot use the terminal")]
    Terminal(#[source] std::io::Error),
    /// The protocol.
    #[error("ssh failed")]
    Ssh(#[from] russh::Error),
}

impl GuestError {
    /// What callers act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Broken
            | Self::NoHostKeys
            | Self::NoAddress => ErrorKind::Unavailable,
            Self::WrongHostKey { .. } | Self::Denied { .. } => ErrorKind::Refused,
            Self::Refused => ErrorKind::Failed,
            Self::Io { .. } | Self::Key(_) | Self::Terminal(_) | Self::Ssh(_) => ErrorKind::System,
        }
    }

    /// What to do about it, where that is known; `vm` is its name.
    pub(crate) fn help(&self, vm: &str) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::NoHostKeys => format!(
                "`windlass logs {vm}` shows its console; `windlass restart {vm}` boots it again"
            ),
            Self::NoAddress => {
                "commands reach a VM over a network: `networks:` gives it one".to_owned()
            }
            Self::WrongHostKey { .. } => format!(
                "if its keys were made anew, `windlass restart {vm}` has it tell them; \
                 `windlass logs {vm}` shows its console"
            ),
            Self::Denied { .. } => format!(
                "`windlass restart {vm}` writes /etc/ssh/sshd_config.d/00-windlass.conf again, \
                 which lets it in"
            ),
            _ => return None,
        })
    }

    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}
