//! Programs that go started, and what ends them.

use super::{ROOT, Run, codes};
use crate::event::*;
use crate::report::Confidence;
use crate::units::{Fd, Inode, Nanos, Pid, Tid};

/// go 1.27.3, git 2.39.
const AUTH: &str = "go: git.example.com/mod@v1.4.2: invalid version: git ls-remote -q --end-of-options https://git.example.com/repo in /c/cache/vcs/dae2443719c1179245ea7521114dfecd4c92ab3b7d4a6e0d94836c2081626511: exit status 128:\n\tfatal: could not read Username for 'https://git.example.com': terminal prompts disabled\nConfirm the import path was entered correctly.\nIf this is a private repository, see https://go.dev/doc/faq#git_https for additional information.\n";

fn with_git(line: &str) -> Run {
    Run::of("go mod download git.example.com/mod@v1.4.2").starts(101, ROOT, line)
}

#[test]
fn git_that_wanted_a_login_is_named_with_what_it_said() {
    let found = with_git("git ls-remote -q --end-of-options https://git.example.com/repo")
        .process_says(101, "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled\n")
        .exits(101, 128)
        .says(AUTH)
        .ends(1);
    assert_eq!(codes(&found), ["child-failed"]);
    let finding = &found[0];
    assert_eq!(finding.summary, "git needs a login.");
    assert_eq!(finding.blocked.pid, Pid(101));
    assert_eq!(finding.modules, ["git.example.com/mod@v1.4.2"]);
    assert!(finding.facts.iter().any(|f| f.lines == ["fatal: could not read Username for 'https://git.example.com': terminal prompts disabled"]));
    assert!(
        finding
            .remedies
            .iter()
            .any(|r| r.command.as_deref() == Some("git ls-remote https://git.example.com/repo"))
    );
}

#[test]
fn what_a_proxy_passes_on_of_its_own_git_is_no_child_of_ours() {
    let found = Run::of("go mod download")
        .default("GOPROXY", "https://proxy.example.com")
        .says("go: example.com/lib@v1.4.2: reading https://proxy.example.com/example.com/lib/@v/v1.4.2.info: 500 Internal Server Error\n\tserver response: git ls-remote -q origin in /x: exit status 128: fatal: no\n")
        .ends(1);
    assert_eq!(codes(&found), ["http-refused"]);
}

#[test]
fn git_for_which_no_protocol_works_is_told_in_its_own_words() {
    let found = with_git("git ls-remote https://git.example.com/lib")
        .process_says(101, "fatal: unable to access 'https://git.example.com/lib/': Failed to connect to git.example.com port 443: Connection refused\n")
        .exits(101, 128)
        .says("go: git.example.com/lib.git@v1.4.2: no secure protocol found for repository\n")
        .ends(1);
    assert_eq!(codes(&found), ["child-failed"]);
    assert_eq!(found[0].confidence, Confidence::Likely, "a rule of the network may know more");
    assert_eq!(found[0].blocked.pid, Pid(101));
}

#[test]
fn git_that_is_not_installed_is_named() {
    for said in [
        "go: missing Git command. See https://go.dev/s/gogetcmd\ngo: example.com/lib.git@v1.4.2: no secure protocol found for repository\n",
        "go: git.example.com/mod@v1.4.2: unable to resolve git version: failed to execute git version: exec: \"git\": executable file not found in $PATH\n",
    ] {
        let found = Run::of("go mod download").says(said).ends(1);
        assert_eq!(codes(&found), ["child-failed"], "{said}");
        assert_eq!(found[0].summary, "git is not installed, and go needs it.");
    }
}

#[test]
fn a_child_that_failed_on_the_way_of_a_run_that_ended_well_is_no_matter() {
    let found = with_git("git ls-remote -q origin").exits(101, 128).ends(0);
    assert_eq!(codes(&found), [] as [&str; 0]);
}

#[test]
fn a_child_that_was_killed_explains_that_go_failed() {
    let found = with_git("git ls-remote -q --end-of-options https://git.example.com/repo")
        .killed(101, "SIGKILL")
        .says("go: git.example.com/mod@v1.4.2: invalid version: git ls-remote -q --end-of-options https://git.example.com/repo in /c/cache/vcs/dae2: signal: killed\n")
        .ends(1);
    assert_eq!(codes(&found), ["killed"]);
    assert_eq!(found[0].blocked.pid, Pid(101));
    assert_eq!(found[0].confidence, Confidence::Certain);
}

