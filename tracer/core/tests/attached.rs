//! Two readings of something that runs already.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may end by a panic")]

use gmtrace_core::event::*;
use gmtrace_core::report::ps::{PsState, ps};
use gmtrace_core::report::{Confidence, Finding, FindingState, Frame, VerdictState, report};
use gmtrace_core::units::{Fd, Inode, Nanos, Pid, Tid};
use gmtrace_core::watch::Watch;

const GO: Pid = Pid(100);
const HTTP: Inode = Inode(7);
const DNS: Inode = Inode(8);

/// A go command that runs for ten seconds when gmtrace comes.
struct Look(Watch);

impl Look {
    fn new() -> Look {
        let header = Header {
            r#type: HeaderTag::Header,
            schema: RECORDING_SCHEMA.into(),
            gmtrace: "0.1.0".into(),
            mode: Mode::Attach,
            argv: vec!["go".into(), "mod".into(), "download".into()],
            cwd: "/m".into(),
            pid: GO,
            started_at: "2026-01-01T00:00:00.000000000Z".into(),
            host: Host::default(),
            backend: Backend { name: "proc".into(), ..Backend::default() },
            stall_after_ns: Nanos::from_secs(5),
        };
        let exec = Exec {
            exe: "/usr/bin/go".into(),
            argv: header.argv.clone(),
            cwd: "/m".into(),
            role: ProcessRole::Go,
            telemetry: false,
        };
        let mut look = Look(Watch::new(header));
        look.at(0, What::ProcessStart { ppid: Pid(1), ns_pid: None });
        look.at(0, What::Exec(exec));
        look
    }

    fn at(&mut self, ms: u64, what: What) {
        self.0.observe(&Event { t: Nanos::from_millis(ms), pid: GO, tid: Tid(100), what });
    }

    /// A reading of its processes and sockets.
    fn read(
        &mut self,
        ms: u64,
        cause: SnapshotCause,
        processes: Vec<ProcessState>,
        sockets: Vec<Socket>,
    ) {
        let sample = Sample {
            connections: Vec::new(),
            processes: processes
                .iter()
                .map(|p| ProcessSample { pid: p.pid, cpu_ns: p.cpu_ns, written: 0, state: p.state })
                .collect(),
        };
        self.at(ms, What::Sample(sample));
        let snapshot = Snapshot { cause, processes, sockets, ..Snapshot::default() };
        self.at(ms, What::Snapshot(Box::new(snapshot)));
    }

    fn first(&mut self, processes: Vec<ProcessState>, sockets: Vec<Socket>) {
        self.read(10_000, SnapshotCause::Asked, processes, sockets);
    }

    fn second(&mut self, processes: Vec<ProcessState>, sockets: Vec<Socket>) {
        self.read(11_000, SnapshotCause::Confirm, processes, sockets);
    }

    fn only(&self) -> Finding {
        let answers = self.0.answers();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers[0].clone()
    }
}

fn socket(fd: i32, inode: Inode) -> Descriptor {
    let target = DescriptorTarget::Socket(inode);
    Descriptor {
        fd: Fd(fd),
        target,
        locks: Vec::new(),
        pos: None,
        access: None,
        close_on_exec: false,
    }
}

fn go() -> ProcessState {
    ProcessState {
        pid: GO,
        ppid: Pid(1),
        in_tree: true,
        role: ProcessRole::Go,
        state: 'S',
        age_ns: Nanos::from_secs(10),
        cwd: Some("/m".into()),
        written: Some(0),
        exe: Some("/usr/bin/go".into()),
        descriptors: vec![socket(5, HTTP), socket(6, DNS)],
        ..ProcessState::default()
    }
}

