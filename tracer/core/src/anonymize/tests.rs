use super::*;
use crate::event::{
    Backend, Descriptor, DescriptorTarget, End, EndTag, EndedBy, Exit, Filesystem, GoArgument,
    GoCall, GoCalled, GoRuntime, GoSettings, GoValue, Goroutine, HeaderTag, HeldLock, Host,
    KernelLock, LockKind, LockMode, MainModule, Mode, ProcessRole, ProcessState, RECORDING_SCHEMA,
    ResolverKind, Setting, SettingOrigin, Snapshot, SnapshotCause, StartedBy, Status, Syscall,
    ThreadState, Transport,
};
use crate::report::{Finding, replay};
use crate::settings::{matches_prefix_patterns, module_of_lock_path, proxies, proxy_request};
use crate::units::{Fd, Inode, Nanos, Pid, Tid};
use crate::watch::Watch;
use proptest::prelude::*;

/// The names of one company, none of which may leave it.
#[derive(Debug, Clone)]
struct Secrets {
    user: String,
    domain: String,
    host: String,
    project: String,
    module: String,
    ip: String,
    resolver: String,
}

impl Secrets {
    fn all(&self) -> [&str; 7] {
        [
            &self.user,
            &self.domain,
            &self.host,
            &self.project,
            &self.module,
            &self.ip,
            &self.resolver,
        ]
    }
}

fn fixed() -> Secrets {
    Secrets {
        user: "zjdoez".into(),
        domain: "acmeqcorp".into(),
        host: "gitqbox".into(),
        project: "moonqshot".into(),
        module: "wrenqch".into(),
        ip: "10.11.12.13".into(),
        resolver: "10.99.98.97".into(),
    }
}

fn event(t_ms: u64, pid: i32, what: What) -> Record {
    Record::Event(Box::new(Event {
        t: Nanos::from_millis(t_ms),
        pid: Pid(pid),
        tid: Tid(pid),
        what,
    }))
}

fn header(s: &Secrets) -> Record {
    Record::Header(Box::new(Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.into(),
        gmtrace: "0.1.0".into(),
        mode: Mode::Launch,
        argv: argv(s),
        cwd: format!("/home/{}/{}", s.user, s.project),
        pid: Pid(10),
        started_at: "2026-01-02T03:04:05.000000006Z".into(),
        host: Host { kernel: format!("6.1.0-18-{}", s.domain), arch: "x86_64".into(), cpus: 2 },
        backend: Backend {
            name: "ptrace".into(),
            why: "asked for".into(),
            unseen: vec![format!("/home/{}/x could not be read", s.user)],
        },
        stall_after_ns: Nanos::from_secs(5),
    }))
}

fn argv(s: &Secrets) -> Vec<String> {
    let module = format!("{}.{}.com/{}/{}@v1.2.3", s.host, s.domain, s.project, s.module);
    ["go", "mod", "download", "-x", &module].map(str::to_owned).to_vec()
}

fn go_settings(s: &Secrets) -> What {
    let (d, h) = (&s.domain, &s.host);
    let env = [
        (
            "GOPROXY",
            format!("https://proxy.{d}.com:8443/{}/|https://{h}.{d}.com,direct", s.project),
        ),
        ("GOPRIVATE", format!("{h}.{d}.com/{}/*,*.{d}.net", s.project)),
        ("GOSUMDB", format!("sum.{d}.com+1234abcd+Ab{}/x= https://sum.{d}.com", s.module)),
        ("GOMODCACHE", format!("/home/{}/go/pkg/mod", s.user)),
        ("GOVCS", format!("{h}.{d}.com:git,public:off")),
        ("NO_PROXY", format!(".{d}.com,{},{}/16,localhost", s.ip, s.resolver)),
        ("HTTPS_PROXY", format!("http://web.{d}.com:3128")),
        ("GOFLAGS", format!("-mod=mod -modfile=/srv/{}/go.mod", s.project)),
        ("GODEBUG", "netdns=go".to_owned()),
    ];
    let setting = |value| Setting { value, origin: SettingOrigin::Environment };
    What::GoSettings(Box::new(GoSettings {
        version: Some("go1.26.1".into()),
        path: "/usr/local/go/bin/go".into(),
        env: env.into_iter().map(|(n, v)| (n.to_owned(), setting(v))).collect(),
        nameservers: vec![s.resolver.clone()],
        search: vec![format!("{d}.com")],
        module: Some(MainModule {
            go_mod: Some(format!("/home/{}/{}/go.mod", s.user, s.project)),
            path: Some(format!("{h}.{d}.com/{}", s.project)),
            ..MainModule::default()
        }),
        ..GoSettings::default()
    }))
}

