//! Stalls from their first second to the end of the run.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may end by a panic")]

use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::*;
use gmtrace_core::report::FindingState;
use gmtrace_core::units::{Fd, Inode, Nanos, Pid, Tid};
use gmtrace_core::watch::{Say, Watch};

const GO: Pid = Pid(100);
const SOCKET: Inode = Inode(7);

/// A go command that has sent a request on a connection; gmtrace speaks after 5 s.
struct Run(Watch);

impl Run {
    fn new() -> Run {
        let header = Header {
            r#type: HeaderTag::Header,
            schema: RECORDING_SCHEMA.into(),
            gmtrace: "0.1.0".into(),
            mode: Mode::Launch,
            argv: vec!["go".into(), "mod".into(), "download".into()],
            cwd: "/m".into(),
            pid: GO,
            started_at: "2026-01-01T00:00:00.000000000Z".into(),
            host: Host::default(),
            backend: Backend::default(),
            stall_after_ns: Nanos::from_secs(5),
        };
        let mut run = Run(Watch::new(header.clone()));
        run.at(0, What::ProcessStart { ppid: Pid(1), ns_pid: None });
        let exec = Exec {
            exe: "/usr/bin/go".into(),
            argv: header.argv,
            cwd: "/m".into(),
            role: ProcessRole::Go,
            telemetry: false,
        };
        run.at(0, What::Exec(exec));
        let peer = Address::Inet("192.0.2.1:80".parse().unwrap());
        run.at(
            10,
            What::Connect { fd: Fd(5), socket: Some(SOCKET), transport: Transport::Tcp, peer },
        );
        run
    }

    fn at(&mut self, ms: u64, what: What) -> Vec<Say> {
        self.0.observe(&Event { t: Nanos::from_millis(ms), pid: GO, tid: Tid(100), what })
    }

    fn connected(mut self, ms: u64) -> Run {
        self.at(ms, What::ConnectEnd { fd: Fd(5), socket: Some(SOCKET), result: "ok".into() });
        let what = What::HttpRequest {
            socket: Some(SOCKET),
            method: "GET".into(),
            url: "http://192.0.2.1/example.com/lib/@v/v1.0.0.mod".into(),
            proxy_authorization: false,
        };
        self.at(ms, what);
        self
    }

    /// A snapshot with the connection in `state`.
    fn snapshot(&mut self, ms: u64, state: &str, tcp: TcpInfo) -> Vec<Say> {
        let socket = Socket {
            inode: SOCKET,
            protocol: Transport::Tcp,
            local: "192.0.2.9:4000".parse().unwrap(),
            peer: Some("192.0.2.1:80".parse().unwrap()),
            state: state.into(),
            tcp: Some(tcp),
            receive_queue: 0,
            send_queue: 0,
        };
        let snapshot =
            Snapshot { cause: SnapshotCause::Stall, sockets: vec![socket], ..Snapshot::default() };
        self.at(ms, What::Snapshot(Box::new(snapshot)))
    }

    /// The codes and states at the end.
    fn ends(mut self, ms: u64, exit: Exit, ended_by: EndedBy) -> Vec<(String, FindingState)> {
        self.at(ms, What::ProcessExit { exit: exit.clone(), cpu_ns: 0 });
        let t = Nanos::from_millis(ms + 1);
        let end =
            End { r#type: EndTag::End, t, exit: Some(exit), ended_by: Some(ended_by), lost: 0 };
        self.0.finish(end);
        self.0.findings().into_iter().map(|f| (f.code, f.state)).collect()
    }
}

fn sent() -> TcpInfo {
    TcpInfo { bytes_acked: 150, last_data_sent_ms: 5000, ..TcpInfo::default() }
}

fn stalled() -> Run {
    let mut run = Run::new().connected(20);
    run.at(30, What::Sample(Sample { connections: Vec::new(), processes: Vec::new() }));
    // The acknowledgement of the request is news, and moves.
    assert!(run.snapshot(5100, "ESTABLISHED", sent()).is_empty());
    let said = run.snapshot(10_200, "ESTABLISHED", sent());
    assert!(matches!(&said[..], [Say::Stalled(f)] if f.code == "http-silent"), "{said:?}");
    run
}

#[test]
fn a_hang_that_somebody_ended_comes_before_the_signal() {
    let found = stalled().ends(12_000, Exit::Signal("SIGTERM".into()), EndedBy::Signal);
    assert_eq!(found[0], ("http-silent".into(), FindingState::Failed));
    assert!(found[1..].iter().all(|(code, _)| code == "killed"), "{found:?}");
}

#[test]
fn a_hang_that_ended_well_was_slow() {
    let found = stalled().ends(12_000, Exit::Code(0), EndedBy::Exit);
    assert_eq!(found, [("http-silent".into(), FindingState::Slow)]);
}

#[test]
fn what_the_run_failed_by_comes_before_the_hang() {
    let mut run = stalled();
    let text = "go: example.com/lib@v1.0.0: reading http://192.0.2.1/example.com/lib/@v/v1.0.0.mod: 503 Service Unavailable\n";
    run.at(
        11_900,
        What::Output { fd: Fd(2), text: text.into(), truncated: false, ends_line: true },
    );
    let found = run.ends(12_000, Exit::Code(1), EndedBy::Exit);
    assert_eq!(found[0], ("http-refused".into(), FindingState::Failed));
    assert_eq!(found[1], ("http-silent".into(), FindingState::Failed));
}

#[test]
fn an_answered_syn_moves_also_where_a_snapshot_shows_it_first() {
    let mut run = Run::new();
    let asked = TcpInfo { unacked: 1, ..TcpInfo::default() };
    let said = run.snapshot(5100, "SYN_SENT", asked);
    assert!(matches!(&said[..], [Say::Stalled(f)] if f.code == "connect-silent"), "{said:?}");
    let said = run.snapshot(6100, "ESTABLISHED", TcpInfo::default());
    assert!(
        matches!(&said[..], [Say::MovingAgain { finding, .. }] if finding.code == "connect-silent")
    );
}

#[test]
fn in_a_tie_of_the_clock_the_acknowledgement_tells_who_spoke_last() {
    for (last_ack_received_ms, code) in
        [(4960, "http-silent"), (5000, "body-stalled"), (1000, "body-stalled")]
    {
        let mut run = Run::new().connected(20);
        let tied = TcpInfo {
            bytes_received: 400,
            last_data_received_ms: 5000,
            last_ack_received_ms,
            ..sent()
        };
        run.snapshot(5100, "ESTABLISHED", tied);
        let said = run.snapshot(10_200, "ESTABLISHED", tied);
        assert!(matches!(&said[..], [Say::Stalled(f)] if f.code == code), "{code}: {said:?}");
    }
}
