//! How a response leaves: whole, slowly, or up to a point.

use std::io;
use std::time::Duration;

use super::fault::Fault;
use super::gate::{Gate, Ticket};
use super::http::Response;
use super::wire::Way;

/// Most bytes of a body that go out in one write.
const PIECE: usize = 1 << 20;
/// A slow body comes in a piece per tick.
const TICK: Duration = Duration::from_millis(50);
const TICKS_PER_SECOND: usize = 20;

/// What happens after the bytes of a [`Fault`] that lets only some through.
#[derive(Debug, Clone, Copy)]
enum End {
    Silence,
    Reset,
    Close,
}

/// Sends bytes under the faults that concern a body.
pub(super) struct Delivery<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    end: Option<(usize, End)>,
    rate: Option<u32>,
    sent: usize,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(gate: &'a Gate, ticket: Ticket, fault: Option<&Fault>) -> Self {
        let end = match fault {
            Some(Fault::BodyThenSilence(count)) => Some((*count, End::Silence)),
            Some(Fault::BodyThenReset(count)) => Some((*count, End::Reset)),
            Some(Fault::BodyThenClose(count)) => Some((*count, End::Close)),
            _ => None,
        };
        let rate = match fault {
            Some(Fault::Throttle(rate)) => Some(*rate),
            _ => None,
        };
        Self { gate, ticket, end, rate, sent: 0 }
    }

    /// Sends the head of a response, where it is given, and as much of `body` as the fault allows; `progress` hears the bytes of
    /// body sent so far.
    ///
    /// # Errors
    /// When the connection ends, because it broke, because the server stops, or because the fault wants it so.
    pub(super) fn send(
        &mut self,
        way: &mut impl Way,
        mut head: Option<&Response>,
        mut body: &[u8],
        progress: impl Fn(usize),
    ) -> io::Result<()> {
        loop {
            let (piece, rest) = body.split_at(self.next_piece().min(body.len()));
            way.send(head.take(), piece, rest.is_empty())?;
            body = rest;
            self.sent += piece.len();
            progress(self.sent);
            if !body.is_empty() {
                self.wait(way)?;
            } else {
                return Ok(());
            }
        }
    }

    fn next_piece(&self) -> usize {
        let piece = self.rate.map_or(PIECE, |rate| (rate as usize / TICKS_PER_SECOND).max(1));
        self.end.map_or(piece, |(count, _)| piece.min(count.saturating_sub(self.sent)))
    }

    /// What comes between two pieces.
    fn wait(&mut self, way: &impl Way) -> io::Result<()> {
        match self.end {
            Some((count, end)) if self.sent >= count => {
                self.end = None;
                self.finish(end, way)
            }
            _ if self.rate.is_some() => self.gate.pause(self.ticket, TICK),
            _ => Ok(()),
        }
    }

    fn finish(&self, end: End, way: &impl Way) -> io::Result<()> {
        match end {
            End::Silence => self.gate.hold(self.ticket),
            End::Close => Err(io::ErrorKind::ConnectionAborted.into()),
            End::Reset => {
                way.reset_on_close()?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}
