//! The networks that the file declares.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::Resolver;
use super::field::{items, pairs, text, truth};
use crate::diagnostic::Diagnostic;
use crate::stack::Network;
use crate::yaml::Node;

impl Resolver<'_> {
    pub(super) fn networks(&mut self) -> BTreeMap<String, Network> {
        let declared = self.section("networks").into_iter().flatten();
        declared.map(|(name, entry)| (name.clone(), self.network(name, &entry.value))).collect()
    }

    fn network(&mut self, name: &str, node: &Node) -> Network {
        if text(node, "name") != Some(format!("{}_{name}", self.spec.name)) {
            let title = "a network's own `name` is not carried out yet, and ignored";
            self.found.push(Diagnostic::warning(title).at(node.key_span("name")));
        }
        if let Some(driver) = node.get("driver")
            && !matches!(driver.as_text(), Some("bridge" | "default"))
        {
            let word = driver.as_text().unwrap_or_default();
            self.found.push(
                Diagnostic::error(format!("network driver `{word}` is not carried out yet"))
                    .at(driver.span)
                    .help("leave `driver` out: Windlass makes a bridge"),
            );
        }
        let (mut subnet, mut gateway) = (None, None);
        let configs = node.get("ipam").map_or(&[][..], |ipam| items(ipam, "config"));
        for config in configs {
            if let Some(written) = config.get("subnet") {
                if written.as_text().is_some_and(|text| text.contains(':')) {
                    let title = "IPv6 subnets are not carried out yet, and ignored";
                    self.found.push(Diagnostic::warning(title).at(written.span));
                    continue;
                }
                match self.subnet(written) {
                    Some(_) if subnet.is_some() => {
                        self.error("a network has one IPv4 subnet", written.span);
                    }
                    parsed => subnet = parsed,
                }
            }
            let Some(written) = config.get("gateway") else { continue };
            let address = text(config, "gateway").and_then(|text| text.parse().ok());
            match (address, subnet) {
                (None, _) => self.error("this is not an IPv4 address", written.span),
                (Some(address), Some(subnet)) if !subnet.contains(&address) => {
                    self.error(format!("gateway `{address}` is outside `{subnet}`"), written.span);
                }
                (Some(_), None) => self.error("a gateway needs its `subnet`", written.span),
                (Some(address), Some(_)) => gateway = Some(address),
            }
        }
        Network {
            name: name.to_owned(),
            subnet,
            gateway,
            internal: truth(node, "internal"),
            labels: pairs(node, "labels"),
        }
    }

    fn subnet(&mut self, node: &Node) -> Option<Ipv4Net> {
        let text = node.as_text()?;
        let diagnostic = match text.parse::<Ipv4Net>() {
            Err(_) => Diagnostic::error(format!("`{text}` is not a subnet"))
                .help("write it like `10.77.0.0/24`"),
            Ok(subnet) if subnet.addr() != subnet.network() => {
                Diagnostic::error(format!("`{text}` has bits set beyond its length"))
                    .help(format!("did you mean `{}`?", subnet.trunc()))
            }
            Ok(subnet) if subnet.prefix_len() > 30 => {
                Diagnostic::error(format!("`{text}` has no room for a gateway and a workload"))
                    .help("write a shorter length, like `/24`")
            }
            Ok(subnet) => return Some(subnet),
        };
        self.found.push(diagnostic.at(node.span));
        None
    }
}
