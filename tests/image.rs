//! Container images and disks by way of a real registry, archives and files,
//! honest and hostile.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed unwrap is the failed test; a skipped one says so"
)]

mod image_support {
    pub(crate) mod fixture;
    #[expect(dead_code, reason = "the tests of logins use the rest")]
    pub(crate) mod registry;
    pub(crate) mod server;
}

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use image_support::fixture::{Entry, ImageLayout, archive};
use image_support::registry::Registry;
use image_support::server::{Certificate, FileServer};
use windlass::engine::{EngineError, ErrorKind, Images};
use windlass::event::Events;
use windlass::image::{Boot, DiskFormat, Store, Users};
use windlass::stack::{ImageSource, Kind};
use windlass::state::Directories;

struct World {
    store: Store,
    directories: Directories,
    events: Events,
    home: tempfile::TempDir,
}

fn world() -> World {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let directories = Directories::new(Some(home.path()), None);
    let (events, _seen) = Events::channel();
    World { store: Store::open(&directories).unwrap(), directories, events, home }
}

impl World {
    async fn pull(&self, name: &str) -> Result<String, EngineError> {
        let source = ImageSource::Reference(name.to_owned());
        self.store.fetch(&source, Kind::Container, false, &self.events).await
    }

    async fn import(&self, path: &Path, kind: Kind) -> Result<String, EngineError> {
        self.store.import(path, kind, &self.events).await
    }

