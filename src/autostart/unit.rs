//! The text of a stack's systemd unit. Pure: it reads and writes nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::stack::StackName;

/// Everything that the unit says of a stack.
#[derive(Debug)]
pub struct Unit<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// The program, by its absolute path.
    pub program: &'a Path,
    /// Where the stack's state lies.
    pub state: &'a Path,
    /// What the program is told by its environment.
    pub environment: BTreeMap<String, String>,
}

/// The unit's name: the stack's, and where its state does not lie in the usual
/// place, the identity of that place too, so that no two stacks meet.
pub fn name(stack: &StackName, other_home: Option<&str>) -> String {
    name_with("windlass", stack, other_home)
}

/// The same for a unit of another kind.
pub(crate) fn name_with(prefix: &str, stack: &StackName, other_home: Option<&str>) -> String {
    match other_home {
        None => format!("{prefix}-{stack}.service"),
        Some(home_id) => format!("{prefix}-{stack}-{home_id}.service"),
    }
}

impl Unit<'_> {
    /// The text.
    pub fn text(&self) -> String {
        let Self { stack, .. } = self;
        let program = word(&self.program.to_string_lossy());
        let state = word(&self.state.to_string_lossy());
        let environment = environment(&self.environment);
        format!(
            "\
# Written by `windlass autostart on`, removed by `windlass autostart off`.

[Unit]
Description=Windlass stack {stack}
Wants=network-online.target
# A firewall that is loaded later would take away ours; Docker is where it is installed.
After=local-fs.target remote-fs.target network-online.target nftables.service docker.service
RequiresMountsFor={state}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={program} -p {stack} autostart host-up
ExecStop={program} -p {stack} autostart host-down
{environment}\
# What did not come up is said in the journal; the rest is stopped in order all the same.
SuccessExitStatus=1
# What runs is in groups of its own, and outlives the command that started it.
KillMode=process
TimeoutStartSec=infinity
TimeoutStopSec=10min

[Install]
WantedBy=multi-user.target
"
        )
    }
}

/// What the program is told by its environment, a line each.
pub(crate) fn environment(variables: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        // Text takes text.
        let _ = writeln!(text, "Environment={}", word(&format!("{name}={value}")));
    }
    text
}

/// One word of a line, whatever is in it.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = specifiers(text).replace('\\', r"\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// `%` begins a specifier.
pub(crate) fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> StackName {
        StackName::new("shop").unwrap()
    }

    #[test]
    fn the_unit_of_a_stack() {
        let unit = Unit {
            stack: &shop(),
            program: Path::new("/usr/local/bin/windlass"),
            state: Path::new("/var/lib/windlass"),
            environment: BTreeMap::new(),
        };
        insta::assert_snapshot!(unit.text());
    }

    #[test]
    fn state_elsewhere_and_odd_paths_are_passed_on_as_they_are() {
        let environment = [("WINDLASS_HOME", "/srv/100% mine"), ("WINDLASS_CACHE", r#"/srv/"c""#)];
        let unit = Unit {
            stack: &shop(),
            program: Path::new("/opt/wind lass/windlass"),
            state: Path::new("/srv/100% mine/lib"),
            environment: environment.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        let text = unit.text();
        let lines: Vec<&str> =
            text.lines().filter(|line| line.contains("/srv") || line.contains("/opt")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn stacks_of_two_state_directories_never_share_a_unit() {
        assert_eq!(name(&shop(), None), "windlass-shop.service");
        assert_eq!(name(&shop(), Some("0123abcd")), "windlass-shop-0123abcd.service");
    }
}
