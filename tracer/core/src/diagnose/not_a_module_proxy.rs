//! # not-a-module-proxy: an answer that is no module data
//!
//! The server answered 200 and sent something else than a module: the login page of a company or hotel network, a parked domain, a web
//! server or web proxy that was put into GOPROXY.
//!
//! **Seen by** go's complaint about what it got (`invalid character '<'`, `not a valid zip file`), or an HTML page in answer to a
//! request for module data. Served as a go.mod or zip, a page can also show as `checksum-mismatch`.
//!
//! **What to do** Open the URL in a browser: log in where it asks for it, or correct GOPROXY. A web proxy belongs into HTTPS_PROXY.

use super::draft::Draft;
use super::paste;
use super::refusal::Asked;
use super::said;
use super::scene::Scene;
use super::target::Target;
use crate::report::{Confidence, Finding, Role};
use crate::session::{Connection, RoundTrip};
use crate::settings::ProxyKind;
use crate::text;
use crate::units::{Nanos, Pid};
use url::Url;

/// What go says about data of the wrong kind, and how sure that makes it.
const COMPLAINTS: &[(&str, Confidence)] = &[
    ("invalid character '<' looking for beginning of value", Confidence::Certain),
    ("invalid response from proxy", Confidence::Likely),
    ("proxy returned info for version", Confidence::Likely),
    ("parsing go.mod: missing module line", Confidence::Likely),
    ("zip: not a valid zip file", Confidence::Likely),
    ("malformed note", Confidence::Possible),
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let page = html_page(scene);
    let complaint = COMPLAINTS.iter().find_map(|(what, sure)| Some((scene.said(what)?, *sure)));
    // Where nobody was asked, it came from the cache.
    let complaint = complaint.filter(|((_, pid, line), _)| {
        !line.contains("parsing go.mod: missing module line") || asked_somebody(scene, *pid)
    });
    // What is unpacked lay in the cache already, with the hash it should have.
    let complaint = complaint.filter(|((_, _, line), _)| !line.contains("unzip /"));
    let found = match (complaint, page) {
        (Some(((t, pid, line), sure)), page) => {
            let sure = if page.is_some() { Confidence::Certain } else { sure };
            let url = page
                .and_then(url_of)
                .or_else(|| answered_last(scene, pid, t, line))
                .or_else(|| said::url_in(line))
                .or_else(|| only_proxy(scene, pid));
            Some(told(scene, pid, t, url, Some(line), page, sure))
        }
        (None, Some(page)) => {
            let t = page.response.as_ref().map_or(page.since, |r| r.t);
            Some(told(scene, page.pid, t, url_of(page), None, Some(page), Confidence::Likely))
        }
        (None, None) => None,
    };
    found.into_iter().collect()
}

/// The newest HTML page that came in answer to a request for module data.
pub(super) fn html_page<'a>(scene: &Scene<'a>) -> Option<&'a Connection> {
    scene.session.connections.iter().rev().find(|c| {
        let html = c.response.as_ref().is_some_and(|r| {
            r.status == 200 && r.content_type.as_ref().is_some_and(|t| t.starts_with("text/html"))
        });
        let role = || Target::of(scene, c).role;
        html && scene.is_go(c.pid)
            && matches!(
                role(),
                Some(Role::ModuleProxy | Role::Sumdb | Role::Toolchain | Role::Redirect)
            )
    })
}

fn url_of(connection: &Connection) -> Option<Url> {
    Url::parse(&connection.request.as_ref()?.url).ok()
}

/// What was answered last, and well, before go complained: a request that a probe saw, for the module that go speaks of.
fn answered_last(scene: &Scene<'_>, pid: Pid, t: Nanos, line: &str) -> Option<Url> {
    let entries = scene.session.proxies_for(pid);
    let spoken_of = said::module_in(line);
    let is_asked = |trip: &&RoundTrip| {
        let asked = trip.module(&entries).map(|(module, _)| module);
        asked.is_some() && (spoken_of.is_none() || asked == spoken_of)
    };
    let own = scene.session.round_trips.iter().rev().filter(|trip| trip.pid == pid);
    let mut answered = own.filter(|trip| trip.status == Some(200) && trip.ended <= Some(t));
    Url::parse(&answered.find(is_asked)?.url).ok()
}

/// Where go names no server, there may be only one it can be.
/// Whether a process, or what it started, connected to anybody; without events nobody knows.
pub(super) fn asked_somebody(scene: &Scene<'_>, pid: Pid) -> bool {
    let session = scene.session;
    let own = |c: &&Connection| !c.is_dns() && session.is_below(c.pid, pid);
    session.header.backend.name == "proc" || session.connections.iter().any(|c| own(&c))
}

fn only_proxy(scene: &Scene<'_>, pid: Pid) -> Option<Url> {
    let entries = scene.session.proxies_for(pid);
    let mut proxies = entries.iter().filter(|e| matches!(e.kind, ProxyKind::Url { .. }));
    let first = proxies.next().filter(|_| proxies.next().is_none())?;
    Url::parse(&first.text).or_else(|_| Url::parse(&format!("https://{}", first.text))).ok()
}

fn told(
    scene: &Scene<'_>,
    pid: Pid,
    t: Nanos,
    url: Option<Url>,
    line: Option<&str>,
    page: Option<&Connection>,
    sure: Confidence,
) -> Finding {
    let asked = url.map(|url| Asked::of(scene, pid, url));
    let host = asked.as_ref().map_or("the module proxy".to_owned(), Asked::host);
    let what = if page.is_some() { "a web page" } else { "something" };
    let summary = format!("{host} sent {what} that is no module data.");
    let summary = summary.replace("a web page that is no module data", "a web page, not a module");
    let mut made = Draft::new(scene, "not-a-module-proxy", pid, t, summary).confidence(sure);
    let module = asked.as_ref().and_then(|a| a.module.clone());
    if let Some(module) = module.or_else(|| line.and_then(said::module_in)) {
        made = made.modules(vec![module]);
    }
    if let Some(asked) = &asked {
        made = made
            .role(asked.role.unwrap_or(Role::ModuleProxy))
            .peer(asked.peer())
            .fact("asked", asked.question())
            .fact("server", [asked.server_line()]);
    }
    if let Some(response) = page.and_then(|p| p.response.as_ref()) {
        let kind = text::list(&[response.content_type.clone().unwrap_or_default()]);
        made = made.seen(format!("status 200, {kind}"), response.t, "http-response");
    }
    if let Some(line) = line {
        made = made.seen(line.to_owned(), t, "stderr");
    }
    made = made
        .or_else("a web proxy or an ordinary web server stands in GOPROXY")
        .or_else("a file was damaged on the way or in the proxy's store");
    if let Some(url) = asked.map(|a| a.url.to_string()).filter(|u| !paste::is_redacted(u)) {
        made = made.remedy(
            "see what comes (a login page wants a browser):",
            Some(format!("curl -sSi {} | head -30", paste::word(&url))),
        );
    }
    made.remedy("a web proxy belongs into HTTPS_PROXY, not into GOPROXY", None).done()
}