#[test]
fn the_sender_of_a_signal_is_named_unless_it_is_one_of_ours() {
    let sent = |from: i32| What::Signal {
        signal: "SIGTERM".into(),
        sender: SignalSender::Process { pid: Pid(from), uid: 1000 },
    };
    let found =
        Run::of("go mod download").event(ROOT, sent(4711)).ends_by("SIGTERM", EndedBy::Signal);
    assert_eq!(codes(&found), ["killed"]);
    assert_eq!(
        found[0].summary,
        "go mod download was ended by SIGTERM, sent by process 4711 of user 1000."
    );
    // go ends its own children.
    let found = with_git("git fetch").event(101, sent(ROOT)).killed(101, "SIGTERM").ends(1);
    assert_eq!(codes(&found), ["unknown"]);
}

#[test]
fn what_a_debugger_kills_is_its_own() {
    let found = Run::of("strace ls").starts(101, ROOT, "strace ls").killed(101, "SIGKILL").ends(1);
    assert_eq!(codes(&found), ["unknown"]);
}

#[test]
fn ctrl_c_and_our_own_limits_and_a_closed_pipe_are_nobody_elses_doing() {
    let kernel =
        |signal: &str| What::Signal { signal: signal.into(), sender: SignalSender::Kernel };
    for (signal, by) in [
        ("SIGINT", EndedBy::Interrupt),
        ("SIGINT", EndedBy::Signal),
        ("SIGTERM", EndedBy::Timeout),
        ("SIGKILL", EndedBy::StallTimeout),
        ("SIGPIPE", EndedBy::Signal),
        ("SIGSEGV", EndedBy::Signal),
    ] {
        let found = Run::of("go mod download").event(ROOT, kernel(signal)).ends_by(signal, by);
        assert!(!codes(&found).contains(&"killed"), "{signal} {by:?}");
    }
}

#[test]
fn a_kill_where_memory_ran_out_names_the_control_group() {
    let group = CgroupState { path: "/job".into(), oom_kills: 1, ..CgroupState::default() };
    let snapshot = Snapshot { cgroups: vec![group], ..Snapshot::default() };
    let found = Run::of("go build").snapshot(snapshot).ends_by("SIGKILL", EndedBy::Signal);
    assert_eq!(codes(&found), ["killed"]);
    assert_eq!(found[0].summary, "go build was killed, and memory had run out.");
    assert_eq!(found[0].confidence, Confidence::Likely);
}

fn asleep(pid: i32, ppid: i32, role: ProcessRole, call: &str) -> ProcessState {
    let syscall = Syscall { nr: 0, name: call.into(), args: [0; 6] };
    ProcessState {
        pid: Pid(pid),
        ppid: Pid(ppid),
        in_tree: true,
        role,
        state: 'S',
        threads: vec![ThreadState {
            tid: Tid(pid),
            state: 'S',
            syscall: Some(syscall),
            cpu_ns: None,
            wchan: None,
        }],
        ..ProcessState::default()
    }
}

#[test]
fn a_child_that_sleeps_is_told_with_its_system_call() {
    let snapshot = |child: ProcessState| Snapshot {
        processes: vec![asleep(ROOT, 1, ProcessRole::Go, "futex"), child],
        ..Snapshot::default()
    };
    let started = || Run::of("go generate ./...").starts(101, ROOT, "sleep 1000");
    let run = || started().passes(Nanos::from_secs(5));
    let healthy = snapshot(asleep(101, ROOT, ProcessRole::Other, "clock_nanosleep"));
    assert_eq!(codes(&started().snapshot(healthy).stands_still()), ["unknown"]);
    let found = run()
        .snapshot(snapshot(asleep(101, ROOT, ProcessRole::Other, "clock_nanosleep")))
        .stands_still();
    assert_eq!(codes(&found), ["child-waiting"]);
    assert_eq!(found[0].blocked.pid, Pid(101));
    assert_eq!(found[0].blocked.syscall.as_deref(), Some("clock_nanosleep"));
    assert_eq!(found[0].chain.first().unwrap().pid, Pid(ROOT));
    // What runs, waits for nothing; and what another rule is about is not told twice.
    let running = ProcessState { state: 'R', ..asleep(101, ROOT, ProcessRole::Other, "read") };
    assert_eq!(codes(&run().snapshot(snapshot(running)).stands_still()), ["unknown"]);
    let stopped = ProcessState { state: 'T', ..asleep(101, ROOT, ProcessRole::Other, "read") };
    assert_eq!(codes(&run().snapshot(snapshot(stopped)).stands_still()), ["stopped"]);
}

