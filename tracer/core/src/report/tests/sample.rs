//! Findings and a report with something in every field.

use crate::event::{
    Backend, EndedBy, Exit, GoResolver, Host, Mode, ProcessRole, Setting, SettingOrigin,
};
use crate::report::*;
use crate::units::{Fd, Nanos, Pid, Tid};
use serde_json::json;
use std::collections::BTreeMap;

/// A finding that says nothing yet.
pub(super) fn finding(code: &str, summary: &str) -> Finding {
    Finding {
        id: "f1".to_owned(),
        code: code.to_owned(),
        symptom: code.to_owned(),
        state: FindingState::Stalled,
        confidence: Confidence::Certain,
        summary: summary.to_owned(),
        since_ns: Nanos::from_secs(2),
        end_ns: None,
        blocked_ns: Nanos::from_secs(8),
        blocked: Blocked { pid: Pid(41207), ..Blocked::default() },
        peer: None,
        role: None,
        modules: Vec::new(),
        modules_total: 0,
        lock: None,
        chain: Vec::new(),
        waiters: Vec::new(),
        limit: None,
        evidence: Vec::new(),
        alternatives: Vec::new(),
        remedies: Vec::new(),
        facts: Vec::new(),
    }
}

/// A labelled line and its continuations.
pub(super) fn fact(label: &str, lines: &[&str]) -> Fact {
    Fact { label: label.to_owned(), lines: lines.iter().map(|line| (*line).to_owned()).collect() }
}

/// Something to do.
pub(super) fn remedy(text: &str, command: Option<&str>) -> Remedy {
    Remedy { text: text.to_owned(), command: command.map(str::to_owned), safe: true }
}

/// A host that is waited for.
pub(super) fn peer(host: &str) -> Peer {
    Peer {
        host: Some(host.to_owned()),
        address: Some("192.0.2.10".to_owned()),
        port: Some(443),
        protocol: "tcp".to_owned(),
        other_addresses: Vec::new(),
        tcp: None,
    }
}

/// Who holds the lock of the second message.
pub(super) fn lock() -> Lock {
    Lock {
        path: "~/go/pkg/mod/cache/download/example.com/lib/@v/v1.4.2.lock".to_owned(),
        kind: "flock".to_owned(),
        holders: vec![Holder {
            pid: Pid(41190),
            argv: vec!["go".to_owned(), "list".to_owned(), "./...".to_owned()],
            started_by: Some("gopls (pid 3300)".to_owned()),
            since_ns: Some(Nanos::from_secs(372)),
            alive: true,
        }],
    }
}

/// A finding with something in every field.
pub(super) fn full_finding() -> Finding {
    let link = |pid, waits_for: &str| Link {
        pid: Pid(pid),
        argv: vec!["go".to_owned(), "mod".to_owned(), "download".to_owned()],
        waits_for: waits_for.to_owned(),
        because: "kernel lock table".to_owned(),
    };
    Finding {
        symptom: "lock-held".to_owned(),
        end_ns: Some(Nanos::from_secs(10)),
        blocked: Blocked {
            pid: Pid(41207),
            tid: Some(Tid(41209)),
            goid: Some(52),
            syscall: Some("flock".to_owned()),
            fd: Some(Fd(7)),
            path: Some("/home/user/go/pkg/mod/cache/lock".to_owned()),
        },
        peer: Some(Peer {
            other_addresses: vec![OtherAddress {
                address: "192.0.2.11".to_owned(),
                outcome: "refused".to_owned(),
            }],
            tcp: Some(TcpFacts {
                state: "ESTABLISHED".to_owned(),
                last_data_received_ms: 8100,
                retransmissions: 0,
                unacked: 0,
                bytes_received: 0,
            }),
            ..peer("proxy.example.com")
        }),
        role: Some(Role::ModuleProxy),
        modules: vec!["example.com/lib@v1.4.2".to_owned()],
        modules_total: 1,
        lock: Some(lock()),
        chain: vec![link(41207, "the lock of example.com/lib"), link(41190, "proxy.example.com")],
        waiters: vec![link(41300, "the lock of example.com/lib")],
        limit: Some("none: go would wait for ever".to_owned()),
        evidence: vec![Evidence {
            text: "0 bytes back for 8.1 s".to_owned(),
            t: Nanos::from_secs(9),
            source: "snapshot".to_owned(),
        }],
        alternatives: vec!["the proxy is slow".to_owned(), "a firewall drops it".to_owned()],
        remedies: vec![
            remedy("Ctrl-C, then", Some("GOPROXY=direct go mod download")),
            Remedy { safe: false, ..remedy("empty the cache:", Some("go clean -modcache")) },
            Remedy { safe: false, ..remedy("delete the lock file", None) },
        ],
        facts: vec![fact("waiting", &["go mod download (pid 41207)", "example.com/lib v1.4.2"])],
        ..finding("http-silent", "proxy.example.com took a request and has not answered.")
    }
}

