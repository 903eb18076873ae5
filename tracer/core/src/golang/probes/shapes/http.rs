//! Requests, responses and their bodies: src/net/http/transport.go, src/net/http/h2_bundle.go (since Go 1.27
//! src/net/http/internal/http2/transport.go), src/cmd/go/internal/web/http.go.

use super::super::convention::{INTERFACE, NUMBER, POINTER, SLICE};
use super::super::fields::*;
use super::{Kind, Shape, Wanted, What};
use super::{error, error_text, given, returned, second, whole};

/// (t *Transport) roundTrip(req *Request) (*Response, error)
pub(super) fn round_trip() -> Shape {
    let parameters = [POINTER, POINTER];
    Shape::new("net/http.(*Transport).roundTrip", &parameters, &[POINTER, INTERFACE])
        .reads([given(What::Method, whole(1), &[0], Kind::Text)])
        .reads(url(1, &[REQUEST_URL]))
        .reads([
            returned(What::Status, whole(0), &[RESPONSE_STATUS], Kind::Word),
            returned(What::ContentLength, whole(0), &[RESPONSE_LENGTH], Kind::Word),
            error(1),
            error_text(1),
            returned(What::ErrorType, whole(1), &TYPE, Kind::Word),
            of_cause(What::CauseType, OP_ERROR),
            returned(What::CauseText, second(1), &[OP_ERROR + 8, 0], Kind::Text),
            of_cause(What::CertificateCause, CERTIFICATE_ERROR),
        ])
}

/// From the first word of an interface to the name of the type.
const TYPE: [u16; 2] = [ITAB_TYPE, TYPE_NAME];

/// Likewise, of an interface in what the second result points to.
fn of_cause(what: What, at: u16) -> Wanted {
    returned(what, second(1), &[at, ITAB_TYPE, TYPE_NAME], Kind::Word)
}

/// (pc *persistConn) roundTrip(req *transportRequest) (*Response, error)
pub(super) fn http1(fields: &Fields) -> Shape {
    let parameters = [POINTER, POINTER];
    Shape::new("net/http.(*persistConn).roundTrip", &parameters, &[POINTER, INTERFACE])
        .reads([
            given(What::Connection, whole(0), &[], Kind::Word),
            given(What::Address, whole(0), &[PERSIST_ADDRESS], Kind::Text),
            given(What::Tls, whole(0), &[PERSIST_TLS], Kind::Word),
        ])
        .reads(descriptors(PERSIST_CONNECTION, fields))
        .reads([error(1)])
}

/// (cc *http2ClientConn) RoundTrip(req *Request), from 1.23 roundTrip with a function more, from 1.27 with another request.
pub(super) fn http2(minor: u32, fields: &Fields) -> Shape {
    let (symbol, parameters) = match minor {
        ..23 => ("net/http.(*http2ClientConn).RoundTrip", &[POINTER; 2][..]),
        23..27 => ("net/http.(*http2ClientConn).roundTrip", &[POINTER; 3][..]),
        27.. => ("net/http/internal/http2.(*ClientConn).roundTrip", &[POINTER; 3][..]),
    };
    Shape::new(symbol, parameters, &[POINTER, INTERFACE])
        .reads([
            given(What::Connection, whole(0), &[], Kind::Word),
            given(What::Tls, whole(0), &[fields.http2_tls], Kind::Word),
        ])
        .reads(descriptors(HTTP2_CONNECTION, fields))
        .reads([error(1)])
}

/// (body) Read(p []byte) (n int, err error)
pub(super) fn read(symbol: &'static str) -> Shape {
    Shape::new(symbol, &[POINTER, SLICE], &[NUMBER, INTERFACE]).reads([
        given(What::Body, whole(0), &[], Kind::Word),
        returned(What::Bytes, whole(0), &[], Kind::Word),
        error(1),
        error_text(1),
    ])
}

/// (body) Close() error
pub(super) fn close(symbol: &'static str) -> Shape {
    Shape::new(symbol, &[POINTER], &[INTERFACE])
        .reads([given(What::Body, whole(0), &[], Kind::Word), error(0)])
}

/// get(security SecurityMode, url *url.URL) (*Response, error)
pub(super) fn get() -> Shape {
    Shape::new("cmd/go/internal/web.get", &[NUMBER, POINTER], &[POINTER, INTERFACE])
        .reads(url(1, &[]))
        .reads([returned(What::Status, whole(0), &[WEB_STATUS], Kind::Word), error(1)])
}

/// Its scheme, host and path, of the `*url.URL` behind these offsets. Its user and its query are not even read.
fn url(slot: usize, behind: &[u16]) -> [Wanted; 3] {
    let parts = [(What::Scheme, 0), (What::UrlHost, URL_HOST), (What::Path, URL_PATH)];
    parts.map(|(what, offset)| given(what, whole(slot), &[behind, &[offset]].concat(), Kind::Text))
}

/// The descriptor of the connection, a `net.Conn` whose second word is at this offset: a TCP connection, or a TLS connection on one.
fn descriptors(connection: u16, fields: &Fields) -> [Wanted; 4] {
    let poll = fields.fd_poll;
    let ways: [(What, &[u16]); 4] = [
        (What::Descriptor, &[connection, 0, FD]),
        (What::DescriptorAgain, &[connection, 0, poll, POLL_FD]),
        (What::TlsDescriptor, &[connection, TLS_CONNECTION, 0, FD]),
        (What::TlsDescriptorAgain, &[connection, TLS_CONNECTION, 0, poll, POLL_FD]),
    ];
    ways.map(|(what, offsets)| given(what, whole(0), offsets, Kind::Word))
}
