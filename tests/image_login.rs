//! Who a registry lets in, and whom we trust: logins where Docker keeps them,
//! credential helpers, private authorities. Against Debian's registry with a
//! password, over TLS and without.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is the failed test; a skipped one says so"
)]

mod image_support {
    #[expect(dead_code, reason = "the tests of images use the rest")]
    pub(crate) mod fixture;
    #[expect(dead_code, reason = "the tests of images use the rest")]
    pub(crate) mod registry;
}

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use image_support::fixture::{Entry, ImageLayout, archive};
use image_support::registry::Registry;
use serde_json::{Value, json};
use windlass::engine::Images;
use windlass::event::Events;
use windlass::image::Store;
use windlass::stack::{ImageSource, Kind};
use windlass::state::Directories;

const IMAGE: &str = "shop/web:1";

/// A pull in a process of its own, because logins and authorities come from
/// the environment.
struct Pull {
    command: Command,
    directory: tempfile::TempDir,
}

impl Pull {
    fn from(registry: &Registry) -> Self {
        Self::by(Command::new(std::env::current_exe().unwrap()), registry)
    }

    /// Started by another program, which ends with its arguments.
    fn by(mut command: Command, registry: &Registry) -> Self {
        command
            .args(["--exact", "pull_what_the_environment_names", "--ignored", "--nocapture"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("IMAGE_TO_PULL", registry.name(IMAGE));
        Self { command, directory: tempfile::tempdir().unwrap() }
    }

    /// With this configuration of Docker's.
    fn configured(mut self, document: &Value) -> Self {
        fs::write(self.directory.path().join("config.json"), document.to_string()).unwrap();
        self.command.env("DOCKER_CONFIG", self.directory.path());
        self
    }

    /// With a credential helper called `test`, which is this script.
    fn helped(mut self, script: &str) -> Self {
        let path = self.directory.path().join("docker-credential-test");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let rest = std::env::var("PATH").unwrap();
        self.command.env("PATH", format!("{}:{rest}", self.directory.path().display()));
        self
    }

    fn trusting(mut self, authority: PathBuf) -> Self {
        self.command.env("SSL_CERT_FILE", authority);
        self
    }

    /// Its last word: `pulled`, or the error with its causes and its help.
    fn word(mut self) -> String {
        let output = self.command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let word = text.lines().find_map(|line| line.strip_prefix("word: "));
        let errors = String::from_utf8_lossy(&output.stderr);
        word.unwrap_or_else(|| panic!("{text}{errors}")).to_owned()
    }
}

/// Not a test of its own: what [`Pull`] runs.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the tests of this file"]
async fn pull_what_the_environment_names() {
    let Ok(name) = std::env::var("IMAGE_TO_PULL") else { return };
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = Store::open(&Directories::new(Some(home.path()), None)).unwrap();
    let (events, _seen) = Events::channel();
    let source = ImageSource::Reference(name);
    let word = match store.fetch(&source, Kind::Container, false, &events).await {
        Ok(_) => "pulled".to_owned(),
        Err(error) => {
            let cause = std::error::Error::source(&error).unwrap().to_string();
            format!("{:?}: {cause}; {}", error.kind, error.help.unwrap_or_default())
        }
    };
    // The harness has begun the line.
    println!("\nword: {word}");
}

fn image() -> ImageLayout {
    let archive = archive(&[Entry::file("program", "")]);
    ImageLayout::new().layer_gzip(&archive).config(r#"{"Cmd":["/program"]}"#)
}

fn locked() -> Option<Registry> {
    let registry = Registry::start_with_login("anna", "geheim")?;
    registry.push(&image(), IMAGE);
    Some(registry)
}

fn login(registry: &Registry, password: &str) -> Value {
    json!({ "auths": { registry.host(): { "username": "anna", "password": password } } })
}

#[test]
fn a_login_from_dockers_configuration_is_used_and_a_wrong_one_is_said() {
    let Some(registry) = locked() else { return };
    let pull = || Pull::from(&registry);
    assert_eq!(pull().configured(&login(&registry, "geheim")).word(), "pulled");
    let wrong = pull().configured(&login(&registry, "falsch")).word();
    assert!(wrong.starts_with("Refused: "), "{wrong}");
    assert!(wrong.contains("the login was not accepted; `docker login 127.0.0.1:"), "{wrong}");
    let none = pull().configured(&json!({})).word();
    assert!(none.contains("it wants a login; `docker login 127.0.0.1:"), "{none}");
}

#[test]
fn credential_helpers_are_asked_and_their_failures_are_said() {
    let Some(registry) = locked() else { return };
    let knows = format!(
        "read -r host; [ \"$1 $host\" = 'get {}' ] || exit 9
         echo '{{\"Username\": \"anna\", \"Secret\": \"geheim\"}}'",
        registry.host()
    );
    let one = json!({ "credHelpers": { registry.host(): "test" } });
    let all = json!({ "credsStore": "test" });
    for configuration in [&one, &all] {
        let pull = || Pull::from(&registry).configured(configuration);
        assert_eq!(pull().helped(&knows).word(), "pulled");
        let nothing = "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1";
        let word = pull().helped(nothing).word();
        assert!(word.contains("it wants a login; "), "{word}");
        let word =
            pull().helped("cat >/dev/null; echo 'the keychain is locked' >&2; exit 1").word();
        assert!(word.contains("says: the keychain is locked"), "{word}");
        let word = pull().word();
        assert!(word.contains("its credential helper cannot be run"), "{word}");
    }
}

#[test]
fn under_sudo_the_login_is_that_of_the_user_who_called() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root is anybody's sudo");
        return;
    }
    let Some(registry) = locked() else { return };
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".docker")).unwrap();
    let document = login(&registry, "geheim").to_string();
    fs::write(home.path().join(".docker/config.json"), document).unwrap();
    let users = home.path().join("passwd");
    let anna = format!("anna:x:4321:4321::{}:/bin/sh\n", home.path().display());
    fs::write(&users, fs::read_to_string("/etc/passwd").unwrap() + &anna).unwrap();
    let as_if = |name: &str| {
        // A user of one mount namespace.
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg(format!("mount --bind {} /etc/passwd && exec \"$@\"", users.display()));
        command.arg("sh").arg(std::env::current_exe().unwrap());
        let mut pull = Pull::by(command, &registry);
        pull.command.env("SUDO_USER", name).env("HOME", "/nonexistent");
        pull.word()
    };
    assert_eq!(as_if("anna"), "pulled");
    assert!(as_if("nobody").contains("it wants a login"));
}

#[test]
fn a_private_authority_is_trusted_where_the_host_trusts_it() {
    let Some(registry) = Registry::start_over_tls("anna", "geheim") else { return };
    registry.push(&image(), IMAGE);
    let pull = || Pull::from(&registry).configured(&login(&registry, "geheim"));
    let word = pull().word();
    assert!(word.starts_with("Refused: the certificate of the server of `127.0.0.1:"), "{word}");
    assert!(word.contains("nobody this host trusts has signed it; "), "{word}");
    assert!(word.contains("update-ca-certificates"), "{word}");
    assert_eq!(pull().trusting(registry.authority()).word(), "pulled");
    let wrong = Pull::from(&registry).configured(&login(&registry, "falsch"));
    let word = wrong.trusting(registry.authority()).word();
    assert!(word.contains("the login was not accepted"), "{word}");
}
