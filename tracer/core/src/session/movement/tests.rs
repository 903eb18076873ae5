//! A test for each clause of what moves, and what is a stall.

use super::*;
use crate::decode::sockaddr::Address;
use crate::event::*;
use crate::units::Tid;
use std::net::SocketAddr;

const MAKE: i32 = 100;
const GO: i32 = 101;
const SIBLING: i32 = 102;
const THRESHOLD: Nanos = Nanos::from_secs(5);

/// `make -j`, which runs two go commands; the events of a test begin at second 10.
struct Run {
    session: Session,
    socket: Inode,
}

impl Run {
    fn new() -> Run {
        Run::with(Backend { name: "ptrace".into(), ..Backend::default() })
    }

    fn with(backend: Backend) -> Run {
        let header = Header {
            r#type: HeaderTag::Header,
            schema: RECORDING_SCHEMA.into(),
            gmtrace: "0.1.0".into(),
            mode: Mode::Launch,
            argv: vec!["make".into()],
            cwd: "/m".into(),
            pid: Pid(MAKE),
            started_at: String::new(),
            host: Host::default(),
            backend,
            stall_after_ns: THRESHOLD,
        };
        let mut run = Run { session: Session::new(header), socket: Inode(7) };
        run.starts(MAKE, 1, "make", ProcessRole::Other);
        run.starts(GO, MAKE, "go mod download", ProcessRole::Go);
        run.starts(SIBLING, MAKE, "go build ./...", ProcessRole::Go);
        run
    }

    fn at(&mut self, seconds: u64, pid: i32, what: What) {
        let t = Nanos::from_secs(seconds);
        self.session.apply(&Event { t, pid: Pid(pid), tid: Tid(pid), what });
    }

    fn starts(&mut self, pid: i32, ppid: i32, line: &str, role: ProcessRole) {
        self.at(0, pid, What::ProcessStart { ppid: Pid(ppid), ns_pid: None });
        self.at(0, pid, What::Exec(exec(line, role)));
    }

    fn connects(&mut self, seconds: u64) {
        let peer: SocketAddr = "192.0.2.10:443".parse().unwrap();
        let what = What::Connect {
            fd: crate::units::Fd(5),
            socket: Some(self.socket),
            transport: Transport::Tcp,
            peer: Address::Inet(peer),
        };
        self.at(seconds, GO, what);
    }

    fn tcp(&mut self, seconds: u64, state: &str, tcp: TcpInfo) {
        let sample = TcpSample {
            inode: self.socket,
            local: "192.0.2.1:40000".parse().unwrap(),
            peer: "192.0.2.10:443".parse().unwrap(),
            state: state.into(),
            tcp,
        };
        self.at(seconds, 0, What::Sample(Sample { connections: vec![sample], processes: vec![] }));
    }

    fn uses(&mut self, seconds: u64, pid: i32, cpu_ms: u64, written: u64) {
        let process =
            ProcessSample { pid: Pid(pid), cpu_ns: cpu_ms * 1_000_000, written, state: 'S' };
        self.at(seconds, 0, What::Sample(Sample { connections: vec![], processes: vec![process] }));
    }

    /// The second at which the go command last moved.
    fn moved(&self) -> u64 {
        self.session.movement.last_moved(Pid(GO)).0 / 1_000_000_000
    }

    fn stalled(&self, seconds: u64) -> Vec<i32> {
        let stalled = self.session.stalled(Nanos::from_secs(seconds), THRESHOLD);
        stalled.into_iter().map(|pid| pid.0).collect()
    }
}

fn exec(line: &str, role: ProcessRole) -> Exec {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    Exec { exe: format!("/usr/bin/{}", argv[0]), argv, cwd: "/m".into(), role, telemetry: false }
}

fn received(bytes: u64) -> TcpInfo {
    TcpInfo { bytes_received: bytes, ..TcpInfo::default() }
}

