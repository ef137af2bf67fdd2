//! A real registry of the test's own, on loopback, that ends with it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use super::fixture::ImageLayout;

pub(crate) struct Registry {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
    login: Option<(String, String)>,
    secure: bool,
    log: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    /// `None`, said, where the programs are not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::serve(None, false)
    }

    /// One that lets nobody in without this login.
    pub(crate) fn start_with_login(user: &str, password: &str) -> Option<Self> {
        Self::serve(Some((user.to_owned(), password.to_owned())), false)
    }

    /// The same over TLS, by an authority that nobody knows.
    pub(crate) fn start_over_tls(user: &str, password: &str) -> Option<Self> {
        Self::serve(Some((user.to_owned(), password.to_owned())), true)
    }

    fn serve(login: Option<(String, String)>, secure: bool) -> Option<Self> {
        let missing = ["docker-registry", "skopeo"]
            .into_iter()
            .find(|program| Command::new(program).arg("--version").output().is_err());
        if let Some(program) = missing {
            let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
            assert!(!required.contains("embedded"), "{program} is required");
            eprintln!("skipped: needs {program}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut configuration = format!(
            "version: 0.1\nlog: {{ level: info }}\n\
             storage: {{ filesystem: {{ rootdirectory: {0}/data }} }}\n\
             http:\n  addr: '127.0.0.1:{port}'\n",
            directory.path().display()
        );
        if secure {
            certify(directory.path());
            let at = directory.path().display();
            let tls = format!("  tls: {{ certificate: {at}/server.pem, key: {at}/server.key }}\n");
            configuration.push_str(&tls);
        }
        if let Some((user, password)) = &login {
            let path = directory.path().join("passwords");
            fs::write(&path, format!("{user}:{}\n", bcrypt(password))).unwrap();
            let path = path.display();
            let auth = format!("auth: {{ htpasswd: {{ realm: test, path: {path} }} }}\n");
            configuration.push_str(&auth);
        }
        let path = directory.path().join("config.yml");
        fs::write(&path, configuration).unwrap();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (listens, listening) = mpsc::channel();
        let (stderr, kept) = (child.stderr.take().unwrap(), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("listening on") {
                    let _ = listens.send(());
                }
                kept.lock().unwrap().push(line);
            }
        });
        let registry = Self { child, directory, port, login, secure, log };
        listening.recv().unwrap_or_else(|_| panic!("{:?}", registry.log.lock().unwrap()));
        Some(registry)
    }

    /// The image's name in this registry.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.host())
    }

    /// Pushes the image; the path of its lowest layer's blob.
    pub(crate) fn push(&self, layout: &ImageLayout, image: &str) -> PathBuf {
        let directory = tempfile::tempdir().unwrap();
        let path = layout.write(directory.path());
        let mut arguments = vec!["copy".to_owned(), "--dest-tls-verify=false".to_owned()];
        if let Some((user, password)) = &self.login {
            arguments.push(format!("--dest-creds={user}:{password}"));
        }
        arguments.push(format!("oci:{}", path.display()));
        arguments.push(format!("docker://{}", self.name(image)));
        skopeo(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let digest = layout.first_blob();
        let blobs = self.directory.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&digest[..2]).join(digest).join("data")
    }

    /// From here on requests count.
    pub(crate) fn forget_requests(&self) {
        self.log.lock().unwrap().clear();
    }

    /// How many blobs were sent.
    pub(crate) fn blobs_served(&self) -> usize {
        let is_blob = |line: &&String| {
            line.contains("response completed")
                && line.contains("http.request.method=GET")
                && line.contains("/blobs/")
        };
        self.log.lock().unwrap().iter().filter(is_blob).count()
    }

    /// Where it is: the key of its login.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The certificate of the authority that signed its own.
    pub(crate) fn authority(&self) -> PathBuf {
        assert!(self.secure);
        self.directory.path().join("ca.pem")
    }
}

/// An authority's certificate, and one it has signed for 127.0.0.1.
fn certify(directory: &Path) {
    let script = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj '/CN=Test authority' -keyout ca.key -out ca.pem
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj '/CN=registry' -keyout server.key -out server.csr
        printf 'subjectAltName=IP:127.0.0.1' > names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
            -days 2 -extfile names -out server.pem";
    let output = Command::new("sh").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn skopeo(arguments: &[&str]) {
    let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The registry takes bcrypt alone; Perl's crypt knows it.
fn bcrypt(password: &str) -> String {
    let program = "print crypt($ARGV[0], '$2b$04$abcdefghijklmnopqrstuu')";
    let output = Command::new("perl").args(["-e", program, password]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
