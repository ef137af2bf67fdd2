//! Networks on a real kernel, each test in network namespaces of its own.
#![allow(missing_docs)]

mod support;
#[path = "network/world.rs"]
#[expect(dead_code, reason = "the file of Docker's tests uses the rest")]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use windlass::engine::{ErrorKind, Networks};
use windlass::network::ruleset::{Published, Ruleset, RulesetNetwork};
use windlass::network::zone::Zone;
use windlass::network::{NetworkPlan, facts};
use windlass::plan::Forward;
use windlass::stack::{InstanceId, Port, Protocol};
use world::{Namespace, World, ip, run};

const PATIENCE: Duration = Duration::from_secs(3);

fn zone(names: &[(&str, &str)]) -> Zone {
    let mut zone = BTreeMap::<String, Vec<Ipv4Addr>>::new();
    for (name, address) in names {
        zone.entry((*name).to_owned()).or_default().push(ip(address));
    }
    Zone(zone)
}

fn port(published: Option<u16>, target: u16, protocol: Protocol) -> Port {
    Port { host_ip: None, published, target, protocol }
}

fn rules(networks: &[&NetworkPlan], published: &[(Port, &str, &NetworkPlan)]) -> Ruleset {
    let of_network = |plan: &&NetworkPlan| RulesetNetwork {
        bridge: plan.bridge.clone(),
        subnet: plan.subnet,
        internal: plan.internal,
    };
    let of_port = |(port, to, plan): &(Port, &str, &NetworkPlan)| Published {
        port: port.clone(),
        to: ip(to),
        bridge: plan.bridge.clone(),
    };
    Ruleset {
        table: World::table(),
        networks: networks.iter().map(of_network).collect(),
        published: published.iter().map(of_port).collect(),
    }
}

#[test]
fn a_bridge_is_made_mended_and_removed() {
    World::run("bridge", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        world.networks.create(&world.stack, &plan).await.expect("create");
        let made = world.networks.observe(&world.stack).await.expect("observe");
        assert_eq!(made.len(), 1);
        assert_eq!((made[0].name.as_str(), made[0].up), ("back", true));
        assert_eq!(made[0].subnet, Some(plan.subnet));
        assert_eq!(made[0].gateway, Some(plan.gateway));
        assert!(!made[0].names_alive);
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("read"), "1\n");

        run(&format!("ip addr flush dev {0}; ip link set {0} down mtu 1300", plan.bridge));
        let broken = world.networks.observe(&world.stack).await.expect("observe");
        assert_eq!((broken[0].up, broken[0].subnet), (false, None));
        world.networks.create(&world.stack, &plan).await.expect("mend");
        assert_eq!(world.networks.observe(&world.stack).await.expect("observe"), made);
        assert!(run(&format!("ip link show {}", plan.bridge)).contains("mtu 1450"));

        run(&format!("ip link del {}", plan.bridge));
        assert!(world.networks.observe(&world.stack).await.expect("observe").is_empty());
        world.networks.create(&world.stack, &plan).await.expect("make again");
        world.networks.remove(&world.stack, &plan).await.expect("remove");
        world.networks.remove(&world.stack, &plan).await.expect("remove what is gone");
        assert!(world.networks.observe(&world.stack).await.expect("observe").is_empty());
    });
}

#[test]
fn what_is_not_ours_is_not_touched() {
    World::run("not-ours", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        run(&format!("ip link add {0} type bridge; ip link set {0} alias mine", plan.bridge));
        let error = world.networks.create(&world.stack, &plan).await.expect_err("refuse");
        assert_eq!(error.kind, ErrorKind::Refused);
        let error = world.networks.remove(&world.stack, &plan).await.expect_err("refuse");
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(run(&format!("ip link show {}", plan.bridge)).contains("alias mine"));
    });
}

