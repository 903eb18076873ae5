//! TLS as it can be seen without keys: the ClientHello, and the first record that comes back.
//!
//! tls-parser reads the parts. The walk over a hello's extensions is here, because its own wants
//! the whole list: of a ClientHello that is cut off (a capture keeps a prefix, and with
//! post-quantum key shares a hello is larger than one packet) it gives no extension at all.
//! Layouts: RFC 8446 4.1.2, 4.1.3 and 5.1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tls_parser::{
    TlsExtension, TlsVersion, parse_tls_extension_alpn_content, parse_tls_extension_sni_content,
    parse_tls_extension_supported_versions, parse_tls_handshake_client_hello,
    parse_tls_handshake_server_hello,
};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// A record's header: type, version, length.
const RECORD_HEADER: usize = 5;
/// The largest record there is: header, 2^14 bytes, and what encryption may add (RFC 5246 6.2.3).
const LIMIT: usize = RECORD_HEADER + (1 << 14) + 2048;
/// Names that are kept of a list.
const KEPT: usize = 16;
/// The longest host name DNS allows, as text.
const HOST_NAME: usize = 253;

/// `ServerHello.random` of a HelloRetryRequest, RFC 8446 4.1.3.
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientHello {
    /// The host it wants, in the clear. `None` for an IP address, or if cut off before it.
    pub sni: Option<String>,
    /// Bytes of the whole record on the wire, header included, even if fewer were captured. Over
    /// about 1400 it takes two packets, which is where broken middleboxes drop it.
    pub size: usize,
    /// Protocols it offers over TLS: `h2`, `http/1.1`. At most 16.
    pub alpn: Vec<String>,
    /// Versions it offers, as `TLS 1.3`; from the old version field if it has no list.
    pub versions: Vec<String>,
}

/// The first thing a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The handshake goes on.
    ServerHello {
        /// The version it chose, as `TLS 1.3`.
        version: String,
        /// It asks for another ClientHello (HelloRetryRequest).
        retry: bool,
    },
    /// The server ends the handshake, or warns.
    Alert {
        /// `warning` or `fatal`.
        level: &'static str,
        /// The name in RFC 8446 6, or RFC 5246 7.2 for older ones: `unrecognized_name`.
        description: &'static str,
    },
    /// A record of another kind, by its type: 20 change_cipher_spec, 21 an encrypted alert,
    /// 22 another handshake message, 23 application data.
    Other {
        /// `ContentType`, RFC 8446 B.1.
        content_type: u8,
    },
    /// No TLS at all: an HTTP server or a login page behind a port that should speak TLS.
    NotTls {
        /// `http`, `html`, `ssh`, `smtp or ftp`, or `unknown`.
        looks_like: &'static str,
    },
}

/// Reads a ClientHello from what a client wrote first, as far as the bytes go.
///
/// `None` if it is none, or cut off before its extensions begin.
#[must_use]
pub fn client_hello(bytes: &[u8]) -> Option<ClientHello> {
    let (HANDSHAKE, length, payload) = record(bytes)? else { return None };
    let body = handshake(payload, CLIENT_HELLO)?;
    let (rest, hello) = parse_tls_handshake_client_hello(body).ok()?;
    let mut found = ClientHello {
        sni: None,
        size: RECORD_HEADER + length,
        alpn: Vec::new(),
        versions: Vec::new(),
    };
    for extension in Extensions::of(hello.ext, rest) {
        found.add(extension);
    }
    if found.versions.is_empty() {
        found.versions.push(version_name(hello.version.0));
    }
    Some(found)
}

impl ClientHello {
    fn add(&mut self, extension: TlsExtension<'_>) {
        match extension {
            TlsExtension::SNI(names) => self.sni = names.first().and_then(|(_, name)| host(name)),
            TlsExtension::ALPN(names) => {
                let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                self.alpn = names.take(KEPT).collect();
            }
            TlsExtension::SupportedVersions(versions) => {
                let real = versions.iter().map(|version| version.0).filter(|&v| !is_grease(v));
                self.versions = real.map(version_name).take(KEPT).collect();
            }
            _ => {}
        }
    }
}

