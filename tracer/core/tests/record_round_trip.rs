//! Every kind of event, written as a line of a recording and read again, is the same.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use gmtrace_core::decode::sockaddr::Address;
use gmtrace_core::event::*;
use gmtrace_core::units::{Fd, Inode, Nanos, Pid, Tid};

fn tcp() -> TcpSample {
    TcpSample {
        inode: Inode(u64::MAX),
        local: "[fe80::1%2]:1".parse().unwrap(),
        peer: "192.0.2.1:443".parse().unwrap(),
        state: "ESTABLISHED".into(),
        tcp: TcpInfo { bytes_received: u64::MAX, ..TcpInfo::default() },
    }
}

fn goroutines() -> GoRuntime {
    let argument = |value| GoArgument { name: "module".into(), value };
    let values = [
        GoValue::Text("\u{1b}\"".into()),
        GoValue::Words(vec!["a".into()]),
        GoValue::Number(u64::MAX),
        GoValue::Object(u64::MAX),
    ];
    let goroutine = Goroutine {
        id: u64::MAX,
        status: Status::Syscall,
        wait_reason: Some("select".into()),
        tid: Some(Tid(1)),
        waits_for: Some(WaitsFor { fd: Fd(1), direction: Direction::Write }),
        parent: Some(1),
        created_by: Some("main.main".into()),
        system: true,
        interrupted: Some(Interrupted { pc: u64::MAX, state: u64::MAX }),
        functions: vec!["main.main".into()],
        cut: true,
        calls: vec![GoCall { function: "f".into(), arguments: values.map(argument).to_vec() }],
    };
    let bare = Goroutine {
        wait_reason: None,
        tid: None,
        waits_for: None,
        parent: None,
        created_by: None,
        system: false,
        interrupted: None,
        cut: false,
        calls: vec![],
        ..goroutine.clone()
    };
    GoRuntime {
        version: "go1.26.8".into(),
        goroutines: vec![goroutine, bare],
        total: 2,
        threads: vec![GoThread { m: 0, tid: Tid(1), goroutine: Some(1) }],
        unreadable: Some("gone".into()),
        partial: vec!["gone".into()],
    }
}

fn snapshot() -> Snapshot {
    let process = ProcessState {
        pid: Pid(1),
        ns_pid: Some(Pid(2)),
        state: 'Z',
        exit: Some(Exit::Signal("SIGKILL".into())),
        threads: vec![ThreadState {
            tid: Tid(1),
            state: 'S',
            syscall: Some(Syscall { nr: 73, name: "flock".into(), args: [u64::MAX; 6] }),
            cpu_ns: None,
            wchan: Some("x".into()),
        }],
        descriptors: vec![
            Descriptor {
                fd: Fd(0),
                target: DescriptorTarget::Tty("pts/1".into()),
                locks: vec![],
                pos: None,
                access: None,
                close_on_exec: false,
            },
            Descriptor {
                fd: Fd(1),
                target: DescriptorTarget::Socket(Inode(1)),
                locks: vec![],
                pos: Some(1),
                access: None,
                close_on_exec: false,
            },
        ],
        go: Some(goroutines()),
        ..ProcessState::default()
    };
    let cgroup = CgroupState { cpu_quota: Some(0.01), ..CgroupState::default() };
    Snapshot { processes: vec![process], cgroups: vec![cgroup], ..Snapshot::default() }
}

