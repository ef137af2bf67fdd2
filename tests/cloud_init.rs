//! What a guest is told, as text: every document of the seed in full.

#[path = "support/workloads.rs"]
mod workloads;

use std::collections::BTreeMap;
use std::fmt::Write;

use windlass::cloud_init::{self, Guest, GuestDisk, GuestFile, GuestMount, GuestTmpfs, Seed};
use windlass::plan::{Address, Desired};
use windlass::stack::vm::{CloudInit, Document};
use windlass::stack::{Definition, InstanceId, Role, StackName, Workload};

fn documents(bodies: &[&str]) -> Vec<Document> {
    let document = |body: &&str| Document::new("db.yaml", *body);
    bodies.iter().map(document).collect()
}

fn address(network: &str, last: u8, default_route: bool) -> Address {
    let third = last;
    Address {
        network: network.to_owned(),
        bridge: format!("wl-{network}"),
        host_interface: format!("wl-tap-{network}"),
        ipv4: [10, 77, third, 2].into(),
        subnet: format!("10.77.{third}.0/24").parse().expect("subnet"),
        gateway: [10, 77, third, 1].into(),
        default_route,
        mac: format!("02:00:00:00:00:0{last}"),
        mtu: 1450,
    }
}

fn desired(addresses: Vec<Address>) -> Desired {
    Desired {
        stack: StackName::new("shop").expect("stack"),
        id: InstanceId::single("db"),
        workload: Workload {
            environment: BTreeMap::from([
                ("LEVEL".to_owned(), "it's $HOME".to_owned()),
                ("PLAIN".to_owned(), "on".to_owned()),
            ]),
            extra_hosts: BTreeMap::from([("elsewhere".to_owned(), "192.0.2.7".to_owned())]),
            ..workloads::workload("db", Role::Vm(Box::new(workloads::vm())))
        },
        definition: Definition::default(),
        addresses,
        hostname: "db".to_owned(),
        volumes: BTreeMap::new(),
        search_domain: "shop.windlass.internal".to_owned(),
        rerun_cloud_init: false,
    }
}

fn guest<'a>(desired: &'a Desired, cloud_init: &'a CloudInit) -> Guest<'a> {
    Guest {
        desired,
        cloud_init,
        instance_id: "6b1f",
        nonce: "n0",
        ssh_public_key: "ssh-ed25519 AAAA windlass",
        user: "debian",
        mounts: Vec::new(),
        tmpfs: Vec::new(),
        disks: Vec::new(),
        files: Vec::new(),
    }
}

fn text(seed: &Seed, name: &str) -> String {
    String::from_utf8(seed[name].clone()).expect("text")
}

#[test]
fn the_whole_seed_of_a_furnished_guest() {
    let desired = desired(vec![address("back", 0, false), address("front", 1, true)]);
    let mut config = CloudInit::default();
    config.meta_data.insert("instance-id".to_owned(), "mine".into());
    config.meta_data.insert("public-hostname".to_owned(), "db.example.org".into());
    let mut guest = guest(&desired, &config);
    let share = |tag: &str, target: &str, file: Option<&str>| GuestMount {
        tag: tag.to_owned(),
        target: target.to_owned(),
        read_only: file.is_none(),
        file: file.map(str::to_owned),
        fill: false,
    };
    guest.mounts = vec![
        share("fs0", "/srv/a b/in", None),
        share("fs1", "/etc/app.conf", Some("app.conf")),
        GuestMount { read_only: false, fill: true, ..share("fs2", "/srv/volume", None) },
    ];
    guest.disks = vec![GuestDisk {
        serial: "0123456789abcdef".to_owned(),
        target: "/srv/a b".to_owned(),
        read_only: false,
    }];
    guest.tmpfs = vec![GuestTmpfs {
        target: "/scratch".to_owned(),
        size: Some(4096),
        mode: 0o1777,
        read_only: false,
    }];
    guest.files = vec![GuestFile {
        target: "/run/secrets/pass".to_owned(),
        uid: 0,
        gid: 0,
        mode: 0o400,
        content: b"swordfish".to_vec(),
    }];
    let seed = cloud_init::seed(&guest);
    assert_eq!(seed["windlass/files/0"], b"swordfish");
    assert_eq!(seed["windlass/guest.sh"], cloud_init::GUEST_SCRIPT.as_bytes());
    let mut whole = String::new();
    for name in seed.keys().filter(|name| !name.ends_with("guest.sh")) {
        write!(whole, "==> {name}\n{}\n", text(&seed, name)).expect("text");
    }
    insta::assert_snapshot!(whole);
}