#[test]
fn a_taken_subnet_is_a_conflict_that_names_its_owner() {
    World::run("conflict", async |world| {
        run(
            "ip link add up0 type veth peer name far0; ip link set far0 up; ip link set up0 up mtu 1400",
        );
        run("ip addr add 192.0.2.7/24 dev up0; ip route add default via 192.0.2.1");
        run("ip route add 10.77.0.0/16 via 192.0.2.9");
        let plan = world.plan("back", "10.77.3.0/24");
        let error = world.networks.create(&world.stack, &plan).await.expect_err("refuse");
        assert_eq!(error.kind, ErrorKind::Conflict);
        let said = std::error::Error::source(&error).expect("a source").to_string();
        assert_eq!(said, "the subnet `10.77.3.0/24` overlaps 10.77.0.0/16 (route via up0)");

        let free = world.plan("back", "10.99.0.0/24");
        world.networks.create(&world.stack, &free).await.expect("create");
        let look = |home: &str| facts::look(home, &world.stack).expect("look");
        let mut expected: BTreeMap<_, _> = [
            ("10.77.0.0/16", "route via up0"),
            ("127.0.0.0/8", "address of lo"),
            ("192.0.2.0/24", "route via up0"),
        ]
        .map(|(subnet, owner)| (subnet.parse().expect("subnet"), owner.to_owned()))
        .into();
        assert_eq!(look(World::HOME).taken_subnets, expected);
        assert_eq!(look(World::HOME).uplink_mtu, 1400);
        expected.insert(free.subnet, "stack shop".to_owned());
        assert_eq!(look("anotherhome").taken_subnets, expected);
    });
}

fn question(name: &str) -> Message {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    let name = Name::from_ascii(format!("{name}.")).expect("name");
    question.add_query(Query::query(name, RecordType::A));
    question
}

/// How many addresses a stream brings, in several questions on one connection.
fn resolve_by_stream(server: Ipv4Addr, name: &str) -> [usize; 2] {
    let mut stream = TcpStream::connect((server, 53)).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    [(); 2].map(|()| {
        let bytes = question(name).to_vec().expect("bytes");
        let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        stream.write_all(&[&length[..], &bytes].concat()).expect("ask");
        let mut length = [0; 2];
        stream.read_exact(&mut length).expect("a length");
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).expect("an answer");
        Message::from_vec(&answer).expect("a message").answers.len()
    })
}

/// The answer's code and addresses.
fn resolve(server: Ipv4Addr, name: &str) -> (ResponseCode, BTreeSet<String>) {
    let question = question(name);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    socket.send_to(&question.to_vec().expect("bytes"), (server, 53)).expect("ask");
    let mut bytes = [0; 1500];
    let (length, from) = socket.recv_from(&mut bytes).expect("an answer");
    assert_eq!(from, SocketAddr::from((server, 53)));
    let answer = Message::from_vec(&bytes[..length]).expect("a message");
    assert_eq!(answer.metadata.id, question.metadata.id);
    let found = answer.answers.iter().map(|record| record.data.to_string()).collect();
    (answer.metadata.response_code, found)
}

#[test]
fn whoever_joins_later_is_resolved_by_whoever_was_there() {
    World::run("names", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        let (stack, networks) = (&world.stack, &world.networks);
        networks.create(stack, &plan).await.expect("create");
        let first = zone(&[("db", "10.77.0.2")]);
        networks.serve_names(stack, &plan, &first).await.expect("serve");
        let guest = World::join(&plan, "10.77.0.2");
        let ask = |name: &'static str| guest.within(move || resolve(ip("10.77.0.1"), name));
        let found = |address: &str| (ResponseCode::NoError, BTreeSet::from([address.to_owned()]));

        assert_eq!(ask("db.shop.windlass.internal"), found("10.77.0.2"));
        assert_eq!(ask("web").0, ResponseCode::ServFail, "there is no resolver to ask");
        let pid = world.name_server_pid(&plan);

        let second = zone(&[("db", "10.77.0.2"), ("web", "10.77.0.3")]);
        networks.serve_names(stack, &plan, &second).await.expect("serve");
        assert_eq!(ask("web"), found("10.77.0.3"));
        assert_eq!(world.name_server_pid(&plan), pid, "the same process");
        let seen = networks.observe(stack).await.expect("observe");
        assert!(seen[0].names_alive);
        assert_eq!(seen[0].zone, second);

        let many: Vec<String> = (2..200).map(|last| format!("10.77.0.{last}")).collect();
        let many: Vec<_> = many.iter().map(|address| ("many", address.as_str())).collect();
        networks.serve_names(stack, &plan, &zone(&many)).await.expect("serve");
        let by_stream = guest.within(|| resolve_by_stream(ip("10.77.0.1"), "many"));
        assert_eq!(by_stream, [many.len(); 2]);
        assert_eq!(ask("many"), (ResponseCode::NoError, BTreeSet::new()), "cut short");

        World::kill(pid);
        assert!(!networks.observe(stack).await.expect("observe")[0].names_alive);
        networks.serve_names(stack, &plan, &second).await.expect("serve again");
        assert_eq!(ask("web"), found("10.77.0.3"));

        networks.remove(stack, &plan).await.expect("remove");
        assert!(!world.directories.stack_run(stack).exists(), "nothing is left");
    });
}