/// A request was sent `ms` ago, and acknowledged; nothing ever came.
fn silent(ms: u32) -> Socket {
    Socket {
        inode: HTTP,
        protocol: Transport::Tcp,
        state: "ESTABLISHED".into(),
        local: "192.0.2.9:4000".parse().unwrap(),
        peer: Some("192.0.2.1:80".parse().unwrap()),
        receive_queue: 0,
        send_queue: 0,
        tcp: Some(TcpInfo {
            last_data_sent_ms: ms,
            last_data_received_ms: ms,
            bytes_acked: 150,
            ..TcpInfo::default()
        }),
    }
}

fn asking() -> Socket {
    let peer = Some("192.0.2.53:53".parse().unwrap());
    Socket { inode: DNS, protocol: Transport::Udp, peer, tcp: None, ..silent(0) }
}

fn label<'f>(finding: &'f Finding, label: &str) -> Option<&'f str> {
    let fact = finding.facts.iter().find(|fact| fact.label == label)?;
    fact.lines.first().map(String::as_str)
}

#[test]
fn one_reading_proves_what_the_kernel_has_timed_and_a_second_confirms_it() {
    let mut look = Look::new();
    look.first(vec![go()], vec![silent(8000)]);
    let first = look.only();
    assert_eq!((first.code.as_str(), first.blocked_ns), ("http-silent", Nanos::from_secs(8)));
    assert!(Watch::is_proven(&first) && label(&first, "checked").is_none());
    assert_eq!(first.summary, "go mod download (pid 100) is waiting for 192.0.2.1 to answer.");
    assert_eq!(label(&first, "since"), Some("8 s, in /m"));

    look.second(vec![go()], vec![silent(9000)]);
    let second = look.only();
    assert!(Watch::same_answer(&first, &second) && look.0.is_stall(&second));
    assert_eq!(label(&second, "checked"), Some("twice, 1 s apart: nothing moved"));
    assert!(look.0.not_waiting().is_empty());
    assert_eq!(look.0.stalls().len(), 1);
}

#[test]
fn bytes_that_came_meanwhile_correct_it() {
    let mut look = Look::new();
    look.first(vec![go()], vec![silent(8000)]);
    let mut moved = silent(1);
    moved.tcp.as_mut().unwrap().bytes_received = 1000;
    look.second(vec![go()], vec![moved]);
    assert!(look.0.answers().is_empty() && look.0.stalls().is_empty());
    assert_eq!(
        look.0.not_waiting(),
        ["go mod download (pid 100) works: it moved between two looks."]
    );
    assert!(ps(&look.0, &[GO], "").processes.iter().all(|row| row.state == PsState::Working));
}

/// The acknowledgement of a request that left just before gmtrace came arrives up to 40 ms later.
#[test]
fn what_has_just_begun_settles_first() {
    let mut look = Look::new();
    let mut unacked = silent(1);
    unacked.tcp.as_mut().unwrap().bytes_acked = 0;
    unacked.tcp.as_mut().unwrap().unacked = 1;
    look.first(vec![go()], vec![unacked]);
    assert!(!Watch::is_proven(&look.only()), "a millisecond proves nothing");
    look.read(10_250, SnapshotCause::Asked, vec![go()], vec![silent(251)]);
    assert_eq!(look.0.settled(), Some(Nanos::from_millis(10_250)));
    look.read(11_250, SnapshotCause::Confirm, vec![go()], vec![silent(1251)]);
    assert_eq!(look.only().code, "http-silent");
    assert!(!look.0.is_stall(&look.only()), "not for as long as --stall-after");
}

#[test]
fn a_resolver_that_is_asked_in_both_readings_is_silent() {
    let mut look = Look::new();
    look.first(vec![go()], vec![asking()]);
    assert!(!Watch::is_proven(&look.only()));
    look.second(vec![go()], vec![asking()]);
    let finding = look.only();
    assert_eq!(finding.code, "dns-silent");
    assert_eq!(
        finding.summary,
        "go mod download (pid 100) is waiting for name server 192.0.2.53 to answer."
    );
    assert!(label(&finding, "since").unwrap().starts_with("unknown; it runs for 10 s"));
    // An answer that lies there unread is one.
    let mut look = Look::new();
    look.first(vec![go()], vec![Socket { receive_queue: 60, ..asking() }]);
    assert!(look.0.answers().is_empty());
}

