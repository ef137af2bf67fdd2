//! How Windlass gets in: a drop-in for the guest's sshd that holds only for
//! connections from the host's end of the bridges. Lines of a `Match` block
//! that comes first win over everything the user configures, and the key lies
//! in a file of its own, so no user-data can lock it out; for everybody else
//! the user's configuration is untouched.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::Ipv4Addr;

/// The drop-in's text.
pub(super) fn server_config(user: &str, gateways: &[Ipv4Addr]) -> String {
    if gateways.is_empty() {
        return String::new();
    }
    let addresses: Vec<String> = gateways.iter().map(ToString::to_string).collect();
    let users = if user == "root" { "root".to_owned() } else { format!("root,{user}") };
    format!(
        "# Written by Windlass at each boot.\n\
         Match Address {addresses} User {users}\n\
         \x20   AuthorizedKeysFile .ssh/authorized_keys /run/windlass/authorized_keys\n\
         \x20   PubkeyAuthentication yes\n\
         \x20   AuthenticationMethods any\n\
         \x20   PermitRootLogin prohibit-password\n\
         \x20   PermitTTY yes\n\
         \x20   ForceCommand none\n\
         \x20   AllowUsers *\n\
         \x20   AllowGroups *\n\
         \x20   DenyUsers nobody\n\
         \x20   DenyGroups nogroup\n\
         Match all\n",
        addresses = addresses.join(","),
    )
}