#[test]
fn bytes_that_are_received_move() {
    let mut run = Run::new();
    run.connects(10);
    run.tcp(11, "ESTABLISHED", received(0));
    run.tcp(12, "ESTABLISHED", received(1));
    assert_eq!(run.moved(), 12);
    run.tcp(13, "ESTABLISHED", received(1));
    assert_eq!(run.moved(), 12, "the same count is no movement");
    run.tcp(14, "ESTABLISHED", received(2));
    assert_eq!(run.moved(), 14);
}

#[test]
fn sent_bytes_move_when_they_are_acknowledged() {
    let mut run = Run::new();
    run.connects(10);
    run.tcp(11, "ESTABLISHED", TcpInfo { bytes_acked: 1, ..TcpInfo::default() });
    let sent = |acked| TcpInfo {
        bytes_acked: acked,
        unacked: 3,
        last_data_sent_ms: 1,
        ..TcpInfo::default()
    };
    run.tcp(12, "ESTABLISHED", sent(1));
    assert_eq!(run.moved(), 11, "sent alone is no movement");
    run.tcp(13, "ESTABLISHED", sent(500));
    assert_eq!(run.moved(), 13);
}

#[test]
fn repeated_syns_do_not_move() {
    let mut run = Run::new();
    run.connects(10);
    for second in 11..20 {
        let resent = TcpInfo {
            total_retransmits: second as u32,
            retransmits: second as u32,
            unacked: 1,
            ..TcpInfo::default()
        };
        run.tcp(second, "SYN_SENT", resent);
    }
    assert_eq!(run.moved(), 0);
    assert!(run.stalled(20).contains(&GO));
}

#[test]
fn repeated_questions_do_not_move_and_an_answer_does() {
    let mut run = Run::new();
    let ask = |id| What::DnsQuestion {
        socket: Some(Inode(9)),
        server: "192.0.2.53:53".parse().ok(),
        id,
        name: "proxy.example.com".into(),
        qtype: "A".into(),
        via: ResolverKind::Go,
    };
    run.at(10, GO, ask(1));
    run.at(15, GO, ask(2));
    assert_eq!(run.moved(), 0);
    let answer = What::DnsAnswer {
        socket: Some(Inode(9)),
        id: 2,
        name: Some("proxy.example.com".into()),
        qtype: Some("A".into()),
        rcode: "NOERROR".into(),
        addresses: vec![],
    };
    run.at(16, GO, answer);
    assert_eq!(run.moved(), 16);
}

#[test]
fn a_lock_moves_when_it_is_obtained() {
    let mut run = Run::new();
    let (fd, path) = (crate::units::Fd(3), "/c/cache/lock".to_owned());
    let (kind, mode) = (LockKind::Flock, LockMode::Exclusive);
    run.at(10, GO, What::LockRequest { fd, path: path.clone(), kind, mode });
    assert_eq!(run.moved(), 0, "to ask is no movement");
    let end = |result: &str| What::LockEnd {
        fd,
        path: path.clone(),
        result: Some(result.into()),
        known_by: KnownBy::Return,
    };
    run.at(11, GO, end("EINTR"));
    assert_eq!(run.moved(), 0);
    run.at(12, GO, end("ok"));
    assert_eq!(run.moved(), 12);
}

#[test]
fn processes_move_when_they_start_and_when_they_end() {
    let mut run = Run::new();
    run.at(10, 200, What::ProcessStart { ppid: Pid(GO), ns_pid: None });
    run.at(11, 200, What::Exec(exec("git fetch", ProcessRole::Git)));
    assert_eq!(run.moved(), 11);
    run.at(12, 201, What::ProcessStart { ppid: Pid(200), ns_pid: None });
    assert_eq!(run.moved(), 12, "git forks without a program of its own");
    run.at(13, 200, What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 });
    assert_eq!(run.moved(), 13);
}

#[test]
fn the_kernel_probe_and_the_telemetry_child_of_go_do_not_move() {
    let mut run = Run::new();
    run.at(10, 200, What::ProcessStart { ppid: Pid(GO), ns_pid: None });
    run.at(11, 200, What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 });
    run.at(12, 201, What::ProcessStart { ppid: Pid(GO), ns_pid: None });
    let telemetry = Exec { telemetry: true, ..exec("go", ProcessRole::Go) };
    run.at(13, 201, What::Exec(telemetry));
    run.uses(14, 201, 0, 0);
    run.uses(15, 201, 900, 1 << 20);
    run.at(16, 201, What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 });
    assert_eq!(run.moved(), 0);
}

