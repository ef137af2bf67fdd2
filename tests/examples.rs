//! Every example is read, and its plan on a host that has nothing of it yet is
//! what is written down here. They come up for real in the demo and scenarios.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use windlass::facts::Facts;
use windlass::observed::Observed;
use windlass::plan::display::Screen;
use windlass::plan::{Options, plan};
use windlass::spec::{Disk, find};
use windlass::stack::{Read, read};

/// The directories below `examples/`.
fn examples() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = std::fs::read_dir(root).expect("examples are there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("read").path()).collect();
    paths.sort();
    paths
}

fn stack_of(example: &Path) -> Read {
    let source = find(example, &[], &BTreeMap::new(), &Disk).expect("it has a stack file");
    read(&source, &Disk).unwrap_or_else(|failed| {
        panic!("{}", failed.diagnostics.render(&failed.sources, false));
    })
}

/// A host with room and nothing on it.
fn facts() -> Facts {
    Facts {
        home_id: "00000000".into(),
        memory_total: 16 << 30,
        memory_available: 12 << 30,
        mtu: 1500,
        ..Facts::default()
    }
}

#[test]
fn each_is_read_without_a_warning_and_planned() {
    for example in examples() {
        let name = example.file_name().expect("a name").to_string_lossy().into_owned();
        let read = stack_of(&example);
        assert!(read.warnings.is_empty(), "{}", read.warnings.render(&read.sources, false));
        assert_eq!(read.stack.name.as_str(), name, "an example is called as its directory");
        let plan = plan(&read.stack, &Observed::default(), &facts(), &Options::default());
        assert!(plan.blocked.is_empty(), "{:?}", plan.blocked);
        let screen = Screen { stack: &name, file: "windlass.yaml", ascii: false };
        insta::assert_snapshot!(name.clone(), screen.plan(&plan));
    }
}

#[test]
fn what_they_mount_is_there() {
    use windlass::stack::MountSource;
    for example in examples() {
        for workload in stack_of(&example).stack.workloads.values() {
            for mount in &workload.mounts {
                if let MountSource::Bind { path, .. } = &mount.source {
                    assert!(path.exists(), "`{}` mounts {}", workload.name, path.display());
                }
            }
        }
    }
}

#[test]
fn none_needs_more_than_package_mirrors() {
    use windlass::stack::ImageSource;
    for example in examples() {
        for workload in stack_of(&example).stack.workloads.values() {
            let from_mirror = matches!(workload.image, ImageSource::Bootstrap(_));
            assert!(
                from_mirror,
                "`{}` of {} takes {}",
                workload.name,
                example.display(),
                workload.image
            );
        }
    }
}
