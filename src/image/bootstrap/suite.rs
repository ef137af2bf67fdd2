//! What is known of the distributions that can be bootstrapped.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::image::ImageError;
use crate::stack::{Kind, Recipe};

/// A distribution.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::image) struct Distribution {
    mirror: &'static str,
    components: &'static [&'static str],
    /// Suites that updates come in, beside the one that is named.
    pockets: &'static [&'static str],
    kernel: &'static str,
    /// The archive's keys, and the package that brings them.
    pub(super) keyring: &'static str,
    pub(super) keyring_package: &'static str,
    /// cloud-init's default user.
    pub(super) user: &'static str,
}

const DEBIAN: Distribution = Distribution {
    mirror: "http://deb.debian.org/debian",
    components: &["main"],
    // mmdebstrap itself adds Debian's, which differ from suite to suite.
    pockets: &[],
    kernel: "linux-image-cloud-amd64",
    keyring: "/usr/share/keyrings/debian-archive-keyring.gpg",
    keyring_package: "debian-archive-keyring",
    user: "debian",
};

const UBUNTU: Distribution = Distribution {
    mirror: "http://archive.ubuntu.com/ubuntu",
    components: &["main", "universe"],
    pockets: &["-updates", "-security"],
    kernel: "linux-image-virtual",
    keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
    keyring_package: "ubuntu-keyring",
    user: "ubuntu",
};

const SUITES: [(&str, &Distribution); 9] = [
    ("bullseye", &DEBIAN),
    ("bookworm", &DEBIAN),
    ("trixie", &DEBIAN),
    ("forky", &DEBIAN),
    ("sid", &DEBIAN),
    ("jammy", &UBUNTU),
    ("noble", &UBUNTU),
    ("plucky", &UBUNTU),
    ("questing", &UBUNTU),
];

/// Suites whose systemd still has its resolver within.
const RESOLVER_WITHIN: [&str; 2] = ["bullseye", "jammy"];

/// What a VM has besides what its recipe asks for: a kernel, cloud-init and
/// what that needs to set up networks, users, disks and ssh.
const OF_VMS: [&str; 22] = [
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "fdisk",
    "initramfs-tools",
    "iproute2",
    "iputils-ping",
    "kmod",
    "less",
    "libpam-systemd",
    "netbase",
    "netplan.io",
    "openssh-server",
    "procps",
    "rsync",
    "sudo",
    "systemd-sysv",
    "tzdata",
    "udev",
    "zstd",
];

