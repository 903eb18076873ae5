//! # tunnel-silent: a web proxy accepted and has not answered
//!
//! The web proxy of HTTPS_PROXY took the connection and the CONNECT request, and has not said yes or no.
//!
//! **Seen by** `CONNECT host:port` sent, no bytes back.
//!
//! **Limit** go gives up after 1 minute, and does not where SOCKS is spoken; git, by libcurl, after 5 minutes.
//!
//! **What to do** Check the web proxy, or whether the host belongs into NO_PROXY.

use super::network::{Group, draft, groups, nothing_back, way_round};
use super::scene::Scene;
use crate::report::{Finding, Role};
use crate::session::Phase;
use crate::settings::{self, WebProxy};
use url::Url;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    groups(scene, Phase::Tunnel).into_iter().map(|group| told(scene, group)).collect()
}

fn told(scene: &Scene<'_>, mut group: Group<'_>) -> Finding {
    let proxy = proxy_of(scene, &group);
    group.target.role = Some(Role::WebProxy);
    group.target.why = why(scene, &group, proxy.as_ref());
    let (since, name) = (group.since(), group.target.name());
    let to = asked_for(&group);
    let summary =
        format!("web proxy {name} was asked for {to} {} ago and is silent.", scene.ago(since));
    let proxy = proxy.and_then(|proxy| url_of(&group, &proxy));
    let socks = proxy.as_ref().is_some_and(|proxy| proxy.starts_with("socks"));
    let asked = match socks {
        true => format!("SOCKS greeting sent, to reach {to}"),
        false => format!("CONNECT {to} sent"),
    };
    let made = draft(scene, "tunnel-silent", &group, summary)
        .blocked(None, "read", Some(group.oldest.fd))
        .seen(format!("{asked}; {}", nothing_back(scene, since)), since, "http-request")
        .limit(limit(scene.is_go(group.oldest.pid), socks))
        .or_else("the web proxy cannot reach the host either");
    let made = match way_round(scene, group.oldest.pid, &group.target) {
        Some((text, command)) => made.remedy(text, Some(command)),
        None => made,
    };
    let url = super::paste::word(&proxy.unwrap_or_else(|| group.target.url()));
    let ask = format!("curl -sv -m 10 -o /dev/null -x {url} https://{to}/");
    made.remedy("see whether it answers anybody:", Some(ask)).done()
}

/// The host and port behind the web proxy.
fn asked_for(group: &Group<'_>) -> String {
    let connect = group.oldest.request.as_ref().map(|r| r.url.clone());
    let dialled = || group.oldest.awaited().and_then(|a| a.host.clone());
    connect.or_else(dialled).unwrap_or_default()
}

fn limit(is_go: bool, socks: bool) -> &'static str {
    match (is_go, socks) {
        // net/http/transport.go, dialConn: of CONNECT alone.
        (true, false) => "go gives up after 1 min",
        (true, true) => "none: go would wait for ever",
        // lib/connect.h of libcurl, DEFAULT_CONNECT_TIMEOUT.
        (false, _) => "libcurl gives up after 5 min",
    }
}

/// How it comes to be the web proxy.
fn why(scene: &Scene<'_>, group: &Group<'_>, proxy: Option<&WebProxy>) -> String {
    match proxy {
        Some(proxy) => format!("the web proxy of {}", proxy.variable),
        None if scene.is_go(group.oldest.pid) => "a web proxy".to_owned(),
        None => format!("the web proxy that {} is told to use", scene.name(group.oldest.pid)),
    }
}

/// The web proxy that is set, where the connection goes to it.
fn proxy_of(scene: &Scene<'_>, group: &Group<'_>) -> Option<WebProxy> {
    let settings = scene.session.settings_for(group.oldest.pid)?;
    let mut set = settings::web_proxies(&settings.env).into_iter();
    set.find(|proxy| proxy.port == group.oldest.peer.port())
}

/// Its URL as it was set, without credentials.
fn url_of(group: &Group<'_>, proxy: &WebProxy) -> Option<String> {
    let url = Url::parse(&proxy.url).ok().filter(|url| url.has_host())?;
    Some(format!("{}://{}:{}", url.scheme(), group.target.authority(), proxy.port))
}
