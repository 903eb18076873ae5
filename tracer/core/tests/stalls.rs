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

/// 20,000 go commands one after the other, each with a look-up, a connection, a lock and settings of its own.
#[test]
fn a_long_run_takes_no_more_memory_than_a_short_one() {
    const COMMANDS: u64 = 20_000;
    const KEPT: usize = 5_000;
    let mut watch = Run::new().0;
    for n in 0..COMMANDS {
        let pid = Pid(1000 + i32::try_from(n).unwrap());
        for (ms, what) in short_command(n).into_iter().enumerate() {
            let t = Nanos::from_millis(100 + n * 10 + ms as u64);
            watch.observe(&Event { t, pid, tid: pid.into(), what });
        }
    }
    let session = &watch.session;
    let kept = [
        session.ended.len(),
        session.connections.len(),
        session.lookups.len(),
        session.locks.len(),
    ];
    assert!(kept.iter().all(|n| *n <= KEPT), "{kept:?}");
    assert!(session.settings.len() <= 66, "{}", session.settings.len());
    assert!(session.names.len() <= 4096, "{}", session.names.len());
    assert!(!session.losses.is_empty(), "what is left out is said");
}

fn short_command(n: u64) -> Vec<What> {
    let ip = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap());
    let (fd, socket) = (Fd(3), Some(Inode(1000 + n)));
    let lock = |result: Option<&str>| What::LockEnd {
        fd,
        path: format!("/cache/{n}.lock"),
        result: result.map(str::to_owned),
        known_by: KnownBy::Return,
    };
    let question = What::DnsQuestion {
        socket,
        server: Some("192.0.2.53:53".parse().unwrap()),
        id: 7,
        name: format!("h{n}.example.com"),
        qtype: "A".into(),
        via: ResolverKind::Go,
    };
    let answer = What::DnsAnswer {
        socket,
        id: 7,
        name: Some(format!("h{n}.example.com")),
        qtype: Some("A".into()),
        rcode: "NOERROR".into(),
        addresses: vec![ip.into()],
    };
    let settings = GoSettings {
        version: Some("go1.27.3".into()),
        path: "/usr/bin/go".into(),
        ..Default::default()
    };
    let exec = Exec {
        exe: "/usr/bin/go".into(),
        argv: vec!["go".into()],
        cwd: "/m".into(),
        role: ProcessRole::Go,
        telemetry: false,
    };
    vec![
        What::ProcessStart { ppid: GO, ns_pid: None },
        What::Exec(exec),
        What::GoSettings(Box::new(settings)),
        question,
        answer,
        What::Connect {
            fd,
            socket,
            transport: Transport::Tcp,
            peer: Address::Inet((ip, 80).into()),
        },
        What::ConnectEnd { fd, socket, result: "ok".into() },
        What::LockRequest {
            fd,
            path: format!("/cache/{n}.lock"),
            kind: LockKind::Flock,
            mode: LockMode::Exclusive,
        },
        lock(Some("ok")),
        What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 },
    ]
}

/// Readings of goroutines become spans of the module, with its steps below.
#[test]
fn work_for_a_module_becomes_its_span() {
    let mut run = Run::new().connected(20);
    let item = |goid, module: &str, step| GoWork { goid, module: module.into(), step };
    let (lib, two) = ("example.com/lib@v1.4.2", "example.com/two@v0.1.0");
    run.at(
        500,
        What::GoWork { items: vec![item(7, lib, GoStep::Fetch), item(8, two, GoStep::Lock)] },
    );
    run.at(
        1000,
        What::GoWork { items: vec![item(7, lib, GoStep::Fetch), item(8, two, GoStep::Fetch)] },
    );
    run.at(1500, What::GoWork { items: vec![item(7, lib, GoStep::Unzip)] });
    let frame = gmtrace_core::report::Frame { now: Nanos::from_millis(1600), ..Default::default() };
    let report = gmtrace_core::report::report(&run.0, &frame);
    let span = |name: &str| report.spans.iter().find(|s| s.name == name).unwrap();
    let times = |name: &str| {
        (span(name).start_ns.0 / 1_000_000, span(name).end_ns.map(|t| t.0 / 1_000_000))
    };
    assert_eq!(times(lib), (500, None));
    assert_eq!(times(&format!("fetch {lib}")), (500, Some(1000)));
    assert_eq!(times(&format!("unzip {lib}")), (1500, None));
    assert_eq!(times(two), (500, Some(1000)));
    let unzip = span(&format!("unzip {lib}"));
    assert_eq!(unzip.parent.as_ref(), Some(&span(lib).id));
    assert_eq!((unzip.goid, unzip.module.as_deref()), (Some(7), Some(lib)));
    assert_eq!(
        report.spans.iter().find(|s| Some(&s.id) == span(lib).parent.as_ref()).unwrap().pid,
        GO
    );
    let row = report.modules.iter().find(|m| m.path == "example.com/two").unwrap();
    assert_eq!((row.version.as_str(), row.result.as_str()), ("v0.1.0", "unknown"));
}
