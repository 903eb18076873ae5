//! Bodies, as the counters of a connection show them: bytes keep arriving, and hardly any leave.

use crate::event::TcpInfo;
use crate::units::Nanos;

/// A body is over when nothing has come for this long.
const PAUSE: Nanos = Nanos::from_secs(3);
/// A request is at least this long; what leaves during a body besides it are HTTP/2's WINDOW_UPDATE frames, one or two
/// records of 35 bytes for each 4 KiB that come (golang.org/x/net/http2, inflowMinRefresh).
const REQUEST: u64 = 100;

/// A time in which a body arrived.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Body {
    /// When it began.
    pub since: Nanos,
    /// When the last of it was seen to have come.
    pub until: Nanos,
    /// How much came.
    pub bytes: u64,
}

impl Body {
    /// How long it took.
    pub fn lasted(&self) -> Nanos {
        self.until.since(self.since)
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.bytes.saturating_mul(1_000_000_000) / self.lasted().0.max(1)
    }
}

/// The bodies of a connection: the one that arrives, and the longest so far.
#[derive(Debug, Clone, Default)]
pub struct Bodies {
    /// Bytes received and acknowledged when the body began.
    at: (u64, u64),
    received: u64,
    arriving: Body,
    longest: Body,
}

impl Bodies {
    /// The body that took longest.
    pub fn longest(&self) -> Body {
        if self.arriving.lasted() > self.longest.lasted() { self.arriving } else { self.longest }
    }

    pub(super) fn note(&mut self, t: Nanos, info: &TcpInfo) {
        if info.bytes_received <= self.received {
            return;
        }
        self.received = info.bytes_received;
        let came = info.bytes_received.saturating_sub(self.at.0);
        let left = info.bytes_acked.saturating_sub(self.at.1);
        if left > REQUEST + came / 20 || t.since(self.arriving.until) > PAUSE {
            self.longest = self.longest();
            self.at = (info.bytes_received, info.bytes_acked);
            self.arriving = Body { since: t, until: t, bytes: 0 };
        } else {
            self.arriving.until = t;
            self.arriving.bytes = came;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The longest body in samples of (milliseconds, received, acknowledged).
    fn longest(samples: &[(u64, u64, u64)]) -> Body {
        let mut bodies = Bodies::default();
        for &(ms, bytes_received, bytes_acked) in samples {
            let info = TcpInfo { bytes_received, bytes_acked, ..TcpInfo::default() };
            bodies.note(Nanos::from_millis(ms), &info);
        }
        bodies.longest()
    }

    #[test]
    fn a_body_lasts_while_bytes_come() {
        let slow: Vec<_> = (0..60).map(|n| (n * 250, 200 + n * 500, 150 + n / 8 * 70)).collect();
        let body = longest(&slow);
        assert_eq!((body.lasted(), body.rate()), (Nanos::from_millis(14_750), 2000));
    }

    #[test]
    fn many_small_answers_are_no_body() {
        let chatty: Vec<_> = (0..60).map(|n| (n * 250, n * 400, n * 160)).collect();
        assert_eq!(longest(&chatty).lasted(), Nanos(0));
    }

    #[test]
    fn a_pause_ends_it() {
        let stalled = [(0, 100, 150), (1000, 2000, 150), (9000, 4000, 150), (9500, 5000, 150)];
        assert_eq!(
            longest(&stalled),
            Body { since: Nanos(0), until: Nanos::from_secs(1), bytes: 1900 }
        );
    }
}
