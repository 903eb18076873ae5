//! # connect-unreachable: no way to the host
//!
//! The kernel, or a router, says that there is no way to this address: no route, a missing IPv6 connection, a VPN that is
//! down.
//!
//! **Seen by** connect(2) or SO_ERROR giving ENETUNREACH, EHOSTUNREACH, or EACCES/EPERM from a local firewall.
//!
//! **What to do** Check the route with the command shown, and whether the VPN is up.

use super::network::{draft, failed_attempts};
use super::scene::Scene;
use crate::report::Finding;

const ERRORS: &[&str] =
    &["ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL", "EACCES", "EPERM", "ENETDOWN"];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    failed_attempts(scene, ERRORS)
        .iter()
        .map(|group| {
            let name = group.target.name();
            let error = group.oldest.failure().unwrap_or_default().to_owned();
            let t = group.oldest.decided.as_ref().map_or(group.oldest.since, |(t, _)| *t);
            let why = match error.as_str() {
                "EACCES" | "EPERM" => "a rule on this machine forbids it",
                _ => "the network is unreachable",
            };
            draft(scene, "connect-unreachable", group, format!("{name} cannot be reached: {why}."))
                .blocked(None, "connect", Some(group.oldest.fd))
                .seen(format!("{why} ({error})"), t, "connect-end")
                .or_else("a VPN that is down, or IPv6 without a connection")
                .remedy(
                    "see which way packets would take:",
                    Some(format!("ip route get {}", group.target.ip)),
                )
                .done()
        })
        .collect()
}
