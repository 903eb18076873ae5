//! # connect-silent: SYN sent, nothing came back
//!
//! The kernel asks for a connection and nobody answers, not even with a refusal. A firewall drops the packets, the host is
//! down, or the address is routed nowhere.
//!
//! **Seen by** a TCP socket in SYN_SENT, or a connect(2) that was never decided.
//!
//! **Limit** go gives up after 30 s for look-up and all addresses together (net.Dialer in net/http's DefaultTransport), and
//! tries again for every module. git and ssh leave it to the kernel: about two minutes.
//!
//! **What to do** Allow the host in the firewall, use the company's proxy, or another entry of GOPROXY. A comma in GOPROXY
//! does not lead to the next entry after a timeout; a `|` does.

use super::network::{draft, groups, with_remedies};
use super::scene::Scene;
use crate::report::{Finding, Role};
use crate::session::Phase;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    groups(scene, Phase::Connecting)
        .iter()
        .map(|group| {
            let since = group.since();
            let name = group.target.name();
            let summary =
                format!("{name} has not answered a connection request for {}.", scene.ago(since));
            let resent = group.oldest.info().map_or(0, |i| i.total_retransmits.max(i.retransmits));
            let again =
                if resent > 0 { format!(", SYN sent {} times", resent + 1) } else { String::new() };
            let seen = format!("asked {} ago{again}; no reply, no refusal", scene.exactly(since));
            let others: Vec<String> = group
                .target
                .others(scene, group.oldest)
                .into_iter()
                .map(|other| format!("{}: {}", other.address, other.outcome))
                .collect();
            let limit = match (scene.is_go(group.oldest.pid), others.is_empty()) {
                (true, true) => "go gives up after 30 s, for each module again",
                (true, false) => "go shares 30 s out among the addresses, then gives up",
                (false, _) => "the kernel gives up after about 2 min",
            };
            let made = draft(scene, "connect-silent", group, summary)
                .blocked(None, "connect", Some(group.oldest.fd))
                .seen(seen, since, "connect")
                .fact("others", others.into_iter().take(3))
                .limit(limit)
                .or_else("a firewall drops packets to this address");
            let made = match group.target.role {
                Some(Role::Redirect) => made.remedy(
                    format!("let {name} through too: the proxy sends downloads there"),
                    None,
                ),
                _ => made,
            };
            with_remedies(made, scene, group.oldest.pid, &group.target)
        })
        .collect()
}
