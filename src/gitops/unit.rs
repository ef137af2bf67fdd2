//! The text of the systemd unit of a loop. Pure: it reads and writes nothing.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;
use std::path::Path;

use crate::autostart::unit::{environment, name_with, specifiers, word};
use crate::stack::StackName;

/// Everything that the unit says.
#[derive(Debug)]
pub struct Unit<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// What is followed, in words.
    pub follows: &'a str,
    /// The program, by its absolute path.
    pub program: &'a Path,
    /// The gitops file, by its absolute path.
    pub file: &'a Path,
    /// Paths without which it cannot work; all absolute.
    pub needs: Vec<&'a Path>,
    /// What the program is told by its environment.
    pub environment: BTreeMap<String, String>,
}

/// The unit's name: the stack's, and where its state does not lie in the usual
/// place, the identity of that place too.
pub fn name(stack: &StackName, other_home: Option<&str>) -> String {
    name_with("windlass-gitops", stack, other_home)
}

impl Unit<'_> {
    /// The text.
    pub fn text(&self) -> String {
        let stack = self.stack;
        let follows = specifiers(self.follows);
        let path = |path: &Path| word(&path.to_string_lossy());
        let (program, file) = (path(self.program), path(self.file));
        let needs: Vec<String> = self.needs.iter().map(|needed| path(needed)).collect();
        let needs = needs.join(" ");
        let environment = environment(&self.environment);
        format!(
            "\
# Written by `windlass gitops install`, removed by `windlass gitops uninstall`.

[Unit]
Description=Windlass stack {stack}, as {follows} says
Wants=network-online.target
# A firewall that is loaded later would take away ours; Docker is where it is installed.
After=local-fs.target remote-fs.target network-online.target nftables.service docker.service
RequiresMountsFor={needs}

[Service]
ExecStart={program} gitops run {file}
ExecReload=/bin/kill -HUP $MAINPID
{environment}\
Restart=always
RestartSec=5
# A file that is wrong, or a loop that runs already, does not mend itself.
RestartPreventExitStatus=2 3 5
# What runs is in groups of its own, and outlives the loop.
KillMode=process
TimeoutStopSec=2min

[Install]
WantedBy=multi-user.target
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_loop() {
        let unit = Unit {
            stack: &StackName::new("shop").unwrap(),
            follows: "main of https://git.example.org/50%/shop.git",
            program: Path::new("/usr/local/bin/windlass"),
            file: Path::new("/etc/windlass/shop gitops.yaml"),
            needs: vec![
                Path::new("/var/lib/windlass"),
                Path::new("/etc/windlass/shop gitops.yaml"),
            ],
            environment: [("HOME".to_owned(), "/root".to_owned())].into(),
        };
        insta::assert_snapshot!(unit.text());
    }

    #[test]
    fn loops_of_two_state_directories_never_share_a_unit() {
        let shop = StackName::new("shop").unwrap();
        assert_eq!(name(&shop, None), "windlass-gitops-shop.service");
        assert_eq!(name(&shop, Some("0123abcd")), "windlass-gitops-shop-0123abcd.service");
    }
}
