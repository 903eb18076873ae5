//! Terminals, pipes, helpers, processes of this machine, and programs that are not go.

use super::{ROOT, Run, codes, commands};
use crate::event::*;
use crate::report::message::{Closing, Context, Offers, PREFIX, hint, stall};
use crate::report::palette::Palette;
use crate::report::{Confidence, Finding};
use crate::units::{Fd, Inode, Nanos, Pid, Tid};

fn opened(fd: i32, target: DescriptorTarget, access: Access, close_on_exec: bool) -> Descriptor {
    let access = Some(access);
    Descriptor { fd: Fd(fd), target, locks: Vec::new(), pos: None, access, close_on_exec }
}

fn pipe(fd: i32, inode: u64, access: Access) -> Descriptor {
    opened(fd, DescriptorTarget::Pipe(Inode(inode)), access, access == Access::Read)
}

/// A process that sleeps in `call` on descriptor 0.
fn sleeps(pid: i32, ppid: i32, role: ProcessRole, comm: &str, call: &str) -> ProcessState {
    let syscall = Some(Syscall { nr: 0, name: call.into(), args: [0; 6] });
    ProcessState {
        pid: Pid(pid),
        ppid: Pid(ppid),
        in_tree: true,
        role,
        comm: comm.into(),
        argv: vec![comm.into()],
        state: 'S',
        threads: vec![ThreadState { tid: Tid(pid), state: 'S', syscall, ..ThreadState::default() }],
        ..ProcessState::default()
    }
}

fn go() -> ProcessState {
    sleeps(ROOT, 1, ProcessRole::Go, "go", "futex")
}

fn found(run: Run, processes: Vec<ProcessState>) -> Vec<Finding> {
    run.passes(Nanos::from_secs(5))
        .snapshot(Snapshot { processes, ..Snapshot::default() })
        .stands_still()
}

fn ssh_at(terminal: DescriptorTarget) -> ProcessState {
    let ssh = sleeps(101, ROOT, ProcessRole::Ssh, "ssh", "read");
    ProcessState {
        tty: Some("pts/3".into()),
        descriptors: vec![opened(0, terminal, Access::Both, false)],
        ..ssh
    }
}

fn with_ssh() -> Run {
    Run::of("go mod download").starts(
        101,
        ROOT,
        "ssh -o X=y git@git.example.com git-upload-pack 'x'",
    )
}

#[test]
fn ssh_at_a_terminal_asks_and_ssh_at_a_server_does_not() {
    let asks = found(with_ssh(), vec![go(), ssh_at(DescriptorTarget::Tty("tty".into()))]);
    assert_eq!(codes(&asks), ["prompt"]);
    assert_eq!(asks[0].confidence, Confidence::Certain);
    assert_eq!(asks[0].blocked.path.as_deref(), Some("/dev/pts/3"));
    assert_eq!(asks[0].summary, "ssh is waiting for you to type an answer about git.example.com.");
    let stopped = ProcessState { state: 'T', ..ssh_at(DescriptorTarget::Tty("tty".into())) };
    assert_eq!(codes(&found(with_ssh(), vec![go(), stopped])), ["stopped"]);
    let reads = found(with_ssh(), vec![go(), ssh_at(DescriptorTarget::Socket(Inode(7)))]);
    assert_eq!(codes(&reads), ["child-waiting"]);
}

/// A busy machine, on which the go command is seen as it is about to run.
#[test]
fn a_glimpse_of_a_runnable_thread_is_told_where_nothing_explains_the_wait() {
    let told = |run: Run, mut processes: Vec<ProcessState>| {
        let glimpse = ThreadState { tid: Tid(109), state: 'R', ..ThreadState::default() };
        processes[0].threads.push(glimpse);
        let snapshot = Snapshot { processes, runnable: Some(17), ..Snapshot::default() };
        run.passes(Nanos::from_secs(5)).snapshot(snapshot).stands_still()
    };
    assert_eq!(codes(&told(Run::of("go mod download"), vec![go()])), ["starved"]);
    let asks = vec![go(), ssh_at(DescriptorTarget::Tty("tty".into()))];
    assert_eq!(codes(&told(with_ssh(), asks)), ["prompt"]);
}

