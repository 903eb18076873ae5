//! `struct tcp_info` of linux/tcp.h, and what an inet_diag message says.

use gmtrace_core::event::TcpInfo;
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{InetResponse, SocketId};
use std::net::{IpAddr, SocketAddr};

/// The states of net/tcp_states.h, by number.
const STATES: [&str; 13] = [
    "UNKNOWN",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

/// The name of a state.
pub(super) fn state_name(state: u8) -> &'static str {
    STATES.get(usize::from(state)).copied().unwrap_or("UNKNOWN")
}

/// The TCP_INFO in a message; none for UDP and listening sockets.
pub(super) fn of_response(response: &InetResponse) -> Option<TcpInfo> {
    let bytes = response.nlas.iter().find_map(|nla| match nla {
        Nla::TcpInfo(bytes) => Some(bytes),
        _ => None,
    })?;
    Some(correct(state_name(response.header.state), &Raw::parse(bytes)?))
}

/// The `struct tcp_info` that getsockopt(2) gives; its first byte is the state.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<TcpInfo> {
    let state = state_name(*bytes.first()?);
    Some(correct(state, &Raw::parse(bytes)?)).filter(|_| state != "LISTEN")
}

/// Both ends of a socket. IPv4 in an IPv6 socket is IPv4, as in the address that connect(2) was given.
pub(super) fn ends(id: &SocketId) -> (SocketAddr, SocketAddr) {
    (end(id.source_address, id.source_port), end(id.destination_address, id.destination_port))
}

pub(super) fn end(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

/// The fields as the kernel has them. Older kernels have a shorter structure: what is missing is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Raw {
    info: TcpInfo,
    data_segments_in: Option<u32>,
    bytes_sent: Option<u64>,
    bytes_resent: u64,
}

impl Raw {
    fn parse(bytes: &[u8]) -> Option<Raw> {
        let byte = |at: usize| bytes.get(at).copied().map(u32::from);
        let word = |at: usize| {
            let field = bytes.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_ne_bytes(*field))
        };
        let long = |at: usize| {
            let field = bytes.get(at..)?.first_chunk::<8>()?;
            Some(u64::from_ne_bytes(*field))
        };
        let info = TcpInfo {
            retransmits: byte(2)?,
            probes: byte(3)?,
            backoff: byte(4)?,
            unacked: word(24)?,
            last_data_sent_ms: word(44)?,
            last_data_received_ms: word(52)?,
            last_ack_received_ms: word(56)?,
            rtt_us: word(68)?,
            total_retransmits: word(100)?,
            bytes_acked: long(120).unwrap_or(0),
            bytes_received: long(128).unwrap_or(0),
            not_sent: word(144).unwrap_or(0),
        };
        Some(Raw {
            info,
            data_segments_in: word(152),
            bytes_sent: long(200),
            bytes_resent: long(208).unwrap_or(0),
        })
    }
}

/// Takes SYN and FIN out of the byte counts: each takes a place in sequence space, and the kernel counts those places
/// (tcp_snd_una_update, tcp_rcv_nxt_update). Of those sent, only the caller's SYN and the own FIN; of those received, only the FIN.
///
/// A connection is taken for one that was opened from here, as all of go's and git's are. What is sent is then exact but for one
/// byte too few on a connection that was accepted. What is received is exact while the connection lives; once it is closed the kernel no longer
/// says whether a FIN came, and 1 is taken off: one too few when the end was a reset or was ours. That nothing was received is exact always.
fn correct(state: &str, raw: &Raw) -> TcpInfo {
    let mut info = raw.info;
    let acked = info.bytes_acked.saturating_sub(1);
    let sent = raw.bytes_sent.map(|sent| sent.saturating_sub(raw.bytes_resent));
    info.bytes_acked = acked.min(sent.unwrap_or(acked));
    let fin = matches!(state, "CLOSE_WAIT" | "LAST_ACK" | "CLOSING" | "TIME_WAIT" | "CLOSE");
    info.bytes_received = match raw.data_segments_in {
        Some(0) => 0,
        _ => info.bytes_received.saturating_sub(u64::from(fin)),
    };
    info
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(acked: u64, received: u64, segments: u32, sent: u64) -> Raw {
        let info = TcpInfo { bytes_acked: acked, bytes_received: received, ..TcpInfo::default() };
        Raw { info, data_segments_in: Some(segments), bytes_sent: Some(sent), bytes_resent: 0 }
    }

    #[test]
    fn syn_and_fin_are_no_bytes() {
        let counts = |state, raw: &Raw| {
            let info = correct(state, raw);
            (info.bytes_acked, info.bytes_received)
        };
        assert_eq!(counts("SYN_SENT", &raw(0, 0, 0, 0)), (0, 0));
        assert_eq!(counts("ESTABLISHED", &raw(1, 0, 0, 0)), (0, 0));
        assert_eq!(counts("ESTABLISHED", &raw(101, 50, 1, 100)), (100, 50));
        assert_eq!(counts("FIN_WAIT2", &raw(102, 50, 1, 100)), (100, 50));
        assert_eq!(counts("CLOSE_WAIT", &raw(101, 51, 1, 100)), (100, 50));
        assert_eq!(counts("CLOSE_WAIT", &raw(1, 1, 0, 0)), (0, 0));
        assert_eq!(counts("CLOSE", &raw(102, 51, 1, 100)), (100, 50));
    }

    #[test]
    fn short_structures_of_older_kernels() {
        assert_eq!(Raw::parse(&[]), None);
        assert_eq!(Raw::parse(&[1; 103]), None);
        let raw = Raw::parse(&[1; 104]).unwrap();
        assert_eq!((raw.info.bytes_acked, raw.data_segments_in, raw.bytes_sent), (0, None, None));
        for length in 104..300 {
            assert!(Raw::parse(&vec![0xff; length]).is_some(), "{length}");
        }
        assert_eq!(state_name(255), "UNKNOWN");
    }
}
