//! Logins for registries, from where `docker login` puts them. Under sudo that
//! is the calling user's file, not root's. It never stores one and never says
//! one.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use docker_credential::{CredentialRetrievalError, DockerCredential};
use nix::unistd::User;
use oci_client::secrets::RegistryAuth;

/// Docker's name for its own registry, in its configuration file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A login, or why there is none.
#[derive(Clone)]
pub(super) struct Login {
    /// What the registry is told.
    pub(super) auth: RegistryAuth,
    /// Why a login that is configured could not be had.
    pub(super) missing: Option<String>,
}

/// The login for `registry`; anonymous where there is none. Blocks: it may run
/// a credential helper.
pub(super) fn of(registry: &str) -> Login {
    let anonymous = |missing| Login { auth: RegistryAuth::Anonymous, missing };
    let Some(path) = configuration() else { return anonymous(None) };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return anonymous(None),
        Err(error) => return anonymous(Some(format!("`{}`: {error}", path.display()))),
    };
    let key = match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        registry => registry,
    };
    let login = |user, password| Login { auth: RegistryAuth::Basic(user, password), missing: None };
    match docker_credential::get_credential_from_reader(BufReader::new(file), key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => login(user, password),
        // An identity token is traded for an access token as a password is.
        Ok(DockerCredential::IdentityToken(token)) => login("<token>".to_owned(), token),
        Err(error) => anonymous(reason(&error).map(|why| format!("`{}`: {why}", path.display()))),
    }
}

/// Why there is no login; `None`: nobody has stored one.
fn reason(error: &CredentialRetrievalError) -> Option<String> {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => None,
        CredentialRetrievalError::HelperFailure { helper, stdout, stderr } => {
            // The word that Docker's own helpers have for it.
            let said = if stdout.trim().is_empty() { stderr } else { stdout }.trim();
            (!said.contains("credentials not found")).then(|| format!("`{helper}` says: {said}"))
        }
        CredentialRetrievalError::HelperCommunicationError => {
            Some("its credential helper cannot be run".to_owned())
        }
        other => Some(other.to_string()),
    }
}

fn configuration() -> Option<PathBuf> {
    if let Some(directory) = std::env::var_os("DOCKER_CONFIG") {
        return Some(PathBuf::from(directory).join("config.json"));
    }
    let of_caller = std::env::var("SUDO_USER")
        .ok()
        .filter(|_| nix::unistd::geteuid().is_root())
        .and_then(|name| User::from_name(&name).ok().flatten())
        .map(|user| user.dir);
    let home = of_caller.or_else(|| std::env::var_os("HOME").map(PathBuf::from))?;
    Some(home.join(".docker/config.json"))
}