    /// What is in the store when nothing of a fetch was kept.
    fn assert_nothing_kept(&self) {
        assert!(self.store.list().unwrap().is_empty());
        for part in ["images", "layers", "tmp", "refs"] {
            let path = self.directories.images().join(part);
            let left: Vec<_> = fs::read_dir(&path)
                .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
                .unwrap_or_default();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// Everything an error says, as a reader sees it.
fn said(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut source: Option<&dyn std::error::Error> = Some(&*error.source);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// The archives of two layers, lowest first.
fn archives() -> [Vec<u8>; 2] {
    let lower = archive(&[
        Entry::directory("etc"),
        Entry::file("etc/motd", "below").mode(0o4755).owner(7, 8),
        Entry::file("etc/gone", "gone"),
        Entry::directory("var"),
        Entry::file("var/old", "old"),
        Entry::symlink("etc/outside", "/etc/passwd"),
        Entry::hard_link("etc/twin", "etc/motd"),
    ]);
    let upper = archive(&[
        Entry::directory("etc"),
        Entry::file("etc/.wh.gone", ""),
        Entry::directory("var"),
        Entry::file("var/.wh..wh..opq", ""),
        Entry::file("var/new", "new"),
    ]);
    [lower, upper]
}

const CONFIG: &str = r#"{"Cmd":["/bin/x"],"Healthcheck":{"Test":["CMD","y"]}}"#;

fn two_layers() -> ImageLayout {
    let [lower, upper] = archives();
    ImageLayout::new().layer_gzip(&lower).layer_zstd(&upper).config(CONFIG)
}

fn assert_two_layers(store: &Store, digest: &str) {
    let image = store.container(digest).unwrap();
    assert!(image.healthcheck.is_some());
    let [upper, lower] = &image.layers[..] else { panic!("{:?}", image.layers) };
    let motd = fs::metadata(lower.join("etc/motd")).unwrap();
    assert_eq!(fs::read_to_string(lower.join("etc/motd")).unwrap(), "below");
    assert_eq!((motd.mode() & 0o7777, motd.uid(), motd.gid()), (0o4755, 7, 8));
    assert_eq!(motd.ino(), fs::metadata(lower.join("etc/twin")).unwrap().ino());
    assert_eq!(fs::read_link(lower.join("etc/outside")).unwrap(), Path::new("/etc/passwd"));
    let whiteout = fs::symlink_metadata(upper.join("etc/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut opaque = [0; 8];
    let path = upper.join("var");
    let count = rustix::fs::getxattr(&path, "trusted.overlay.opaque", &mut opaque[..]).unwrap();
    assert_eq!(&opaque[..count], b"y");
    assert_eq!(image.config.cmd().as_deref().unwrap_or_default(), ["/bin/x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_and_pinned_until_a_refresh_is_asked_for() {
    let Some(registry) = Registry::start() else { return };
    let world = world();
    let name = registry.name("shop/web:1");
    registry.push(&two_layers(), "shop/web:1");
    let digest = world.pull(&name).await.unwrap();
    assert_two_layers(&world.store, &digest);
    assert_eq!(world.store.list().unwrap()[0].names, std::slice::from_ref(&name));

    let other = ImageLayout::new().layer_gzip(&archive(&[Entry::file("new", "1")]));
    registry.push(&other, "shop/web:1");
    assert_eq!(world.pull(&name).await.unwrap(), digest);
    let source = ImageSource::Reference(name);
    let now = world.store.resolve(&source, Kind::Container).await.unwrap();
    assert_ne!(now, digest);
    let fetched = world.store.fetch(&source, Kind::Container, true, &world.events).await.unwrap();
    assert_eq!(fetched, now);
    let found = world.store.lookup(&source, Kind::Container).await.unwrap();
    assert_eq!(found, Some(now));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_stores_that_pull_the_same_at_once_fetch_each_blob_once() {
    let Some(registry) = Registry::start() else { return };
    let world = world();
    registry.push(&two_layers(), "shop/web:1");
    registry.forget_requests();
    let name = registry.name("shop/web:1");
    let other = World { store: Store::open(&world.directories).unwrap(), ..self::world() };
    let (first, second) = tokio::join!(world.pull(&name), other.pull(&name));
    assert_eq!(first.unwrap(), second.unwrap());
    // Two layers and the configuration.
    assert_eq!(registry.blobs_served(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_exist_is_told_from_one_that_is_not_allowed() {
    let Some(registry) = Registry::start() else { return };
    let world = world();
    let error = world.pull(&registry.name("nobody/nothing:1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(said(&error).contains("has no image"), "{}", said(&error));

    let Some(locked) = Registry::start_with_login("anna", "geheim") else { return };
    locked.push(&two_layers(), "shop/web:1");
    let error = world.pull(&locked.name("shop/web:1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(said(&error).contains("it wants a login"), "{}", said(&error));
    world.assert_nothing_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_is_an_error_within_seconds_that_says_what_is_here() {
    let world = world();
    let layout = two_layers().write(&world.home.path().join("local"));
    world.import(&layout, Kind::Container).await.unwrap();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // The first refuses, the second never answers.
    for registry in ["127.0.0.1:9".to_owned(), silent.local_addr().unwrap().to_string()] {
        let started = Instant::now();
        let error = world.pull(&format!("{registry}/shop/web:1")).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(said(&error).contains("cannot reach the registry of"), "{}", said(&error));
        assert!(error.help.unwrap().contains("/local"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_was_cut_short_or_changed_never_becomes_an_image() {
    let Some(registry) = Registry::start() else { return };
    let world = world();
    let blob = registry.push(&two_layers(), "shop/web:1");
    let whole = fs::read(&blob).unwrap();
    fs::write(&blob, &whole[..whole.len() / 2]).unwrap();
    let error = world.pull(&registry.name("shop/web:1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{}", said(&error));

    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    fs::write(&blob, changed).unwrap();
    let error = world.pull(&registry.name("shop/web:1")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{}", said(&error));
    assert!(world.store.list().unwrap().is_empty());

    fs::write(&blob, whole).unwrap();
    let digest = world.pull(&registry.name("shop/web:1")).await.unwrap();
    assert_two_layers(&world.store, &digest);
}

#[tokio::test]
async fn a_layout_and_its_archive_are_the_same_image() {
    let world = world();
    let layout = two_layers().write(&world.home.path().join("layout"));
    let digest = world.import(&layout, Kind::Container).await.unwrap();
    assert_two_layers(&world.store, &digest);
    let packed = world.home.path().join("layout.tar.gz");
    let tar = Command::new("tar").arg("-czf").arg(&packed).arg("-C").arg(&layout).arg(".").status();
    assert!(tar.unwrap().success());
    assert_eq!(world.import(&packed, Kind::Container).await.unwrap(), digest);

    let half = world.home.path().join("half.tar.gz");
    let bytes = fs::read(&packed).unwrap();
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let error = world.import(&half, Kind::Container).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{}", said(&error));
}

#[tokio::test]
async fn what_docker_save_writes_is_imported() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("skipped: needs skopeo");
        return;
    }
    let world = world();
    // Docker's own archives know no zstd.
    let [lower, upper] = archives();
    let layout = ImageLayout::new().layer_gzip(&lower).layer_gzip(&upper).config(CONFIG);
    let layout = layout.write(&world.home.path().join("layout"));
    let saved = world.home.path().join("saved.tar");
    image_support::registry::skopeo(&[
        "copy",
        &format!("oci:{}", layout.display()),
        &format!("docker-archive:{}:shop/web:1", saved.display()),
    ]);
    let digest = world.import(&saved, Kind::Container).await.unwrap();
    assert_two_layers(&world.store, &digest);
}

#[tokio::test]
async fn hostile_archives_reach_nothing_outside_their_layer() {
    let world = world();
    let victim = world.home.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    let hostile = [
        vec![Entry::file("../victim", "x")],
        vec![Entry::file("a/../../victim", "x")],
        vec![Entry::hard_link("mine", "../victim")],
        vec![Entry::hard_link("mine", victim.to_str().unwrap())],
        vec![Entry::hard_link("mine", "/etc/passwd")],
        vec![Entry::file("etc/.wh...", "")],
        vec![Entry::file("etc/.wh.", "")],
    ];
    for (number, entries) in hostile.iter().enumerate() {
        let layout = ImageLayout::new().layer_plain(&archive(entries));
        let path = layout.write(&world.home.path().join(number.to_string()));
        let error = world.import(&path, Kind::Container).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Refused, "{number}: {}", said(&error));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    }
    world.assert_nothing_kept();
}

#[tokio::test]
async fn links_that_lead_out_are_kept_as_text_and_lead_no_write_out() {
    let world = world();
    let target = world.home.path().join("target");
    fs::create_dir(&target).unwrap();
    let layout = ImageLayout::new().layer_plain(&archive(&[
        Entry::symlink("absolute", target.to_str().unwrap()),
        Entry::directory(target.to_str().unwrap().trim_start_matches('/')),
        Entry::file("absolute/file", "within"),
        Entry::symlink("file", "/etc/shadow"),
        Entry::file("file", "replaced"),
        Entry::device("dev/sda"),
        Entry::file("/rooted", "within"),
    ]));
    let path = layout.write(&world.home.path().join("layout"));
    let digest = world.import(&path, Kind::Container).await.unwrap();
    let layer = world.store.container(&digest).unwrap().layers[0].clone();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    let within = layer.join(target.strip_prefix("/").unwrap()).join("file");
    assert_eq!(fs::read_to_string(within).unwrap(), "within");
    assert_eq!(fs::read_to_string(layer.join("file")).unwrap(), "replaced");
    assert_eq!(fs::read_to_string(layer.join("rooted")).unwrap(), "within");
    assert!(fs::symlink_metadata(layer.join("dev/sda")).is_err());
}

#[tokio::test]
async fn an_archives_links_do_not_show_files_of_the_hosts_as_its_own() {
    let world = world();
    let secret = world.home.path().join("secret.json");
    let honest = two_layers().write(&world.home.path().join("honest"));
    fs::copy(honest.join("index.json"), &secret).unwrap();
    let hostile = world.home.path().join("hostile");
    let copied = Command::new("cp").arg("-a").arg(&honest).arg(&hostile).status();
    assert!(copied.unwrap().success());
    fs::remove_file(hostile.join("index.json")).unwrap();
    std::os::unix::fs::symlink(&secret, hostile.join("index.json")).unwrap();
    let error = world.import(&hostile, Kind::Container).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{}", said(&error));
}

fn has_qemu_img() -> bool {
    let has = Command::new("qemu-img").arg("--version").output().is_ok();
    if !has {
        let required = std::env::var("REQUIRE_ENGINES").unwrap_or_default();
        assert!(!required.contains("qemu"), "qemu-img is required");
        eprintln!("skipped: needs qemu-img");
    }
    has
}

fn qemu_img(arguments: &[&str]) {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn a_disk_is_copied_in_and_one_that_names_other_files_is_refused() {
    if !has_qemu_img() {
        return;
    }
    let world = world();
    let at = |name: &str| world.home.path().join(name).to_str().unwrap().to_owned();
    let disk = at("debian-12.qcow2");
    qemu_img(&["create", "-q", "-f", "qcow2", &disk, "64M"]);
    let digest = world.import(Path::new(&disk), Kind::Vm).await.unwrap();
    fs::remove_file(&disk).unwrap();
    let image = world.store.disk(&digest).unwrap();
    assert_eq!((image.format, image.virtual_size), (DiskFormat::Qcow2, 64 << 20));
    assert_eq!((image.boot, image.user.as_str()), (Boot::Firmware, "debian"));
    assert!(image.path.is_file());
    assert_eq!(world.store.container(&digest).unwrap_err().kind(), ErrorKind::Invalid);

    qemu_img(&["create", "-q", "-f", "raw", &at("base"), "1M"]);
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", &at("base"), "-F", "raw", &at("backed")]);
    let data = format!("data_file={}", at("data"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-o", &data, &at("split"), "1M"]);
    fs::write(at("page"), "<!doctype html>").unwrap();
    for name in ["backed", "split", "page"] {
        let error = world.import(Path::new(&at(name)), Kind::Vm).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{name}: {}", said(&error));
    }
    assert_eq!(world.store.list().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_checked_resumed_and_never_half_taken() {
    let world = world();
    let mut disk = vec![7; 3 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let sha256 = image_support::fixture::sha256(&disk);
    let server = FileServer::start(disk.clone());
    server.cut_after(&[1 << 20]);
    let source = ImageSource::Url { url: server.url("/disk.img"), sha256 };
    let digest = world.store.fetch(&source, Kind::Vm, false, &world.events).await.unwrap();
    assert_eq!(fs::read(world.store.disk(&digest).unwrap().path).unwrap(), disk);
    assert_eq!(server.ranges(), ["", "bytes=1048576-"]);

    let wrong = ImageSource::Url { url: server.url("/disk.img"), sha256: "0".repeat(64) };
    let error = world.store.fetch(&wrong, Kind::Vm, false, &world.events).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{}", said(&error));
    assert_eq!(world.store.list().unwrap().len(), 1);
}

/// The part that trusts the server runs in a process of its own: whom to trust
/// comes from the environment.
#[tokio::test(flavor = "multi_thread")]
async fn an_https_image_comes_from_a_trusted_server_whole_and_checked() {
    let world = world();
    let certificate = Certificate::make(world.home.path());
    let server = FileServer::start_tls(vec![0; 4096], &certificate);
    let untrusted = ImageSource::Url { url: server.url("/disk.img"), sha256: "0".repeat(64) };
    let error = world.store.fetch(&untrusted, Kind::Vm, false, &world.events).await.unwrap_err();
    assert!(said(&error).contains("certificate"), "{}", said(&error));
    assert!(server.ranges().is_empty(), "nothing was asked of it");
    world.assert_nothing_kept();

    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fetch_from_a_server_that_the_environment_trusts", "--ignored"])
        .env("SSL_CERT_FILE", &certificate.path)
        .env("CERTIFICATE_DIRECTORY", world.home.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by an_https_image_comes_from_a_trusted_server_whole_and_checked"]
async fn fetch_from_a_server_that_the_environment_trusts() {
    let Some(directory) = std::env::var_os("CERTIFICATE_DIRECTORY") else { return };
    let world = world();
    let mut disk = vec![7; 1 << 20];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let sha256 = image_support::fixture::sha256(&disk);
    let server = FileServer::start_tls(disk.clone(), &Certificate::at(Path::new(&directory)));
    let source = |sha256: String| ImageSource::Url { url: server.url("/disk.img"), sha256 };

    let wrong = source("0".repeat(64));
    let error = world.store.fetch(&wrong, Kind::Vm, false, &world.events).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{}", said(&error));
    world.assert_nothing_kept();

    // Cut short as often as it is tried.
    server.cut_after(&[1 << 19, 0, 0]);
    let right = source(sha256);
    let error = world.store.fetch(&right, Kind::Vm, false, &world.events).await.unwrap_err();
    assert!(said(&error).contains("cannot be downloaded"), "{}", said(&error));
    world.assert_nothing_kept();

    let digest = world.store.fetch(&right, Kind::Vm, false, &world.events).await.unwrap();
    assert_eq!(fs::read(world.store.disk(&digest).unwrap().path).unwrap(), disk);
    assert_eq!(server.ranges().last().unwrap(), "bytes=524288-", "what was there is kept");
}

#[tokio::test]
async fn images_in_use_stay_and_shared_layers_go_with_the_last_image() {
    let world = world();
    let shared = archive(&[Entry::file("shared", "shared")]);
    let own = archive(&[Entry::file("own", "own")]);
    let both = ImageLayout::new().layer_gzip(&shared).layer_gzip(&own);
    let one = ImageLayout::new().layer_gzip(&shared);
    let first = both.write(&world.home.path().join("first"));
    let second = one.write(&world.home.path().join("second"));
    let first = world.import(&first, Kind::Container).await.unwrap();
    let second = world.import(&second, Kind::Container).await.unwrap();
    let layers = || fs::read_dir(world.directories.images().join("layers")).unwrap().count();
    assert_eq!(layers(), 2);

    let users = Users::from([(second.clone(), vec!["container web of shop".to_owned()])]);
    let error = world.store.remove(&second, &users).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("container web of shop"));
    assert_eq!(world.store.prune(&users).unwrap().images[0].digest, first);
    assert_eq!(layers(), 1);
    assert!(world.store.container(&second).unwrap().layers[0].join("shared").exists());

    let digits = &second["sha256:".len()..][..12];
    world.store.remove(digits, &Users::new()).unwrap();
    assert_eq!(layers(), 0);
    world.assert_nothing_kept();
}

#[tokio::test]
async fn what_a_killed_process_left_is_swept_by_the_next() {
    let world = world();
    let left = world.directories.images().join("tmp/left");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("half"), "half").unwrap();
    fs::write(left.with_extension("lock"), "").unwrap();
    Store::open(&world.directories).unwrap();
    world.assert_nothing_kept();
}

/// In a process of its own, in a mount namespace of its own.
#[test]
fn a_full_disk_is_said_and_leaves_nothing_half() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let images = home.path().join("lib/images");
    fs::create_dir_all(&images).unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=4m tmpfs {} && exec \"$0\" --exact fill_the_store --ignored",
        images.display()
    );
    let status = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env("HOME_TO_FILL", home.path())
        .status();
    assert!(status.unwrap().success());
}

#[tokio::test]
#[ignore = "run by a_full_disk_is_said_and_leaves_nothing_half"]
async fn fill_the_store() {
    let Some(home) = std::env::var_os("HOME_TO_FILL") else { return };
    let mut world = world();
    world.directories = Directories::new(Some(Path::new(&home)), None);
    world.store = Store::open(&world.directories).unwrap();
    // A few kilobytes that unpack to 64 MiB.
    let bomb =
        ImageLayout::new().layer_gzip(&archive(&[Entry::file("bomb", &"0".repeat(64 << 20))]));
    let path = bomb.write(&world.home.path().join("bomb"));
    let error = world.import(&path, Kind::Container).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::DiskFull, "{}", said(&error));
    world.assert_nothing_kept();
}
