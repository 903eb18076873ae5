//! Requests by their goroutines, on connections that come and go.

use super::*;
use crate::decode::sockaddr::Address;
use crate::event::*;
use crate::session::Phase;
use crate::units::Fd;

const GO: Pid = Pid(100);
const PROXY: &str = "https://proxy.example.com/example.com/lib/@v/v1.4.2";

/// A session in which these events happen, a second after each other.
fn session(events: impl IntoIterator<Item = What>) -> Session {
    let header = Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.into(),
        gmtrace: "0.1.0".into(),
        mode: Mode::Launch,
        argv: vec!["go".into()],
        cwd: "/m".into(),
        pid: GO,
        started_at: "2026-01-01T00:00:00.000000000Z".into(),
        host: Host::default(),
        backend: Backend { name: "ebpf".into(), ..Backend::default() },
        stall_after_ns: Nanos::from_secs(5),
    };
    let mut session = Session::new(header);
    for (n, what) in (1..).zip(events) {
        session.apply(&Event { t: Nanos::from_secs(n), pid: GO, tid: GO.into(), what });
    }
    session
}

fn begins(goid: u64, url: &str) -> What {
    What::GoRequest { goid, method: "GET".into(), url: url.into() }
}

fn on(goid: u64, socket: u64) -> What {
    What::GoRequestOn { goid, socket: Some(Inode(socket)), http2: true, tls: true }
}

fn ends(goid: u64, status: u16) -> What {
    What::GoResponse { goid, status: Some(status), content_length: Some(7), error: None }
}

fn connects(fd: i32, socket: u64) -> [What; 2] {
    let (fd, socket) = (Fd(fd), Some(Inode(socket)));
    let peer = Address::Inet("192.0.2.10:443".parse().unwrap());
    [
        What::Connect { fd, socket, transport: Transport::Tcp, peer },
        What::ConnectEnd { fd, socket, result: "ok".into() },
    ]
}

#[test]
fn each_goroutine_has_its_own_request_on_a_shared_connection() {
    let asks = [
        begins(7, &format!("{PROXY}.mod")),
        begins(8, &format!("{PROXY}.zip")),
        on(8, 60),
        on(7, 60),
        ends(8, 404),
    ];
    let session = session(connects(5, 60).into_iter().chain(asks));
    let [first, second] = &session.round_trips[..] else { panic!("{:?}", session.round_trips) };
    assert_eq!((first.goid, first.status, first.is_open()), (7, None, true));
    assert_eq!(
        (second.goid, second.status, second.ended),
        (8, Some(404), Some(Nanos::from_secs(7)))
    );
    assert_eq!(second.content_length, Some(7));
    let connection = &session.connections[0];
    assert_eq!(connection.phase(), Phase::Response);
    assert_eq!(connection.waiting_since(), Nanos::from_secs(6));
    let awaited = connection.awaited().unwrap();
    assert_eq!(awaited.goroutine, 7);
    assert_eq!(awaited.url.as_deref(), Some(&*format!("{PROXY}.mod")));
    assert_eq!(connection.awaited_modules(), ["example.com/lib@v1.4.2"]);
    assert_eq!(session.round_trips_on(GO, Inode(60)).count(), 2);
}

/// net/http tries a request again on another connection where the one that was kept for it turns out to be closed.
#[test]
fn a_request_that_is_tried_again_waits_on_one_connection_alone() {
    let asks = [begins(7, PROXY), on(7, 60), on(7, 61)];
    let both = connects(5, 60).into_iter().chain(connects(6, 61));
    let session = session(both.chain(asks));
    let asked: Vec<usize> = session.connections.iter().map(|c| c.asked.len()).collect();
    assert_eq!(asked, [0, 1]);
    assert_eq!(session.round_trips.len(), 1);
    assert_eq!(session.round_trips[0].on.unwrap().socket, Some(Inode(61)));
}

#[test]
fn a_redirect_leads_from_what_was_asked_first() {
    let store = "https://store.example.com/blob/4711";
    let session = session([
        begins(7, &format!("{PROXY}.zip")),
        ends(7, 302),
        begins(7, "https://mirror.example.com/x"),
        ends(7, 307),
        begins(7, store),
        ends(7, 200),
        begins(7, &format!("{PROXY}.mod")),
    ]);
    let led: Vec<Option<&str>> =
        session.round_trips.iter().map(|r| r.led_from.as_deref()).collect();
    let first = format!("{PROXY}.zip");
    assert_eq!(led, [None, Some(&*first), Some(&*first), None]);
    let module = session.round_trips[2].module(&[]);
    assert_eq!(module, Some(("example.com/lib@v1.4.2".to_owned(), "its zip file")));
}

#[test]
fn what_is_given_up_or_left_behind_is_over() {
    let exit = What::ProcessExit { exit: Exit::Code(1), cpu_ns: 0 };
    let session = session([begins(7, PROXY), begins(7, PROXY), begins(8, PROXY), exit]);
    let ended: Vec<_> = session.round_trips.iter().map(|r| (r.ended, r.status)).collect();
    let at = |seconds| Some(Nanos::from_secs(seconds));
    assert_eq!(ended, [(at(2), None), (at(4), None), (at(4), None)]);
}

#[test]
fn an_answer_to_what_was_not_seen_to_begin_is_nothing() {
    let session = session([on(7, 60), ends(7, 200)]);
    assert_eq!(session.round_trips, []);
}

/// A module proxy may be asked for more than can be kept.
#[test]
fn the_oldest_that_are_over_are_dropped_and_counted() {
    let open = [begins(1, PROXY)];
    let many = (0..6000).flat_map(|_| [begins(7, PROXY), ends(7, 200)]);
    let session = session(open.into_iter().chain(many));
    assert!(session.round_trips.len() <= 5_001);
    assert!(session.round_trips[0].is_open());
    assert_eq!(session.losses.values().sum::<u64>() + session.round_trips.len() as u64, 6001);
}
