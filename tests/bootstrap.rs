//! Bases from a package mirror, by the real mmdebstrap. They are kept in a cache
//! outside the checkout (`WINDLASS_TEST_CACHE`), so that one run makes them for
//! all that follow.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is the failed test; a skipped one says so"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass::engine::{ErrorKind, Images};
use windlass::event::{Events, What};
use windlass::image::{Boot, DiskFormat, Store};
use windlass::stack::{ImageSource, Kind, Recipe};
use windlass::state::Directories;

fn shared_cache() -> PathBuf {
    std::env::var_os("WINDLASS_TEST_CACHE")
        .map_or_else(|| "/var/cache/windlass-test".into(), PathBuf::from)
}

fn store(home: &Path) -> Store {
    Store::open(&Directories::new(Some(home), Some(&shared_cache()))).unwrap()
}

fn recipe(packages: &[&str]) -> Recipe {
    Recipe {
        suite: "bookworm".into(),
        mirror: None,
        packages: packages.iter().map(|&package| package.to_owned()).collect(),
        components: Vec::new(),
    }
}

/// Whether the test can run; says so when it cannot, and fails where it must.
fn can_bootstrap() -> bool {
    let able = nix::unistd::geteuid().is_root() && Path::new("/usr/bin/mmdebstrap").exists();
    if !able {
        let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
        assert!(required.is_empty(), "mmdebstrap and root are required");
        eprintln!("skipped: needs root and mmdebstrap");
    }
    able
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_recipe_becomes_one_layer_that_is_shared_by_the_next_store() {
    if !can_bootstrap() {
        return;
    }
    let recipe = recipe(&["python3", "python3-psycopg2"]);
    let source = ImageSource::Bootstrap(recipe.clone());
    let (events, _seen) = Events::channel();
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let digest = store(home.path()).build(&recipe, Kind::Container, &events).await.unwrap();

    let image = store(home.path()).container(&digest).unwrap();
    let [layer] = &image.layers[..] else { panic!("{:?}", image.layers) };
    assert!(layer.join("usr/bin/python3").exists());
    assert_eq!(std::fs::read(layer.join("etc/machine-id")).unwrap(), b"");
    assert_eq!(std::fs::read(layer.join("etc/hostname")).unwrap(), b"");
    assert!(!layer.join("dev/null").exists());
    assert_eq!(image.config.cmd().as_deref().unwrap_or_default(), ["/bin/bash"]);

    let other = tempfile::tempdir_in("/var/tmp").unwrap();
    let again = store(other.path()).build(&recipe, Kind::Container, &events).await.unwrap();
    assert_eq!(again, digest);
    let found = store(other.path()).lookup(&source, Kind::Container).await.unwrap();
    assert_eq!(found.as_deref(), Some(digest.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vms_recipe_becomes_a_disk_with_its_kernel() {
    if !can_bootstrap() {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let (events, _seen) = Events::channel();
    let recipe = recipe(&["postgresql"]);
    let digest = store(home.path()).build(&recipe, Kind::Vm, &events).await.unwrap();
    let image = store(home.path()).disk(&digest).unwrap();
    assert_eq!((image.format, image.user.as_str()), (DiskFormat::Qcow2, "debian"));
    assert!(image.os.unwrap().contains("bookworm"));
    assert!(image.virtual_size > 1 << 30);
    let Boot::Direct { kernel, initrd, cmdline } = image.boot else { panic!() };
    assert!(kernel.is_file() && initrd.unwrap().is_file() && image.path.is_file());
    assert!(cmdline.contains("root=/dev/vda rw"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_does_not_exist_is_named_as_apt_names_it() {
    if !can_bootstrap() {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let (events, _seen) = Events::channel();
    let recipe = recipe(&["postgresql-99-imaginary"]);
    let error = store(home.path()).build(&recipe, Kind::Container, &events).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    let said = error.source.to_string();
    assert!(said.contains("Unable to locate package postgresql-99-imaginary"), "{said}");
    assert!(store(home.path()).list().unwrap().is_empty());
}

#[tokio::test]
async fn a_mirror_that_nobody_serves_is_an_error_within_seconds_that_says_what_is_here() {
    let home = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let directories = Directories::new(Some(home.path()), Some(cache.path()));
    let store = Store::open(&directories).unwrap();
    let (events, _seen) = Events::channel();
    let mut recipe = recipe(&[]);
    recipe.mirror = Some("http://127.0.0.1:9/debian".into());
    let build = store.build(&recipe, Kind::Vm, &events);
    let error = tokio::time::timeout(Duration::from_secs(5), build).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.help.unwrap().contains("no image is here yet"));
}

#[tokio::test]
async fn a_recipe_that_apt_would_misread_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (events, _seen) = Events::channel();
    for bad in ["-oDpkg::x=1", "a b", "a,b", ""] {
        let build = store(home.path());
        let error = build.build(&recipe(&[bad]), Kind::Vm, &events).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{bad}");
    }
}

/// Where the catalogue's host is out of reach, as on a machine that only has
/// package mirrors, the same name is built; where it is not, it is downloaded.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_name_works_without_the_catalogues_host() {
    if !can_bootstrap() || std::net::TcpStream::connect("cloud.debian.org:443").is_ok() {
        eprintln!("skipped: needs mmdebstrap, and a host that cannot reach cloud.debian.org");
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = store(home.path());
    let source = ImageSource::Reference("debian:12".into());
    let (events, mut seen) = Events::channel();
    let digest = store.fetch(&source, Kind::Vm, false, &events).await.unwrap();
    assert!(matches!(store.disk(&digest).unwrap().boot, Boot::Direct { .. }));
    drop(events);
    let mut notes = Vec::new();
    while let Some(event) = seen.recv().await {
        if let What::Note { text } = event.what {
            notes.push(text);
        }
    }
    assert!(notes.iter().any(|note| note.contains("built from bookworm's package mirror")));

    let error = store.resolve(&source, Kind::Vm).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.help.unwrap().contains("images here: debian:12"));
    let (events, _seen) = Events::channel();
    assert_eq!(store.fetch(&source, Kind::Vm, true, &events).await.unwrap(), digest);
}
