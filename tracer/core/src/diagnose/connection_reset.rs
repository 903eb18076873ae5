//! # connection-reset: the peer, or something between, cut it
//!
//! A standing connection was ended by a reset (TCP RST). Middleboxes and overloaded NATs do this, and servers that crash.
//!
//! **Seen by** ECONNRESET on a read, or "connection reset by peer", "unexpected EOF" or an error of HTTP/2 in what the command
//! said.
//!
//! **What to do** Start the command again; if it happens again and again, fewer connections at once may help
//! (`GOMAXPROCS=1`), or another GOPROXY.

use super::draft::Draft;
use super::network::confidence;
use super::said::module_in;
use super::scene::Scene;
use super::target::Target;
use crate::report::{Confidence, Finding};

/// What go says of a connection that did not last: of TCP, of a body, of HTTP/2 (net/http), of git.
const SAID: &[&str] = &[
    "connection reset by peer",
    "unexpected EOF",
    "broken pipe",
    "\": EOF",
    "http2: server sent GOAWAY",
    "http2: client connection lost",
    "stream error: stream ID",
    "server closed idle connection",
    "the remote end hung up unexpectedly",
];

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let said = SAID.iter().find_map(|what| scene.said(what));
    let connections = || scene.session.connections.iter().rev().filter(|c| !c.is_dns());
    let reset =
        connections().find(|c| c.read_error.as_ref().is_some_and(|(_, e)| e == "ECONNRESET"));
    // Which connection the command speaks of: one whose address stands in the line, otherwise the last one that carried data.
    let spoken = || {
        let (_, _, line) = said?;
        connections()
            .find(|c| line.contains(&c.peer.to_string()))
            .or_else(|| connections().find(|c| c.is_established()))
    };
    let Some(connection) = reset.or_else(spoken) else { return Vec::new() };
    if reset.is_some() && said.is_none() {
        return Vec::new();
    }
    let target = Target::of(scene, connection);
    let since = connection.closed.unwrap_or(scene.now);
    let summary = format!("{} cut the connection in the middle.", target.name());
    let mut made = Draft::new(scene, "connection-reset", connection.pid, since, summary)
        .connection(connection, &target)
        .confidence(match reset {
            Some(_) => Confidence::Certain,
            None => confidence(scene, connection),
        })
        .blocked(None, "read", Some(connection.fd))
        .or_else("a firewall or NAT between resets connections");
    if let Some((t, _, line)) = said {
        made = made.seen(line.to_owned(), t, "stderr");
        if let Some(module) = module_in(line) {
            made = made.modules(vec![module]);
        }
    }
    vec![made.remedy("start it again:", Some(scene.paste(connection.pid))).done()]
}