fn exec(s: &Secrets) -> What {
    What::Exec(Exec {
        exe: "/usr/local/go/bin/go".into(),
        argv: argv(s),
        cwd: format!("/home/{}/{}", s.user, s.project),
        role: ProcessRole::Go,
        telemetry: false,
    })
}

/// Names in every argument that is kept.
fn goroutines(s: &Secrets) -> GoRuntime {
    let (d, h) = (&s.domain, &s.host);
    let text =
        |name: &str, text: String| GoArgument { name: name.into(), value: GoValue::Text(text) };
    let arguments = vec![
        text("module", format!("{h}.{d}.com/{}/{}", s.project, s.module)),
        text("version", "v1.2.3".into()),
        text("url", format!("https://{h}.{d}.com/{}/@v/list", s.module)),
        text("path", format!("/lookup/{h}.{d}.com/{}@v1.2.3", s.module)),
        text("file", lock_path(s)),
        text("host", format!("{h}.{d}.com")),
        text("address", format!("{}:443", s.ip)),
        text("server", format!("{}:53", s.resolver)),
        text("scheme", s.project.clone()),
        GoArgument { name: "argv".into(), value: GoValue::Words(argv(s)) },
    ];
    let functions =
        ["cmd/go/internal/modfetch.lockVersion", "main.main"].map(str::to_owned).to_vec();
    let own = vec![format!("{h}.{d}.com/{}.Work", s.project), format!("{}.Work", s.module)];
    let goroutine = Goroutine {
        id: 1,
        status: Status::Waiting,
        wait_reason: Some("select".into()),
        tid: None,
        waits_for: None,
        parent: None,
        created_by: Some(format!("net.{d}/x.f")),
        system: false,
        interrupted: None,
        functions: [functions, own].concat(),
        cut: false,
        calls: vec![GoCall { function: format!("{}.Work", s.module), arguments }],
    };
    GoRuntime {
        version: "go1.26.8".into(),
        goroutines: vec![goroutine],
        total: 1,
        threads: vec![],
        unreadable: Some(format!("{} is gone", s.user)),
        partial: vec![format!("{} is gone", s.user)],
    }
}

fn lock_path(s: &Secrets) -> String {
    format!(
        "/home/{}/go/pkg/mod/cache/download/{}.{}.com/{}/{}/@v/v1.2.3.lock",
        s.user, s.host, s.domain, s.project, s.module
    )
}

fn start(s: &Secrets) -> Vec<Record> {
    vec![
        header(s),
        event(0, 10, What::ProcessStart { ppid: Pid(1), ns_pid: None }),
        event(1, 10, exec(s)),
        event(2, 10, go_settings(s)),
    ]
}

fn end(t_ms: u64, code: u8) -> Record {
    Record::End(End {
        r#type: EndTag::End,
        t: Nanos::from_millis(t_ms),
        exit: Some(Exit::Code(code)),
        ended_by: Some(EndedBy::Exit),
        lost: 0,
    })
}