/// Reads the first record from what a server wrote first. A beginning of some hundred bytes is
/// enough: Go's first read of a connection asks for 576 (`bytes.MinRead` and a record header,
/// `crypto/tls/conn.go`).
///
/// `None` if the bytes end before they can be told.
#[must_use]
pub fn first_record(bytes: &[u8]) -> Option<Record> {
    let Some((content_type, length, payload)) = record(bytes) else {
        let undecided = bytes.len() < RECORD_HEADER
            && bytes.first().is_none_or(|first| (20..=23).contains(first));
        return (!undecided).then(|| Record::NotTls { looks_like: looks_like(bytes) });
    };
    match content_type {
        ALERT if length == 2 => alert(payload),
        HANDSHAKE if payload.is_empty() => None,
        HANDSHAKE if payload.first() == Some(&SERVER_HELLO) => server_hello(payload),
        _ => Some(Record::Other { content_type }),
    }
}

fn server_hello(payload: &[u8]) -> Option<Record> {
    let body = handshake(payload, SERVER_HELLO)?;
    let (rest, hello) = parse_tls_handshake_server_hello(body).ok()?;
    // A TLS 1.3 server says 1.2 in the old field, and 1.3 in an extension.
    let chosen = Extensions::of(hello.ext, rest).find_map(|extension| match extension {
        TlsExtension::SupportedVersions(versions) => versions.first().copied(),
        _ => None,
    });
    let TlsVersion(version) = chosen.unwrap_or(hello.version);
    Some(Record::ServerHello { version: version_name(version), retry: hello.random == RETRY })
}

fn alert(payload: &[u8]) -> Option<Record> {
    let [level, description, ..] = payload else { return None };
    let level = if *level == 1 { "warning" } else { "fatal" };
    Some(Record::Alert { level, description: alert_name(*description) })
}

/// Splits the first record into type, length on the wire, and the payload that is there.
fn record(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let bytes = bytes.get(..LIMIT).unwrap_or(bytes);
    let ([content_type, major, _, high, low], rest) = bytes.split_first_chunk::<5>()?;
    if !(20..=23).contains(content_type) || *major != 3 {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    Some((*content_type, length, rest.get(..length).unwrap_or(rest)))
}

/// The body, as far as it is there, of a handshake message of type `wanted`.
fn handshake(payload: &[u8], wanted: u8) -> Option<&[u8]> {
    let ([kind, high, middle, low], body) = payload.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
    (*kind == wanted).then(|| body.get(..length).unwrap_or(body))
}

/// The extensions this module reads, up to the first that is cut off.
struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// `whole` is the list if tls-parser found all of it; `rest` what follows the fixed part,
    /// which is the list with its length before it, if the list is cut off.
    fn of(whole: Option<&'a [u8]>, rest: &'a [u8]) -> Self {
        Self(whole.or_else(|| rest.get(2..)).unwrap_or_default())
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = TlsExtension<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let ([t1, t2, l1, l2], rest) = self.0.split_first_chunk::<4>()?;
            let length = usize::from(u16::from_be_bytes([*l1, *l2]));
            let (content, rest) = rest.split_at_checked(length)?;
            let whole = self.0.get(..4 + length)?;
            self.0 = rest;
            let parsed = match u16::from_be_bytes([*t1, *t2]) {
                0 => parse_tls_extension_sni_content(content),
                16 => parse_tls_extension_alpn_content(content),
                43 => parse_tls_extension_supported_versions(whole),
                _ => continue,
            };
            if let Ok((_, extension)) = parsed {
                return Some(extension);
            }
        }
    }
}

fn host(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty() && name.len() <= HOST_NAME).then(|| name.to_owned())
}

/// Values clients mix in so that servers learn to ignore what they do not know, RFC 8701.
fn is_grease(version: u16) -> bool {
    let [high, low] = version.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("{other:#06x}"),
    }
}

fn looks_like(bytes: &[u8]) -> &'static str {
    let starts = |prefix: &[u8]| {
        bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match bytes {
        _ if starts(b"HTTP/") => "http",
        _ if starts(b"<!doctype html") || starts(b"<html") => "html",
        _ if starts(b"SSH-") => "ssh",
        // The greeting of both, RFC 5321 4.2 and RFC 959 5.4.
        _ if starts(b"220 ") || starts(b"220-") => "smtp or ftp",
        _ => "unknown",
    }
}

