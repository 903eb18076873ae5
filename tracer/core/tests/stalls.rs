//! Stalls from their first second to the end of the run.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may end by a panic")]

use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::*;
use gmtrace_core::report::{Confidence, FindingState};
use gmtrace_core::units::{Fd, Inode, Nanos, Pid, Tid};
use gmtrace_core::watch::{Say, Watch};

const GO: Pid = Pid(100);
const SOCKET: Inode = Inode(7);

/// A go command that has sent a request on a connection; gmtrace speaks after 5 s.
struct Run(Watch);

impl Run {
    /// It connects.
    fn new() -> Run {
        let mut run = Run::started();
        let peer = Address::Inet("192.0.2.1:80".parse().unwrap());
        run.at(
            10,
            What::Connect { fd: Fd(5), socket: Some(SOCKET), transport: Transport::Tcp, peer },
        );
        run
    }

    fn started() -> Run {
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

/// What a thread that is woken by the signal leaves is no movement.
#[test]
fn a_lock_that_is_left_by_a_signal_was_not_obtained() {
    let mut run = stalled();
    let left = || What::LockEnd {
        fd: Fd(9),
        path: "/c/vcs/0a.lock".into(),
        result: None,
        known_by: KnownBy::Sampled,
    };
    let sender = SignalSender::Process { pid: Pid(1), uid: 0 };
    run.at(11_900, What::Signal { signal: "SIGTERM".into(), sender });
    assert!(run.at(11_901, left()).is_empty());
    let found = run.ends(12_000, Exit::Signal("SIGTERM".into()), EndedBy::Signal);
    assert_eq!(found[0], ("http-silent".into(), FindingState::Failed));
    assert!(matches!(stalled().at(11_901, left())[..], [Say::MovingAgain { .. }]));
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
fn what_is_merely_possible_is_told_when_a_second_reading_says_so_too() {
    let nothing = |cause| What::Snapshot(Box::new(Snapshot { cause, ..Snapshot::default() }));
    let mut run = Run::started();
    assert!(run.at(5100, nothing(SnapshotCause::Stall)).is_empty());
    let said = run.at(6100, nothing(SnapshotCause::Stall));
    let Some(Say::Stalled(finding)) = said.first() else { panic!("{said:?}") };
    assert_eq!((finding.code.as_str(), finding.confidence), ("unknown", Confidence::Possible));
    // Where it moved in between, the second one is a first one.
    let mut run = Run::started();
    assert!(run.at(5100, nothing(SnapshotCause::Stall)).is_empty());
    let text = "ok\n".to_owned();
    run.at(5200, What::Output { fd: Fd(1), text, truncated: false, ends_line: true });
    assert!(run.at(10_300, nothing(SnapshotCause::Stall)).is_empty());
}

#[test]
fn what_moves_after_the_last_reading_does_not_move_again() {
    let arrives = || What::Read { fd: Fd(5), socket: Some(SOCKET), bytes: Some(100), error: None };
    let mut run = stalled();
    let asked = Snapshot { cause: SnapshotCause::Asked, ..Snapshot::default() };
    assert!(run.at(11_000, What::Snapshot(Box::new(asked))).is_empty());
    assert!(run.at(11_100, arrives()).is_empty());
    let said = stalled().at(11_100, arrives());
    assert!(matches!(&said[..], [Say::MovingAgain { .. }]), "{said:?}");
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

/// A lock of the go command that waits, held by one that runs elsewhere, which has a helper below it.
fn held_elsewhere(cause: SnapshotCause) -> Snapshot {
    let file = "00:14:16763".to_owned();
    let descriptor = |fd, target, locks| Descriptor {
        fd: Fd(fd),
        target,
        locks,
        pos: None,
        access: None,
        close_on_exec: false,
    };
    let opened = |locks| descriptor(9, DescriptorTarget::File("/c/vcs/0a.lock".into()), locks);
    let (kind, mode) = (LockKind::Flock, LockMode::Exclusive);
    let lock = HeldLock { kind, mode, pid: Pid(200), file: file.clone() };
    let line = |pid: i32, waiting| KernelLock {
        id: 1,
        waiting,
        kind,
        mode,
        pid: Pid(pid),
        file: file.clone(),
    };
    let process = |pid: i32, ppid: i32, comm: &str, role, call: &str, fd| ProcessState {
        pid: Pid(pid),
        ppid: Pid(ppid),
        in_tree: pid == GO.0,
        role,
        comm: comm.into(),
        argv: vec![comm.into(), "get".into()],
        state: 'S',
        age_ns: Nanos::from_secs(10),
        threads: vec![ThreadState {
            tid: Tid(pid),
            state: 'S',
            syscall: Some(Syscall { nr: 0, name: call.into(), args: [fd, 2, 0, 0, 0, 0] }),
            ..ThreadState::default()
        }],
        ..ProcessState::default()
    };
    let waiter = ProcessState {
        descriptors: vec![opened(Vec::new())],
        ..process(GO.0, 1, "go", ProcessRole::Go, "flock", 9)
    };
    let holder = ProcessState {
        descriptors: vec![opened(vec![lock])],
        ..process(200, 50, "go", ProcessRole::Go, "futex", 0)
    };
    let asks = ProcessState {
        comm: "git-remote-http".into(),
        argv: ["git-remote-https", "origin", "https://git.example.com/lib.git"]
            .map(String::from)
            .into(),
        descriptors: vec![Descriptor {
            access: Some(Access::Read),
            ..descriptor(3, DescriptorTarget::Pipe(Inode(70)), Vec::new())
        }],
        ..process(201, 200, "git", ProcessRole::Git, "read", 3)
    };
    let helper = ProcessState {
        descriptors: vec![Descriptor {
            access: Some(Access::Write),
            ..descriptor(1, DescriptorTarget::Pipe(Inode(70)), Vec::new())
        }],
        ..process(202, 201, "says-nothing", ProcessRole::Other, "clock_nanosleep", 0)
    };
    Snapshot {
        cause,
        processes: vec![waiter, holder, asks, helper],
        locks: vec![line(200, false), line(100, true)],
        ..Snapshot::default()
    }
}

/// How long the helper of another tree has been silent, one reading cannot tell: the first answer waits for the second.
#[test]
fn a_lock_that_is_held_elsewhere_is_told_with_what_its_holder_waits_for() {
    let mut run = Run::new();
    run.at(
        20,
        What::LockRequest {
            fd: Fd(9),
            path: "/c/vcs/0a.lock".into(),
            kind: LockKind::Flock,
            mode: LockMode::Exclusive,
        },
    );
    assert_eq!(run.0.due(Nanos::from_millis(5100)), Some(SnapshotCause::Stall));
    let read = |run: &mut Run, ms, cause| {
        let snapshot = What::Snapshot(Box::new(held_elsewhere(cause)));
        run.0.observe(&Event { t: Nanos::from_millis(ms), pid: GO, tid: Tid(100), what: snapshot })
    };
    let said = read(&mut run, 5100, SnapshotCause::Stall);
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(run.0.due(Nanos::from_millis(5200)), None);
    assert_eq!(run.0.due(Nanos::from_millis(6100)), Some(SnapshotCause::Confirm));
    let said = read(&mut run, 6100, SnapshotCause::Confirm);
    let [Say::Stalled(found)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((found.code.as_str(), found.symptom.as_str()), ("helper-silent", "lock-held"));
    assert_eq!(found.blocked.pid, GO);
    let summary = "another go command is in the way: says-nothing was asked for a login 1 s ago and is silent.";
    assert_eq!(found.summary, summary);
    let without = "git -c credential.helper= ls-remote https://git.example.com/lib.git";
    let told = |r: &gmtrace_core::report::Remedy| r.command.as_deref() == Some(without);
    assert!(found.remedies.iter().any(told), "{:?}", found.remedies);
    assert_eq!(found.chain.last().map(|link| link.pid), Some(Pid(202)));
}

/// A program that listens and has no one to serve waits for nothing that is overdue; one that reads a pipe does.
#[test]
fn a_server_that_nobody_calls_does_not_stall() {
    let accept = |function: &str| Goroutine {
        id: 1,
        status: Status::Waiting,
        wait_reason: Some("IO wait".into()),
        tid: None,
        waits_for: None,
        parent: None,
        created_by: None,
        system: false,
        interrupted: None,
        functions: vec![function.into()],
        cut: false,
        calls: Vec::new(),
    };
    let go = |function| GoRuntime {
        goroutines: vec![accept(function)],
        total: 1,
        ..GoRuntime::default()
    };
    for (listens, go, call, stalls) in [
        (true, Some(go("internal/poll.(*FD).Accept")), "epoll_pwait", false),
        (true, None, "epoll_pwait", false),
        (true, Some(go("main.main")), "epoll_pwait", true),
        (false, Some(go("internal/poll.(*FD).Accept")), "epoll_pwait", true),
        (true, None, "read", true),
    ] {
        let mut run = Run::new();
        let argv = vec!["server".into()];
        let (exe, cwd, role) = ("/usr/bin/server".into(), "/m".into(), ProcessRole::Other);
        run.at(0, What::Exec(Exec { exe, argv, cwd, role, telemetry: false }));
        let descriptor = Descriptor {
            fd: Fd(3),
            target: DescriptorTarget::Socket(Inode(9)),
            locks: Vec::new(),
            pos: None,
            access: None,
            close_on_exec: true,
        };
        let process = ProcessState {
            pid: GO,
            ppid: Pid(1),
            in_tree: true,
            state: 'S',
            threads: vec![ThreadState {
                tid: Tid(100),
                state: 'S',
                syscall: Some(Syscall { nr: 0, name: call.into(), args: [0; 6] }),
                ..ThreadState::default()
            }],
            descriptors: vec![descriptor],
            go: go.clone(),
            ..ProcessState::default()
        };
        let socket = Socket {
            inode: Inode(9),
            protocol: Transport::Tcp,
            local: "127.0.0.1:8080".parse().unwrap(),
            peer: None,
            state: if listens { "LISTEN" } else { "CLOSE" }.into(),
            tcp: None,
            receive_queue: 0,
            send_queue: 0,
        };
        let mut said = Vec::new();
        for (ms, cause) in [(5100, SnapshotCause::Stall), (6100, SnapshotCause::Confirm)] {
            let snapshot = Snapshot {
                cause,
                processes: vec![process.clone()],
                sockets: vec![socket.clone()],
                ..Snapshot::default()
            };
            said.extend(run.at(ms, What::Snapshot(Box::new(snapshot))));
        }
        assert_eq!(!said.is_empty(), stalls, "{listens} {go:?} {call}: {said:?}");
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