/// A go command whose goroutines wait for answers to these questions: descriptor, name and record.
fn asks(questions: &[(i32, &str, Option<&str>)]) -> ProcessState {
    let text = |name: &str, text: &str| GoArgument {
        name: name.into(),
        value: GoValue::Text(text.to_owned()),
    };
    let goroutine = |(fd, name, record): &(i32, &str, Option<&str>)| {
        let record = record.map(|record| text("record", record));
        let calls = vec![GoCall {
            function: "net.dnsPacketRoundTrip".into(),
            arguments: std::iter::once(text("host", name)).chain(record).collect(),
        }];
        let waits_for = Some(WaitsFor { fd: Fd(*fd), direction: Direction::Read });
        goroutine(waits_for, &["net.dnsPacketRoundTrip", "net.(*Resolver).exchange"], calls)
    };
    let goroutines = questions.iter().map(goroutine).collect();
    let descriptors = questions.iter().map(|(fd, ..)| socket(*fd, dns(*fd))).collect();
    let runtime = GoRuntime { total: 2, goroutines, ..GoRuntime::default() };
    ProcessState { go: Some(runtime), descriptors, ..go() }
}

fn goroutine(waits_for: Option<WaitsFor>, functions: &[&str], calls: Vec<GoCall>) -> Goroutine {
    Goroutine {
        id: 7,
        status: Status::Waiting,
        wait_reason: None,
        tid: None,
        waits_for,
        parent: None,
        created_by: None,
        system: false,
        interrupted: None,
        functions: functions.iter().map(|f| (*f).to_owned()).collect(),
        cut: false,
        calls,
    }
}

fn dns(fd: i32) -> Inode {
    Inode(1000 + u64::from(fd.unsigned_abs()))
}

/// What is found where only these questions are open.
fn asked(questions: &[(i32, &str, Option<&str>)]) -> Vec<Finding> {
    let mut look = Look::new();
    let sockets =
        || questions.iter().map(|(fd, ..)| Socket { inode: dns(*fd), ..asking() }).collect();
    look.first(vec![asks(questions)], sockets());
    look.second(vec![asks(questions)], sockets());
    look.0.findings()
}

#[test]
fn the_question_that_is_left_is_named() {
    let name = "proxy.example.com.";
    for (questions, said, dig) in [
        (
            &[(6, name, Some("AAAA"))][..],
            "IPv6 address (the AAAA record) of proxy.example.com, over UDP",
            "dig @192.0.2.53 proxy.example.com AAAA",
        ),
        (
            &[(6, name, Some("A")), (7, name, Some("AAAA"))],
            "IPv4 and IPv6 address of proxy.example.com, over UDP",
            "dig @192.0.2.53 proxy.example.com",
        ),
        // What could not be read is not guessed.
        (
            &[(6, name, None)],
            "an address of proxy.example.com, over UDP",
            "dig @192.0.2.53 proxy.example.com",
        ),
        (
            &[(6, name, None), (7, name, Some("AAAA"))],
            "an address of proxy.example.com, over UDP",
            "dig @192.0.2.53 proxy.example.com",
        ),
    ] {
        let found = asked(questions);
        assert_eq!((found[0].code.as_str(), found.len()), ("dns-silent", 1), "{found:?}");
        assert_eq!(label(&found[0], "asked"), Some(said));
        assert_eq!(
            label(&found[0], "seen").map(|s| s.starts_with("asked 1 s ago, or longer")),
            Some(true)
        );
        assert_eq!(found[0].remedies[0].command.as_deref(), Some(dig));
    }
}

