//! HTTP heads: the request a client wrote, and the response that came back, in the clear.
//!
//! Only what names the request is kept. Header values are never stored, but for the few fields
//! below, and every URL passes [`redact::url`] before it leaves this module.

use httparse::{EMPTY_HEADER, Header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{redact, text};

/// Bytes of a head that are looked at.
const LIMIT: usize = 16 * 1024;
/// Header fields that are looked at. More than that is no head a go command, git or curl writes.
const FIELDS: usize = 100;

/// What a client that knows it speaks HTTP/2 says first, RFC 9113 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request line, and the fields that say where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// `GET`, `CONNECT`.
    pub method: String,
    /// As in the request line, redacted.
    pub target: String,
    /// The Host field or `:authority`.
    pub host: Option<String>,
    /// The absolute URL, redacted. `None` for CONNECT, which names a host and port only, and
    /// where no host is known.
    pub url: Option<String>,
    /// It asks a web proxy for a tunnel to `target`.
    pub is_connect: bool,
    /// It carries credentials for a web proxy (their value is not kept).
    pub proxy_authorization_present: bool,
}

/// A status line, and the fields that say what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// `200`.
    pub status: u16,
    /// The words after the status; may be empty.
    pub reason: String,
    /// Bytes of the body, where the head says so.
    pub content_length: Option<u64>,
    /// Where a redirect points, redacted.
    pub location: Option<String>,
    /// `text/html; charset=utf-8`.
    pub content_type: Option<String>,
}

/// What of a path does not stand for itself in a URL (RFC 3986 3.3). A `!`, by which module paths have capitals, does.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The URL of a scheme, a host with its port, and a path that is decoded, as a program has them in memory; redacted. None where
/// this is no URL.
#[must_use]
pub fn url_of(scheme: &str, host: &str, path: &str) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let is_scheme = !scheme.is_empty() && scheme.chars().all(is_word);
    let is_host = |c: char| c.is_alphanumeric() || "-._~:[]%".contains(c);
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    (is_scheme && !host.is_empty() && host.chars().all(is_host)).then(|| {
        let path = utf8_percent_encode(path, NOT_IN_PATH);
        redact::url(&format!("{scheme}://{host}{slash}{path}")).into_owned()
    })
}

/// Whether the bytes begin HTTP/2 without an upgrade (h2c with prior knowledge, or what is inside
/// TLS). Needs the 16 bytes of its first line.
#[must_use]
pub fn is_http2(bytes: &[u8]) -> bool {
    let seen = bytes.len().min(PREFACE.len());
    seen >= 16 && bytes.get(..seen) == PREFACE.get(..seen)
}

/// Reads a request from what a client wrote first, as far as the bytes go.
///
/// HTTP/1 needs its method and a first byte of the target, HTTP/2 the beginning of its first
/// HEADERS frame.
#[must_use]
pub fn request(bytes: &[u8]) -> Option<Request> {
    let bytes = bytes.get(..LIMIT).unwrap_or(bytes);
    if is_http2(bytes) {
        return http2::request(bytes.get(PREFACE.len()..)?);
    }
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    // An unfinished or broken head keeps what was read up to there: `head` says what that is.
    _ = head.parse(bytes);
    let method = head.method?;
    let target = head.path.or_else(|| cut_target(bytes, method))?;
    let host = field(head.headers, "host");
    let tunnel = field(head.headers, "proxy-authorization").is_some();
    Some(Request::new(method, target, host, "http", tunnel))
}

/// Reads a response from what a server wrote first, as far as the bytes go.
///
/// `None` until the status is there.
#[must_use]
pub fn response(bytes: &[u8]) -> Option<Response> {
    let bytes = bytes.get(..LIMIT).unwrap_or(bytes);
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    _ = head.parse(bytes);
    Some(Response {
        status: head.code?,
        reason: head.reason.unwrap_or_default().to_owned(),
        content_length: field(head.headers, "content-length").and_then(|n| n.parse().ok()),
        location: field(head.headers, "location").map(|url| redact::url(&url).into_owned()),
        content_type: field(head.headers, "content-type"),
    })
}

impl Request {
    fn new(method: &str, target: &str, host: Option<String>, scheme: &str, tunnel: bool) -> Self {
        let is_connect = method == "CONNECT";
        let host = host.map(|host| redact::url(&host).into_owned());
        let url = match &host {
            _ if is_connect => None,
            _ if target.contains("://") => Some(target.to_owned()),
            Some(host) if target.starts_with('/') => Some(format!("{scheme}://{host}{target}")),
            Some(host) => Some(format!("{scheme}://{host}")),
            None => None,
        };
        Self {
            method: method.to_owned(),
            target: redact::url(target).into_owned(),
            url: url.map(|url| redact::url(&url).into_owned()),
            host,
            is_connect,
            proxy_authorization_present: tunnel,
        }
    }
}