impl Distribution {
    /// The distribution that has this suite.
    pub(super) fn of(suite: &str) -> Result<&'static Self, ImageError> {
        SUITES.iter().find(|(name, _)| *name == suite).map(|(_, of)| *of).ok_or_else(|| {
            let meant =
                super::super::catalogue::nearest(suite, SUITES.iter().map(|(name, _)| *name));
            ImageError::Suite { suite: suite.to_owned(), meant }
        })
    }

    /// Where the recipe's packages come from.
    pub(super) fn mirror<'a>(&'a self, recipe: &'a Recipe) -> &'a str {
        recipe.mirror.as_deref().unwrap_or(self.mirror)
    }

    fn components(&self, recipe: &Recipe) -> Vec<String> {
        if recipe.components.is_empty() {
            return self.components.iter().map(|&component| component.to_owned()).collect();
        }
        recipe.components.clone()
    }

    /// mmdebstrap's arguments for a root file system at `target`.
    pub(super) fn arguments(
        &self,
        recipe: &Recipe,
        kind: Kind,
        target: &str,
        essential_hook: Option<&str>,
    ) -> Vec<String> {
        let components = self.components(recipe);
        let mut packages = recipe.packages.clone();
        if kind == Kind::Vm {
            packages.extend(OF_VMS.map(str::to_owned));
            packages.push(self.kernel.to_owned());
            if !RESOLVER_WITHIN.contains(&recipe.suite.as_str()) {
                packages.push("systemd-resolved".to_owned());
            }
        }
        packages.sort_unstable();
        packages.dedup();
        let format = if kind == Kind::Vm { "directory" } else { "tar" };
        let mut arguments: Vec<String> = vec![
            "--mode=root".into(),
            "--variant=minbase".into(),
            format!("--format={format}"),
            format!("--keyring={}", self.keyring),
            format!("--components={}", components.join(",")),
            // A mirror that hangs is an error within seconds, not minutes.
            "--aptopt=Acquire::Retries \"1\"".into(),
            "--aptopt=Acquire::http::Timeout \"10\"".into(),
            "--aptopt=Acquire::https::Timeout \"10\"".into(),
            "--dpkgopt=path-exclude=/usr/share/doc/*".into(),
            "--dpkgopt=path-include=/usr/share/doc/*/copyright".into(),
            "--dpkgopt=path-exclude=/usr/share/locale/*/LC_MESSAGES/*".into(),
        ];
        if !packages.is_empty() {
            arguments.push(format!("--include={}", packages.join(",")));
        }
        arguments.extend(essential_hook.map(|hook| format!("--essential-hook={hook}")));
        arguments.extend([recipe.suite.clone(), target.to_owned()]);
        arguments.extend(self.sources(recipe, &components.join(" ")));
        arguments
    }

    /// Lines of a sources.list; none where mmdebstrap's own are right.
    fn sources(&self, recipe: &Recipe, components: &str) -> Vec<String> {
        let mirror = self.mirror(recipe);
        if recipe.mirror.is_some() || self.pockets.is_empty() {
            let own = recipe.mirror.as_ref();
            return own
                .map(|mirror| format!("deb {mirror} {} {components}", recipe.suite))
                .into_iter()
                .collect();
        }
        let pockets = std::iter::once(&"").chain(self.pockets);
        pockets
            .map(|pocket| format!("deb {mirror} {}{pocket} {components}", recipe.suite))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(suite: &str) -> Recipe {
        let packages = vec!["postgresql".to_owned()];
        Recipe { suite: suite.to_owned(), mirror: None, packages, components: Vec::new() }
    }

    #[test]
    fn a_debian_vm_has_the_recipes_packages_and_the_standard_ones_once() {
        let recipe = recipe("bookworm");
        let arguments = DEBIAN.arguments(&recipe, Kind::Vm, "/root", Some("/hook"));
        let include = arguments.iter().find(|argument| argument.starts_with("--include=")).unwrap();
        let packages: Vec<_> = include["--include=".len()..].split(',').collect();
        for expected in ["postgresql", "cloud-init", "linux-image-cloud-amd64", "systemd-resolved"]
        {
            assert_eq!(packages.iter().filter(|package| **package == expected).count(), 1);
        }
        assert_eq!(
            arguments[arguments.len() - 3..],
            ["--essential-hook=/hook", "bookworm", "/root"]
        );
    }

    #[test]
    fn a_container_has_the_recipes_packages_alone() {
        let arguments = DEBIAN.arguments(&recipe("bookworm"), Kind::Container, "/root.tar", None);
        assert!(arguments.contains(&"--include=postgresql".to_owned()));
        assert!(arguments.contains(&"--format=tar".to_owned()));
    }

    #[test]
    fn ubuntu_brings_its_pockets_and_a_named_mirror_stands_alone() {
        let mut recipe = recipe("noble");
        let sources = UBUNTU.sources(&recipe, "main universe");
        assert_eq!(sources[0], "deb http://archive.ubuntu.com/ubuntu noble main universe");
        assert_eq!(sources.len(), 3);
        recipe.mirror = Some("http://mirror.example.org/ubuntu".into());
        assert_eq!(
            UBUNTU.sources(&recipe, "main"),
            ["deb http://mirror.example.org/ubuntu noble main"]
        );
    }

    #[test]
    fn a_suite_that_is_mistyped_is_recognised() {
        let error = Distribution::of("bookwrm").unwrap_err();
        assert_eq!(error.help().as_deref(), Some("did you mean `bookworm`?"));
        assert!(Distribution::of("windows").unwrap_err().help().is_none());
    }
}
