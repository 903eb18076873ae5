//! # tls-failed: the secure connection was refused
//!
//! The certificate was not accepted (unknown authority, wrong name, expired), or one side sent an alert. A company's TLS
//! inspection shows as an unknown authority.
//!
//! **Seen by** an alert in the first bytes that came back, or what the command said: under TLS 1.3 certificates travel encrypted.
//!
//! **What to do** Unknown authority: install your company's certificate, or name it in SSL_CERT_FILE. Wrong name or expired: the
//! server must be repaired, or another GOPROXY used.

use super::draft::Draft;
use super::refusal::Asked;
use super::said;
use super::scene::Scene;
use super::target::Target;
use crate::event::TlsReply;
use crate::report::{Confidence, Finding};
use crate::session::Connection;
use crate::units::{Nanos, Pid};

/// What go, git and ssh say, and what it means.
const REASONS: &[(&str, &str)] = &[
    ("certificate signed by unknown authority", "its certificate is of an unknown authority"),
    ("certificate has expired or is not yet valid", "its certificate is not valid today"),
    ("certificate is valid for", "its certificate is for another name"),
    ("certificate is not valid for any names", "its certificate is for another name"),
    ("doesn't contain any IP SANs", "its certificate is for another name"),
    ("certificate verification failed", "its certificate was not accepted"),
    ("server certificate verification failed", "its certificate was not accepted"),
    ("SSL certificate problem", "its certificate was not accepted"),
    ("SSL: no alternative certificate subject name", "its certificate is for another name"),
    ("gnutls_handshake() failed", "the handshake failed"),
    ("x509:", "its certificate was not accepted"),
    ("remote error: tls:", "it ended the handshake with an alert"),
    ("first record does not look like a TLS handshake", "it does not speak TLS on this port"),
    ("server gave HTTP response to HTTPS client", "it does not speak TLS on this port"),
    ("tls:", "the handshake failed"),
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let hellos = || scene.session.connections.iter().rev().filter(|c| c.hello.is_some());
    let said =
        REASONS.iter().find_map(|(text, reason)| scene.said(text).map(|line| (line, *reason)));
    if let Some(((t, pid, line), reason)) = said {
        let named = |c: &&Connection| {
            c.asked_host().is_some_and(|h| line.contains(&h)) || line.contains(&c.peer.to_string())
        };
        return match hellos().find(named).or_else(|| hellos().next()) {
            Some(connection) => vec![failed(scene, connection, reason, line, (t, "stderr"))],
            None => vec![without_connection(scene, (t, pid, line), reason)],
        };
    }
    let alert = hellos().find_map(|c| match &c.tls_reply {
        Some((t, TlsReply::Alert(description))) => {
            Some((c, *t, format!("TLS alert: {description}")))
        }
        Some((t, TlsReply::NotTls(what))) => Some((c, *t, format!("no TLS came back, but {what}"))),
        _ => None,
    });
    alert
        .map(|(c, t, seen)| failed(scene, c, "it ended the handshake", &seen, (t, "tls-reply")))
        .into_iter()
        .collect()
}

/// The handshake was not seen; what was said is enough.
fn without_connection(
    scene: &Scene<'_>,
    (t, pid, line): (Nanos, Pid, &str),
    reason: &str,
) -> Finding {
    let asked = said::url_in(line).map(|url| Asked::of(scene, pid, url));
    let name = asked.as_ref().map_or("the server".to_owned(), Asked::host);
    let made = Draft::new(scene, "tls-failed", pid, t, format!("{name}: {reason}."))
        .seen(line.to_owned(), t, "stderr")
        .or_else("a company's TLS inspection stands between");
    let Some(asked) = asked else { return made.done() };
    let made = match asked.role {
        Some(role) => made.role(role),
        None => made,
    };
    let look =
        format!("openssl s_client -connect {name}:{} -servername {name} </dev/null", asked.port());
    made.peer(asked.peer())
        .fact("server", [asked.server_line()])
        .remedy("look at the certificate:", Some(look))
        .done()
}

fn failed(
    scene: &Scene<'_>,
    connection: &Connection,
    reason: &str,
    seen: &str,
    (t, source): (Nanos, &str),
) -> Finding {
    let target = Target::of(scene, connection);
    let name = target.name();
    let made = Draft::new(scene, "tls-failed", connection.pid, t, format!("{name}: {reason}."))
        .connection(connection, &target)
        .confidence(Confidence::Certain)
        .blocked(None, "read", Some(connection.fd))
        .seen(seen.to_owned(), t, source);
    let port = target.port;
    made.or_else("a company's TLS inspection stands between")
        .remedy(
            "look at the certificate:",
            Some(format!(
                "openssl s_client -connect {}:{port} -servername {name} </dev/null",
                target.ip
            )),
        )
        .remedy("a company's authority: install it, or name its file in SSL_CERT_FILE", None)
        .done()
}
