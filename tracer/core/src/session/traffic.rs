//! What the counters of a connection say of requests and answers: PINGs of HTTP/2 keep it alive, and are neither.

use crate::event::TcpInfo;
use crate::units::Nanos;

/// A PING and its acknowledgement, 17 bytes each (RFC 9113 6.7), in a TLS record of its own: of TLS 1.3 (RFC 8446 5.2), of TLS 1.2
/// with AES-GCM (RFC 5288 3) and with ChaCha20 (RFC 7905 2). No body arrives in lockstep with what leaves.
const PINGS: [u64; 3] = [39, 46, 38];

/// The counters of a connection, and what they were before there were only PINGs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    /// Bytes received and acknowledged, as they were last read.
    newest: (u64, u64),
    /// When something else than PINGs was last seen to have come or left, and the counters of that time.
    words: (Nanos, TcpInfo),
}

impl Traffic {
    /// Takes new counters; whether something came or left besides PINGs.
    pub(super) fn take(&mut self, t: Nanos, info: &TcpInfo) -> bool {
        let now = (info.bytes_received, info.bytes_acked);
        if now.0 <= self.newest.0 && now.1 <= self.newest.1 {
            return false;
        }
        self.newest = now;
        let words = self.words.1;
        let came = now.0.saturating_sub(words.bytes_received);
        let left = now.1.saturating_sub(words.bytes_acked);
        if words.bytes_received > 0 && are_pings(came, left) {
            return false;
        }
        self.words = (t, *info);
        true
    }

    /// The last counters without PINGs, where some came since.
    pub(super) fn before_pings(&self) -> Option<(Nanos, TcpInfo)> {
        let (_, words) = self.words;
        (self.newest != (words.bytes_received, words.bytes_acked)).then_some(self.words)
    }
}

/// Whether these bytes are PINGs and as many acknowledgements; of the newest, one may be under way.
fn are_pings(came: u64, left: u64) -> bool {
    PINGS.iter().any(|ping| {
        came.is_multiple_of(*ping)
            && left.is_multiple_of(*ping)
            && (came / ping).abs_diff(left / ping) <= 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these (received, acknowledged) are words.
    fn words<const N: usize>(counters: [(u64, u64); N]) -> [bool; N] {
        let mut traffic = Traffic::default();
        counters.map(|(bytes_received, bytes_acked)| {
            let info = TcpInfo { bytes_received, bytes_acked, ..TcpInfo::default() };
            traffic.take(Nanos(0), &info)
        })
    }

    #[test]
    fn pings_are_no_words() {
        let pinged = [(5000, 1600), (5039, 1639), (5117, 1678), (5117, 1717), (5156, 1717)];
        assert_eq!(words(pinged), [true, false, false, false, false]);
        assert_eq!(words([(5000, 1600), (5046, 1646), (5138, 1738)]), [true, false, false]);
    }

    #[test]
    fn an_answer_after_pings_is_one() {
        let answered = [(5000, 1600), (5039, 1639), (5339, 1639), (5378, 1678)];
        assert_eq!(words(answered), [true, false, true, false]);
    }

    /// DATA frames of 8 bytes are as long as PINGs, and are not answered.
    #[test]
    fn a_body_in_small_pieces_is_one() {
        let slow = [(5000, 1600), (5039, 1600), (5078, 1600), (5117, 1600), (5156, 1600)];
        assert_eq!(words(slow), [true, false, true, false, true]);
    }

    #[test]
    fn first_bytes_are_words() {
        assert_eq!(words([(0, 1), (39, 40)]), [true, true]);
    }
}
