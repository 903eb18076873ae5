//! What git has asked a web proxy for, where nobody saw it: by the words that git was called with.

use super::Request;
use crate::event::{ProcessRole, ProcessState, TcpInfo};
use crate::units::Nanos;
use std::net::SocketAddr;
use url::Url;

/// What CONNECT has besides the target, which stands in it twice: `CONNECT  HTTP/1.1`, `Host: `, and the ends of their lines and of the
/// whole (RFC 9110, 9.3.6).
const LEAST: usize = 29;

/// What libcurl adds: `User-Agent`, `Proxy-Connection: Keep-Alive` (lib/http_proxy.c). A ClientHello with the key shares of TLS 1.3 is
/// larger, a greeting of SOCKS smaller than any CONNECT.
const ADDED: usize = 120;

/// The CONNECT that must have left on a connection of git: it was told a URL of https, the port is another than the one there, and
/// what was sent, and not answered, has the size of a CONNECT. A web proxy is asked for nothing else first.
pub(super) fn asked_of(
    process: &ProcessState,
    peer: SocketAddr,
    since: Nanos,
    tcp: &TcpInfo,
) -> Option<Request> {
    let is_remote = process.role == ProcessRole::Git && process.comm.starts_with("git-remote-http");
    let mut urls = process.argv.iter().rev().filter_map(|word| Url::parse(word).ok());
    let url = urls.find(Url::has_host).filter(|_| is_remote)?;
    let port = url.port_or_known_default()?;
    let target = format!("{}:{port}", url.host_str()?);
    let least = 2 * target.len() + LEAST;
    let sent = usize::try_from(tcp.bytes_acked).ok()?;
    let unanswered = tcp.bytes_received == 0 && tcp.unacked == 0;
    let fits = (least..=least + ADDED).contains(&sent);
    (url.scheme() == "https" && port != peer.port() && unanswered && fits).then(|| Request {
        t: since,
        method: "CONNECT".to_owned(),
        url: target,
        proxy_authorization: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(url: &str) -> ProcessState {
        ProcessState {
            role: ProcessRole::Git,
            comm: "git-remote-http".into(),
            argv: vec!["/usr/lib/git-core/git-remote-https".into(), "origin".into(), url.into()],
            ..ProcessState::default()
        }
    }

    fn asked(process: &ProcessState, port: u16, sent: u64, received: u64) -> Option<String> {
        let peer = SocketAddr::from(([192, 0, 2, 1], port));
        let tcp = TcpInfo { bytes_acked: sent, bytes_received: received, ..TcpInfo::default() };
        asked_of(process, peer, Nanos(0), &tcp).map(|request| request.url)
    }

    #[test]
    fn git_at_another_port_than_that_of_its_url_asks_a_web_proxy() {
        let url = git("https://git.example.com/team/lib.git");
        let to = Some("git.example.com:443".to_owned());
        assert_eq!(asked(&url, 3128, 122, 0), to);
        let other = git("https://git.example.com:8443/lib.git");
        assert_eq!(asked(&other, 443, 124, 0).as_deref(), Some("git.example.com:8443"));
        for (process, port, sent, received) in [
            (&url, 443, 122, 0),
            // It has answered.
            (&url, 3128, 122, 39),
            // A greeting of SOCKS; a ClientHello, by a redirect.
            (&url, 3128, 4, 0),
            (&url, 8443, 390, 0),
            (&git("http://git.example.com/lib.git"), 3128, 122, 0),
            (&git("origin"), 3128, 122, 0),
            (&ProcessState { comm: "git".into(), ..git("https://git.example.com/") }, 3128, 122, 0),
        ] {
            assert_eq!(asked(process, port, sent, received), None, "{port} {sent} {received}");
        }
    }
}