/// A process that sleeps in write(2) to its standard output, and one that could read it.
fn writes_to(reader: ProcessState) -> Snapshot {
    let pipe = |fd, access| Descriptor {
        fd: Fd(fd),
        target: DescriptorTarget::Pipe(Inode(77)),
        access: Some(access),
        locks: Vec::new(),
        pos: None,
        close_on_exec: false,
    };
    let mut writer = asleep(ROOT, 1, ProcessRole::Go, "write");
    writer.threads[0].syscall.as_mut().unwrap().args[0] = 1;
    writer.descriptors = vec![pipe(1, Access::Write)];
    let reader = ProcessState { descriptors: vec![pipe(0, Access::Read)], ..reader };
    Snapshot { processes: vec![writer, reader], ..Snapshot::default() }
}

#[test]
fn a_full_pipe_is_told_with_who_should_read_it() {
    let pager = || asleep(200, 1, ProcessRole::Other, "clock_nanosleep");
    let run = || Run::of("go list -json std").passes(Nanos::from_secs(5));
    let found = run().snapshot(writes_to(pager())).stands_still();
    assert_eq!(codes(&found), ["output-blocked"]);
    assert_eq!(found[0].confidence, Confidence::Certain);
    assert_eq!(found[0].blocked.fd, Some(Fd(1)));
    assert!(found[0].summary.contains("(pid 200) does not read"), "{}", found[0].summary);
    // What runs is about to come out of the call again.
    let mut moves = writes_to(pager());
    moves.processes[0].threads[0].state = 'R';
    assert_eq!(codes(&run().snapshot(moves).stands_still()), ["unknown"]);
}

#[test]
fn a_full_pipe_to_whoever_is_above_is_told_of_it_but_not_of_go() {
    let above = |role| ProcessState { in_tree: false, ..asleep(1, 0, role, "clock_nanosleep") };
    let run = || Run::of("go list -json std").passes(Nanos::from_secs(5));
    let found = run().snapshot(writes_to(above(ProcessRole::Other))).stands_still();
    assert_eq!(codes(&found), ["output-blocked"]);
    assert_eq!(found[0].confidence, Confidence::Certain);
    assert!(found[0].summary.contains("(pid 1) does not read"), "{}", found[0].summary);
    // What go does not read of its child is a matter of go's.
    let of_go = run().snapshot(writes_to(above(ProcessRole::Go))).stands_still();
    assert_eq!(codes(&of_go), ["unknown"]);
}

#[test]
fn what_is_traced_is_stopped_where_a_signal_did_it() {
    let traced = || ProcessState { state: 't', ..asleep(ROOT, 1, ProcessRole::Go, "read") };
    let snapshot = || Snapshot { processes: vec![traced()], ..Snapshot::default() };
    let signal = || What::Stopped { signal: "SIGSTOP".into() };
    let run = || Run::of("go mod download").event(ROOT, signal());
    let found = run().snapshot(snapshot()).stands_still();
    assert_eq!(codes(&found), ["stopped"]);
    assert_eq!(found[0].confidence, Confidence::Certain);
    assert!(found[0].evidence.iter().any(|e| e.text.contains("SIGSTOP")), "{:?}", found[0]);
    let goes_on = run().event(ROOT, What::Continued).snapshot(snapshot()).stands_still();
    assert_eq!(codes(&goes_on), ["unknown"], "in a short stop of the tracer's");
}

#[test]
fn lost_events_are_told_beside_the_answer_and_make_it_less_sure() {
    let lost = What::Lost { what: "child".into(), count: 2, why: "gone".into() };
    let found = with_git("git fetch").event(ROOT, lost).killed(101, "SIGKILL").ends(1);
    assert_eq!(codes(&found), ["killed", "trace-incomplete"]);
    assert_eq!(found[0].confidence, Confidence::Possible);
    let lost = What::Lost {
        what: "rows".into(),
        count: 2,
        why: "the timeline keeps the newest only".into(),
    };
    assert_eq!(codes(&Run::of("go mod download").event(ROOT, lost).ends(0)), [] as [&str; 0]);
}