/// One of each; the compiler says when one is missing in `name`.
fn every_kind() -> Vec<What> {
    let socket = Some(Inode(9));
    let fd = Fd(3);
    let text = || "\u{1b}\"\u{fffd}\n".to_owned();
    vec![
        What::ProcessStart { ppid: Pid(1), ns_pid: Some(Pid(2)) },
        What::Exec(Exec {
            exe: text(),
            argv: vec![text()],
            cwd: text(),
            role: ProcessRole::Git,
            telemetry: true,
        }),
        What::ProcessExit { exit: Exit::Code(255), cpu_ns: u64::MAX },
        What::ProcessGone,
        What::Connect {
            fd,
            socket,
            transport: Transport::Unix,
            peer: "unix:@a\\x00".parse::<Address>().unwrap(),
        },
        What::ConnectEnd { fd, socket: None, result: text() },
        What::DnsQuestion {
            socket,
            server: Some("192.0.2.1:53".parse().unwrap()),
            id: 1,
            name: text(),
            qtype: text(),
            via: ResolverKind::Libc,
        },
        What::DnsAnswer {
            socket,
            id: 1,
            name: None,
            qtype: Some(text()),
            rcode: text(),
            addresses: vec!["::1".parse().unwrap()],
        },
        What::DnsError { socket, error: text() },
        What::GetaddrinfoStart { name: None, service: Some(text()) },
        What::GetaddrinfoEnd { name: text(), service: None, result: text() },
        What::TlsClientHello { socket, sni: Some(text()), size: 517 },
        What::TlsReply { socket, reply: TlsReply::ServerHello },
        What::TlsReply { socket, reply: TlsReply::NotTls(text()) },
        What::HttpRequest { socket, method: text(), url: text(), proxy_authorization: true },
        What::HttpResponse {
            socket,
            status: 200,
            content_length: Some(u64::MAX),
            content_type: None,
            location: None,
        },
        What::GoRequest { goid: u64::MAX, method: text(), url: text() },
        What::GoRequestOn { goid: 1, socket: None, http2: true, tls: false },
        What::GoResponse {
            goid: 1,
            status: None,
            content_length: Some(u64::MAX),
            error: Some(text()),
        },
        What::GoCallStart { goid: 7, call: GoCalled::LookUp, about: text() },
        What::GoCallEnd { goid: 7, call: GoCalled::Handshake, about: text(), failed: true },
        What::GoStepStart { goid: 7, step: GoStep::Lock, module: text() },
        What::GoStepEnd { goid: 7, step: GoStep::Verify, module: text(), failed: true },
        What::Read { fd, socket, bytes: Some(0), error: None },
        What::LockRequest { fd, path: text(), kind: LockKind::Ofd, mode: LockMode::Shared },
        What::LockEnd { fd, path: text(), result: None, known_by: KnownBy::Sampled },
        What::Output { fd, text: text(), truncated: true, ends_line: true },
        What::Signal { signal: text(), sender: SignalSender::Process { pid: Pid(0), uid: 1 } },
        What::Signal { signal: text(), sender: SignalSender::Kernel },
        What::Stopped { signal: text() },
        What::Continued,
        What::ForeignSyscall { abi: text(), nr: u64::MAX },
        What::TcpClosed(tcp()),
        What::Sample(Sample {
            connections: vec![tcp()],
            processes: vec![ProcessSample { state: 'R', ..Default::default() }],
        }),
        What::GoSettings(Box::new(GoSettings {
            env: [("GOPROXY".into(), Setting { value: text(), origin: SettingOrigin::GoenvFile })]
                .into(),
            module: Some(MainModule::default()),
            ..GoSettings::default()
        })),
        What::GoWork { items: vec![GoWork { goid: 7, module: text(), step: GoStep::Fetch }] },
        What::GoRunning(Box::new(GoRunning {
            goroutines: goroutines().goroutines,
            living: u64::MAX,
            newest: u64::MAX,
            cpu_ns: 1,
        })),
        What::Snapshot(Box::new(snapshot())),
        What::Lost { what: text(), count: 1, why: text() },
        What::Lapse { ns: Nanos(u64::MAX) },
        What::Note { text: text() },
        What::Unknown,
    ]
}

/// A kind that is new is to be added to `every_kind`.
fn kind(what: &What) -> u8 {
    match what {
        What::ProcessStart { .. } => 0,
        What::Exec(_) => 1,
        What::ProcessExit { .. } => 2,
        What::Connect { .. } => 3,
        What::ConnectEnd { .. } => 4,
        What::DnsQuestion { .. } => 5,
        What::DnsAnswer { .. } => 6,
        What::DnsError { .. } => 7,
        What::GetaddrinfoStart { .. } => 8,
        What::GetaddrinfoEnd { .. } => 31,
        What::TlsClientHello { .. } => 9,
        What::TlsReply { .. } => 10,
        What::HttpRequest { .. } => 11,
        What::HttpResponse { .. } => 12,
        What::Read { .. } => 13,
        What::LockRequest { .. } => 14,
        What::LockEnd { .. } => 15,
        What::Output { .. } => 16,
        What::Signal { .. } => 17,
        What::Stopped { .. } => 18,
        What::Continued => 19,
        What::ForeignSyscall { .. } => 20,
        What::TcpClosed(_) => 21,
        What::Sample(_) => 22,
        What::GoSettings(_) => 23,
        What::Snapshot(_) => 24,
        What::Lost { .. } => 25,
        What::Note { .. } => 26,
        What::Unknown => 27,
        What::ProcessGone => 28,
        What::GoWork { .. } => 29,
        What::GoRunning(_) => 30,
        What::GoRequest { .. } => 32,
        What::GoRequestOn { .. } => 33,
        What::GoResponse { .. } => 34,
        What::GoStepStart { .. } => 35,
        What::GoStepEnd { .. } => 36,
        What::Lapse { .. } => 37,
        What::GoCallStart { .. } => 38,
        What::GoCallEnd { .. } => 39,
    }
}

#[test]
fn every_kind_survives() {
    let mut kinds = std::collections::BTreeSet::new();
    for what in every_kind() {
        kinds.insert(kind(&what));
        let event = Event { t: Nanos(u64::MAX), pid: Pid(1), tid: Tid(2), what };
        let record = Record::Event(Box::new(event));
        let line = serde_json::to_string(&record).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record, "{line}");
    }
    assert_eq!(kinds.len(), 40);
}

#[test]
fn unknown_types_and_keys_are_read() {
    let event = |text: &str| match serde_json::from_str(text) {
        Ok(Record::Event(event)) => event.what,
        other => panic!("{other:?}"),
    };
    let new = r#"{"t":1,"pid":2,"tid":3,"type":"telepathy","with":{"a":[1,null]}}"#;
    assert_eq!(event(new), What::Unknown);
    let key = r#"{"t":1,"pid":2,"tid":3,"type":"continued","mood":"good"}"#;
    assert_eq!(event(key), What::Continued);
}
