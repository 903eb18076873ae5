//! What the temporary file of a module's zip tells: cmd/go opens it before the request and fills it as the body arrives
//! (modfetch.downloadZip), so its offset says whether a body has begun where TLS hides everything else.

use super::scene::Scene;
use crate::event::DescriptorTarget;
use crate::session::{Connection, Phase, RoundTrip};
use crate::units::Nanos;

/// A zip that has begun to arrive.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    /// `path@version`.
    pub(super) module: Option<String>,
    /// Bytes written so far.
    pub(super) written: u64,
    /// Whether no other connection of the process can be the one it comes by.
    pub(super) sure: bool,
}

/// The one zip that has begun to arrive in the process of `connection`, where it comes by this connection; none where there are
/// several or none. It can only come by one that received as much, and of those by the one that received last.
pub(super) fn partial(scene: &Scene<'_>, connection: &Connection) -> Option<Partial> {
    let begun = begun(scene, connection)?;
    let mut carriers: Vec<&Connection> = [Phase::Receiving, Phase::Response]
        .into_iter()
        .flat_map(|phase| scene.connections(phase))
        .filter(|c| c.pid == connection.pid && c.bytes_received() >= begun.written)
        .collect();
    carriers.sort_by_key(|c| c.last_received());
    let last = carriers.last()?;
    let same = last.fd == connection.fd && last.socket == connection.socket;
    same.then_some(Partial { sure: carriers.len() == 1, ..begun })
}

fn begun(scene: &Scene<'_>, connection: &Connection) -> Option<Partial> {
    let process = scene.session.state_of(connection.pid)?;
    let mut begun = process.descriptors.iter().filter_map(|d| {
        let DescriptorTarget::File(path) = &d.target else { return None };
        let written = d.pos.filter(|pos| *pos > 0)?;
        // downloadZip names it VERSION.zip<digits>.tmp beside the final place.
        let (place, name) = path.rsplit_once('/')?;
        let (version, rest) = name.rsplit_once(".zip")?;
        if !place.ends_with("/@v") || !rest.ends_with(".tmp") {
            return None;
        }
        let lock = format!("{place}/{version}.lock");
        Some(Partial { module: scene.module_of(connection.pid, &lock), written, sure: true })
    });
    let first = begun.next()?;
    begun.next().is_none().then_some(first)
}

/// The length of the zip of `module` that comes by this connection, where its answer was told by a probe, or was the first one there
/// and not inside TLS.
pub(super) fn length(
    scene: &Scene<'_>,
    connection: &Connection,
    module: Option<&str>,
) -> Option<u64> {
    if let Some(trip) = answered(scene, connection, module) {
        return trip.content_length;
    }
    let asked = connection.request.as_ref()?;
    let response = connection.response.as_ref()?;
    response.content_length.filter(|_| asked.url.ends_with(".zip"))
}

/// The request whose body comes by this connection, as a probe told: of HTTP/2 that for the zip of `module`, of HTTP/1 the last one.
pub(super) fn answered<'a>(
    scene: &Scene<'a>,
    connection: &Connection,
    module: Option<&str>,
) -> Option<&'a RoundTrip> {
    let entries = scene.session.proxies_for(connection.pid);
    let is_of = |trip: &RoundTrip, module: &str| {
        let asked = trip.module(&entries).map(|(module, _)| module);
        asked.as_deref() == Some(module) && trip.urls().any(|url| url.path().ends_with(".zip"))
    };
    let is_it = |trip: &&RoundTrip| match module {
        Some(module) => is_of(trip, module),
        None => trip.on.is_some_and(|on| !on.http2),
    };
    let carried = scene.session.round_trips_on(connection.pid, connection.socket?);
    carried.filter(is_it).last().filter(|trip| trip.status == Some(200))
}

/// Whether all that came on a TLS connection fits its handshake: at most a certificate chain, within a few round trips of the
/// ClientHello.
pub(super) fn only_handshake(connection: &Connection) -> bool {
    const CHAIN: u64 = 16 * 1024;
    let Some(began) = began_tls(connection) else { return false };
    let Some(last) = connection.last_received() else { return true };
    let round_trip = connection.info().map_or(0, |i| u64::from(i.rtt_us) * 1000);
    let handshake = Nanos(4 * round_trip).plus(Nanos::from_millis(100));
    connection.bytes_received() < CHAIN && last.since(began) <= handshake
}

/// When TLS began. Where the ClientHello was not seen (git's TLS library first loads its certificates, for longer than a window
/// is open), at port 443 it is taken to begin within a second of the connection.
fn began_tls(connection: &Connection) -> Option<Nanos> {
    if let Some(hello) = &connection.hello {
        return Some(hello.t);
    }
    let (decided, _) = connection.decided.as_ref()?;
    (connection.peer.port() == 443).then(|| decided.plus(Nanos::from_secs(1)))
}
