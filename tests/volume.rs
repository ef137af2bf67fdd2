//! Volumes on a real disk, with the real qemu-img.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is the failed test; a skipped one says so"
)]

use std::collections::BTreeMap;
use std::fs;

use windlass::engine::{ErrorKind, Volumes};
use windlass::stack::{StackName, Volume, VolumeKind};
use windlass::state::Directories;
use windlass::volume::Store;

const MEBIBYTE: u64 = 1 << 20;

struct World {
    store: Store,
    stack: StackName,
    home: tempfile::TempDir,
}

fn world() -> World {
    let home = tempfile::tempdir().unwrap();
    let store = Store::new(&Directories::new(Some(home.path()), None));
    World { store, stack: StackName::new("shop").unwrap(), home }
}

fn volume(kind: VolumeKind) -> Volume {
    let labels = BTreeMap::from([("team".to_owned(), "db".to_owned())]);
    let (name, resolved) = ("data".to_owned(), "shop_data".to_owned());
    Volume { name, resolved, kind, external: false, labels }
}

fn disk(mebibytes: u64) -> Volume {
    volume(VolumeKind::Disk { size: mebibytes * MEBIBYTE })
}

fn has_qemu_img() -> bool {
    let has = std::process::Command::new("qemu-img").arg("--version").output().is_ok();
    if !has {
        let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
        assert!(!required.contains("qemu"), "qemu-img is required");
        eprintln!("skipped: needs qemu-img");
    }
    has
}

#[tokio::test]
async fn making_a_directory_twice_keeps_what_is_in_it() {
    let World { store, stack, home: _home } = world();
    let wanted = volume(VolumeKind::Directory);
    store.create(&stack, &wanted).await.unwrap();
    fs::write(store.data("shop_data").join("row"), vec![1; 10_000]).unwrap();
    store.create(&stack, &wanted).await.unwrap();
    assert_eq!(fs::read(store.data("shop_data").join("row")).unwrap().len(), 10_000);

    let observed = store.observe(&stack).await.unwrap();
    let [seen] = &observed[..] else { panic!("{observed:?}") };
    assert_eq!((seen.name.as_str(), seen.kind), ("data", VolumeKind::Directory));
    assert!(seen.bytes >= 10_000);
    assert_eq!(store.list().unwrap()[0].record.labels["team"], "db");

    store.remove(&stack, "shop_data").await.unwrap();
    store.remove(&stack, "shop_data").await.unwrap();
    assert!(store.observe(&stack).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    if !has_qemu_img() {
        return;
    }
    let World { store, stack, home: _home } = world();
    store.create(&stack, &disk(8)).await.unwrap();
    let written = fs::metadata(store.disk("shop_data")).unwrap();
    store.create(&stack, &disk(8)).await.unwrap();
    let again = fs::metadata(store.disk("shop_data")).unwrap();
    assert_eq!(written.modified().unwrap(), again.modified().unwrap());

    store.create(&stack, &disk(16)).await.unwrap();
    let size = VolumeKind::Disk { size: 16 * MEBIBYTE };
    assert_eq!(store.observe(&stack).await.unwrap()[0].kind, size);

    let error = store.create(&stack, &disk(8)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(store.observe(&stack).await.unwrap()[0].kind, size);
}

#[tokio::test]
async fn a_creation_that_was_cut_short_is_finished() {
    if !has_qemu_img() {
        return;
    }
    let World { store, stack, home } = world();
    store.create(&stack, &disk(8)).await.unwrap();
    let directory = home.path().join("lib/volumes/shop_data");
    fs::rename(directory.join("disk.qcow2"), directory.join("disk.new")).unwrap();
    fs::write(directory.join("disk.new"), "half").unwrap();
    store.create(&stack, &disk(8)).await.unwrap();
    assert!(fs::read(store.disk("shop_data")).unwrap().starts_with(b"QFI\xfb"));
    assert!(!directory.join("disk.new").exists());
}

#[tokio::test]
async fn an_external_volume_is_only_looked_for() {
    let World { store, stack, home } = world();
    let wanted = Volume { external: true, ..volume(VolumeKind::Directory) };
    let error = store.create(&stack, &wanted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(!home.path().join("lib/volumes/shop_data").exists());

    let other = StackName::new("other").unwrap();
    store.create(&other, &volume(VolumeKind::Directory)).await.unwrap();
    store.create(&stack, &wanted).await.unwrap();
}

#[tokio::test]
async fn another_stacks_volume_is_neither_taken_nor_removed() {
    let World { store, stack, home: _home } = world();
    let other = StackName::new("other").unwrap();
    store.create(&other, &volume(VolumeKind::Directory)).await.unwrap();
    let error = store.create(&stack, &volume(VolumeKind::Directory)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    let error = store.remove(&stack, "shop_data").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(store.observe(&other).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_directory_does_not_become_a_disk() {
    let World { store, stack, home: _home } = world();
    store.create(&stack, &volume(VolumeKind::Directory)).await.unwrap();
    let error = store.create(&stack, &disk(8)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(store.data("shop_data").is_dir());
}

#[tokio::test]
async fn a_name_that_is_a_path_is_refused() {
    let World { store, stack, home } = world();
    let keep = home.path().join("lib/stacks/keep");
    fs::create_dir_all(&keep).unwrap();
    for name in ["../stacks", "..", "a/b", ""] {
        let error = store.remove(&stack, name).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{name}");
    }
    assert!(keep.is_dir());
}