/// Two names that are asked for at the same time are two look-ups.
#[test]
fn a_question_for_another_name_is_another_look_up() {
    let questions = [(6, "proxy.example.com.", Some("AAAA")), (7, "sum.example.com.", Some("A"))];
    let mut look = Look::new();
    look.first(
        vec![asks(&questions)],
        vec![Socket { inode: dns(6), ..asking() }, Socket { inode: dns(7), ..asking() }],
    );
    let lookups = &look.0.session.found_lookups;
    let told = lookups.iter().map(|l| (l.name.as_str(), l.questions[0].qtype.as_str()));
    assert_eq!(told.collect::<Vec<_>>(), [("proxy.example.com", "AAAA"), ("sum.example.com", "A")]);
}

/// A handshake of `host` over a connection to `peer`.
fn handshake(host: &str, peer: &str, others: Vec<Socket>) -> Finding {
    let text = |text: &str| GoValue::Text(text.to_owned());
    let dial = GoCall {
        function: "net/http.(*Transport).dialConn".into(),
        arguments: vec![GoArgument { name: "address".into(), value: text(host) }],
    };
    let functions = ["crypto/tls.(*Conn).clientHandshake", "net/http.(*Transport).dialConn"];
    let waits_for = Some(WaitsFor { fd: Fd(5), direction: Direction::Read });
    let runtime = GoRuntime {
        total: 1,
        goroutines: vec![goroutine(waits_for, &functions, vec![dial])],
        ..GoRuntime::default()
    };
    let mut look = Look::new();
    let shakes = ProcessState { go: Some(runtime), ..go() };
    let peer = Some(peer.parse().unwrap());
    let sockets = std::iter::once(Socket { peer, ..silent(8000) }).chain(others);
    look.first(vec![shakes], sockets.collect());
    let found = look.0.answers();
    found.iter().find(|f| f.code == "tls-silent").unwrap().clone()
}

/// The look-up was not seen, so the addresses of the name are not known.
#[test]
fn a_silent_handshake_over_ipv6_says_that_there_may_be_an_ipv4_address() {
    let other = |found: Finding| label(&found, "other").map(str::to_owned);
    let (name, ipv6) = ("proxy.example.com:443", "[2001:db8::1]:443");
    let found = handshake(name, ipv6, Vec::new());
    assert!(
        found.remedies.iter().any(|r| r.command.as_ref().is_some_and(|c| c.contains("curl -4")))
    );
    let said = "IPv4 was not tried, or lost: go keeps the address that connects first";
    assert_eq!(other(found).as_deref(), Some(said));
    let used = Socket { inode: DNS, peer: Some("192.0.2.1:443".parse().unwrap()), ..silent(8000) };
    assert_eq!(other(handshake(name, ipv6, vec![used])), None, "IPv4 has connected as well");
    assert_eq!(other(handshake("[2001:db8::1]:443", ipv6, Vec::new())), None, "no name, no choice");
    assert_eq!(other(handshake(name, "192.0.2.1:443", Vec::new())), None);
}

/// Every question has a socket of its own, and a reading may fall between two of them.
#[test]
fn a_question_that_is_just_being_asked_again_is_looked_at_once_more() {
    let between = || ProcessState { descriptors: vec![socket(5, HTTP)], ..go() };
    let mut look = Look::new();
    look.first(vec![go()], vec![asking()]);
    look.second(vec![between()], Vec::new());
    assert!(!look.0.is_checked() && look.0.settled() == Some(Nanos::from_secs(11)));
    look.read(12_000, SnapshotCause::Confirm, vec![go()], vec![asking()]);
    let finding = look.only();
    assert_eq!((finding.code.as_str(), look.0.is_checked()), ("dns-silent", true));
    assert_eq!(label(&finding, "checked"), Some("twice, 1 s apart: nothing moved"));

    look.read(16_000, SnapshotCause::Confirm, vec![between()], Vec::new());
    assert_eq!(look.only().code, "dns-silent");
    look.read(17_000, SnapshotCause::Confirm, vec![between()], Vec::new());
    assert_eq!(look.only().code, "unknown", "it is asked no more");
}