#[test]
fn files_move_when_they_grow() {
    let mut run = Run::new();
    run.uses(10, GO, 0, 0);
    run.uses(11, GO, 0, WRITTEN_THAT_MOVES - 1);
    assert_eq!(run.moved(), 0);
    run.uses(12, GO, 0, 2 * WRITTEN_THAT_MOVES);
    assert_eq!(run.moved(), 12);
}

#[test]
fn cpu_time_moves_unless_it_is_that_of_timers_or_of_a_quota() {
    let mut run = Run::new();
    run.uses(10, GO, 0, 0);
    run.uses(11, GO, 10, 0);
    assert_eq!(run.moved(), 0, "1 %");
    run.uses(12, GO, 110, 0);
    assert_eq!(run.moved(), 12, "10 %");
}

/// After so many milliseconds go has used so many of a CPU.
fn used(run: &mut Run, ms: u64, cpu_ms: u64) {
    let process =
        ProcessSample { pid: Pid(GO), cpu_ns: cpu_ms * 1_000_000, written: 0, state: 'S' };
    let what = What::Sample(Sample { connections: vec![], processes: vec![process] });
    run.session.apply(&Event { t: Nanos::from_millis(ms), pid: Pid(0), tid: Tid(0), what });
}

/// As a collection of garbage does it, and a machine that wakes up.
#[test]
fn a_burst_of_cpu_time_is_no_movement() {
    let mut run = Run::new();
    (0..12).for_each(|n| used(&mut run, 10_000 + 250 * n, n));
    used(&mut run, 13_000, 32);
    used(&mut run, 13_250, 47);
    used(&mut run, 13_500, 69);
    assert_eq!(run.moved(), 0, "58 ms in 750 ms, and nothing around them");
    (0..8).for_each(|n| used(&mut run, 13_750 + 250 * n, 69 + 20 * n));
    assert_eq!(run.moved(), 15, "8 % of a CPU, and it goes on");
}

/// Two samples follow each other at once behind a reading that took long.
#[test]
fn no_share_is_told_of_a_moment() {
    let mut run = Run::new();
    used(&mut run, 10_000, 0);
    used(&mut run, 10_010, 1);
    assert_eq!(run.moved(), 0, "10 % of 10 ms");
    used(&mut run, 10_250, 2);
    assert_eq!(run.moved(), 0, "1 % of 250 ms");
    used(&mut run, 10_260, 80);
    used(&mut run, 10_500, 80);
    assert_eq!(run.moved(), 10, "what was used in a moment counts in the time around it");
}

/// A reading of the program `pid`, whose one goroutine that runs was found in this state.
fn runs(run: &mut Run, seconds: u64, pid: i32, state: u64) {
    let goroutine = Goroutine {
        id: 1,
        status: Status::Running,
        wait_reason: None,
        tid: None,
        waits_for: None,
        parent: None,
        created_by: None,
        system: false,
        interrupted: Some(Interrupted { pc: 10, state }),
        functions: vec!["main.wait".into()],
        cut: false,
        calls: Vec::new(),
    };
    let running = GoRunning { goroutines: vec![goroutine], living: 1, newest: 1, cpu_ns: 0 };
    run.at(seconds, pid, What::GoRunning(Box::new(running)));
}

#[test]
fn cpu_time_of_a_program_that_spins_is_no_movement() {
    let mut run = Run::new();
    run.starts(200, GO, "prog", ProcessRole::Other);
    let second = |run: &mut Run, n: u64, state: u64, cpus: u64| {
        runs(run, 10 + n, 200, state);
        run.uses(10 + n, 200, n * cpus * 1000, 0);
    };
    (0..10).for_each(|n| second(&mut run, n, 1, 1));
    assert_eq!(run.session.may_spin(Nanos::from_secs(19)), [Pid(200)]);
    assert_eq!(run.moved(), 13, "from the fourth recurrence on it is known");
    (10..13).for_each(|n| second(&mut run, n, n, 1));
    assert_eq!(run.moved(), 22, "it computes again");
}