#[test]
fn other_names_go_to_the_hosts_resolvers_unless_the_network_is_internal() {
    World::run("upstream", async |world| {
        let open = world.plan("open", "10.77.0.0/24");
        let dark = NetworkPlan { internal: true, ..world.plan("dark", "10.77.1.0/24") };
        for plan in [&open, &dark] {
            world.networks.create(&world.stack, plan).await.expect("create");
            world.networks.serve_names(&world.stack, plan, &zone(&[])).await.expect("serve");
        }
        let guests = [World::join(&open, "10.77.0.2"), World::join(&dark, "10.77.1.2")];
        let resolver = UdpSocket::bind("127.0.0.1:53").expect("bind");
        std::thread::spawn(move || {
            let mut bytes = [0; 1500];
            while let Ok((length, client)) = resolver.recv_from(&mut bytes) {
                bytes[2] |= 0x80;
                resolver.send_to(&bytes[..length], client).expect("answer");
            }
        });
        world.set_resolvers("nameserver 10.77.0.1\nnameserver 127.0.0.1\n");
        let answered = guests[0].within(|| resolve(ip("10.77.0.1"), "example.org"));
        assert_eq!(answered.0, ResponseCode::NoError);
        let refused = guests[1].within(|| resolve(ip("10.77.1.1"), "example.org"));
        assert_eq!(refused.0, ResponseCode::NXDomain);

        world.set_resolvers("");
        let asked = Instant::now();
        let failed = guests[0].within(|| resolve(ip("10.77.0.1"), "example.org"));
        assert_eq!(failed.0, ResponseCode::ServFail);
        assert!(asked.elapsed() < PATIENCE / 3, "there is nobody to wait for");
    });
}

/// Serves `name` to everybody, on TCP and UDP port 80 of a namespace.
fn serve(namespace: &Namespace, name: &'static str) {
    let (streams, datagrams) = namespace.within(|| {
        (
            TcpListener::bind("0.0.0.0:80").expect("bind"),
            UdpSocket::bind("0.0.0.0:80").expect("bind"),
        )
    });
    std::thread::spawn(move || {
        for mut stream in streams.incoming().flatten() {
            drop(stream.write_all(name.as_bytes()));
        }
    });
    std::thread::spawn(move || {
        let mut bytes = [0; 16];
        while let Ok((_, client)) = datagrams.recv_from(&mut bytes) {
            drop(datagrams.send_to(name.as_bytes(), client));
        }
    });
}

/// What answers there over TCP; nothing where nothing does.
fn reach(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE / 4).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