#[test]
fn one_document_stays_as_it_is_byte_for_byte() {
    let desired = desired(Vec::new());
    let body = "#cloud-config\r\n# é $HOME ${NOT} {{ v }}\nruncmd: [ ls ]";
    let config = CloudInit { user_data: documents(&[body]), ..CloudInit::default() };
    let seed = cloud_init::seed(&guest(&desired, &config));
    assert_eq!(text(&seed, "user-data"), body);
    assert_eq!(text(&seed, "network-config"), "version: 2\nethernets: {}\n");
}

#[test]
fn several_documents_add_up() {
    let desired = desired(Vec::new());
    let config = CloudInit {
        user_data: documents(&[
            "#cloud-config\nruncmd: [ ls ]\n",
            "## template: jinja\n#cloud-config\nfqdn: {{ v1.local_hostname }}",
            "#!/bin/sh\necho é\n",
        ]),
        ..CloudInit::default()
    };
    let seed = cloud_init::seed(&guest(&desired, &config));
    insta::assert_snapshot!(text(&seed, "user-data"));
}

#[test]
fn the_users_vendor_data_and_network_config_are_kept() {
    let desired = desired(vec![address("back", 0, true)]);
    let config = CloudInit {
        vendor_data: documents(&["#cloud-config\ntimezone: Europe/Paris\n"]),
        network_config: documents(&["version: 1\nconfig: []\n"]).pop(),
        ..CloudInit::default()
    };
    let seed = cloud_init::seed(&guest(&desired, &config));
    assert_eq!(text(&seed, "network-config"), "version: 1\nconfig: []\n");
    assert_eq!(text(&seed, "windlass/instance"), "nonce=n0\n");
    let vendor = text(&seed, "vendor-data");
    let ours = vendor.find("text/cloud-boothook").expect("ours");
    assert!(ours < vendor.find("timezone: Europe/Paris").expect("theirs"), "{vendor}");
}

/// No user-data can replace what is not a key of a cloud-config.
#[test]
fn nothing_of_ours_is_a_cloud_config() {
    let desired = desired(vec![address("back", 0, true)]);
    let seed = cloud_init::seed(&guest(&desired, &CloudInit::default()));
    assert_eq!(text(&seed, "user-data"), "#cloud-config\n{}\n");
    let vendor = text(&seed, "vendor-data");
    for key in ["text/cloud-config", "runcmd:", "write_files:", "ssh_authorized_keys:", "bootcmd:"]
    {
        assert!(!vendor.contains(key), "{key}");
    }
}

/// Every stage of the script is one that a POSIX shell can read.
#[test]
fn the_guests_script_is_a_shell_script() {
    let desired = desired(vec![address("back", 0, true)]);
    let seed = cloud_init::seed(&guest(&desired, &CloudInit::default()));
    let home = tempfile::tempdir().expect("directory");
    for name in ["windlass/guest.sh", "windlass/instance", "windlass/environment"] {
        let path = home.path().join(name.replace('/', "-"));
        std::fs::write(&path, &seed[name]).expect("write");
        let read = std::process::Command::new("sh").arg("-n").arg(&path).status().expect("sh");
        assert!(read.success(), "{name}");
    }
}