/// The system calls of others may not be read, but the lock table may.
#[test]
fn the_lock_table_tells_where_system_calls_do_not() {
    let file = "00:14:16763".to_owned();
    let opened = |locks| Descriptor {
        fd: Fd(9),
        target: DescriptorTarget::File("/c/@v/v1.0.0.lock".into()),
        locks,
        pos: None,
        access: None,
        close_on_exec: false,
    };
    let lock = HeldLock {
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(200),
        file: file.clone(),
    };
    let waiter = ProcessState { descriptors: vec![opened(Vec::new())], ..go() };
    let holder = ProcessState {
        pid: Pid(200),
        in_tree: false,
        role: ProcessRole::Other,
        descriptors: vec![opened(vec![lock])],
        ..go()
    };
    let line = |pid: i32, waiting| KernelLock {
        id: 1,
        waiting,
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(pid),
        file: file.clone(),
    };
    let mut look = Look::new();
    let snapshot = Snapshot {
        cause: SnapshotCause::Asked,
        processes: vec![waiter, holder],
        locks: vec![line(200, false), line(100, true)],
        ..Snapshot::default()
    };
    look.at(10_000, What::Snapshot(Box::new(snapshot)));
    let finding = look.only();
    assert_eq!((finding.code.as_str(), finding.blocked.pid), ("lock-held", GO));
    assert_eq!(finding.lock.as_ref().unwrap().holders[0].pid, Pid(200));
    assert!(Watch::is_proven(&finding));
}

fn lock_file(module: &str) -> DescriptorTarget {
    DescriptorTarget::File(format!("/c/cache/download/example.com/{module}/@v/v1.0.0.lock"))
}

/// A go command that has locked one module, by one goroutine, and waits for the lock of another one, by another goroutine.
fn shares_a_cache(pid: Pid, locked: &str, wanted: &str) -> ProcessState {
    let file = |fd, module: &str, locks| Descriptor {
        target: lock_file(module),
        locks,
        ..socket(fd, HTTP)
    };
    let held = HeldLock {
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid,
        file: format!("fe:00:{locked}"),
    };
    let flock = Syscall { nr: 73, name: "flock".into(), args: [10, 2, 0, 0, 0, 0] };
    let thread = ThreadState {
        tid: pid.into(),
        state: 'S',
        syscall: Some(flock),
        cpu_ns: None,
        wchan: None,
    };
    ProcessState {
        pid,
        in_tree: pid == GO,
        threads: vec![thread],
        descriptors: vec![file(9, locked, vec![held]), file(10, wanted, Vec::new())],
        ..go()
    }
}

fn reads_shared(look: &mut Look, ms: u64, cause: SnapshotCause, processes: Vec<ProcessState>) {
    let locks = |p: &ProcessState| {
        let line = |waiting, target: &DescriptorTarget| {
            let path = match target {
                DescriptorTarget::File(path) => path,
                _ => "",
            };
            let module = path.split('/').nth(5).unwrap();
            let (kind, mode) = (LockKind::Flock, LockMode::Exclusive);
            KernelLock { id: 1, waiting, kind, mode, pid: p.pid, file: format!("fe:00:{module}") }
        };
        [line(false, &p.descriptors[0].target), line(true, &p.descriptors[1].target)]
    };
    let locks = processes.iter().flat_map(locks).collect();
    look.at(
        ms,
        What::Snapshot(Box::new(Snapshot { cause, processes, locks, ..Snapshot::default() })),
    );
}