/// What answers there over UDP, from the address that was asked.
fn reach_udp(address: SocketAddr) -> Option<String> {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("bind");
    socket.connect(address).expect("connect");
    socket.set_read_timeout(Some(PATIENCE / 4)).expect("timeout");
    socket.send(b"?").ok()?;
    let mut bytes = [0; 64];
    let length = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// Published ports from everywhere, with bridged frames passing the firewall or not.
#[test]
fn a_published_port_is_reached_from_everywhere() {
    World::run("ports", async |world| {
        let back = world.plan("back", "10.77.0.0/24");
        let side = world.plan("side", "10.77.1.0/24");
        let (stack, networks) = (&world.stack, &world.networks);
        for plan in [&back, &side] {
            networks.create(stack, plan).await.expect("create");
        }
        let outside = World::outside();
        let web = World::join(&back, "10.77.0.2");
        let neighbour = World::join(&back, "10.77.0.3");
        let elsewhere = World::join(&side, "10.77.1.2");
        serve(&web, "web");
        serve(&outside, "outside");

        let ports = [port(Some(8080), 80, Protocol::Tcp), port(Some(8080), 80, Protocol::Udp)];
        let published: Vec<_> =
            ports.iter().map(|port| (port.clone(), "10.77.0.2", &back)).collect();
        networks.apply_firewall(stack, &rules(&[&back, &side], &published)).await.expect("apply");
        let forwards = ports.clone().map(|port| Forward { port, to: ip("10.77.0.2") });
        let id = InstanceId::single("web");
        networks.open_ports(stack, &id, &forwards).await.expect("open");

        let host: SocketAddr = "192.0.2.7:8080".parse().expect("address");
        let gateway: SocketAddr = "10.77.0.1:8080".parse().expect("address");
        let answer = Some("web".to_owned());
        for bridged_frames_pass_the_firewall in ["0", "1"] {
            if !World::set_bridge_filter(bridged_frames_pass_the_firewall) {
                continue;
            }
            let way = format!("bridge-nf-call-iptables={bridged_frames_pass_the_firewall}");
            for local in ["127.0.0.1:8080", "[::1]:8080", "192.0.2.7:8080", "10.77.0.1:8080"] {
                let local = local.parse().expect("address");
                assert_eq!(reach(local), answer, "tcp from the host to {local}, {way}");
                assert_eq!(reach_udp(local), answer, "udp from the host to {local}, {way}");
            }
            for (who, namespace, address) in [
                ("outside", &outside, host),
                ("a neighbour", &neighbour, host),
                ("a neighbour by the gateway", &neighbour, gateway),
                ("itself", &web, host),
                ("another network", &elsewhere, host),
            ] {
                let tcp = namespace.within(move || reach(address));
                assert_eq!(tcp, answer, "tcp from {who}, {way}");
                let udp = namespace.within(move || reach_udp(address));
                assert_eq!(udp, answer, "udp from {who}, {way}");
            }
            let direct: SocketAddr = "10.77.0.2:80".parse().expect("address");
            assert_eq!(neighbour.within(move || reach(direct)), answer, "a neighbour, {way}");
            assert_eq!(elsewhere.within(move || reach(direct)), None, "isolated, {way}");
            assert_eq!(outside.within(move || reach(direct)), None, "not published, {way}");
            let beyond: SocketAddr = "192.0.2.1:80".parse().expect("address");
            let out = web.within(move || reach(beyond));
            assert_eq!(out.as_deref(), Some("outside"), "out, {way}");
        }

        networks.close_ports(stack, &id).await.expect("close");
        let past_the_forwarder = outside.within(move || reach(host));
        assert_eq!(past_the_forwarder, answer, "the firewall carries what comes from outside");
        assert_eq!(reach("127.0.0.1:8080".parse().expect("address")), None);
        assert!(networks.observe_ports(stack).await.expect("observe").is_empty());
    });
}

#[test]
fn nothing_leaves_an_internal_network() {
    World::run("internal", async |world| {
        let dark = NetworkPlan { internal: true, ..world.plan("dark", "10.77.1.0/24") };
        let open = world.plan("open", "10.77.0.0/24");
        for plan in [&dark, &open] {
            world.networks.create(&world.stack, plan).await.expect("create");
        }
        let outside = World::outside();
        serve(&outside, "outside");
        let within = [World::join(&dark, "10.77.1.2"), World::join(&dark, "10.77.1.3")];
        serve(&within[1], "dark");
        let neighbour = World::join(&open, "10.77.0.2");
        serve(&neighbour, "open");
        let ruleset = rules(&[&dark, &open], &[]);
        world.networks.apply_firewall(&world.stack, &ruleset).await.expect("apply");

        let from_dark = |address: &str| {
            let address = address.parse().expect("address");
            within[0].within(move || reach(address))
        };
        assert_eq!(from_dark("10.77.1.3:80").as_deref(), Some("dark"));
        assert_eq!(from_dark("192.0.2.1:80"), None);
        assert_eq!(from_dark("10.77.0.2:80"), None);
        let from_open = neighbour.within(|| reach("192.0.2.1:80".parse().expect("address")));
        assert_eq!(from_open.as_deref(), Some("outside"));
    });
}

#[test]
fn a_deleted_rule_is_missed_and_put_back() {
    World::run("rules", async |world| {
        let plan = world.plan("back", "10.77.0.0/24");
        let (stack, networks) = (&world.stack, &world.networks);
        assert_eq!(networks.observe_firewall(stack).await.expect("observe"), None);
        let published = (port(Some(8080), 80, Protocol::Tcp), "10.77.0.2", &plan);
        let ruleset = rules(&[&plan], &[published]);
        networks.apply_firewall(stack, &ruleset).await.expect("apply");
        let whole = Some(ruleset.rule_ids());
        assert_eq!(networks.observe_firewall(stack).await.expect("observe"), whole);

        let table = World::table();
        run(&format!("nft flush chain inet {table} prerouting"));
        let seen = networks.observe_firewall(stack).await.expect("observe").expect("a table");
        assert_eq!(ruleset.rule_ids().difference(&seen).count(), 1);
        networks.apply_firewall(stack, &ruleset).await.expect("apply");
        assert_eq!(networks.observe_firewall(stack).await.expect("observe"), whole);

        run("nft add table inet somebody");
        networks.remove_firewall(stack).await.expect("remove");
        networks.remove_firewall(stack).await.expect("remove what is gone");
        assert_eq!(run("nft list tables").trim(), "table inet somebody");
    });
}

#[test]
fn a_taken_port_is_a_conflict_that_names_its_holder() {
    World::run("taken", async |world| {
        let holder = TcpListener::bind("127.0.0.1:8080").expect("listen");
        let id = InstanceId::single("web");
        let wanted = [Forward { port: port(Some(8080), 80, Protocol::Tcp), to: ip("10.77.0.2") }];
        let open = || world.networks.open_ports(&world.stack, &id, &wanted);
        let error = open().await.expect_err("taken");
        assert_eq!(error.kind, ErrorKind::Conflict);
        let said = std::error::Error::source(&error).expect("a source").to_string();
        assert!(said.starts_with("tcp port 8080 is in use by network"), "{said}");
        assert!(said.ends_with(&format!("(pid {})", std::process::id())), "{said}");
        drop(holder);
        open().await.expect("free now");
    });
}

#[test]
fn a_forwarder_stays_while_its_ports_do() {
    World::run("forwarder", async |world| {
        let (stack, networks) = (&world.stack, &world.networks);
        let id = InstanceId { workload: "web".to_owned(), number: 2, replicated: true };
        let forward = |port: Port| Forward { port, to: ip("10.77.0.2") };
        let any = forward(port(None, 80, Protocol::Tcp));
        let given = forward(port(Some(8443), 443, Protocol::Tcp));
        let observe = async || {
            let mut seen = networks.observe_ports(stack).await.expect("observe");
            seen.remove(&id).unwrap_or_default()
        };

        networks.open_ports(stack, &id, std::slice::from_ref(&any)).await.expect("open");
        let first = observe().await;
        let chosen = first.first().and_then(|port| port.published).expect("a chosen number");
        let pid = world.forwarder_pid();
        networks.open_ports(stack, &id, std::slice::from_ref(&any)).await.expect("open again");
        assert_eq!(world.forwarder_pid(), pid, "nothing changed");

        networks.open_ports(stack, &id, &[given.clone(), any.clone()]).await.expect("change");
        assert_ne!(world.forwarder_pid(), pid);
        let with_number = port(Some(chosen), 80, Protocol::Tcp);
        assert_eq!(observe().await, BTreeSet::from([with_number, given.port.clone()]));

        World::kill(world.forwarder_pid());
        assert_eq!(observe().await, BTreeSet::new(), "it was killed");
        networks.open_ports(stack, &id, &[given, any]).await.expect("open");
        assert_eq!(observe().await.len(), 2);

        let fixed = BTreeSet::from([(Protocol::Tcp, chosen), (Protocol::Tcp, 9)]);
        let wanted = windlass::network::ports::Wanted { fixed, ..Default::default() };
        let own = world.directories.stack_run(stack);
        assert!(windlass::network::ports::taken(&wanted, &own).is_empty(), "its own");
        let nowhere = world.directories.run.join("nowhere");
        let others = windlass::network::ports::taken(&wanted, &nowhere);
        assert_eq!(others[&(Protocol::Tcp, chosen)].who.as_deref(), Some("stack shop"));

        networks.open_ports(stack, &id, &[]).await.expect("none");
        networks.remove_firewall(stack).await.expect("remove");
        assert!(!own.exists(), "nothing is left");
    });
}