/// Names of RFC 8446 6, and of RFC 5246 7.2 and RFC 6066 9 for those it dropped.
fn alert_name(description: u8) -> &'static str {
    match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Captured from crypto/tls of Go 1.26 over loopback.
    fn captured(hex: &str) -> Vec<u8> {
        let hex = hex.trim().as_bytes();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn go_hello() -> Vec<u8> {
        captured(include_str!("../../testdata/client-hello.go1.26.hex"))
    }

    #[test]
    fn what_go_says_first() {
        let bytes = go_hello();
        let hello = client_hello(&bytes).unwrap();
        assert_eq!(hello.sni.as_deref(), Some("proxy.example.com"));
        assert_eq!(hello.size, bytes.len());
        assert_eq!(hello.alpn, ["h2", "http/1.1"]);
        assert_eq!(hello.versions, ["TLS 1.3", "TLS 1.2"]);
    }

    #[test]
    fn a_cut_hello_still_names_its_host() {
        let bytes = go_hello();
        let name = b"proxy.example.com";
        let end = bytes.windows(name.len()).position(|part| part == name).unwrap() + name.len();
        for cut in end..bytes.len() {
            let hello = client_hello(&bytes[..cut]).unwrap();
            assert_eq!(hello.sni.as_deref(), Some("proxy.example.com"), "cut at {cut}");
            assert_eq!(hello.size, bytes.len(), "cut at {cut}");
        }
        assert_eq!(client_hello(&bytes[..end - 1]).unwrap().sni, None);
    }

    #[test]
    fn a_hello_is_not_what_a_server_says() {
        assert_eq!(first_record(&go_hello()), Some(Record::Other { content_type: HANDSHAKE }));
        assert_eq!(client_hello(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn what_go_servers_answer() {
        let hello =
            |version: &str, retry| Record::ServerHello { version: version.to_owned(), retry };
        for (hex, wanted) in [
            (include_str!("../../testdata/server-hello-tls13.go1.26.hex"), hello("TLS 1.3", false)),
            (include_str!("../../testdata/server-hello-tls12.go1.26.hex"), hello("TLS 1.2", false)),
            (include_str!("../../testdata/hello-retry-request.go1.26.hex"), hello("TLS 1.3", true)),
            (
                include_str!("../../testdata/alert-protocol-version.go1.26.hex"),
                Record::Alert { level: "fatal", description: "protocol_version" },
            ),
        ] {
            assert_eq!(first_record(&captured(hex)), Some(wanted));
        }
    }

    #[test]
    fn servers_that_do_not_speak_tls() {
        for (bytes, looks_like) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "http"),
            (b"<!DOCTYPE html><title>Log in</title>", "html"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh"),
            (b"220 mail.example.com ESMTP\r\n", "smtp or ftp"),
            (b"\x7fELF\x02", "unknown"),
        ] {
            assert_eq!(first_record(bytes), Some(Record::NotTls { looks_like }));
        }
        assert_eq!(first_record(b""), None);
        assert_eq!(first_record(&[22, 3]), None, "may still become a record");
    }

    #[test]
    fn an_encrypted_alert_has_no_name() {
        let bytes = [&[21, 3, 3, 0, 19][..], &[0xaa; 19]].concat();
        assert_eq!(first_record(&bytes), Some(Record::Other { content_type: ALERT }));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            _ = client_hello(&bytes);
            _ = first_record(&bytes);
        }

        #[test]
        fn a_damaged_hello(at in 0..1527usize, with: u8, cut in 0..1527usize) {
            let mut bytes = go_hello();
            bytes[at] = with;
            bytes.truncate(cut);
            if let Some(hello) = client_hello(&bytes) {
                prop_assert!(hello.alpn.len() <= KEPT && hello.versions.len() <= KEPT);
                prop_assert!(hello.size <= RECORD_HEADER + usize::from(u16::MAX));
            }
        }
    }
}
