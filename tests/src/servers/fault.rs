//! The faults of an HTTP server, and which requests they meet.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::gate::{Gate, Ticket};
use super::http::{Request, Response};

/// What happens to a request that would otherwise be answered well.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The answer comes after this long.
    Delay(Duration),
    /// The request is read and never answered.
    Silent,
    /// The header and this many bytes of the body arrive, then nothing more.
    BodyThenSilence(usize),
    /// The header and this many bytes of the body arrive, then the connection is cut by a RST.
    BodyThenReset(usize),
    /// The header and this many bytes of the body arrive, then the connection is closed in good order, too early.
    BodyThenClose(usize),
    /// The body comes at this many bytes per second.
    Throttle(u32),
    /// This status, with a text to go with it.
    Status(u16, &'static str),
    /// 302 to this base address; the path that was asked for is appended.
    Redirect(String),
    /// 200 with an HTML page that asks to log in, as captive portals send it.
    LoginPage,
    /// Another answer than the right one.
    Instead(Response),
}

/// What happens to a TLS handshake that would otherwise succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// The ClientHello is read and never answered.
    Silent,
    /// A fatal alert of this number (RFC 8446 6) is the answer; 40 is `handshake_failure`.
    Alert(u8),
    /// ClientHellos longer than this many bytes, record header included, are never answered; shorter ones are.
    SilentAbove(usize),
}

type Matcher = Arc<dyn Fn(&Request) -> bool + Send + Sync>;

/// The switchboard of a server. The first switch that matches a request decides.
#[derive(Default)]
pub struct Faults {
    switches: Mutex<Vec<(Matcher, Fault)>>,
    handshake: Mutex<Option<TlsFault>>,
    /// Where requests that a fault holds back wait.
    pub(super) gate: Gate,
}

impl Faults {
    /// `fault` for all requests with `part` in their path or query.
    pub fn on(&self, part: &str, fault: Fault) {
        let part = part.to_owned();
        self.when(move |request| request.target.contains(&part), fault);
    }

    /// `fault` for the requests of which `matches` is true.
    pub fn when(&self, matches: impl Fn(&Request) -> bool + Send + Sync + 'static, fault: Fault) {
        self.lock().push((Arc::new(matches), fault));
    }

    /// `fault` for every request.
    pub fn always(&self, fault: Fault) {
        self.when(|_| true, fault);
    }

    /// `fault` for every TLS handshake from now on.
    pub fn in_handshake(&self, fault: TlsFault) {
        *self.handshake() = Some(fault);
    }

    /// Switches everything off. What was held back goes on, as if the server had come to itself.
    pub fn lift(&self) {
        self.lock().clear();
        *self.handshake() = None;
        self.gate.lift();
    }

    /// The fault that `request` meets, and the ticket with which to wait.
    pub(super) fn of(&self, request: &Request) -> (Option<Fault>, Ticket) {
        let ticket = self.gate.ticket();
        let switches = self.lock().clone();
        let fault =
            switches.into_iter().find(|(matches, _)| matches(request)).map(|(_, fault)| fault);
        (fault, ticket)
    }

    /// The fault that handshakes meet now, and the ticket with which to wait.
    pub(super) fn of_handshake(&self) -> (Option<TlsFault>, Ticket) {
        let ticket = self.gate.ticket();
        (*self.handshake(), ticket)
    }

    fn handshake(&self) -> MutexGuard<'_, Option<TlsFault>> {
        self.handshake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Matcher, Fault)>> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|(_, fault)| fault)).finish()
    }
}
