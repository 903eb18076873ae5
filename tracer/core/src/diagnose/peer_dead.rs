//! # peer-dead: the connection stood, then the path died
//!
//! Data was sent on a standing connection and nobody acknowledges it any more: the kernel sends it again and again. A VPN went
//! down, a NAT forgot the connection, a cable was pulled.
//!
//! **Seen by** unacknowledged segments with growing backoff, or unanswered keep-alive probes, in TCP_INFO.
//!
//! **Limit** the kernel gives up after about 15 minutes of unacknowledged data (tcp_retries2), or after keep-alive probes: 2 to
//! 3 minutes in Go.
//!
//! **What to do** Start the command again when the network is back; what was fetched is kept.

use super::network::{draft, groups, received};
use super::scene::Scene;
use crate::report::Finding;
use crate::session::Phase;
use crate::text;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.is_stall() {
        return Vec::new();
    }
    groups(scene, Phase::DeadPath)
        .iter()
        .map(|group| {
            let name = group.target.name();
            let info = group.oldest.info().copied().unwrap_or_default();
            let lost = match info.unacked {
                0 => format!(
                    "{} unanswered",
                    text::count(info.probes.into(), "keep-alive probe", "keep-alive probes")
                ),
                _ => format!(
                    "data sent {} times, never acknowledged",
                    info.retransmits.max(info.backoff) + 1
                ),
            };
            let seen = format!("{} received; then {lost}", received(group.oldest));
            let words = scene.paste(group.oldest.pid);
            draft(
                scene,
                "peer-dead",
                group,
                format!("the connection to {name} is dead: nothing gets through."),
            )
            .blocked(None, "read", Some(group.oldest.fd))
            .seen(seen, scene.now, "snapshot")
            .limit("the kernel gives up after up to 15 min")
            .or_else("a VPN or NAT in between dropped the connection")
            .remedy("Ctrl-C, and again when the network is back:", Some(words))
            .done()
        })
        .collect()
}
