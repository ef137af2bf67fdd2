//! A state directory, a bridge and an engine for one test, all of them gone
//! afterwards, whatever happened.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use windlass::engine::qemu::Qemu;
use windlass::engine::{Exec, ExecCommand, ExecOutput, Images, Streams, Workloads};
use windlass::event::Events;
use windlass::image::Store;
use windlass::observed::ObservedInstance;
use windlass::plan::{Address, Desired};
use windlass::shim::Launcher;
use windlass::stack::vm::{CloudInit, Document};
use windlass::stack::{
    Definition, ImageSource, InstanceId, Kind, Recipe, Role, StackName, Vm, Workload,
};
use windlass::state::{Directories, InstanceRecord, names};

use super::workloads;

/// Whether the engine is there; says that a test is skipped, or fails, if not.
pub(crate) fn available() -> bool {
    let missing =
        ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "ip"].into_iter().find(|program| {
            Command::new("which").arg(program).output().is_ok_and(|o| !o.status.success())
        });
    let root = rustix::process::geteuid().is_root();
    let reason = match (missing, root) {
        (None, true) => return true,
        (Some(program), _) => format!("`{program}` is not installed"),
        (None, false) => "not root".to_owned(),
    };
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == "qemu"), "qemu is required: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Emulated guests that boot side by side on few cores miss each other's deadlines.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

pub(crate) struct Home {
    directory: tempfile::TempDir,
    pub(crate) directories: Directories,
    pub(crate) engine: Qemu,
    pub(crate) stack: StackName,
    bridge: String,
    subnet: ipnet::Ipv4Net,
    _turn: MutexGuard<'static, ()>,
}

impl Home {
    pub(crate) async fn new(name: &str) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let directory = tempfile::Builder::new().prefix("windlass-qemu-").tempdir().expect("home");
        let directories = Directories::new(Some(directory.path()), Some(&cache()));
        let images = Store::open(&directories).expect("store");
        let (events, _listener) = Events::channel();
        let fetched = images.fetch(&debian(), Kind::Vm, false, &events).await;
        fetched.unwrap_or_else(|error| panic!("{}", Self::chain(&error)));
        let home_id = directories.home_id();
        let engine = engine(&directories);
        let stack = StackName::new(name).expect("stack");
        let bridge = names::bridge(&home_id, &stack, "default");
        let third = u8::from_str_radix(&home_id[..2], 16).expect("hex");
        let subnet: ipnet::Ipv4Net = format!("10.213.{third}.0/24").parse().expect("subnet");
        let home = Self { directory, directories, engine, stack, bridge, subnet, _turn: turn };
        Self::ip(&["link", "add", &home.bridge, "type", "bridge"]);
        Self::ip(&["address", "add", &format!("{}/24", home.host(1)), "dev", &home.bridge]);
        Self::ip(&["link", "set", &home.bridge, "up"]);
        home
    }

    pub(crate) fn host(&self, last: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.subnet.network().octets();
        Ipv4Addr::new(a, b, c, last)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("directory");
        std::fs::write(&path, content).expect("file");
        path
    }

    fn ip(arguments: &[&str]) {
        let done = Command::new("ip").args(arguments).status().expect("ip");
        assert!(done.success(), "ip {arguments:?}");
    }

    /// A VM that is a plain Debian with these documents.
    pub(crate) fn vm(&self, name: &str, documents: &[&str]) -> Desired {
        let id = InstanceId::single(name);
        let home_id = self.directories.home_id();
        let user_data = documents
            .iter()
            .enumerate()
            .map(|(number, body)| Document::new(format!("{number}.yaml"), *body))
            .collect();
        let vm = Vm {
            cpus: 2,
            memory: 768 << 20,
            cloud_init: Some(CloudInit { user_data, ..CloudInit::default() }),
            ..workloads::vm()
        };
        Desired {
            stack: self.stack.clone(),
            id: id.clone(),
            workload: Workload {
                image: debian(),
                stop_grace_period: Duration::from_mins(1),
                ..workloads::workload(name, Role::Vm(Box::new(vm)))
            },
            definition: Definition::default(),
            addresses: vec![Address {
                network: "default".to_owned(),
                bridge: self.bridge.clone(),
                host_interface: names::interface(&home_id, &self.stack, &id, "default"),
                ipv4: self.host(2),
                subnet: self.subnet,
                gateway: self.host(1),
                default_route: true,
                mac: names::mac(&home_id, &self.stack, &id, "default"),
                mtu: 1500,
            }],
            hostname: name.to_owned(),
            volumes: BTreeMap::new(),
            search_domain: format!("{}.windlass.internal", self.stack),
            rerun_cloud_init: false,
        }
    }

    pub(crate) async fn all(&self) -> Vec<ObservedInstance> {
        let records = InstanceRecord::of_stack(&self.directories, &self.stack).expect("records");
        self.engine.observe(&self.stack, &records).await.expect("observe")
    }

    pub(crate) async fn observed(&self, id: &InstanceId) -> ObservedInstance {
        let all = self.all().await;
        all.into_iter().find(|instance| instance.id == *id).expect("the VM is seen")
    }

    /// What a shell line in the VM says, and its exit code.
    pub(crate) async fn say(&self, id: &InstanceId, line: &str) -> ExecOutput {
        let command = ExecCommand {
            argv: ["sh", "-c", line].map(str::to_owned).to_vec(),
            streams: Streams::Capture,
            ..ExecCommand::default()
        };
        Exec::exec(&self.engine, &self.stack, id, &command).await.expect("exec")
    }

    /// The whole chain of causes.
    pub(crate) fn chain(error: &dyn std::error::Error) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Only what carries this home's run directory, by number.
        for entry in walk(&self.directories.run) {
            let Ok(text) = std::fs::read(entry) else { continue };
            let Ok(status) = serde_json::from_slice::<serde_json::Value>(&text) else { continue };
            for key in ["pid", "shim_pid"] {
                let number = status[key].as_i64().and_then(|pid| i32::try_from(pid).ok());
                if let Some(pid) = number.and_then(rustix::process::Pid::from_raw) {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        drop(Command::new("ip").args(["link", "delete", &self.bridge]).status());
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let paths = entries.map(|entry| entry.path());
    paths
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .filter(|path| path.ends_with("status.json"))
        .collect()
}

/// An engine over these directories.
pub(crate) fn engine(directories: &Directories) -> Qemu {
    let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
    let launcher = Arc::new(Launcher::new(program).expect("launcher"));
    let images = Arc::new(Store::open(directories).expect("store"));
    Qemu::new(directories.clone(), directories.home_id(), launcher, images)
}

/// Bases that take a minute to build are shared by all tests of the host.
fn cache() -> PathBuf {
    std::env::var_os("WINDLASS_TEST_CACHE")
        .map_or_else(|| "/var/cache/windlass-test".into(), PathBuf::from)
}

/// What the image store bootstraps for a VM: Debian 12 with cloud-init.
pub(crate) fn debian() -> ImageSource {
    ImageSource::Bootstrap(Recipe {
        suite: "bookworm".to_owned(),
        mirror: None,
        packages: Vec::new(),
        components: Vec::new(),
    })
}
