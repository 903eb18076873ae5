//! Connections and TLS: src/net/dial.go, src/net/fd_unix.go, src/crypto/tls/handshake_client.go.

use super::super::convention::{INTERFACE, POINTER, TEXT};
use super::super::fields::{
    ADDR_PORT, FD, Fields, POLL_FD, SYSCALL_ERROR, TLS_CONNECTION, TLS_SERVER_NAME,
};
use super::{Kind, Shape, What};
use super::{error, error_text, given, kept, returned, second, whole};

/// (d *Dialer) DialContext(ctx, network, address) (Conn, error)
pub(super) fn dial(fields: &Fields) -> Shape {
    let parameters = [POINTER, INTERFACE, TEXT, TEXT];
    Shape::new("net.(*Dialer).DialContext", &parameters, &[INTERFACE, INTERFACE]).reads([
        given(What::Network, whole(2), &[], Kind::Text),
        given(What::Address, whole(3), &[], Kind::Text),
        returned(What::Descriptor, second(0), &[0, FD], Kind::Word),
        returned(What::DescriptorAgain, second(0), &[0, fields.fd_poll, POLL_FD], Kind::Word),
        error(1),
    ])
}

/// (sd *sysDialer) dialSingle(ctx, ra Addr) (c Conn, err error). The network tells what kind of address it is.
pub(super) fn dial_one(fields: &Fields) -> Shape {
    let parameters = [POINTER, INTERFACE, INTERFACE];
    Shape::new("net.(*sysDialer).dialSingle", &parameters, &[INTERFACE, INTERFACE]).reads([
        given(What::Network, whole(0), &[fields.dialer_network], Kind::Text),
        given(What::Address, whole(0), &[fields.dialer_network + 16], Kind::Text),
        given(What::Ip, second(2), &[0], Kind::Text),
        given(What::Port, second(2), &[ADDR_PORT], Kind::Word),
        returned(What::Descriptor, second(0), &[0, FD], Kind::Word),
        returned(What::DescriptorAgain, second(0), &[0, fields.fd_poll, POLL_FD], Kind::Word),
        error(1),
    ])
}

/// (fd *netFD) connect(ctx, la, ra syscall.Sockaddr) (rsa syscall.Sockaddr, ret error). It registers the descriptor with the poller.
pub(super) fn connect(fields: &Fields) -> Shape {
    let parameters = [POINTER, INTERFACE, INTERFACE, INTERFACE];
    Shape::new("net.(*netFD).connect", &parameters, &[INTERFACE, INTERFACE]).reads([
        given(What::Descriptor, whole(0), &[FD], Kind::Word),
        kept(What::DescriptorAgain, whole(0), &[fields.fd_poll, POLL_FD], Kind::Word),
        error(1),
        error_text(1),
        returned(What::Errno, second(1), &[SYSCALL_ERROR, 0], Kind::Word),
    ])
}

/// (c *Conn) clientHandshake(ctx) error
pub(super) fn handshake(fields: &Fields) -> Shape {
    let connection = [TLS_CONNECTION, 0, FD];
    let poller = [TLS_CONNECTION, 0, fields.fd_poll, POLL_FD];
    Shape::new("crypto/tls.(*Conn).clientHandshake", &[POINTER, INTERFACE], &[INTERFACE]).reads([
        given(What::Connection, whole(0), &[], Kind::Word),
        given(What::ServerName, whole(0), &[fields.tls_config, TLS_SERVER_NAME], Kind::Text),
        given(What::Descriptor, whole(0), &connection, Kind::Word),
        given(What::DescriptorAgain, whole(0), &poller, Kind::Word),
        kept(What::TlsVersion, whole(0), &[fields.tls_version], Kind::Half),
        kept(What::Protocol, whole(0), &[fields.tls_protocol], Kind::Text),
        error(0),
    ])
}