fn span(id: &str, parent: Option<&str>, r#type: SpanType, from: u64, to: Option<u64>) -> Span {
    Span {
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        r#type,
        name: format!("{} of {id}", super::super::layout::word(r#type)),
        start_ns: Nanos::from_millis(from),
        end_ns: to.map(Nanos::from_millis),
        status: if to.is_some() { SpanStatus::Ok } else { SpanStatus::Open },
        pid: Pid(41207),
        tid: Tid(41209),
        goid: Some(18),
        module: Some("example.com/lib@v1.4.2".to_owned()),
        attrs: json!({"server.address": "proxy.example.com", "server.port": 443})
            .as_object()
            .cloned()
            .unwrap_or_default(),
    }
}

/// Spans that nest, that overlap, that touch, that last no time, and one that goes on.
pub(super) fn spans() -> Vec<Span> {
    vec![
        span("00000000000000a0", None, SpanType::Process, 0, Some(31_000)),
        span("00000000000000a1", Some("00000000000000a0"), SpanType::Module, 100, Some(9_000)),
        span("00000000000000a2", Some("00000000000000a1"), SpanType::Dns, 100, Some(200)),
        span("00000000000000a3", Some("00000000000000a1"), SpanType::Dns, 150, Some(400)),
        span("00000000000000a4", Some("00000000000000a1"), SpanType::Connect, 200, Some(900)),
        span("00000000000000a5", Some("00000000000000a1"), SpanType::Http, 900, Some(9_500)),
        span("00000000000000a6", Some("00000000000000a5"), SpanType::Read, 900, Some(900)),
        span("00000000000000a7", None, SpanType::Lock, 5_000, None),
    ]
}

/// A report with something in every field.
pub(super) fn report() -> Report {
    let text = str::to_owned;
    Report {
        schema: TIMELINE_SCHEMA.to_owned(),
        complete: true,
        mode: Mode::Launch,
        gmtrace: text("0.1.0"),
        host: Host { kernel: text("6.1.0"), arch: text("x86_64"), cpus: 4 },
        backend: Backend {
            name: text("ptrace"),
            why: text("an ordinary user may"),
            unseen: vec![text("bytes of each read: sampled")],
        },
        command: Command {
            argv: vec![text("go"), text("mod"), text("download")],
            cwd: text("/home/user/app"),
            pid: Pid(41207),
            started_at: text("2030-01-02T03:04:05.000000006Z"),
            observed_at: text("2030-01-02T03:04:36.000000006Z"),
            duration_ns: Nanos::from_secs(31),
            exit: Some(Exit::Code(0)),
            ended_by: Some(EndedBy::Exit),
        },
        go: Some(GoSection {
            version: Some(text("go1.27.3")),
            path: text("/usr/lib/go/bin/go"),
            resolver: Some(GoResolver { kind: text("go"), why: text("no cgo") }),
            env: BTreeMap::from([(
                text("GOPROXY"),
                Setting {
                    value: text("https://proxy.example.com"),
                    origin: SettingOrigin::Environment,
                },
            )]),
        }),
        processes: vec![ProcessRow {
            pid: Pid(41207),
            ns_pid: Some(Pid(7)),
            ppid: Pid(1),
            argv: vec![text("go"), text("mod"), text("download")],
            exe: text("/usr/lib/go/bin/go"),
            started_ns: Nanos(0),
            ended_ns: Some(Nanos::from_secs(31)),
            exit: Some(Exit::Signal(text("SIGTERM"))),
            role: ProcessRole::Go,
        }],
        spans: spans(),
        modules: vec![ModuleRow {
            path: text("example.com/big"),
            version: text("v2.0.1"),
            result: text("ok"),
            cache_hit: Some(false),
            start_ns: Nanos::from_secs(1),
            end_ns: Some(Nanos::from_secs(22)),
            bytes: Some(4_100_000),
            wait_ns: BTreeMap::from([
                (text("dns"), 20_000_000),
                (text("first_byte"), 19_000_000_000),
            ]),
            attempts: vec![Attempt {
                entry: text("https://proxy.example.com"),
                host: text("proxy.example.com"),
                status: Some(200),
                error: Some(text("none")),
            }],
        }],
        hosts: vec![HostRow {
            host: text("proxy.example.com"),
            addresses: vec![text("192.0.2.10")],
            role: Some(Role::ModuleProxy),
            connections: 2,
            requests: Some(600),
            bytes: 48_000_000,
            failures: 1,
            connect_median_ns: Some(40_000_000),
            connect_max_ns: Some(90_000_000),
        }],
        findings: vec![full_finding()],
        stalls: vec![Stall {
            start_ns: Nanos::from_secs(2),
            end_ns: Some(Nanos::from_secs(10)),
            finding: Some(text("f1")),
        }],
        verdict: Verdict {
            state: VerdictState::Slow,
            code: Some(text("http-silent")),
            summary: text("proxy.example.com kept go waiting for 19 s."),
        },
        totals: Totals { modules: 212, bytes: 48_000_000, ..Totals::default() },
        losses: BTreeMap::from([(text("event: ring full"), 3)]),
        notes: vec![text("Modules fetched before the first lock are not told apart.")],
    }
}

/// The same run, with nothing to complain about.
pub(super) fn calm() -> Report {
    Report {
        findings: Vec::new(),
        stalls: Vec::new(),
        losses: BTreeMap::new(),
        backend: Backend { unseen: Vec::new(), ..report().backend },
        verdict: Verdict {
            state: VerdictState::Ok,
            code: None,
            summary: "It ended well.".to_owned(),
        },
        ..report()
    }
}
