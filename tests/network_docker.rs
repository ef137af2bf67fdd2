//! Docker beside us, on a host of the test's own: its firewall lets our frames
//! pass, and we open nothing that it closes. Once with Docker's rules imitated,
//! once with a real daemon, which is stopped and started again.
#![allow(missing_docs)]

mod support;
#[path = "network/world.rs"]
#[expect(dead_code, reason = "the other file of network tests uses the rest")]
mod world;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use windlass::engine::Networks;
use windlass::network::NetworkPlan;
use windlass::network::ruleset::{Published, Ruleset, RulesetNetwork};
use windlass::stack::{Port, Protocol};
use world::{Namespace, World, ip, run};

const PATIENCE: Duration = Duration::from_millis(750);

/// The stack's table: `back` with port 8080 of the host leading to `.3:80`.
fn rules(plan: &NetworkPlan) -> Ruleset {
    let port = Port { host_ip: None, published: Some(8080), target: 80, protocol: Protocol::Tcp };
    Ruleset {
        table: World::table(),
        networks: vec![RulesetNetwork {
            bridge: plan.bridge.clone(),
            subnet: plan.subnet,
            internal: false,
        }],
        published: BTreeSet::from([Published {
            port,
            to: ip("10.77.0.3"),
            bridge: plan.bridge.clone(),
        }]),
    }
}

/// Has whoever connects to port 80 in there told this name.
fn serve(namespace: &Namespace, name: &'static str) {
    let listener = namespace.within(|| TcpListener::bind("0.0.0.0:80").expect("bind"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(name.as_bytes()));
        }
    });
}

/// Who answers there, asked from `namespace`.
fn reach(namespace: &Namespace, address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().expect("an address");
    namespace.within(move || {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        Some(said)
    })
}

/// Everybody who is there: two of ours, one of Docker's, a machine outside.
struct Guests {
    one: Namespace,
    other: Namespace,
    dockers: Namespace,
    outside: Namespace,
}

impl Guests {
    fn new(plan: &NetworkPlan) -> Self {
        let outside = World::outside();
        let guests = Self {
            one: World::join(plan, "10.77.0.2"),
            other: World::join(plan, "10.77.0.3"),
            dockers: World::join_bridge("docker0", "172.17.0.2/16", "172.17.0.1"),
            outside,
        };
        serve(&guests.other, "other");
        serve(&guests.dockers, "docker");
        serve(&guests.outside, "outside");
        guests
    }

    /// What Docker's policy would drop passes; what Docker closes stays closed.
    fn are_apart(&self) {
        let from_us = |to| reach(&self.one, to);
        assert_eq!(from_us("10.77.0.3:80").as_deref(), Some("other"), "on one bridge");
        assert_eq!(from_us("192.0.2.1:80").as_deref(), Some("outside"), "out of the host");
        assert_eq!(from_us("172.17.0.2:80"), None, "an unpublished port of Docker's container");
        let published = reach(&self.outside, "192.0.2.7:8080");
        assert_eq!(published.as_deref(), Some("other"), "our published port, from outside");
        let published = reach(&self.dockers, "192.0.2.7:8080");
        assert_eq!(published.as_deref(), Some("other"), "and from Docker's container");
        assert_eq!(reach(&self.outside, "10.77.0.3:80"), None, "our own unpublished port");
        assert_eq!(reach(&self.dockers, "10.77.0.3:80"), None, "the same from Docker's");
    }
}

#[test]
fn dockers_firewall_lets_our_bridges_pass_and_stays_shut() {
    if !world::has("iptables") {
        return;
    }
    World::run("docker", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        let (stack, networks) = (&world.stack, &world.networks);
        networks.create(stack, &plan).await.expect("create");
        let docker = async || networks.observe(stack).await.expect("observe")[0].docker_accepts;
        assert_eq!(docker().await, None);

        run("ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0");
        run("ip link set docker0 up; iptables -P FORWARD DROP; iptables -N DOCKER");
        run("iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN");
        run("iptables -A FORWARD -j DOCKER-USER; iptables -A FORWARD -o docker0 -j DOCKER");
        run("iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
        run("iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT");
        let filtered = World::set_bridge_filter("1");
        assert_eq!(docker().await, Some(false));
        let guests = Guests::new(&plan);
        if filtered {
            assert_eq!(reach(&guests.one, "10.77.0.3:80"), None, "Docker drops it");
        }
        networks.apply_firewall(stack, &rules(&plan)).await.expect("apply");
        assert_eq!(docker().await, Some(true));
        guests.are_apart();

        run("iptables -D DOCKER-USER 1");
        assert_eq!(docker().await, Some(false), "a rule was deleted");
        networks.apply_firewall(stack, &rules(&plan)).await.expect("apply");
        assert_eq!(docker().await, Some(true));
        run("ip link add br-lan type bridge");
        assert_eq!(docker().await, Some(false), "a way out that looks like one of Docker's");
        networks.apply_firewall(stack, &rules(&plan)).await.expect("apply");
        assert_eq!(docker().await, Some(true));
        networks.remove_firewall(stack).await.expect("remove");
        let left = run("iptables -S");
        assert!(!left.contains("windlass") && !left.contains("WINDLASS"), "{left}");
        assert!(left.ends_with("-A DOCKER-USER -j RETURN\n"), "{left}");
    });
}

