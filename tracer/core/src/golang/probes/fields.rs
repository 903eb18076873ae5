//! Where the structures that arguments lead to keep what is wanted: one row for each change.
//!
//! Read from the DWARF of the go command, built by each of these releases for amd64 and for arm64, which are equal in all of it. Nothing
//! is taken from neighbours: a release that is not here is not known.

use super::convention::Slot;

/// Offsets in bytes into the structure that a name begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    /// `tls.Conn.config`, a pointer.
    pub(super) tls_config: u16,
    /// `tls.Conn.clientProtocol`.
    pub(super) tls_protocol: u16,
    /// `tls.Conn.vers`.
    pub(super) tls_version: u16,
    /// `net.DNSError.Err`; Name is the next string.
    pub(super) dns_error: u16,
    /// `net.sysDialer.network`; address is the next string.
    pub(super) dialer_network: u16,
    /// `http2ClientConn.tlsState`, a pointer.
    pub(super) http2_tls: u16,
    /// `dnsmessage.Parser` as a result: up to Go 1.21 it has an array in it.
    pub(super) parser: Slot,
    /// `dnsmessage.Header.RCode`, and how many fields are before it.
    pub(super) answer_code: (u16, u8),
    /// `poll.FD.pd.runtimeCtx`, a `*runtime.pollDesc`.
    pub(super) fd_poll: u16,
}

/// The same in every release: `http.Request.URL`. Its method is at its beginning.
pub(super) const REQUEST_URL: u16 = 16;
/// `url.URL`: Scheme is at its beginning.
pub(super) const URL_HOST: u16 = 40;
pub(super) const URL_PATH: u16 = 56;
pub(super) const RESPONSE_STATUS: u16 = 16;
pub(super) const RESPONSE_LENGTH: u16 = 80;
/// `web.Response.StatusCode`; URL is at its beginning.
pub(super) const WEB_STATUS: u16 = 32;
/// `http.persistConn`: the second word of conn, an interface, tlsState, and cacheKey.addr.
pub(super) const PERSIST_CONNECTION: u16 = 88;
pub(super) const PERSIST_TLS: u16 = 96;
pub(super) const PERSIST_ADDRESS: u16 = 56;
/// The second word of `http2ClientConn.tconn`, an interface.
pub(super) const HTTP2_CONNECTION: u16 = 16;
/// The second word of `tls.Conn.conn`, an interface.
pub(super) const TLS_CONNECTION: u16 = 8;
pub(super) const TLS_SERVER_NAME: u16 = 128;
/// `poll.FD.Sysfd`. A `net.netFD` begins with it, and a `net.TCPConn` and a `net.UDPConn` are pointers to a netFD.
pub(super) const FD: u16 = 16;
/// `runtime.pollDesc.fd`.
pub(super) const POLL_FD: u16 = 8;
/// `net.TCPAddr.Port` and `net.UDPAddr.Port`; IP is at its beginning.
pub(super) const ADDR_PORT: u16 = 24;
/// `modfetch.proxyRepo.path`.
pub(super) const PROXY_PATH: u16 = 8;
/// `dnsmessage.Question.Type`; Name is at its beginning.
pub(super) const QUESTION_TYPE: u16 = 256;
/// `codehost.RunArgs.dir`; cmdline, a slice of interfaces, is at its beginning.
pub(super) const RUN_DIRECTORY: u16 = 24;

/// The second word of `os.SyscallError.Err`; what the operation was is at its beginning.
pub(super) const SYSCALL_ERROR: u16 = 24;

/// `abi.ITab.Type`, to which the first word of an interface that has methods leads, and `abi.Type.Str`.
pub(super) const ITAB_TYPE: u16 = 8;
pub(super) const TYPE_NAME: u16 = 40;
/// `net.OpError.Err` and `tls.CertificateVerificationError.Err`, interfaces.
pub(super) const OP_ERROR: u16 = 64;
pub(super) const CERTIFICATE_ERROR: u16 = 24;

const GO_1_19: Fields = Fields {
    tls_config: 72,
    tls_protocol: 328,
    tls_version: 64,
    dns_error: 0,
    dialer_network: 96,
    http2_tls: 24,
    parser: Slot { words: None, bytes: 328 },
    answer_code: (10, 7),
    fd_poll: 24,
};

const GO_1_21: Fields = Fields {
    tls_config: 80,
    tls_protocol: 360,
    tls_version: 72,
    dialer_network: 112,
    http2_tls: 32,
    answer_code: (12, 9),
    fd_poll: 32,
    ..GO_1_19
};

const GO_1_22: Fields =
    Fields { http2_tls: 24, parser: Slot { words: Some(16), bytes: 80 }, ..GO_1_21 };

const GO_1_23: Fields = Fields { tls_protocol: 368, dns_error: 16, dialer_network: 144, ..GO_1_22 };

const GO_1_25: Fields = Fields { tls_protocol: 352, ..GO_1_23 };

const GO_1_27: Fields = Fields { tls_protocol: 376, ..GO_1_25 };

/// The row for Go 1.`minor`; none for what is older, newer, or 1.18 and 1.20, of which no structure was looked at.
pub(super) fn of(minor: u32) -> Option<Fields> {
    Some(match minor {
        19 => GO_1_19,
        21 => GO_1_21,
        22 => GO_1_22,
        23 | 24 => GO_1_23,
        25 | 26 => GO_1_25,
        27 => GO_1_27,
        _ => return None,
    })
}
