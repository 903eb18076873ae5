//! What the first bytes of a message mean, as events. The backends see the same bytes, each in its own way.

use gmtrace_core::decode::{dns, http, tls};
use gmtrace_core::event::{ResolverKind, TlsReply, What};
use gmtrace_core::units::Inode;
use std::net::SocketAddr;

/// A question to a resolver; over TCP (`stream`) its length comes first.
pub(crate) fn dns_question(
    socket: Inode,
    server: Option<SocketAddr>,
    bytes: &[u8],
    stream: bool,
    via: ResolverKind,
) -> Option<What> {
    let question = if stream { dns::tcp_question(bytes) } else { dns::question(bytes) };
    let dns::Question { id, name, qtype } = question?;
    Some(What::DnsQuestion { socket: Some(socket), server, id, name, qtype, via })
}

/// A resolver's answer.
pub(crate) fn dns_answer(socket: Inode, bytes: &[u8]) -> Option<What> {
    let answer = dns::answer(bytes)?;
    let (name, qtype) = answer.question.map(|asked| (asked.name, asked.qtype)).unzip();
    let dns::Answer { id, rcode, addresses, .. } = answer;
    Some(What::DnsAnswer { socket: Some(socket), id, name, qtype, rcode, addresses })
}

/// A ClientHello, or the head of a plain HTTP request.
pub(crate) fn first_write(socket: Inode, bytes: &[u8]) -> Option<What> {
    client_hello(socket, bytes).or_else(|| http_request(socket, bytes))
}

fn client_hello(socket: Inode, bytes: &[u8]) -> Option<What> {
    let hello = tls::client_hello(bytes)?;
    let size = u32::try_from(hello.size).unwrap_or(u32::MAX);
    Some(What::TlsClientHello { socket: Some(socket), sni: hello.sni, size })
}

/// The head of a plain HTTP request.
pub(crate) fn http_request(socket: Inode, bytes: &[u8]) -> Option<What> {
    let request = http::request(bytes)?;
    let http::Request { method, target, host, url, proxy_authorization_present, .. } = request;
    let url = url.unwrap_or_else(|| match host {
        Some(host) if !target.contains("://") && target.starts_with('/') => {
            format!("http://{host}{target}")
        }
        _ => target,
    });
    let proxy_authorization = proxy_authorization_present;
    Some(What::HttpRequest { socket: Some(socket), method, url, proxy_authorization })
}

/// The head of a plain HTTP response.
pub(crate) fn http_response(socket: Inode, bytes: &[u8]) -> Option<What> {
    let http::Response { status, content_length, content_type, location, .. } =
        http::response(bytes)?;
    let socket = Some(socket);
    Some(What::HttpResponse { socket, status, content_length, content_type, location })
}

/// What a TLS server's first bytes are; nothing if they are too few to tell.
pub(crate) fn tls_reply(bytes: &[u8]) -> Option<TlsReply> {
    Some(match tls::first_record(bytes)? {
        tls::Record::ServerHello { .. } | tls::Record::Other { .. } => TlsReply::ServerHello,
        tls::Record::Alert { description, .. } => TlsReply::Alert(description.to_owned()),
        tls::Record::NotTls { looks_like } => TlsReply::NotTls(looks_like.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_by_its_first_record() {
        let alert = [21, 3, 3, 0, 2, 2, 112];
        assert_eq!(tls_reply(&alert), Some(TlsReply::Alert("unrecognized_name".into())));
        let http = b"HTTP/1.1 400 Bad Request\r\n";
        assert_eq!(tls_reply(http), Some(TlsReply::NotTls("http".into())));
        assert_eq!(tls_reply(&[22]), None, "too short to tell");
    }

    #[test]
    fn a_request_has_its_whole_address() {
        let bytes = b"GET /example.com/m/@v/list HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n";
        let Some(What::HttpRequest { url, method, .. }) = first_write(Inode(7), bytes) else {
            panic!("no request");
        };
        assert_eq!((method.as_str(), url.as_str()), {
            ("GET", "http://proxy.example.com/example.com/m/@v/list")
        });
    }
}