#[test]
fn more_cpu_time_than_that_of_those_that_spin_moves() {
    let mut run = Run::new();
    run.starts(200, GO, "prog", ProcessRole::Other);
    for n in 0..10 {
        runs(&mut run, 10 + n, 200, 1);
        run.uses(10 + n, 200, n * 1500, 0);
    }
    assert_eq!(run.moved(), 19);
}

#[test]
fn what_writes_or_is_idle_is_not_looked_at_for_spinning() {
    let mut run = Run::new();
    run.uses(10, GO, 0, 0);
    run.uses(12, GO, 10, 0);
    assert!(run.session.may_spin(Nanos::from_secs(12)).is_empty(), "it uses no CPU");
    run.uses(14, GO, 2010, WRITTEN_THAT_MOVES);
    assert!(run.session.may_spin(Nanos::from_secs(14)).is_empty(), "it has just written");
    assert_eq!(run.session.may_spin(Nanos::from_secs(15)), [Pid(GO)]);
}

#[test]
fn what_moves_below_a_go_command_moves_it() {
    let mut run = Run::new();
    run.at(10, 200, What::ProcessStart { ppid: Pid(GO), ns_pid: None });
    run.at(10, 200, What::Exec(exec("git fetch", ProcessRole::Git)));
    run.uses(11, 200, 0, 0);
    run.uses(12, 200, 500, 0);
    assert_eq!(run.moved(), 12);
}

#[test]
fn a_busy_sibling_hides_nothing() {
    let mut run = Run::new();
    run.connects(10);
    for second in 10..20 {
        run.uses(second, SIBLING, 900 * second, 0);
    }
    assert_eq!(run.stalled(20), [GO]);
}

#[test]
fn without_a_go_command_the_command_itself_has_the_clock() {
    let mut run = Run::new();
    for pid in [GO, SIBLING] {
        run.at(10, pid, What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 });
    }
    assert_eq!(run.stalled(20), [MAKE]);
}

#[test]
fn a_suspended_command_gets_its_time_again_and_has_not_moved() {
    let mut run = Run::new();
    run.at(10, GO, What::Stopped { signal: "SIGTSTP".into() });
    run.at(3600, GO, What::Continued);
    assert_eq!(run.moved(), 0);
    assert!(!run.stalled(3601).contains(&GO));
    assert!(run.stalled(3605).contains(&GO));
}

#[test]
fn time_in_which_nobody_looked_is_no_time_that_stood_still() {
    let mut run = Run::new();
    run.at(7, 0, What::Lapse { ns: Nanos::from_secs(4) });
    assert!(run.stalled(8).is_empty());
    assert!(run.stalled(9).contains(&GO));
}

#[test]
fn never_is_never() {
    let run = Run::new();
    assert!(run.session.stalled(Nanos::from_secs(1000), Nanos(0)).is_empty());
}

#[test]
fn an_idle_connection_is_no_wait() {
    let mut run = Run::new();
    run.connects(10);
    let idle = TcpInfo {
        bytes_received: 500,
        last_data_sent_ms: 9000,
        last_data_received_ms: 8000,
        ..TcpInfo::default()
    };
    run.tcp(11, "ESTABLISHED", idle);
    assert_eq!(run.session.open_waits().count(), 0);
    let asked = TcpInfo { last_data_sent_ms: 7000, ..idle };
    run.tcp(12, "ESTABLISHED", asked);
    assert_eq!(run.session.open_waits().count(), 1);
}

/// With `/proc` alone nobody sees who connects: what arrives moves the command.
#[test]
fn without_events_bytes_move_the_command() {
    let mut run = Run::with(Backend { name: "proc".into(), ..Backend::default() });
    run.tcp(10, "ESTABLISHED", received(1));
    assert_eq!(run.session.movement.last_moved(Pid(MAKE)), Nanos::from_secs(10));
    run.tcp(11, "ESTABLISHED", received(1));
    assert_eq!(run.session.movement.last_moved(Pid(MAKE)), Nanos::from_secs(10));
}