/// Each goroutine of a go command has locks of its own: what one has locked does not wait for what another one waits for.
#[test]
fn go_commands_that_share_a_cache_are_no_cycle() {
    let both = || vec![shares_a_cache(GO, "a", "b"), shares_a_cache(Pid(200), "b", "a")];
    let mut look = Look::new();
    reads_shared(&mut look, 10_000, SnapshotCause::Asked, both());
    reads_shared(&mut look, 11_000, SnapshotCause::Confirm, both());
    let finding = look.only();
    assert_eq!((finding.code.as_str(), finding.chain.len()), ("lock-held", 1));
    assert_eq!(finding.lock.unwrap().holders[0].pid, Pid(200));
}

/// A goroutine of the holder may wait for another one: what that one waits for is the best that is known, and not certain.
#[test]
fn a_holder_that_waits_for_another_module_is_likely_stuck_on_that() {
    let request = |module: &str| {
        let argument = |name: &str, text: &str| GoArgument {
            name: name.into(),
            value: GoValue::Text(text.into()),
        };
        let path = format!("example.com/{module}");
        let arguments = vec![argument("module", &path), argument("version", "v1.0.0")];
        let call = GoCall { function: "cmd/go/internal/modfetch.download".into(), arguments };
        let wait = WaitsFor { fd: Fd(5), direction: Direction::Read };
        goroutine(Some(wait), &["net/http.(*persistConn).roundTrip"], vec![call])
    };
    for module in ["b", "c"] {
        let mut holder = shares_a_cache(Pid(200), "b", "b");
        holder.threads.clear();
        holder.descriptors[1] = socket(5, HTTP);
        holder.go =
            Some(GoRuntime { goroutines: vec![request(module)], total: 1, ..GoRuntime::default() });
        let mut look = Look::new();
        for (ms, cause) in [(10_000, SnapshotCause::Asked), (11_000, SnapshotCause::Confirm)] {
            let processes = vec![shares_a_cache(GO, "a", "b"), holder.clone()];
            let line = |waiting, pid| KernelLock {
                id: 1,
                waiting,
                kind: LockKind::Flock,
                mode: LockMode::Exclusive,
                pid,
                file: "fe:00:b".into(),
            };
            let locks = vec![line(false, Pid(200)), line(true, GO)];
            let sockets = vec![silent(8000)];
            let snapshot = Snapshot { cause, processes, locks, sockets, ..Snapshot::default() };
            look.at(ms, What::Snapshot(Box::new(snapshot)));
        }
        let finding = look.only();
        assert_eq!((finding.code.as_str(), finding.symptom.as_str()), ("http-silent", "lock-held"));
        assert_eq!(finding.confidence, Confidence::Likely, "{module}: {finding:#?}");
    }
}

#[test]
fn programs_that_lock_both_files_are_a_cycle() {
    let other = |p: ProcessState| ProcessState { role: ProcessRole::Other, ..p };
    let both = || vec![shares_a_cache(GO, "a", "b"), other(shares_a_cache(Pid(200), "b", "a"))];
    let mut look = Look::new();
    reads_shared(&mut look, 10_000, SnapshotCause::Asked, both());
    reads_shared(&mut look, 11_000, SnapshotCause::Confirm, both());
    assert_eq!(look.only().code, "lock-cycle");
}

#[test]
fn who_waits_for_another_lock_than_before_has_obtained_one() {
    let mut look = Look::new();
    let holder = || shares_a_cache(Pid(200), "b", "d");
    reads_shared(
        &mut look,
        10_000,
        SnapshotCause::Asked,
        vec![shares_a_cache(GO, "a", "b"), holder()],
    );
    reads_shared(
        &mut look,
        11_000,
        SnapshotCause::Confirm,
        vec![shares_a_cache(GO, "a", "c"), holder()],
    );
    assert_eq!(
        look.0.not_waiting(),
        ["go mod download (pid 100) works: it moved between two looks."]
    );
}

