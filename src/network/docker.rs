//! What Docker's firewall does to our frames, and what lets them pass.
//!
//! Docker sets the policy of `FORWARD` to drop. No rule in a table of our own
//! can undo that, but `DOCKER-USER` is the place Docker leaves to others: a
//! commented rule there leads to a chain of the stack's own, which accepts what
//! the policy would wrongly drop:
//!
//! - frames between two ports of one of our bridges,
//! - answers, and what was translated to a published port of ours,
//! - what leaves our bridges, but for Docker's own: those are left to Docker,
//!   which lets in what its containers publish and nothing else.
//!
//! What our chain does not accept goes on in `DOCKER-USER`, so that the rules
//! others have there keep their say. This module touches the stack's chain and
//! rules that carry its comment, and nothing else.

use std::collections::BTreeSet;

use super::firewall::{FirewallError, run};

/// Where Docker lets others speak first.
const USER: &str = "DOCKER-USER";

/// Options of `iptables` that precede every command: wait for its lock.
const WAIT: &str = "-w";

/// The names that Docker gives to bridges by itself.
const PATTERNS: [&str; 2] = ["docker+", "br-+"];

/// The stack's place in Docker's firewall.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// What our rules in `DOCKER-USER` carry.
    comment: String,
    /// The stack's own chain.
    chain: String,
}

/// Docker's firewall, as far as it concerns us.
#[derive(Debug)]
pub(super) struct Seen {
    /// Rules of ours in `DOCKER-USER`, as `iptables -S` writes them.
    ours: Vec<String>,
    /// The rules of the stack's chain; `None`: there is none.
    chain: Option<Vec<String>>,
    /// Bridges that are Docker's although their names do not say so.
    named: BTreeSet<String>,
    /// Interfaces that are not Docker's although their names look like it.
    foreign: BTreeSet<String>,
}

impl Place {
    /// Of the stack with this id.
    pub(super) fn new(stack_id: &str) -> Self {
        Self { comment: format!("windlass:{stack_id}"), chain: format!("WINDLASS-{stack_id}") }
    }

    /// Looks; `None`: Docker has no chains here. `interfaces` are the host's.
    ///
    /// `iptables` is asked, and not the kernel, because Docker works through it:
    /// whichever of its two backends the host has, both use the same one.
    pub(super) fn observe<'a>(
        &self,
        interfaces: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Seen>, FirewallError> {
        match run("iptables", &[WAIT, "-S"], "") {
            Ok(listing) => Ok(self.read(&listing, interfaces)),
            // No such table, no such program: Docker has never been here.
            Err(FirewallError::Refused { .. } | FirewallError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read<'a>(&self, listing: &str, interfaces: impl Iterator<Item = &'a str>) -> Option<Seen> {
        let has = |chain: &str| listing.lines().any(|line| line == format!("-N {chain}"));
        if !has(USER) {
            return None;
        }
        let of_chain = |chain: &str| {
            let start = format!("-A {chain} ");
            let rules = listing.lines().filter(move |line| line.starts_with(&start));
            rules.map(str::to_owned).collect::<Vec<_>>()
        };
        let dockers = dockers(listing);
        let looks_like_it = |name: &&str| {
            PATTERNS.iter().any(|pattern| name.starts_with(pattern.trim_end_matches('+')))
        };
        let foreign = interfaces
            .filter(looks_like_it)
            .filter(|name| !is_generated(name) && !dockers.contains(*name));
        Some(Seen {
            ours: of_chain(USER).into_iter().filter(|rule| self.is_ours(rule)).collect(),
            chain: has(&self.chain).then(|| of_chain(&self.chain)),
            foreign: foreign.map(str::to_owned).collect(),
            named: dockers.iter().filter(|name| !looks_like_it(&&***name)).cloned().collect(),
        })
    }

    fn is_ours(&self, rule: &str) -> bool {
        let comment = &self.comment;
        [format!("--comment {comment} "), format!("--comment \"{comment}\" ")]
            .iter()
            .any(|words| rule.contains(words))
    }

    /// Whether Docker's firewall lets the bridge's traffic pass, and no more.
    pub(super) fn accepts(&self, seen: &Seen, bridge: &str) -> bool {
        let of_bridge = |rule: &&String| rule.split(' ').any(|word| word == bridge);
        let there: Vec<&String> = seen.chain.iter().flatten().filter(of_bridge).collect();
        let wanted = self.rules(seen, bridge);
        self.is_reached(seen) && there.into_iter().eq(&wanted)
    }

    fn is_reached(&self, seen: &Seen) -> bool {
        matches!(seen.ours.as_slice(), [rule] if rule.ends_with(&format!("-j {}", self.chain)))
    }

    /// Has the rules for exactly these bridges, where Docker's chain is.
    pub(super) fn accept(
        &self,
        seen: &Seen,
        bridges: &BTreeSet<&str>,
    ) -> Result<(), FirewallError> {
        let wanted: Vec<String> =
            bridges.iter().flat_map(|bridge| self.rules(seen, bridge)).collect();
        if seen.chain.as_ref() != Some(&wanted) {
            // One transaction: it is never seen half filled.
            let script =
                format!("*filter\n:{} - [0:0]\n{}\nCOMMIT\n", self.chain, wanted.join("\n"));
            run("iptables-restore", &[WAIT, "--noflush"], &script)?;
        }
        if self.is_reached(seen) {
            return Ok(());
        }
        seen.ours.iter().try_for_each(|rule| delete(rule))?;
        let rule = ["-m", "comment", "--comment", &self.comment, "-j", &self.chain];
        run("iptables", &[&[WAIT, "-I", USER][..], &rule[..]].concat(), "").map(drop)
    }

    /// Removes every rule with our comment, and the chain it led to.
    pub(super) fn remove(&self, seen: &Seen) -> Result<(), FirewallError> {
        seen.ours.iter().try_for_each(|rule| delete(rule))?;
        if seen.chain.is_some() {
            for option in ["-F", "-X"] {
                run("iptables", &[WAIT, option, &self.chain], "")?;
            }
        }
        Ok(())
    }

    /// What the chain says of one bridge, in order, as `iptables -S` writes it.
    fn rules(&self, seen: &Seen, bridge: &str) -> Vec<String> {
        let rule = |text: String| format!("-A {} {text}", self.chain);
        let state =
            |states: &str| rule(format!("-o {bridge} -m conntrack --ctstate {states} -j ACCEPT"));
        let mut rules = vec![
            rule(format!("-i {bridge} -o {bridge} -j ACCEPT")),
            state("RELATED,ESTABLISHED"),
            state("DNAT"),
        ];
        let to = |name: &str, verdict: &str| rule(format!("-i {bridge} -o {name} -j {verdict}"));
        rules.extend(seen.foreign.iter().map(|name| to(name, "ACCEPT")));
        rules.extend(PATTERNS.iter().map(|name| to(name, "RETURN")));
        rules.extend(seen.named.iter().map(|name| to(name, "RETURN")));
        rules.push(rule(format!("-i {bridge} -j ACCEPT")));
        rules
    }
}

/// The interfaces that Docker's own rules speak of.
fn dockers(listing: &str) -> BTreeSet<String> {
    let is_dockers = |chain: &str| chain.starts_with("DOCKER") && chain != USER;
    let mut names = BTreeSet::new();
    for line in listing.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(&chain), Some(&target)) = (words.get(1), words.last()) else { continue };
        if is_dockers(chain) || is_dockers(target) {
            let pairs = words.windows(2).filter(|pair| matches!(pair[0], "-i" | "-o"));
            names.extend(pairs.map(|pair| pair[1].to_owned()));
        }
    }
    names
}

