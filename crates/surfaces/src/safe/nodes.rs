//! `/api/v1/nodes`: what a node is reached with, and no node.

use std::net::IpAddr;

use domain::Annotations;
use serde_json::{Value, json};
use vault::{ConsumerKind, ConsumerView, NewConsumer, VaultError};

use super::body::Body;
use super::clusters::{SSH, administer, refused, secret, told};
use super::{reply, show};
use crate::{Answer, Context, Request, Trouble};

/// What the platform calls them in refusals.
const NODES: &str = "nodes";
/// Where a node's address is kept.
const ADDRESS: &str = "safe-private-ip";
/// Where its flavor is kept.
const FLAVOR: &str = "safe-flavor";
/// Where its port for SSH is kept.
const PORT: &str = "safe-port";

/// A node. With which secret it is reached is never shown.
fn view(found: &ConsumerView) -> Value {
    let kept = |key: &str| found.annotations.text(key).unwrap_or_default();
    json!({
        "nodeId": found.name,
        "nodeName": found.name,
        "internalIP": kept(ADDRESS),
        "flavorId": kept(FLAVOR),
        "creationTime": show::time(found.created_at),
    })
}

/// All nodes.
pub(super) fn list(context: &Context<'_>, _: &Request) -> Result<Answer, Trouble> {
    let found = context.vault.consumers(context.actor()?, ConsumerKind::Node)?;
    let items: Vec<_> = found.iter().map(view).collect();
    Ok(reply::ok(&show::list(&items)))
}

/// One node.
pub(super) fn show(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let id = show::id(request.name("id"), "nodeId")?;
    let found = context.vault.consumer(context.actor()?, (ConsumerKind::Node, id));
    Ok(reply::ok(&view(&found.map_err(|error| about(id, error))?)))
}

/// What is sent to register a node.
struct New {
    name: String,
    address: IpAddr,
    flavor: String,
    port: u16,
    ssh: String,
}

impl New {
    fn read(request: &Request) -> Result<Self, Trouble> {
        let mut body = Body::read(request, false)?;
        let flavor = body.text("flavorId")?.unwrap_or_default();
        let address = body.required("privateIP")?;
        let ssh = body.required("sshSecretId")?;
        let address: IpAddr =
            address.trim().parse().map_err(|_| reply::bad("privateIP must be an IP address"))?;
        let port = match body.number("port")? {
            None => 22,
            Some(port) => u16::try_from(port)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| reply::bad("port must be a whole number from 1 to 65535"))?,
        };
        let hostname = body.text("hostname")?.filter(|name| !name.is_empty());
        let name = hostname.unwrap_or_else(|| name_of(address));
        Ok(Self { name, address, flavor, port, ssh })
    }
}

/// The name of a node that has no host name. Where its address begins or ends with colons, a zero is
/// written out, since a name neither begins nor ends with `-`.
fn name_of(address: IpAddr) -> String {
    let text = address.to_string();
    let before = if text.starts_with(':') { "0" } else { "" };
    let after = if text.ends_with(':') { "0" } else { "" };
    format!("{before}{text}{after}").replace(':', "-")
}

/// Registers a node; an administrator's act. Its identity is its host name, or else its address.
pub(super) fn create(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context, "create", "node")?;
    let new = New::read(request)?;
    let annotations = Annotations::default().with(ADDRESS, new.address.to_string())?;
    let annotations = annotations.with(FLAVOR, new.flavor)?.with(PORT, new.port.to_string())?;
    let node = NewConsumer {
        kind: ConsumerKind::Node,
        name: &new.name,
        annotations,
        ssh: Some(secret(context, SSH, &new.ssh)?),
        image: None,
    };
    match context.vault.create_consumer(&permit, &node) {
        Ok(made) => {
            let answer = reply::ok(&json!({ "nodeId": new.name }));
            Ok(answer.detail(told(context, &made)))
        }
        Err(error) => Err(refused(error, NODES, &new.name)),
    }
}

/// Takes a node off the register; an administrator's act.
pub(super) fn delete(context: &Context<'_>, request: &Request) -> Result<Answer, Trouble> {
    let permit = administer(context, "delete", "node")?;
    let id = show::id(request.name("id"), "nodeId")?;
    let gone = context.vault.delete_consumer(&permit, (ConsumerKind::Node, id), &|_| Ok(()));
    gone.map_err(|error| about(id, error))?;
    Ok(reply::done().detail(format!("node:{id}")))
}

/// Ids that name nothing are not repeated.
fn about(id: &str, error: VaultError) -> Trouble {
    let shown = if domain::is_dns_subdomain(id) { id } else { "" };
    reply::about(NODES, shown, error)
}

/// Reads a body as a registration.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(request: &Request) -> Result<(), Trouble> {
    New::read(request).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_makes_a_name() {
        for (address, name) in [
            ("10.0.0.7", "10.0.0.7"),
            ("fd00::7", "fd00--7"),
            ("fd00::", "fd00--0"),
            ("::1", "0--1"),
            ("::", "0--0"),
            ("::ffff:10.0.0.7", "0--ffff-10.0.0.7"),
        ] {
            let made = name_of(address.parse().unwrap());
            assert_eq!(made, name);
            assert!(domain::is_dns_subdomain(&made), "{made}");
        }
    }
}