#[test]
fn what_the_terminal_shows_tells_a_question_from_a_secret() {
    for (echo, said) in [(true, "trust this host?"), (false, "passphrase")] {
        let snapshot = Snapshot {
            processes: vec![go(), ssh_at(DescriptorTarget::Tty("pts/3".into()))],
            terminals: vec![Terminal { name: "pts/3".into(), echo }],
            ..Snapshot::default()
        };
        let found = with_ssh().passes(Nanos::from_secs(5)).snapshot(snapshot).stands_still();
        let likely = found[0].facts.iter().find(|f| f.label == "likely").unwrap();
        assert!(likely.lines[0].contains(said), "{likely:?}");
    }
}

/// As on a terminal of 80 columns.
fn said(finding: &Finding) -> String {
    let context = Context {
        width: 80,
        color: Palette::PLAIN,
        prefix: PREFIX,
        closing: Closing::More(hint(finding, Offers::default())),
    };
    stall(finding, &context)
}

#[test]
fn a_question_is_told_as_the_voice_has_it() {
    let snapshot = Snapshot {
        processes: vec![go(), ssh_at(DescriptorTarget::Tty("tty".into()))],
        terminals: vec![Terminal { name: "pts/3".into(), echo: true }],
        ..Snapshot::default()
    };
    let found = with_ssh().passes(Nanos::from_secs(5)).snapshot(snapshot).stands_still();
    assert_eq!(
        said(&found[0]),
        "\
gmtrace: ssh is waiting for you to type an answer about git.example.com.

  waiting   go mod download (100) > ssh (101)
  seen      ssh has been reading terminal pts/3 for 7 s;
            what is typed is shown: a question, no password
  likely    \"trust this host?\"  Check the fingerprint, then type yes
  in CI     add the host to known_hosts, and fail instead of waiting:
            export GIT_SSH_COMMAND='ssh -o BatchMode=yes'
  more      gmtrace explain prompt               prompt, certain
"
    );
}

fn go_that_reads() -> ProcessState {
    ProcessState { descriptors: vec![pipe(11, 77, Access::Read)], ..go() }
}

fn that_writes(pid: i32, ppid: i32) -> ProcessState {
    let sleep = sleeps(pid, ppid, ProcessRole::Other, "sleep", "clock_nanosleep");
    ProcessState { descriptors: vec![pipe(1, 77, Access::Write)], ..sleep }
}

#[test]
fn a_pipe_is_held_by_what_a_child_left_behind_and_not_by_the_child() {
    let run = || {
        Run::of("go mod download")
            .starts(101, ROOT, "git ls-remote")
            .starts(102, 101, "sleep 600")
            .exits(101, 0)
    };
    let held = found(run(), vec![go_that_reads(), that_writes(102, 1)]);
    assert_eq!(codes(&held), ["pipe-held"]);
    assert_eq!(
        held[0].summary,
        "git ls-remote has ended, but sleep 600 (pid 102) keeps its output open."
    );
    assert_eq!(held[0].chain.iter().map(|l| l.pid.0).collect::<Vec<_>>(), [ROOT, 102]);
    assert_eq!(
        said(&held[0]),
        "\
gmtrace: git ls-remote has ended, but sleep 600 (pid 102) keeps its output open.

  waiting   go mod download (pid 100), before its first module
  holder    sleep 600 (pid 102)
  seen      100 reads a pipe (fd 11); only 102 has its other end,
            and no child of it is left to write there
  limit     none: the output of a child is read to its end
  try       end what was left behind; go then goes on: kill 102
  more      gmtrace explain pipe-held            pipe-held, certain
"
    );
    let alive = Run::of("go mod download").starts(102, ROOT, "sleep 600");
    let waits = found(alive, vec![go_that_reads(), that_writes(102, ROOT)]);
    assert_eq!(codes(&waits), ["child-waiting"]);
    // What was inherited (a shell's <(...), make's job server) is no child's output.
    let inherited = opened(11, DescriptorTarget::Pipe(Inode(77)), Access::Read, false);
    let inherits = ProcessState { descriptors: vec![inherited], ..go() };
    assert_eq!(codes(&found(run(), vec![inherits, that_writes(102, 1)])), ["unknown"]);
}

