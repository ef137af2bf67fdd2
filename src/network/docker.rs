//! What other firewalls on the host do to our frames, and what lets them pass.
//!
//! Docker sets the policy of `FORWARD` to drop. No rule in a table of our own
//! can undo that, but `DOCKER-USER` is the place Docker leaves to others: a
//! commented rule there accepts our bridges. This module touches rules there
//! that carry our comment and nothing else; firewalld and ufw it only names.

use std::collections::BTreeSet;

use super::firewall::{FirewallError, run};

const CHAIN: &str = "DOCKER-USER";

/// Options of `iptables` that precede every command: wait for its lock.
const WAIT: &str = "-w";

/// The rules of ours in Docker's chain; `None`: there is no such chain.
///
/// `iptables` is asked, and not the kernel, because Docker works through it:
/// whichever of its two backends the host has, both use the same one.
pub(super) fn observe(comment: &str) -> Result<Option<BTreeSet<String>>, FirewallError> {
    match run("iptables", &[WAIT, "-S", CHAIN], "") {
        Ok(listing) => Ok(Some(of_comment(&listing, comment))),
        // No such chain, no such program: Docker has never been here.
        Err(FirewallError::Refused { .. } | FirewallError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether Docker's chain lets the bridge's traffic pass; `None`: no such chain.
pub(super) fn accepts(rules: Option<&BTreeSet<String>>, bridge: &str) -> Option<bool> {
    let rules = rules?;
    let both = directions(bridge).map(|direction| has(rules, &direction));
    Some(both == [true, true])
}

/// Has the accepting rules for exactly these bridges, where Docker's chain is.
pub(super) fn accept(comment: &str, bridges: &BTreeSet<&str>) -> Result<(), FirewallError> {
    let Some(rules) = observe(comment)? else { return Ok(()) };
    for bridge in bridges {
        for direction in directions(bridge).iter().filter(|direction| !has(&rules, direction)) {
            let [option, name] = direction;
            let rule = [option, name, "-m", "comment", "--comment", comment, "-j", "ACCEPT"];
            run("iptables", &[&[WAIT, "-I", CHAIN][..], &rule[..]].concat(), "")?;
        }
    }
    let stale =
        |rule: &&String| !bridges.iter().any(|bridge| rule.contains(&format!(" {bridge} ")));
    rules.iter().filter(stale).try_for_each(|rule| delete(rule))
}

/// Removes every rule with our comment from Docker's chain.
pub(super) fn remove(comment: &str) -> Result<(), FirewallError> {
    observe(comment)?.unwrap_or_default().iter().try_for_each(|rule| delete(rule))
}

/// What to run where firewalld or ufw is in charge; `None`: neither is.
pub fn advice(bridges: &[String]) -> Option<String> {
    let answers = |program, arguments: &[&str], word: &str| {
        run(program, arguments, "").is_ok_and(|said| said.contains(word))
    };
    let lines = |line: &dyn Fn(&str) -> String| {
        bridges.iter().map(|bridge| line(bridge)).collect::<Vec<_>>().join(" && ")
    };
    if answers("firewall-cmd", &["--state"], "running") {
        return Some(
            lines(&|bridge| {
                format!("firewall-cmd --permanent --zone=trusted --add-interface={bridge}")
            }) + " && firewall-cmd --reload",
        );
    }
    if answers("ufw", &["status"], "Status: active") {
        return Some(lines(&|bridge| {
            format!(
                "ufw allow in on {bridge} && ufw route allow in on {bridge} && ufw route allow out on {bridge}"
            )
        }));
    }
    None
}

fn directions(bridge: &str) -> [[&str; 2]; 2] {
    [["-i", bridge], ["-o", bridge]]
}

fn has(rules: &BTreeSet<String>, [option, name]: &[&str; 2]) -> bool {
    rules.iter().any(|rule| rule.starts_with(&format!("-A {CHAIN} {option} {name} ")))
}

/// The rules of a listing that carry the comment, as `iptables -S` writes them.
fn of_comment(listing: &str, comment: &str) -> BTreeSet<String> {
    let words = [format!("--comment {comment} "), format!("--comment \"{comment}\" ")];
    let ours = |line: &&str| words.iter().any(|words| line.contains(words));
    listing.lines().filter(ours).map(str::to_owned).collect()
}

/// Deletes one rule, given as `-A CHAIN …`.
fn delete(rule: &str) -> Result<(), FirewallError> {
    let words: Vec<&str> = rule.split_whitespace().skip(1).map(|w| w.trim_matches('"')).collect();
    run("iptables", &[&[WAIT, "-D"][..], &words[..]].concat(), "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "-N DOCKER-USER
-A DOCKER-USER -i wl-a -m comment --comment windlass:1 -j ACCEPT
-A DOCKER-USER -o wl-a -m comment --comment \"windlass:1\" -j ACCEPT
-A DOCKER-USER -i wl-b -m comment --comment windlass:12 -j ACCEPT
-A DOCKER-USER -j RETURN
";

    #[test]
    fn only_rules_with_our_comment_are_ours() {
        let rules = of_comment(LISTING, "windlass:1");
        assert_eq!(rules.len(), 2);
        assert_eq!(accepts(Some(&rules), "wl-a"), Some(true));
        assert_eq!(accepts(Some(&rules), "wl-b"), Some(false));
        let half = of_comment(LISTING, "windlass:12");
        assert_eq!(accepts(Some(&half), "wl-b"), Some(false), "one direction is missing");
        assert_eq!(accepts(None, "wl-a"), None);
    }
}