/// A daemon of the test's own: its processes, mounts and settings are gone with it.
struct Docker {
    directory: PathBuf,
    process: Child,
    last_words: Option<JoinHandle<()>>,
}

impl Docker {
    fn start(world: &World) -> Self {
        let directory = world.directories.run.join("docker");
        std::fs::create_dir_all(&directory).expect("a directory");
        let at = directory.display();
        let script = format!(
            "mount -t tmpfs tmpfs /run; mkdir -p /etc/docker; mount -t tmpfs tmpfs /etc/docker; \
             exec dockerd --data-root {at}/data --exec-root {at}/exec -p {at}/pid \
             -H unix://{at}/sock --storage-driver vfs 2>&1"
        );
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=TERM",
            "--mount-proc",
            "sh",
            "-c",
        ]);
        command.arg(script).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a daemon");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("API listen on")) {
            let line = lines.next().unwrap_or_else(|| panic!("dockerd ended: {said:#?}"));
            said.push(line.expect("its words"));
        }
        let last_words = Some(std::thread::spawn(move || lines.for_each(drop)));
        Self { directory, process, last_words }
    }

    fn docker(&self, arguments: &str) -> String {
        run(&format!("docker -H unix://{}/sock {arguments}", self.directory.display()))
    }

    fn stop(&mut self) {
        // Its child is asked to end with it: the daemon, which is the first
        // process of its namespace and takes all others along.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(self.last_words.take().map(JoinHandle::join));
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn a_real_docker_may_come_restart_and_make_networks() {
    if !["iptables", "dockerd", "docker"].into_iter().all(world::has) {
        return;
    }
    World::run("real-docker", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        let (stack, networks) = (&world.stack, &world.networks);
        let observed = async || networks.observe(stack).await.expect("observe")[0].docker_accepts;
        // Docker closes FORWARD where it is the one to open the way.
        run("echo 0 > /proc/sys/net/ipv4/ip_forward");
        let mut docker = Docker::start(world);
        World::set_bridge_filter("1");
        assert!(run("iptables -S FORWARD").starts_with("-P FORWARD DROP"));
        networks.create(stack, &plan).await.expect("create");
        let guests = Guests::new(&plan);
        assert_eq!(observed().await, Some(false));
        networks.apply_firewall(stack, &rules(&plan)).await.expect("apply");
        assert_eq!(observed().await, Some(true));
        guests.are_apart();

        docker.stop();
        let docker = Docker::start(world);
        // Whatever the new one did to our rules, the next `up` knows.
        if observed().await == Some(false) {
            networks.apply_firewall(stack, &rules(&plan)).await.expect("apply again");
        }
        assert_eq!(observed().await, Some(true));
        guests.are_apart();

        let id = docker.docker("network create --subnet 172.31.7.0/24 more");
        let bridge = format!("br-{}", &id.trim()[..12]);
        let more = World::join_bridge(&bridge, "172.31.7.2/24", "172.31.7.1");
        serve(&more, "more");
        assert_eq!(observed().await, Some(true), "its rules need nothing new");
        assert_eq!(reach(&guests.one, "172.31.7.2:80"), None, "a network made later is shut too");
        docker.docker("network create -o com.docker.network.bridge.name=shop -d bridge named");
        assert_eq!(observed().await, Some(false), "a name that says nothing is learnt");
        networks.apply_firewall(stack, &rules(&plan)).await.expect("apply");
        assert_eq!(observed().await, Some(true));
        guests.are_apart();
        networks.remove_firewall(stack).await.expect("remove");
        let left = run("iptables -S");
        assert!(!left.contains("windlass") && !left.contains("WINDLASS"), "{left}");
    });
}
