//! Requests inside TLS, as probes tell of them.

use super::{ROOT, Run, codes};
use crate::decode::sockaddr::Address;
use crate::event::{Sample, TcpInfo, TcpSample, TlsReply, Transport, What};
use crate::report::{Confidence, Role};
use crate::units::{Fd, Inode, Nanos};

const PROXY: &str = "https://proxy.example.com";
const SOCKET: Option<Inode> = Some(Inode(7));

/// A connection inside TLS to port 443 of 192.0.2.10.
fn connected(goproxy: &str) -> Run {
    let (fd, socket) = (Fd(5), SOCKET);
    let peer = Address::Inet("192.0.2.10:443".parse().unwrap());
    let sni = Some("proxy.example.com".to_owned());
    Run::of("go mod download -json")
        .env("GOPROXY", goproxy)
        .event(ROOT, What::Connect { fd, socket, transport: Transport::Tcp, peer })
        .event(ROOT, What::ConnectEnd { fd, socket, result: "ok".into() })
        .event(ROOT, What::TlsClientHello { socket, sni, size: 1500 })
        .event(ROOT, What::TlsReply { socket, reply: TlsReply::ServerHello })
}

/// A goroutine asks for this.
fn asks(run: Run, goid: u64, url: &str) -> Run {
    let (method, url) = ("GET".to_owned(), url.to_owned());
    run.event(ROOT, What::GoRequest { goid, method, url })
        .event(ROOT, What::GoRequestOn { goid, socket: SOCKET, http2: true, tls: true })
}

fn answers(run: Run, goid: u64, url: &str, status: u16) -> Run {
    let status = Some(status);
    let run = asks(run, goid, url)
        .event(ROOT, What::GoResponse { goid, status, content_length: None, error: None });
    let tcp = TcpInfo { bytes_received: 5000, last_data_sent_ms: 20, ..TcpInfo::default() };
    let counters = TcpSample {
        inode: Inode(7),
        local: "192.0.2.1:40000".parse().unwrap(),
        peer: "192.0.2.10:443".parse().unwrap(),
        state: "ESTABLISHED".into(),
        tcp,
    };
    run.event(ROOT, What::Sample(Sample { connections: vec![counters], processes: vec![] }))
}

fn file(module: &str, file: &str) -> String {
    format!("{PROXY}/{module}/@v/v1.4.2.{file}")
}

#[test]
fn a_request_that_is_not_answered_is_named_though_it_is_inside_tls() {
    let run = asks(connected(PROXY), 9, &file("example.com/lib", "zip"));
    let found = run.passes(Nanos::from_secs(8)).stands_still();
    assert_eq!(codes(&found), ["http-silent"]);
    let finding = &found[0];
    assert_eq!(finding.confidence, Confidence::Certain);
    assert_eq!(finding.role, Some(Role::ModuleProxy));
    assert_eq!(finding.modules, ["example.com/lib@v1.4.2"]);
    assert_eq!(finding.blocked.goid, Some(9));
    let known = finding.evidence.iter().find(|e| e.source == "go-request").unwrap();
    assert!(known.text.contains(&file("example.com/lib", "zip")), "{}", known.text);
}

#[test]
fn a_status_that_ends_the_list_is_a_refusal_though_it_is_inside_tls() {
    for (goproxy, status, expected) in [
        (PROXY, 404, "http-refused"),
        (PROXY, 403, "http-refused"),
        ("https://proxy.example.com,direct", 403, "http-refused"),
        ("https://proxy.example.com,direct", 410, "unknown"),
        ("https://proxy.example.com|direct", 503, "unknown"),
        (PROXY, 200, "unknown"),
    ] {
        let run = answers(connected(goproxy), 9, &file("example.com/lib", "info"), status);
        let found = run.ends(1);
        assert_eq!(codes(&found), [expected], "{goproxy} {status}");
        if expected == "http-refused" {
            assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
            let peer = found[0].peer.as_ref().unwrap();
            assert_eq!(peer.address.as_deref(), Some("192.0.2.10"));
        }
    }
}

/// `go get example.com/lib/inner` asks for both, and only one is a module.
#[test]
fn a_guess_at_where_a_module_begins_is_no_refusal() {
    let run = answers(connected(PROXY), 9, &file("example.com/lib/inner", "info"), 404);
    let found = answers(run, 10, &file("example.com/lib", "info"), 200).ends(1);
    assert_eq!(codes(&found), ["unknown"]);
    let run = answers(connected(PROXY), 9, &file("example.com/library", "info"), 404);
    let found = answers(run, 10, &file("example.com/lib", "info"), 200).ends(1);
    assert_eq!(codes(&found), ["http-refused"]);
}

#[test]
fn what_a_redirect_led_to_and_was_refused_is_the_answer_of_the_entry() {
    let store = "https://store.example.com/blob/4711";
    for (goproxy, expected) in
        [(PROXY, "http-refused"), ("https://proxy.example.com,direct", "unknown")]
    {
        let run = answers(connected(goproxy), 9, &file("example.com/lib", "zip"), 302);
        let found = answers(run, 9, store, 404).ends(1);
        assert_eq!(codes(&found), [expected], "{goproxy}");
        if expected == "http-refused" {
            assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
            let peer = found[0].peer.as_ref().unwrap();
            assert_eq!(peer.host.as_deref(), Some("store.example.com"));
        }
    }
}