#[test]
fn what_spins_only_now_is_looked_at_once_more() {
    let uses = |cpu_ms: u64| {
        vec![ProcessState { cpu_ns: 1_000_000 * cpu_ms, descriptors: Vec::new(), ..go() }]
    };
    let mut look = Look::new();
    look.first(uses(0), Vec::new());
    look.read(10_300, SnapshotCause::Asked, uses(1), Vec::new());
    look.second(uses(400), Vec::new());
    assert!(!look.0.is_checked(), "others had the CPU until now");
    look.read(12_000, SnapshotCause::Confirm, uses(900), Vec::new());
    assert!(look.0.is_checked());
}

#[test]
fn a_program_that_is_not_go_is_idle() {
    let mut look = Look::new();
    look.at(
        0,
        What::Exec(Exec {
            exe: "/usr/bin/gopls".into(),
            argv: vec!["gopls".into()],
            cwd: "/m".into(),
            role: ProcessRole::Other,
            telemetry: false,
        }),
    );
    let gopls =
        || ProcessState { role: ProcessRole::Other, descriptors: vec![socket(5, HTTP)], ..go() };
    // Bytes came last: a connection that is kept alive.
    let mut idle = silent(9000);
    idle.tcp.as_mut().unwrap().bytes_received = 5000;
    idle.tcp.as_mut().unwrap().last_data_received_ms = 8000;
    look.first(vec![gopls()], vec![idle.clone()]);
    look.second(vec![gopls()], vec![idle]);
    assert!(look.0.answers().is_empty(), "{:?}", look.0.answers());
    assert!(look.0.not_waiting()[0].starts_with("gopls (pid 100) is idle: "));
    assert_eq!(ps(&look.0, &[GO], "").processes[0].state, PsState::Idle);
}

/// Where nothing is open that could be waited for, a server still sits in a system call.
#[test]
fn a_server_that_waits_for_whatever_comes_is_idle() {
    for (call, idle) in [("epoll_pwait", true), ("futex", true), ("read", false)] {
        let mut look = Look::new();
        let argv = vec!["server".into()];
        let (exe, cwd) = ("/usr/bin/server".into(), "/m".into());
        let role = ProcessRole::Other;
        look.at(0, What::Exec(Exec { exe, argv, cwd, role, telemetry: false }));
        let sits = ThreadState {
            tid: Tid(100),
            state: 'S',
            syscall: Some(Syscall { nr: 0, name: call.into(), args: [0; 6] }),
            ..ThreadState::default()
        };
        let server = || ProcessState { role, threads: vec![sits.clone()], ..go() };
        look.first(vec![server()], Vec::new());
        look.second(vec![server()], Vec::new());
        let codes: Vec<String> = look.0.answers().into_iter().map(|f| f.code).collect();
        assert_eq!(codes.is_empty(), idle, "{call}: {codes:?}");
    }
}

#[test]
fn a_look_that_is_over_leaves_the_stall_open() {
    let mut look = Look::new();
    look.first(vec![go()], vec![silent(8000)]);
    look.second(vec![go()], vec![silent(9000)]);
    let t = Nanos::from_millis(11_001);
    look.0.finish(End { r#type: EndTag::End, t, exit: None, ended_by: None, lost: 0 });
    let report = report(&look.0, &Frame { now: t, ..Frame::default() });
    assert!(report.complete && report.command.exit.is_none());
    assert_eq!(
        (report.verdict.state, report.findings[0].state),
        (VerdictState::Stalled, FindingState::Stalled)
    );
    assert_eq!(report.stalls[0].end_ns, None);
    assert_eq!(report.stalls[0].finding.as_deref(), Some("f1"));
    assert_eq!(report.hosts[0].addresses, ["192.0.2.1"]);
}

#[test]
fn a_process_that_is_gone_ends_without_a_status() {
    let mut look = Look::new();
    look.first(vec![go()], vec![silent(8000)]);
    look.at(10_500, What::ProcessGone);
    assert!(look.0.session.processes.is_empty());
    assert_eq!(
        look.0.session.process(GO).map(|p| (p.ended.is_some(), p.exit.clone())),
        Some((true, None))
    );
}
