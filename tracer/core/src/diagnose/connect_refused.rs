//! # connect-refused: the network said no
//!
//! The host answered at once that nothing listens on this port (TCP RST). The address is wrong, the service is down, or a
//! firewall rejects.
//!
//! **Seen by** connect(2) or SO_ERROR giving ECONNREFUSED.
//!
//! **What to do** Check the address and port in GOPROXY (or the web proxy's), and whether the service runs.

use super::network::{draft, failed_attempts, with_remedies};
use super::scene::Scene;
use crate::report::Finding;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    failed_attempts(scene, &["ECONNREFUSED"])
        .iter()
        .map(|group| {
            let name = group.target.name();
            let port = group.target.port;
            let summary = match name.ends_with(&format!(":{port}")) {
                true => format!("{name} refused the connection."),
                false => format!("{name} refused the connection (port {port})."),
            };
            let t = group.oldest.decided.as_ref().map_or(group.oldest.since, |(t, _)| *t);
            let made = draft(scene, "connect-refused", group, summary)
                .blocked(None, "connect", Some(group.oldest.fd))
                .seen("connection refused (ECONNREFUSED)", t, "connect-end")
                .or_else("a firewall rejects, in place of the host");
            with_remedies(made, scene, group.oldest.pid, &group.target)
        })
        .collect()
}
