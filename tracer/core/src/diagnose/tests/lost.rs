//! Where events were lost, a snapshot has to do: it shows what began unseen, and what is over although nobody saw the end.

use super::{ROOT, Run, codes};
use crate::event::*;
use crate::report::{Confidence, Finding};
use crate::units::{Fd, Inode, Nanos, Pid, Tid};

const RESOLVER: &str = "192.0.2.53:53";

fn lost() -> What {
    let why = "the ring buffer was full".into();
    What::Lost { what: "lookupstart".into(), count: 3, why }
}

fn process(pid: i32, ppid: i32, role: ProcessRole, line: &str, call: &str) -> ProcessState {
    let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let syscall = Some(Syscall { nr: 0, name: call.into(), args: [0; 6] });
    ProcessState {
        pid: Pid(pid),
        ppid: Pid(ppid),
        in_tree: true,
        role,
        comm: argv[0].clone(),
        exe: Some(format!("/usr/bin/{}", argv[0])),
        argv,
        state: 'S',
        age_ns: Nanos::from_secs(4),
        threads: vec![ThreadState { tid: Tid(pid), state: 'S', syscall, ..ThreadState::default() }],
        ..ProcessState::default()
    }
}

/// A shell, go, and git, which polls a socket of UDP to the resolver where `asks`.
fn tree(asks: bool) -> Snapshot {
    let mut git = process(102, 101, ProcessRole::Git, "git fetch", "poll");
    let target = DescriptorTarget::Socket(Inode(7));
    git.descriptors = vec![Descriptor {
        fd: Fd(5),
        target: if asks { target } else { DescriptorTarget::File("/dev/null".into()) },
        locks: Vec::new(),
        pos: None,
        access: Some(Access::Both),
        close_on_exec: true,
    }];
    let socket = Socket {
        inode: Inode(7),
        protocol: Transport::Udp,
        state: "ESTABLISHED".into(),
        local: "192.0.2.1:40000".parse().unwrap(),
        peer: RESOLVER.parse().ok(),
        receive_queue: 0,
        send_queue: 0,
        tcp: None,
    };
    Snapshot {
        processes: vec![
            process(ROOT, 1, ProcessRole::Other, "sh -c x", "wait4"),
            process(101, ROOT, ProcessRole::Go, "go mod download", "futex"),
            git,
        ],
        sockets: Vec::from_iter(asks.then_some(socket)),
        ..Snapshot::default()
    }
}

fn dns_silent(found: &[Finding]) -> &Finding {
    assert_eq!(codes(found), ["dns-silent", "trace-incomplete"]);
    assert_eq!(found[0].confidence, Confidence::Likely);
    assert!(found[0].facts.iter().any(|f| f.label == "lost"), "{:?}", found[0].facts);
    assert_eq!(found[0].peer.as_ref().unwrap().address.as_deref(), Some("192.0.2.53"));
    &found[0]
}

#[test]
fn what_began_unseen_is_found_by_a_snapshot() {
    let run = Run::of("sh -c x").event(ROOT, lost()).passes(Nanos::from_secs(10));
    let found = run.snapshot(tree(true)).passes(Nanos::from_secs(5)).snapshot(tree(true));
    let found = found.stands_still();
    let chain: Vec<i32> = dns_silent(&found).chain.iter().map(|link| link.pid.0).collect();
    assert_eq!(chain, [101, 102]);
    assert_eq!(found[0].chain[1].argv, ["git", "fetch"]);
}

#[test]
fn where_nothing_was_lost_the_events_are_believed() {
    let run = Run::of("sh -c x").starts(101, ROOT, "go mod download");
    let run = run.starts(102, 101, "git fetch").passes(Nanos::from_secs(10));
    assert!(!codes(&run.snapshot(tree(true)).stands_still()).contains(&"dns-silent"));
}

fn asked(run: Run) -> Run {
    run.event(
        102,
        What::DnsQuestion {
            socket: Some(Inode(7)),
            server: RESOLVER.parse().ok(),
            id: 1,
            name: "git.example.com".into(),
            qtype: "A".into(),
            via: ResolverKind::Libc,
        },
    )
}

#[test]
fn a_question_whose_socket_is_closed_was_answered_though_the_answer_was_lost() {
    let begun = || {
        let run = Run::of("sh -c x").starts(101, ROOT, "go mod download");
        asked(run.starts(102, 101, "git fetch")).event(ROOT, lost()).passes(Nanos::from_secs(10))
    };
    let open = begun().snapshot(tree(true)).stands_still();
    assert!(dns_silent(&open).summary.contains("git.example.com"));
    let closed = begun().snapshot(tree(false)).stands_still();
    assert!(!codes(&closed).contains(&"dns-silent"), "{:?}", codes(&closed));
}

#[test]
fn who_is_in_no_snapshot_has_ended_though_the_end_was_lost() {
    let gone = || {
        let mut tree = tree(true);
        tree.processes.truncate(1);
        tree
    };
    let run = Run::of("sh -c x").starts(101, ROOT, "go mod download").event(ROOT, lost());
    // The end of one that is gone may still be on its way.
    let once = run.snapshot(gone());
    assert_eq!(once.session.clocks(), [Pid(101)]);
    let twice = once.snapshot(gone());
    assert_eq!(twice.session.clocks(), [Pid(ROOT)]);
    assert!(twice.session.process(Pid(101)).is_some_and(|p| p.ended.is_some()));
}