/// `docker0`, and `br-` with twelve digits of the network's id.
fn is_generated(name: &str) -> bool {
    let digits = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_hexdigit());
    name == "docker0" || name == "docker_gwbridge" || name.strip_prefix("br-").is_some_and(digits)
}

/// Deletes one rule, given as `-A CHAIN …`.
fn delete(rule: &str) -> Result<(), FirewallError> {
    let words: Vec<&str> = rule.split_whitespace().skip(1).map(|w| w.trim_matches('"')).collect();
    run("iptables", &[&[WAIT, "-D"][..], &words[..]].concat(), "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "-P FORWARD DROP
-N DOCKER
-N DOCKER-ISOLATION-STAGE-1
-N DOCKER-USER
-N WINDLASS-1
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -o shop -j DOCKER
-A DOCKER-ISOLATION-STAGE-1 ! -s 10.1.0.0/16 -o br-inside -j DROP
-A DOCKER-USER -m comment --comment \"windlass:1\" -j WINDLASS-1
-A DOCKER-USER -i wl-b -m comment --comment windlass:12 -j ACCEPT
-A DOCKER-USER -j RETURN
-A WINDLASS-1 -i wl-a -o wl-a -j ACCEPT
-A WINDLASS-1 -o wl-a -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A WINDLASS-1 -o wl-a -m conntrack --ctstate DNAT -j ACCEPT
-A WINDLASS-1 -i wl-a -o br-lan -j ACCEPT
-A WINDLASS-1 -i wl-a -o docker+ -j RETURN
-A WINDLASS-1 -i wl-a -o br-+ -j RETURN
-A WINDLASS-1 -i wl-a -o shop -j RETURN
-A WINDLASS-1 -i wl-a -j ACCEPT
";

    fn seen(stack: &str, listing: &str) -> (Place, Seen) {
        let interfaces = ["eth0", "br-lan", "br-0123456789ab", "br-inside", "docker0", "shop"];
        let place = Place::new(stack);
        let seen = place.read(listing, interfaces.into_iter()).expect("Docker is here");
        (place, seen)
    }

    #[test]
    fn the_rules_that_were_put_there_are_the_rules_that_are_looked_for() {
        let (place, seen) = seen("1", LISTING);
        assert!(place.accepts(&seen, "wl-a"));
        assert!(!place.accepts(&seen, "wl-b"));
    }

    #[test]
    fn every_rule_that_is_missing_is_missed() {
        for number in 12..LISTING.lines().count() {
            let mut lines: Vec<&str> = LISTING.lines().collect();
            let missing = lines.remove(number);
            let (place, seen) = seen("1", &lines.join("\n"));
            assert!(!place.accepts(&seen, "wl-a"), "{missing}");
        }
        let (place, seen) = seen("1", &LISTING.replace("-j WINDLASS-1", "-j ACCEPT"));
        assert!(!place.accepts(&seen, "wl-a"), "nothing leads to the chain");
    }

    #[test]
    fn a_bridge_of_dockers_is_known_by_its_rules_or_its_name() {
        let (_, seen) = seen("1", LISTING);
        assert_eq!(seen.foreign.into_iter().collect::<Vec<_>>(), ["br-lan"]);
        assert_eq!(seen.named.into_iter().collect::<Vec<_>>(), ["shop"]);
    }

    #[test]
    fn only_rules_with_our_comment_are_ours() {
        let (_, seen) = seen("12", LISTING);
        assert_eq!(seen.ours.len(), 1);
        assert!(seen.ours[0].contains("wl-b"));
        assert!(Place::new("1").read("-P FORWARD ACCEPT\n", std::iter::empty()).is_none());
    }
}
