//! # tunnel-silent: a web proxy accepted and has not answered
//!
//! The web proxy of HTTPS_PROXY took the connection and the CONNECT request, and has not said yes or no.
//!
//! **Seen by** `CONNECT host:port` sent, no bytes back.
//!
//! **Limit** go gives up after 1 minute.
//!
//! **What to do** Check the web proxy, or whether the host belongs into NO_PROXY.

use super::network::{draft, groups, nothing_back, way_round};
use super::scene::Scene;
use crate::report::{Finding, Role};
use crate::session::Phase;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    groups(scene, Phase::Tunnel)
        .into_iter()
        .map(|mut group| {
            group.target.role = Some(Role::WebProxy);
            let since = group.since();
            let name = group.target.name();
            let connect = group.oldest.request.as_ref().map(|r| r.url.clone());
            let dialled = || group.oldest.awaited().and_then(|a| a.host.clone());
            let to = connect.or_else(dialled).unwrap_or_default();
            let summary = format!(
                "web proxy {name} was asked for {to} {} ago and is silent.",
                scene.ago(since)
            );
            let made = draft(scene, "tunnel-silent", &group, summary)
                .blocked(None, "read", Some(group.oldest.fd))
                .seen(
                    format!("CONNECT {to} sent; {}", nothing_back(scene, since)),
                    since,
                    "http-request",
                )
                .limit("go gives up after 1 min")
                .or_else("the web proxy cannot reach the host either");
            let made = match way_round(scene, group.oldest.pid, &group.target) {
                Some((text, command)) => made.remedy(text, Some(command)),
                None => made,
            };
            let ask =
                format!("curl -sv -m 10 -o /dev/null -x {} https://{to}/", group.target.url());
            made.remedy("see whether it answers anybody:", Some(ask)).done()
        })
        .collect()
}
