//! Logins for registries, from where `docker login` puts them. Under sudo that
//! is the calling user's file, not root's. It never stores one and never says
//! one.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use docker_credential::DockerCredential;
use nix::unistd::User;
use oci_client::secrets::RegistryAuth;

/// Docker's name for its own registry, in its configuration file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The login for `registry`; anonymous where there is none. Blocks: it may run
/// a credential helper.
pub(super) fn of(registry: &str) -> RegistryAuth {
    let Some(path) = configuration() else { return RegistryAuth::Anonymous };
    let Ok(file) = File::open(&path) else { return RegistryAuth::Anonymous };
    let key = match registry {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        registry => registry,
    };
    match docker_credential::get_credential_from_reader(BufReader::new(file), key) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            RegistryAuth::Basic(user, password)
        }
        // An identity token is traded for an access token as a password is.
        Ok(DockerCredential::IdentityToken(token)) => {
            RegistryAuth::Basic("<token>".to_owned(), token)
        }
        Err(docker_credential::CredentialRetrievalError::NoCredentialConfigured) => {
            RegistryAuth::Anonymous
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), registry, %error, "no login could be read");
            RegistryAuth::Anonymous
        }
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