#[test]
fn a_helper_named_in_the_settings_is_silent_and_any_other_child_waits() {
    let run = || {
        Run::of("go build").env("GOCACHEPROG", "/opt/bin/cacher --x").starts(101, ROOT, "cacher")
    };
    let cacher = || sleeps(101, ROOT, ProcessRole::Other, "cacher", "clock_nanosleep");
    let silent = found(run(), vec![go(), cacher()]);
    assert_eq!(codes(&silent), ["helper-silent"]);
    assert_eq!(silent[0].confidence, Confidence::Likely);
    // One that reads its input waits for work.
    let idle = ProcessState {
        descriptors: vec![pipe(0, 5, Access::Read)],
        ..sleeps(101, ROOT, ProcessRole::Other, "cacher", "read")
    };
    assert_eq!(codes(&found(run(), vec![go(), idle])), ["child-waiting"]);
    let other = Run::of("go build").starts(101, ROOT, "cacher");
    assert_eq!(codes(&found(other, vec![go(), cacher()])), ["child-waiting"]);
}

/// git starts what asks a person itself, and a helper of one line by a shell.
#[test]
fn what_git_asks_by_a_shell_is_a_credential_helper() {
    let helper = |ppid| sleeps(103, ppid, ProcessRole::Other, "cat", "clock_nanosleep");
    let git = || ProcessState {
        argv: vec!["git-remote-https".into(), "https://git.example.com/r".into()],
        ..sleeps(101, ROOT, ProcessRole::Git, "git-remote-http", "read")
    };
    let shell = || sleeps(102, 101, ProcessRole::Other, "sh", "wait4");
    let run = |ppid| {
        let run = Run::of("go mod download").starts(101, ROOT, "git fetch");
        let run = if ppid == 102 { run.starts(102, 101, "sh") } else { run };
        run.starts(103, ppid, "cat")
    };
    for (ppid, setting) in [(101, "GIT_ASKPASS"), (102, "credential.helper")] {
        let processes =
            [vec![go(), git()], vec![shell(); usize::from(ppid == 102)], vec![helper(ppid)]];
        let told = found(run(ppid), processes.concat());
        assert_eq!(codes(&told), ["helper-silent"]);
        let helper = told[0].facts.iter().find(|f| f.label == "helper").unwrap();
        assert!(helper.lines[0].contains(setting), "{helper:?}");
    }
}

#[test]
fn what_is_not_go_is_named_with_what_it_waits_for() {
    let shell = ProcessState {
        descriptors: vec![opened(0, DescriptorTarget::Tty("pts/1".into()), Access::Both, false)],
        ..sleeps(ROOT, 1, ProcessRole::Other, "sh", "read")
    };
    let told = found(Run::of("sh -c read"), vec![shell]);
    assert_eq!(codes(&told), ["not-go"]);
    assert!(
        told[0].summary.ends_with("is no go command; it reads terminal pts/1."),
        "{}",
        told[0].summary
    );
}

fn goroutine(id: u64, wait_reason: &str, functions: &[&str]) -> Goroutine {
    Goroutine {
        id,
        status: Status::Waiting,
        wait_reason: Some(wait_reason.into()),
        tid: None,
        waits_for: None,
        parent: None,
        created_by: None,
        system: false,
        interrupted: None,
        functions: functions.iter().map(|&f| f.to_owned()).collect(),
        cut: false,
        calls: Vec::new(),
    }
}

fn program(goroutines: Vec<Goroutine>) -> ProcessState {
    let go = GoRuntime { total: goroutines.len() as u64, goroutines, ..GoRuntime::default() };
    ProcessState { go: Some(go), ..sleeps(ROOT, 1, ProcessRole::Other, "prog", "futex") }
}

