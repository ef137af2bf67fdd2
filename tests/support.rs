//! What tests with real processes share: a state directory of their own that
//! leaves nothing behind, and a root file system made from a static busybox.
#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses a part of it")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::new_without_default,
    reason = "part of the tests, documented by their use"
)]

use std::path::{Path, PathBuf};

use windlass::shim::cgroup::Hierarchies;
use windlass::shim::{Launcher, ProgramPayload};

/// The windlass binary that was built with the tests.
pub fn launcher() -> Launcher {
    Launcher::new(Path::new(env!("CARGO_BIN_EXE_windlass"))).expect("launcher")
}

/// Whether the test can run; says so where it cannot, fails where it must.
pub fn needs_root(engine: &str) -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
    assert!(!required.split(',').any(|name| name == engine), "`{engine}` is required, needs root");
    #[expect(clippy::print_stderr, reason = "the test's own word")]
    {
        eprintln!("skipped: the `{engine}` engine needs root");
    }
    false
}

/// How the groups of tests begin; their process follows.
const PREFIX: &str = "wl-test-";

/// A test that is killed leaves its groups: the next one removes them.
fn clear_after_the_killed() {
    let Ok(hierarchies) = Hierarchies::find() else { return };
    for name in hierarchies.below(Path::new("windlass.slice")) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        let pid = owner.and_then(|(pid, _)| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let cgroup = format!("windlass.slice/{name}/one");
            hierarchies.kill(&cgroup);
            drop(hierarchies.remove(&cgroup));
        }
    }
}

/// A directory and a cgroup that vanish with everything in them, also when the
/// test fails.
pub struct Home {
    pub directory: tempfile::TempDir,
    pub cgroup: String,
}

impl Home {
    pub fn new() -> Self {
        clear_after_the_killed();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let directory = tempfile::Builder::new().prefix(&prefix).tempdir().expect("directory");
        let name = directory.path().file_name().expect("name").to_string_lossy().into_owned();
        Self { directory, cgroup: format!("windlass.slice/{name}/one") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Ok(hierarchies) = Hierarchies::find() {
            hierarchies.kill(&self.cgroup);
            drop(hierarchies.remove(&self.cgroup));
        }
    }
}

/// A program of the host that runs a shell script.
pub fn script(text: &str) -> ProgramPayload {
    ProgramPayload {
        argv: vec!["/bin/sh".into(), "-c".into(), text.into()],
        environment: std::collections::BTreeMap::new(),
        working_directory: "/".into(),
        user: None,
        follow: None,
        says_ready: false,
        dies_with_shim: true,
    }
}

/// A root file system with busybox in it. `None`, said aloud, where there is no
/// static busybox on this host.
pub fn busybox_root(at: &Path) -> bool {
    let bin = at.join("bin");
    std::fs::create_dir_all(&bin).expect("bin");
    for directory in ["etc", "tmp", "data", "dev", "proc", "sys"] {
        std::fs::create_dir_all(at.join(directory)).expect(directory);
    }
    let found = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    let Some(busybox) = found else {
        #[expect(clippy::print_stderr, reason = "the test's own word")]
        {
            eprintln!("skipped: no busybox on this host (`apt-get install busybox-static`)");
        }
        assert!(std::env::var("REQUIRE_ENGINES").is_err(), "busybox-static is required");
        return false;
    };
    std::fs::copy(busybox, bin.join("busybox")).expect("busybox");
    let applets = "sh cat echo ls sleep id env touch chmod mount mknod printf stat hostname \
                   ip ping true false test kill head dd mkdir unshare ps wc tr grep pwd find";
    for applet in applets.split_whitespace() {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("link");
    }
    let passwd = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n";
    std::fs::write(at.join("etc/passwd"), passwd).expect("passwd");
    std::fs::write(at.join("etc/group"), "root:x:0:\nwww:x:34:\nlogs:x:40:web\n").expect("group");
    true
}