/// The beginning of a target that runs to the end of the bytes.
fn cut_target<'a>(bytes: &'a [u8], method: &str) -> Option<&'a str> {
    let rest = bytes.trim_ascii_start().get(method.len()..)?;
    let target = str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    let visible = !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_graphic());
    visible.then_some(target)
}

/// The first field of that name. Those httparse did not get to have no name.
fn field(fields: &[Header<'_>], name: &str) -> Option<String> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
    Some(text::lossy(field.value.trim_ascii()))
}

/// The first request on a connection that speaks HTTP/2 in the clear.
mod http2 {
    use loona_hpack::Decoder;

    use super::{Request, text};

    const HEADERS: u8 = 1;
    const PADDED: u8 = 0x08;
    const PRIORITY: u8 = 0x20;
    /// Frames before the first HEADERS: SETTINGS, WINDOW_UPDATE, perhaps PRIORITY.
    const FRAMES: usize = 16;
    /// Bytes of a header block that are decoded: the codec builds a Huffman table for each string,
    /// so the block must be short. Pseudo-fields come first (RFC 9113 8.3).
    const BLOCK: usize = 1024;
    /// The dynamic table every peer starts with, RFC 9113 6.5.2.
    const TABLE: usize = 4096;

    /// Reads the first HEADERS frame after the preface.
    pub(super) fn request(mut bytes: &[u8]) -> Option<Request> {
        for _ in 0..FRAMES {
            // Length (24 bits), type, flags, stream: RFC 9113 4.1.
            let ([l1, l2, l3, kind, flags, _, _, _, _], rest) = bytes.split_first_chunk::<9>()?;
            let length = u32::from_be_bytes([0, *l1, *l2, *l3]) as usize;
            if *kind == HEADERS {
                let payload = rest.get(..length).unwrap_or(rest);
                return fields(block(payload, *flags)?);
            }
            bytes = rest.get(length..)?;
        }
        None
    }

    /// The header block of a HEADERS frame, RFC 9113 6.2. Padding at its end may stay: it is zeros,
    /// which decode to fields without a name.
    fn block(payload: &[u8], flags: u8) -> Option<&[u8]> {
        let padded = if flags & PADDED == 0 { payload } else { payload.get(1..)? };
        let block = if flags & PRIORITY == 0 { padded } else { padded.get(5..)? };
        Some(block.get(..BLOCK).unwrap_or(block))
    }

    fn fields(block: &[u8]) -> Option<Request> {
        let (mut method, mut path, mut host, mut scheme) = (None, None, None, None);
        let mut tunnel = false;
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE);
        // A cut or broken block ends in an error, after the fields that came before it.
        _ = decoder.decode_with_cb(block, |name, value| match &*name {
            b":method" => method = Some(text::lossy(&value)),
            b":path" => path = Some(text::lossy(&value)),
            b":authority" => host = Some(text::lossy(&value)),
            b":scheme" => scheme = Some(text::lossy(&value)),
            b"proxy-authorization" => tunnel = true,
            _ => {}
        });
        let (method, path) = (method?, path.or_else(|| host.clone())?);
        let scheme = scheme.as_deref().unwrap_or("http");
        Some(Request::new(&method, &path, host, scheme, tunnel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Go's module client writes it (`net/http`, Go 1.26).
    const GET: &[u8] = b"GET /example.com/lib/@v/v1.4.2.zip?token=hunter2 HTTP/1.1\r\n\
        Host: proxy.example.com\r\nUser-Agent: Go-http-client/1.1\r\n\
        Authorization: Basic aHVudGVyMg==\r\nAccept-Encoding: gzip\r\n\r\n";

    const CONNECT: &[u8] = b"CONNECT proxy.example.com:443 HTTP/1.1\r\n\
        Host: proxy.example.com:443\r\nProxy-Authorization: Basic aHVudGVyMg==\r\n\r\n";

    fn url(bytes: &[u8]) -> Option<String> {
        request(bytes)?.url
    }

    #[test]
    fn a_request_to_a_module_proxy() {
        let got = request(GET).unwrap();
        assert_eq!((&*got.method, got.is_connect), ("GET", false));
        assert_eq!(got.target, "/example.com/lib/@v/v1.4.2.zip?token=xxxxx");
        assert_eq!(got.host.as_deref(), Some("proxy.example.com"));
        let wanted = "http://proxy.example.com/example.com/lib/@v/v1.4.2.zip?token=xxxxx";
        assert_eq!(got.url.as_deref(), Some(wanted));
        assert!(!got.proxy_authorization_present);
    }

    #[test]
    fn a_request_for_a_tunnel() {
        let got = request(CONNECT).unwrap();
        assert_eq!((&*got.target, got.url), ("proxy.example.com:443", None));
        assert!(got.is_connect && got.proxy_authorization_present);
    }

    #[test]
    fn a_request_through_a_web_proxy() {
        let bytes = b"GET http://user:hunter2@proxy.example.com/x HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(url(bytes).as_deref(), Some("http://xxxxx@proxy.example.com/x"));
    }

    #[test]
    fn a_cut_request_gives_what_is_there() {
        let after_host = GET.windows(7).position(|part| part == b"User-Ag").unwrap();
        assert_eq!(url(&GET[..after_host]), url(GET));
        let line_only = request(&GET[..60]).unwrap();
        assert_eq!((line_only.host, line_only.url), (None, None));
        assert_eq!(request(&GET[..12]).unwrap().target, "/example");
        assert_eq!(request(&GET[..4]), None);
    }

    #[test]
    fn a_broken_field_does_not_hide_the_request_line() {
        let got =
            request(b"GET /x HTTP/1.1\r\nHost: a.example.com\r\nbr oken\x01\r\n\r\n").unwrap();
        assert_eq!(got.url.as_deref(), Some("http://a.example.com/x"));
    }

    #[test]
    fn what_is_no_http() {
        for bytes in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b""] {
            assert_eq!((request(bytes), response(bytes)), (None, None));
        }
    }

    #[test]
    fn a_redirect() {
        let got = response(
            b"HTTP/1.1 302 Found\r\nLocation: https://cdn.example.com/lib.zip?X-Amz-Signature=hunter2\r\n\
              Content-Type: text/html\r\nContent-Length: 42\r\n\r\n<a href=",
        );
        let wanted = Response {
            status: 302,
            reason: "Found".to_owned(),
            content_length: Some(42),
            location: Some("https://cdn.example.com/lib.zip?X-Amz-Signature=xxxxx".to_owned()),
            content_type: Some("text/html".to_owned()),
        };
        assert_eq!(got, Some(wanted));
    }

    #[test]
    fn a_cut_response_gives_what_is_there() {
        let head =
            b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Type: text/html\r\nContent-Le";
        let got = response(head).unwrap();
        assert_eq!((got.status, got.content_type.as_deref()), (407, Some("text/html")));
        assert_eq!(response(b"HTTP/1.1 20"), None);
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// RFC 7541 C.4.1: the same request with Huffman codes as an HTTP/2 client sends it.
    const BLOCK: &[u8] = b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff";

    #[test]
    fn a_request_over_http2() {
        let settings = frame(4, 0, &[0; 6]);
        let plain = [PREFACE, &settings, &frame(1, 4, BLOCK)].concat();
        assert_eq!(url(&plain).as_deref(), Some("http://www.example.com/"));
        let padded = [&[2, 0, 0, 0, 0, 9][..], BLOCK, &[0, 0]].concat();
        let padded = [PREFACE, &settings, &frame(1, 0x2c, &padded)].concat();
        assert_eq!(url(&padded), url(&plain));
        let cut = request(&plain[..plain.len() - 3]).unwrap();
        assert_eq!((&*cut.method, cut.host), ("GET", None));
        assert_eq!(request(PREFACE), None);
        assert!(is_http2(PREFACE) && is_http2(&PREFACE[..16]) && !is_http2(&PREFACE[..15]));
        assert!(!is_http2(GET));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            _ = request(&bytes);
            _ = response(&bytes);
        }

        #[test]
        fn any_head(line in "[A-Z]{0,8} [!-~]{0,40}( HTTP/1.[01]\r\n)?", rest: Vec<u8>) {
            _ = request(&[line.as_bytes(), &rest].concat());
            _ = response(&[b"HTTP/1.1 200 OK\r\n", &*rest].concat());
        }

        #[test]
        fn any_header_block(flags: u8, block: Vec<u8>) {
            _ = request(&[PREFACE, &frame(1, flags, &block)].concat());
            _ = request(&[PREFACE, &block].concat());
        }
    }

    #[test]
    fn a_url_is_put_together_from_what_a_program_has_in_memory() {
        let of = |host, path| url_of("https", host, path);
        let whole = of("[::1]:8443", "/example.com/!m/@v/v1.0.0+x.zip");
        assert_eq!(whole.as_deref(), Some("https://[::1]:8443/example.com/!m/@v/v1.0.0+x.zip"));
        // What is decoded would otherwise begin a query or a fragment, or end the line.
        let odd = of("proxy.example.com", "/a b?c=%d#e\u{1b}\n/\u{e9}");
        assert_eq!(
            odd.as_deref(),
            Some("https://proxy.example.com/a%20b%3Fc=%25d%23e%1B%0A/%C3%A9")
        );
        assert_eq!(of("proxy.example.com", "").as_deref(), Some("https://proxy.example.com"));
        for (scheme, host) in
            [("", "h"), ("ht tp", "h"), ("http", ""), ("http", "a/b"), ("http", "u:p@h")]
        {
            assert_eq!(url_of(scheme, host, "/"), None, "{scheme} {host}");
        }
    }

    #[test]
    fn a_token_in_the_path_of_such_a_url_is_removed() {
        let token = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
        let url = url_of("https", "proxy.example.com", &format!("/{token}/x")).unwrap();
        assert!(!url.contains(token), "{url}");
    }
}