#[test]
fn goroutines_that_only_wait_for_each_other_are_deadlocked() {
    let one = || goroutine(1, "chan receive", &["runtime.gopark", "main.main"]);
    let signals = || Goroutine {
        status: Status::Syscall,
        wait_reason: None,
        ..goroutine(2, "", &["runtime.notetsleepg", "os/signal.signal_recv"])
    };
    let told = |all| found(Run::of("prog"), vec![program(all)]);
    let dead = told(vec![one(), signals(), goroutine(3, "sync.Mutex.Lock", &["main.f"])]);
    assert_eq!(codes(&dead), ["goroutines-deadlocked"]);
    assert_eq!(dead[0].confidence, Confidence::Likely);
    assert_eq!(dead[0].blocked.goid, Some(1));
    let runnable = Goroutine { status: Status::Runnable, system: true, ..goroutine(4, "", &[]) };
    assert_eq!(codes(&told(vec![one(), runnable])), ["not-go"], "somebody can still wake it");
    let begins = goroutine(1, "chan receive", &["runtime.gopark", "runtime.main"]);
    assert_eq!(codes(&told(vec![begins])), ["not-go"]);
    let maybe = told(vec![one(), goroutine(3, "select", &["main.f"])]);
    assert_eq!(
        (codes(&maybe), maybe[0].confidence),
        (vec!["goroutines-deadlocked"], Confidence::Possible)
    );
    for awake in ["sleep", "IO wait"] {
        assert_eq!(
            codes(&told(vec![one(), goroutine(3, awake, &["main.f"])])),
            ["not-go"],
            "{awake}"
        );
    }
}

/// `go test` waits for a test that sleeps or, for so long now, for something else.
#[test]
fn a_test_may_sleep_for_half_a_minute() {
    let told = |reason: &str, seconds: u64| {
        let all = vec![
            goroutine(1, "chan receive", &["runtime.gopark", "testing.(*T).Run"]),
            goroutine(7, reason, &["time.Sleep", "example.com/project.TestSleeps"]),
        ];
        let test =
            ProcessState { pid: Pid(101), ppid: Pid(ROOT), comm: "p.test".into(), ..program(all) };
        let run = Run::of("go test").starts(101, ROOT, "p.test").passes(Nanos::from_secs(seconds));
        found(run, vec![go(), test])
    };
    assert_eq!(codes(&told("sleep", 10)), [] as [&str; 0]);
    let long = told("sleep", 60);
    assert_eq!(codes(&long), ["child-waiting"]);
    assert!(long[0].summary.contains("sleeps for a set time"), "{}", long[0].summary);
    assert_eq!(codes(&told("IO wait", 10)), ["child-waiting"]);
}

#[test]
fn a_file_of_a_disk_that_is_served_by_somebody_is_named() {
    let with = |wchan: Option<&str>| {
        let path = DescriptorTarget::File("/mnt/fuse/go.sum".into());
        let mut process = sleeps(ROOT, 1, ProcessRole::Go, "go", "read");
        process.descriptors = vec![opened(0, path, Access::Read, false)];
        process.threads[0].wchan = wchan.map(str::to_owned);
        found(Run::of("go mod download"), vec![process])
    };
    let blocked = with(Some("request_wait_answer"));
    assert_eq!(codes(&blocked), ["fs-blocked"]);
    assert_eq!(blocked[0].blocked.path.as_deref(), Some("/mnt/fuse/go.sum"));
    assert_eq!(codes(&with(Some("pipe_read"))), ["unknown"]);
    assert_eq!(codes(&with(None)), ["unknown"]);
}

fn tcp(inode: u64, local: &str, peer: Option<&str>) -> Socket {
    Socket {
        inode: Inode(inode),
        protocol: Transport::Tcp,
        state: if peer.is_some() { "ESTABLISHED" } else { "LISTEN" }.into(),
        local: local.parse().unwrap(),
        peer: peer.map(|p| p.parse().unwrap()),
        receive_queue: 0,
        send_queue: 0,
        tcp: peer.map(|_| TcpInfo {
            last_data_sent_ms: 6000,
            last_data_received_ms: 9000,
            last_ack_received_ms: 6000,
            bytes_acked: 200,
            bytes_received: 100,
            ..TcpInfo::default()
        }),
    }
}

fn socket(fd: i32, inode: u64) -> Descriptor {
    let target = DescriptorTarget::Socket(Inode(inode));
    Descriptor { access: None, ..opened(fd, target, Access::Both, false) }
}