fn silent_resolver(s: &Secrets) -> Vec<Record> {
    let mut records = start(s);
    let server = format!("{}:53", s.resolver).parse().unwrap();
    let name = format!("proxy.{}.com.{}.com", s.domain, s.domain);
    let begins = |call, about: &str| What::GoCallStart { goid: 7, call, about: about.into() };
    records.push(event(5, 10, begins(GoCalled::LookUp, &s.host)));
    records.push(event(
        6,
        10,
        begins(GoCalled::Handshake, &format!("{}.{}.com", s.host, s.domain)),
    ));
    records.push(event(7, 10, begins(GoCalled::Start, &format!("/home/{}/bin/git", s.user))));
    records.push(event(
        10,
        10,
        What::Connect {
            fd: Fd(5),
            socket: Some(Inode(50)),
            transport: Transport::Udp,
            peer: Address::Inet(server),
        },
    ));
    records.push(event(
        11,
        10,
        What::DnsQuestion {
            socket: Some(Inode(50)),
            server: Some(server),
            id: 7,
            name,
            qtype: "A".into(),
            via: ResolverKind::Go,
        },
    ));
    records.push(event(6000, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records.push(event(7100, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records
}

fn socket(fd: i32, inode: u64) -> Descriptor {
    Descriptor {
        fd: Fd(fd),
        target: DescriptorTarget::Socket(Inode(inode)),
        locks: vec![],
        pos: None,
        access: None,
        close_on_exec: false,
    }
}

fn snapshot(s: &Secrets, held: bool) -> Snapshot {
    let file = "08:01:4242".to_owned();
    let lock = |pid, waiting| KernelLock {
        id: 1,
        waiting,
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(pid),
        file: file.clone(),
    };
    let process = |pid: i32, in_tree: bool, locks: Vec<HeldLock>| ProcessState {
        pid: Pid(pid),
        ppid: Pid(1),
        in_tree,
        role: ProcessRole::Go,
        comm: "go".into(),
        exe: Some("/usr/local/go/bin/go".into()),
        go: Some(goroutines(s)),
        argv: argv(s),
        cwd: Some(format!("/srv/{}", s.project)),
        state: 'S',
        started_by: Some(StartedBy { pid: Pid(3), name: s.project.clone() }),
        threads: vec![ThreadState {
            tid: Tid(pid),
            state: 'S',
            syscall: Some(Syscall {
                nr: 73,
                name: if in_tree { "flock" } else { "futex" }.into(),
                args: [3, 2, 0, 0, 0, 0],
            }),
            cpu_ns: None,
            wchan: None,
        }],
        descriptors: vec![
            Descriptor {
                fd: Fd(3),
                target: DescriptorTarget::File(lock_path(s)),
                locks,
                pos: Some(0),
                access: None,
                close_on_exec: false,
            },
            socket(5, 50),
            socket(6, 60),
        ],
        cgroup: Some(format!("/user.slice/user-1000.slice/{}.service", s.project)),
        ..ProcessState::default()
    };
    let holds = HeldLock {
        kind: LockKind::Flock,
        mode: LockMode::Exclusive,
        pid: Pid(20),
        file: file.clone(),
    };
    let mut processes = vec![process(10, true, vec![])];
    if held {
        processes.push(process(20, false, vec![holds]));
    }
    Snapshot {
        cause: SnapshotCause::Stall,
        processes,
        sockets: vec![],
        unix: vec![],
        terminals: vec![],
        runnable: None,
        locks: if held { vec![lock(20, false), lock(10, true)] } else { vec![] },
        cgroups: vec![],
        filesystems: vec![Filesystem {
            purpose: "module cache".into(),
            path: format!("/home/{}/go/pkg/mod", s.user),
            mount: Some(format!("/mnt/{}", s.project)),
            kind: Some("nfs".into()),
            answered: true,
            ..Filesystem::default()
        }],
        partial: vec![format!("/home/{}/go/pkg/mod/cache/download/x/@v/v1.0.0.partial", s.user)],
        unseen: vec![format!("/proc/20/fd of {}: EACCES", s.user)],
    }
}

fn held_lock(s: &Secrets) -> Vec<Record> {
    let mut records = start(s);
    records.push(event(
        10,
        10,
        What::LockRequest {
            fd: Fd(3),
            path: lock_path(s),
            kind: LockKind::Flock,
            mode: LockMode::Exclusive,
        },
    ));
    records.push(event(6000, 10, What::Snapshot(Box::new(snapshot(s, true)))));
    records.push(event(7100, 10, What::Snapshot(Box::new(snapshot(s, true)))));
    records
}

fn proxy_at(s: &Secrets) -> std::net::SocketAddr {
    format!("{}:8443", s.ip).parse().unwrap()
}

fn connected(s: &Secrets) -> Vec<Record> {
    let mut records = start(s);
    let name = format!("proxy.{}.com", s.domain);
    records.push(event(
        9,
        10,
        What::DnsAnswer {
            socket: Some(Inode(50)),
            id: 7,
            name: Some(name),
            qtype: Some("A".into()),
            rcode: "NOERROR".into(),
            addresses: vec![proxy_at(s).ip()],
        },
    ));
    records.push(event(
        10,
        10,
        What::Connect {
            fd: Fd(6),
            socket: Some(Inode(60)),
            transport: Transport::Tcp,
            peer: Address::Inet(proxy_at(s)),
        },
    ));
    records.push(event(
        11,
        10,
        What::ConnectEnd { fd: Fd(6), socket: Some(Inode(60)), result: "ok".into() },
    ));
    records
}

fn silent_server(s: &Secrets) -> Vec<Record> {
    let mut records = connected(s);
    records.push(event(
        12,
        10,
        What::HttpRequest {
            socket: Some(Inode(60)),
            method: "GET".into(),
            url: format!(
                "http://proxy.{0}.com:8443/{1}/{2}.{0}.com/{1}/!{3}/@v/v1.2.3.info?{3}={1}",
                s.domain, s.project, s.host, s.module
            ),
            proxy_authorization: false,
        },
    ));
    records.push(event(6000, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records.push(event(7100, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records
}

/// The same inside TLS, as a probe tells it.
fn silent_request(s: &Secrets) -> Vec<Record> {
    let mut records = connected(s);
    let url = format!(
        "https://proxy.{0}.com:8443/{1}/{2}.{0}.com/{1}/!{3}/@v/v1.2.3.zip",
        s.domain, s.project, s.host, s.module
    );
    records.push(event(12, 10, What::GoRequest { goid: 7, method: "GET".into(), url }));
    let on = What::GoRequestOn { goid: 7, socket: Some(Inode(60)), http2: true, tls: true };
    records.push(event(12, 10, on));
    records.push(event(6000, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records.push(event(7100, 10, What::Snapshot(Box::new(snapshot(s, false)))));
    records
}

fn refused_certificate(s: &Secrets) -> Vec<Record> {
    let mut records = connected(s);
    let name = format!("proxy.{}.com", s.domain);
    let hello =
        What::TlsClientHello { socket: Some(Inode(60)), sni: Some(name.clone()), size: 517 };
    records.push(event(12, 10, hello));
    let reply = What::TlsReply { socket: Some(Inode(60)), reply: TlsReply::ServerHello };
    records.push(event(13, 10, reply));
    let text = format!(
        "go: {0}.{1}.com/{2}/{3}@v1.2.3: Get \"https://{name}:8443/{2}/@v/list\": tls: failed to verify certificate: \
         x509: certificate signed by unknown authority\nfatal: {4}@{0}: Permission denied for {4} in \
         /home/{4}/{2}/go.mod:5:2, dial tcp {5}:443 ({3}) [branch {2}-{3}]\n",
        s.host, s.domain, s.project, s.module, s.user, s.ip
    );
    records.push(event(
        20,
        10,
        What::Output { fd: Fd(2), text, truncated: false, ends_line: true },
    ));
    records.push(event(30, 10, What::ProcessExit { exit: Exit::Code(1), cpu_ns: 0 }));
    records.push(end(31, 1));
    records
}

fn anonymous(records: &[Record]) -> Vec<Record> {
    let mut anonymizer = Anonymizer::new();
    records.iter().cloned().map(|r| anonymizer.record(r)).collect()
}

fn folded(records: &[Record]) -> Watch {
    replay(records.iter().cloned().map(Ok)).unwrap()
}

/// What must be the same: everything but the names.
fn structure(findings: &[Finding]) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let of = |f: &Finding| {
        let peer = f.peer.as_ref().map(|p| (p.host.is_some(), p.port, p.other_addresses.len()));
        let lock = f.lock.as_ref().map(|l| l.holders.iter().map(|h| h.pid).collect::<Vec<_>>());
        let links: Vec<Pid> = f.chain.iter().map(|l| l.pid).collect();
        let told = (f.modules.len(), f.remedies.len(), f.evidence.len(), f.alternatives.clone());
        let when = (f.since_ns, f.end_ns, f.confidence, f.blocked.pid);
        ((f.code.clone(), f.symptom.clone(), f.state, f.role), peer, lock, links, told, when)
    };
    findings.iter().map(of).collect()
}

fn scenarios(s: &Secrets) -> [(&'static str, Vec<Record>); 5] {
    [
        ("dns-silent", silent_resolver(s)),
        ("lock-held", held_lock(s)),
        ("http-silent", silent_server(s)),
        ("http-silent", silent_request(s)),
        ("tls-failed", refused_certificate(s)),
    ]
}

#[test]
fn the_answer_stays_the_same() {
    for (code, records) in scenarios(&fixed()) {
        let before = folded(&records).findings();
        assert_eq!(before.first().map(|f| f.code.as_str()), Some(code), "{before:#?}");
        let after = folded(&anonymous(&records)).findings();
        assert_eq!(structure(&before), structure(&after), "{code}: {after:#?}");
    }
}

#[test]
fn a_lock_still_names_a_module_and_a_request_the_same_one() {
    let s = fixed();
    let mut names = Names::default();
    let lock = names.path(&lock_path(&s));
    let module = module_of_lock_path(&lock, None).unwrap();
    let named = names.module(&format!("{}.{}.com/{}/{}", s.host, s.domain, s.project, s.module));
    assert_eq!(module.module.as_deref(), Some(named.as_str()));
    assert_eq!(module.version.as_deref(), Some("v1.2.3"));

    let url = names.url(&format!(
        "https://p/{}.{}.com/{}/{}/@v/v1.2.3.zip",
        s.host, s.domain, s.project, s.module
    ));
    let request = proxy_request(url.splitn(4, '/').nth(3).unwrap(), "").unwrap();
    assert_eq!((request.module, request.version.as_deref()), (named, Some("v1.2.3")));
}

#[test]
fn patterns_still_match_and_lists_stay_lists() {
    let s = fixed();
    let mut names = Names::default();
    let mut settings = match go_settings(&s) {
        What::GoSettings(settings) => *settings,
        other => panic!("{other:?}"),
    };
    names.go_settings(&mut settings);
    let get = |name: &str| settings.env[name].value.clone();
    let mut module = |path: &str| names.module(path);
    let private = module(&format!("{}.{}.com/{}/lib", s.host, s.domain, s.project));
    assert!(matches_prefix_patterns(&get("GOPRIVATE"), &private), "{private} {}", get("GOPRIVATE"));
    assert!(matches_prefix_patterns(&get("GOPRIVATE"), &module(&format!("x.{}.net/a", s.domain))));
    assert!(!matches_prefix_patterns(&get("GOPRIVATE"), &module(&format!("x.{}.com/a", s.domain))));
    let kinds = |text: &str| -> Vec<_> {
        proxies(text)
            .into_iter()
            .map(|p| (p.falls_through, std::mem::discriminant(&p.kind)))
            .collect()
    };
    let before = format!("https://proxy.{0}.com:8443/x/|https://y.{0}.com,direct", s.domain);
    assert_eq!(kinds(&get("GOPROXY")), kinds(&before));
    assert!(get("GOPROXY").contains(":8443/"), "{}", get("GOPROXY"));
    assert_eq!(get("GOFLAGS").matches("-mod=mod -modfile=/srv/").count(), 1, "{}", get("GOFLAGS"));
    assert_eq!(get("GODEBUG"), "netdns=go");
}

#[test]
fn what_belongs_to_everybody_stays() {
    let mut names = Names::default();
    for text in [
        "go: downloading",
        "dial tcp 127.0.0.1:3128: connect: connection refused",
        "dial tcp [::1]:443: i/o timeout (Client.Timeout exceeded while awaiting headers)",
        "HTTP/1.1 407 Proxy Authentication Required",
        "Get \"https://go.dev/golang.org/toolchain/@v/v0.0.1-go1.24.1.linux-amd64.zip\": EOF",
        "remote error: tls: handshake failure, ECONNREFUSED ENOLCK SIGKILL",
        "SECURITY ERROR",
        "/usr/lib/git-core/git-remote-https",
        "/etc/resolv.conf",
        "text/html; charset=utf-8",
        "application/octet-stream",
    ] {
        assert_eq!(names.text(text), text);
    }
    let public = "/home/git/go/pkg/mod/cache/download/golang.org/toolchain/@v/v0.0.1-go1.24.1.linux-amd64.lock";
    assert_eq!(names.path(public), public);
    assert_eq!(names.path("/home/git/go/pkg/mod/cache/lock"), "/home/git/go/pkg/mod/cache/lock");
    assert_eq!(names.host("localhost"), "localhost");
}

#[test]
fn functions_of_everybody_stay() {
    let s = fixed();
    let mut go = goroutines(&s);
    Names::default().goroutines(&mut go, true);
    let functions = &go.goroutines[0].functions;
    assert_eq!(functions[..2], ["cmd/go/internal/modfetch.lockVersion", "main.main"]);
    assert_eq!(go.goroutines[0].module().map(|(_, version)| version), Some(Some("v1.2.3")));
    let mut other = goroutines(&s);
    Names::default().goroutines(&mut other, false);
    assert_ne!(other.goroutines[0].functions[1], "main.main");
}

#[test]
fn phrases_that_rules_look_for_stay() {
    let phrase = regex::Regex::new(r#""([^"\\{}]{4,})""#).unwrap();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/diagnose");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        // A rule that looks at what was said keeps its phrases in tables before its first function, or says them in place.
        let asks = source.lines().filter(|l| l.contains("said(\"")).collect::<Vec<_>>().join("\n");
        let tables = source.split("\npub(super) fn ").next().unwrap_or_default();
        let tables = if source.contains(".said(") { tables } else { "" };
        for found in phrase.captures_iter(&format!("{asks}\n{tables}")) {
            // A phrase may end within a URL.
            let said = found[1].split("://").next().unwrap_or_default();
            assert_eq!(
                Names::default().text(said),
                said,
                "{}: add its words to words.txt",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} phrases");
}

#[test]
fn addresses_are_told_apart_and_never_run_out() {
    let mut names = Names::default();
    let made: std::collections::HashSet<_> = (0..70_000u32)
        .map(|n| names.ip(std::net::Ipv4Addr::from(0x0a00_0000 + n).into()))
        .collect();
    assert_eq!(made.len(), 70_000);
    assert_eq!(names.ip("10.0.0.0".parse().unwrap()).to_string(), "198.51.100.1");
    assert_eq!(names.ip("fd00::7".parse().unwrap()).to_string(), "2001:db8::1");
    assert_eq!(names.ip("::ffff:10.0.0.0".parse().unwrap()).to_string(), "::ffff:198.51.100.1");
    assert_eq!(names.socket("127.0.0.1:80".parse().unwrap()).to_string(), "127.0.0.1:80");
}

#[test]
fn the_same_name_gets_the_same_name_in_every_place() {
    let mut names = Names::default();
    let host = names.host("git.corpq.com");
    assert_eq!(names.text("dial git.corpq.com:443"), format!("dial {host}:443"));
    assert_eq!(names.url("https://git.corpq.com/"), format!("https://{host}/"));
    assert_eq!(names.host("corpq.com"), host.split_once('.').unwrap().1);
    let home = names.path("/home/zjdoez/x");
    let user = home.split('/').nth(2).unwrap().to_owned();
    assert_eq!(names.text("for zjdoez"), format!("for {user}"));
    assert_eq!(names.text("zjdoez@git.corpq.com:22"), format!("{user}@{host}:22"));
}

/// No word of everybody's looks like this.
fn name() -> impl Strategy<Value = String> {
    "[a-z]{2,5}q[a-z0-9]{0,3}z[a-z]{1,4}"
}

prop_compose! {
    fn secrets()(
        words in proptest::collection::hash_set(name(), 5),
        a in 1u8..=250, b in 1u8..=250,
    ) -> Secrets {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap();
        Secrets {
            user: next(), domain: next(), host: next(), project: next(), module: next(),
            ip: format!("10.{a}.{b}.77"), resolver: format!("172.16.{b}.{a}"),
        }
    }
}

/// A piece of text in which names stand in all the ways that programs put them.
fn said(s: &Secrets, shape: &str) -> String {
    shape
        .replace("USER", &s.user)
        .replace("DOMAIN", &s.domain)
        .replace("HOST", &s.host)
        .replace("PROJECT", &s.project)
        .replace("MODULE", &s.module)
        .replace("RESOLVER", &s.resolver)
        .replace("IP", &s.ip)
}

const SHAPES: &[&str] = &[
    "USER",
    "USER's",
    "(USER)",
    "USER@HOST",
    "USER@HOST.DOMAIN.com:PROJECT/MODULE.git",
    "HOST.DOMAIN.com.",
    "--USER=PROJECT",
    "-lUSER",
    "~USER/PROJECT",
    "~/PROJECT",
    "./PROJECT/...",
    "../PROJECT",
    "PROJECT.go:12:3:",
    "IP",
    "IP:443:",
    "[IP]",
    "IP->RESOLVER:53",
    "ip-HOST",
    "http://USER:MODULE@HOST:80/PROJECT?q=MODULE#PROJECT",
    "HTTPS_PROXY=http://HOST:3128",
    "PROJECT=MODULE=USER",
    "h1:PROJECT=",
    "v1.2.3@PROJECT",
    "PROJECT@MODULE",
    "HOST.DOMAIN.com/PROJECT/MODULE@PROJECT/MODULE:",
    "\\\\HOST\\PROJECT",
    "file:///home/USER/PROJECT",
    "a/PROJECT",
    "PROJECT-MODULE_USER",
    "PROJECT.MODULE",
    ".PROJECT",
    "PROJECT.zip",
    "\u{1b}[31mPROJECT\u{1b}[0m",
    "ssh://git@HOST",
    "/PROJECT:/MODULE:USER",
    "PROJECT%2fMODULE",
    "fe80::1%USER",
    "USER:PROJECT:MODULE",
    "[PROJECT]:22",
    "...PROJECT",
    "x://PROJECT",
    "PROJECT://MODULE",
    "IP/24",
    "=PROJECT",
    "@PROJECT",
    ":PROJECT",
    "PROJECT\u{2026}",
    "\u{e9}PROJECT",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_name_survives(s in secrets()) {
        for (_, records) in scenarios(&s) {
            let text = anonymous(&records).iter().map(|r| serde_json::to_string(r).unwrap()).collect::<String>();
            for secret in s.all() {
                prop_assert!(!text.contains(secret), "{} in {}", secret, text);
            }
        }
    }

    #[test]
    fn no_name_survives_in_what_is_said(
        s in secrets(),
        picks in proptest::collection::vec(proptest::sample::select(SHAPES), 1..6),
    ) {
        let text = said(&s, &picks.join(" "));
        let mut names = Names::default();
        for clean in [names.text(&text), names.path(&text), names.module(&text), names.url(&text), names.host(&text)] {
            for secret in s.all() {
                prop_assert!(!clean.contains(secret), "{} in {:?} from {:?}", secret, clean, text);
            }
        }
    }

    #[test]
    fn any_text_is_taken(text in any::<String>()) {
        let mut names = Names::default();
        let _ = (names.text(&text), names.path(&text), names.module(&text), names.url(&text), names.host(&text));
    }
}
