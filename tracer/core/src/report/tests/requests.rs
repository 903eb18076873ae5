//! Requests in the timeline: each once, with its module, host and status.

use crate::decode::sockaddr::Address;
use crate::event::*;
use crate::report::{Frame, Report, SpanStatus, SpanType, replay, report};
use crate::units::{Fd, Inode, Nanos, Pid, Tid};

const GO: i32 = 100;
const ZIP: &str = "/example.com/lib/@v/v1.4.2.zip";

/// The report of a go command that ends well after these events, ten milliseconds apart.
fn of(goproxy: &str, events: impl IntoIterator<Item = What>) -> Report {
    let header = Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.into(),
        gmtrace: "0.1.0".into(),
        mode: Mode::Launch,
        argv: vec!["go".into(), "mod".into(), "download".into()],
        cwd: "/m".into(),
        pid: Pid(GO),
        started_at: "2026-01-01T00:00:00.000000000Z".into(),
        host: Host::default(),
        backend: Backend { name: "ebpf".into(), ..Backend::default() },
        stall_after_ns: Nanos::from_secs(5),
    };
    let exec = Exec {
        exe: "/usr/bin/go".into(),
        argv: header.argv.clone(),
        cwd: "/m".into(),
        role: ProcessRole::Go,
        telemetry: false,
    };
    let setting = Setting { value: goproxy.into(), origin: SettingOrigin::Environment };
    let env = [("GOPROXY".to_owned(), setting)].into();
    let settings = GoSettings { env, ..GoSettings::default() };
    let before = [
        What::ProcessStart { ppid: Pid(1), ns_pid: None },
        What::Exec(exec),
        What::GoSettings(Box::new(settings)),
    ];
    let after = [What::ProcessExit { exit: Exit::Code(0), cpu_ns: 0 }];
    let mut t = Nanos(0);
    let records = before.into_iter().chain(events).chain(after).map(|what| {
        t = t.plus(Nanos::from_millis(10));
        Record::Event(Box::new(Event { t, pid: Pid(GO), tid: Tid(GO), what }))
    });
    let mut records: Vec<Record> =
        std::iter::once(Record::Header(Box::new(header))).chain(records).collect();
    let (exit, ended_by) = (Some(Exit::Code(0)), Some(EndedBy::Exit));
    records.push(Record::End(End { r#type: EndTag::End, t, exit, ended_by, lost: 0 }));
    let watch = replay(records.into_iter().map(Ok)).expect("a recording");
    report(&watch, &Frame::default())
}

/// A connection to port 80 of 192.0.2.`last`.
fn connects(last: u8, socket: u64) -> [What; 2] {
    let (fd, socket) = (Fd(i32::from(last)), Some(Inode(socket)));
    let peer = Address::Inet(format!("192.0.2.{last}:80").parse().expect("an address"));
    [
        What::Connect { fd, socket, transport: Transport::Tcp, peer },
        What::ConnectEnd { fd, socket, result: "ok".into() },
    ]
}

fn begins(url: &str) -> What {
    What::GoRequest { goid: 7, method: "GET".into(), url: url.into() }
}

fn on(socket: Option<u64>) -> What {
    What::GoRequestOn { goid: 7, socket: socket.map(Inode), http2: false, tls: false }
}

fn ends(status: Option<u16>) -> What {
    What::GoResponse { goid: 7, status, content_length: Some(4711), error: None }
}

/// The same request as the bytes on its connection show it.
fn plain(socket: u64, url: &str) -> What {
    let (method, url, socket) = ("GET".into(), url.into(), Some(Inode(socket)));
    What::HttpRequest { socket, method, url, proxy_authorization: false }
}

#[test]
fn what_was_seen_twice_is_told_once() {
    let [first, second] = ["mod", "zip"]
        .map(|file| format!("http://proxy.example.com/example.com/lib/@v/v1.4.2.{file}"));
    let [connect, connected] = connects(10, 60);
    let [elsewhere, there] = connects(11, 61);
    let report = of(
        "http://proxy.example.com",
        [
            connect,
            connected,
            begins(&first),
            on(Some(60)),
            plain(60, &first),
            ends(Some(200)),
            begins(&second),
            on(Some(60)),
            plain(60, &second),
            ends(Some(200)),
            // Of a program whose requests no probe tells.
            elsewhere,
            there,
            plain(61, "http://git.example.com/x"),
        ],
    );
    assert_eq!(report.totals.requests, 3);
    let by_host: Vec<_> = report.hosts.iter().map(|h| (h.host.as_str(), h.requests)).collect();
    assert_eq!(by_host, [("proxy.example.com", Some(2)), ("git.example.com", Some(1))]);
    let http: Vec<_> = report.spans.iter().filter(|s| s.r#type == SpanType::Http).collect();
    assert_eq!(http.len(), 3, "{http:?}");
    let zip = http.iter().find(|s| s.name == format!("GET {second}")).expect("its span");
    assert_eq!((zip.goid, zip.module.as_deref()), (Some(7), Some("example.com/lib@v1.4.2")));
    assert_eq!(zip.status, SpanStatus::Ok);
    assert_eq!(zip.attrs["http.response.status_code"], 200);
    assert_eq!(zip.attrs["http.response.body.size"], 4711);
    assert_eq!(zip.attrs["server.address"], "proxy.example.com");
    assert_eq!(zip.attrs["network.peer.address"], "192.0.2.10");
    let [module] = &report.modules[..] else { panic!("{:?}", report.modules) };
    assert_eq!((module.path.as_str(), module.version.as_str()), ("example.com/lib", "v1.4.2"));
    assert_eq!((module.result.as_str(), module.attempts.len()), ("ok", 1));
    assert_eq!(module.wait_ns["first_byte"], 40_000_000);
}

#[test]
fn each_entry_that_was_tried_has_what_came_of_it() {
    let at = |proxy: &str| format!("https://{proxy}.example.com{ZIP}");
    let report = of(
        "https://first.example.com,https://second.example.com|https://third.example.com",
        [
            begins(&at("first")),
            on(None),
            ends(Some(404)),
            begins(&at("second")),
            ends(None),
            begins(&at("third")),
            on(None),
            ends(Some(302)),
            begins("https://store.example.com/blob/4711"),
            on(None),
            ends(Some(200)),
            begins("https://third.example.com/sumdb/sum.example.com/lookup/example.com/lib@v1.4.2"),
            on(None),
            ends(Some(410)),
        ],
    );
    let [module] = &report.modules[..] else { panic!("{:?}", report.modules) };
    let tried: Vec<_> = module
        .attempts
        .iter()
        .map(|a| (a.entry.as_str(), a.host.as_str(), a.status, a.error.as_deref()))
        .collect();
    assert_eq!(
        tried,
        [
            ("https://first.example.com", "first.example.com", Some(404), None),
            ("https://second.example.com", "second.example.com", None, Some("no answer")),
            ("https://third.example.com", "third.example.com", Some(200), None),
        ]
    );
    assert_eq!(report.totals.requests, 4, "one was never sent");
}