fn local_proxy(state: char, upstream: bool) -> Snapshot {
    let caller = ProcessState { descriptors: vec![socket(5, 50)], ..go() };
    let mut descriptors = vec![socket(3, 60), socket(6, 51)];
    let mut sockets = vec![
        tcp(50, "127.0.0.1:5000", Some("127.0.0.1:80")),
        tcp(51, "127.0.0.1:80", Some("127.0.0.1:5000")),
        tcp(60, "0.0.0.0:80", None),
    ];
    if upstream {
        descriptors.push(socket(9, 70));
        sockets.push(tcp(70, "10.0.0.1:6000", Some("192.0.2.9:80")));
    }
    let proxy = sleeps(200, 1, ProcessRole::Other, "athens", "epoll_pwait");
    let proxy = ProcessState { in_tree: false, state, descriptors, ..proxy };
    Snapshot { processes: vec![caller, proxy], sockets, ..Snapshot::default() }
}

#[test]
fn a_local_proxy_is_followed_to_what_it_waits_for_itself() {
    let run = |snapshot: Snapshot| {
        let connect = What::Connect {
            fd: Fd(5),
            socket: Some(Inode(50)),
            transport: Transport::Tcp,
            peer: crate::decode::sockaddr::Address::Inet("127.0.0.1:80".parse().unwrap()),
        };
        let decided = What::ConnectEnd { fd: Fd(5), socket: Some(Inode(50)), result: "ok".into() };
        Run::of("go mod download")
            .event(ROOT, connect)
            .event(ROOT, decided)
            .passes(Nanos::from_secs(9))
            .snapshot(snapshot)
            .stands_still()
    };
    let upstream = run(local_proxy('S', true));
    assert_eq!(codes(&upstream), ["http-silent"]);
    assert_eq!(upstream[0].peer.as_ref().and_then(|p| p.address.as_deref()), Some("192.0.2.9"));
    assert_eq!(upstream[0].chain.iter().map(|l| l.pid.0).collect::<Vec<_>>(), [ROOT, 200]);
    let stopped = run(local_proxy('T', true));
    assert_eq!((codes(&stopped), stopped[0].symptom.as_str()), (vec!["stopped"], "http-silent"));
    let nothing = run(local_proxy('S', false));
    assert_eq!(codes(&nothing), ["http-silent"]);
    assert_eq!(nothing[0].peer.as_ref().and_then(|p| p.address.as_deref()), Some("127.0.0.1"));
    assert!(nothing[0].facts.iter().any(|f| f.label == "process"), "{:?}", nothing[0].facts);
}

/// A program that uses a CPU, and whose one goroutine that runs was found in these states, a second apart.
fn uses_a_cpu(states: impl IntoIterator<Item = u64>) -> Vec<Finding> {
    let mut run = Run::of("prog");
    let runs = |state| Goroutine {
        status: Status::Running,
        tid: Some(Tid(101)),
        wait_reason: None,
        interrupted: Some(Interrupted { pc: 10, state }),
        ..goroutine(1, "", &["main.wait", "main.main", "runtime.main"])
    };
    let sample = |cpu_ns| ProcessSample { pid: Pid(ROOT), cpu_ns, ..ProcessSample::default() };
    let mut cpu = 0;
    for state in states {
        let goroutines = vec![runs(state)];
        let running = GoRunning { goroutines, living: 2, newest: 5, cpu_ns: 0 };
        cpu += 2_000_000_000;
        run = run
            .event(ROOT, What::GoRunning(Box::new(running)))
            .event(0, What::Sample(Sample { processes: vec![sample(cpu)], connections: vec![] }));
    }
    let process =
        ProcessState { state: 'R', ..sleeps(ROOT, 1, ProcessRole::Other, "prog", "futex") };
    found(run, vec![process])
}

#[test]
fn a_program_that_comes_back_to_where_it_was_spins() {
    let told = uses_a_cpu([7; 8]);
    assert_eq!(codes(&told), ["spinning"]);
    assert_eq!(told[0].confidence, Confidence::Likely);
    assert_eq!((told[0].blocked.goid, told[0].blocked.tid), (Some(1), Some(Tid(101))));
    assert_eq!(commands(&told[0]), ["kill -QUIT 100"]);
    let seen: Vec<&String> = told[0].facts[1..].iter().flat_map(|f| &f.lines).collect();
    assert_eq!(seen[0], "goroutine 1 runs in main.wait, called by main.main");
    assert!(seen[1].ends_with(", 7 times just as it had been before"), "{seen:?}");
    assert_eq!(codes(&uses_a_cpu(0..8)), ["unknown"], "it computes");
}
