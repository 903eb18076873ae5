//! # tunnel-auth: 407 from a web proxy
//!
//! The web proxy wants a user and a password before it connects anywhere.
//!
//! **Seen by** status 407 in answer to CONNECT, or "Proxy Authentication Required" in what the command said.
//!
//! **What to do** Put the credentials into the variable named (`http://USER:PASSWORD@HOST:PORT`), or list the host in NO_PROXY.

use super::draft::Draft;
use super::scene::Scene;
use super::target::Target;
use crate::event::SettingOrigin;
use crate::report::{Finding, Role};
use crate::session::Connection;
use crate::settings;
use crate::units::{Nanos, Pid};

/// What go and git say (net/http; curl's http_proxy.c).
const SAID: &[&str] = &["Proxy Authentication Required", "HTTP code 407 from proxy"];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let said = SAID.iter().find_map(|what| scene.said(what));
    let connections = || scene.session.connections.iter().rev();
    let refused = connections().find(|c| c.response.as_ref().is_some_and(|r| r.status == 407));
    // A plain http URL is asked of the web proxy without CONNECT.
    let to_web_proxy = || {
        let role = |c: &&Connection| Target::of(scene, c).role == Some(Role::WebProxy);
        connections().find(|c| c.is_tunnel()).or_else(|| connections().find(role))
    };
    let Some(connection) = refused.or_else(|| said.and_then(|_| to_web_proxy())) else {
        return said.map(|line| without_connection(scene, line)).into_iter().collect();
    };
    let mut target = Target::of(scene, connection);
    target.role = Some(Role::WebProxy);
    let summary = format!("web proxy {} wants a user and a password.", target.name());
    let pid = connection.pid;
    let request = connection.request.as_ref();
    let since = request.map_or(connection.since, |r| r.t);
    let sent = if request.is_some_and(|r| r.proxy_authorization) {
        "credentials were sent"
    } else {
        "no credentials were sent"
    };
    let mut made = Draft::new(scene, "tunnel-auth", connection.pid, since, summary)
        .connection(connection, &target)
        .seen(format!("407 Proxy Authentication Required; {sent}"), since, "http-response");
    if let Some((t, _, line)) = said {
        made = made.evidence(line.to_owned(), t, "stderr");
    }
    vec![advised(made.fact("setting", setting(scene, pid)))]
}

/// The connection was not seen; what was said is enough.
fn without_connection(scene: &Scene<'_>, (t, pid, line): (Nanos, Pid, &str)) -> Finding {
    let summary = "a web proxy wants a user and a password.".to_owned();
    let made = Draft::new(scene, "tunnel-auth", pid, t, summary)
        .role(Role::WebProxy)
        .seen(line.to_owned(), t, "stderr")
        .fact("setting", setting(scene, pid));
    advised(made)
}

/// `HTTPS_PROXY, from the environment`: where the web proxy was set.
fn setting(scene: &Scene<'_>, pid: Pid) -> Vec<String> {
    let Some(settings) = scene.session.settings_for(pid) else { return Vec::new() };
    let origin = |proxy: &settings::WebProxy| match proxy.origin {
        SettingOrigin::GoenvFile => "the file that go env -w writes",
        _ => "the environment",
    };
    let proxies = settings::web_proxies(&settings.env);
    proxies.iter().map(|p| format!("{}, from {}", p.variable, origin(p))).collect()
}

fn advised(made: Draft<'_, '_>) -> Finding {
    let text = "put USER:PASSWORD@ into the web proxy's URL, or list the host in NO_PROXY";
    made.remedy(text, None).done()
}
