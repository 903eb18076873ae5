//! What is known of the network when nothing but the command's own words was seen. Texts of go 1.21.13 and 1.27.3, git 2.39.

use super::{ROOT, Run, codes};
use crate::decode::sockaddr::Address;
use crate::event::{
    Descriptor, DescriptorTarget, Event, ProcessRole, ProcessState, Snapshot, Socket, TcpInfo,
    TcpSample, Transport, What,
};
use crate::report::Role;
use crate::units::{Fd, Inode, Nanos, Pid, Tid};

const GET: &str =
    "go: example.com/lib@v1.4.2: Get \"https://proxy.example.com/example.com/lib/@v/v1.4.2.mod\": ";

#[test]
fn a_look_up_is_told_by_gos_words_where_its_questions_were_not_seen() {
    for (why, code) in [
        ("dial tcp: lookup proxy.example.com on 192.0.2.53:53: no such host", "dns-failed"),
        ("dial tcp: lookup proxy.example.com on 192.0.2.53:53: server misbehaving", "dns-failed"),
        (
            "dial tcp: lookup proxy.example.com on 192.0.2.53:53: read udp 192.0.2.1:40000->192.0.2.53:53: i/o timeout",
            "dns-silent",
        ),
        (
            "dial tcp: lookup proxy.example.com on 192.0.2.53:53: read udp 192.0.2.1:40000->192.0.2.53:53: read: connection refused",
            "dns-unreachable",
        ),
        (
            "dial tcp: lookup proxy.example.com on 192.0.2.53:53: dial udp 192.0.2.53:53: connect: network is unreachable",
            "dns-unreachable",
        ),
    ] {
        let found = Run::of("go mod download").says(&format!("{GET}{why}\n")).ends(1);
        assert_eq!(codes(&found), [code], "{why}");
        assert!(
            found[0].summary.contains("192.0.2.53")
                && found[0].summary.contains("proxy.example.com")
        );
        assert_eq!(found[0].role, Some(Role::Resolver));
        assert_eq!(found[0].peer.as_ref().unwrap().address.as_deref(), Some("192.0.2.53"));
    }
}

#[test]
fn a_time_out_of_tcp_is_none_of_dns() {
    let found = Run::of("go mod download")
        .says(&format!("{GET}dial tcp 192.0.2.10:443: i/o timeout\n"))
        .ends(1);
    assert_eq!(codes(&found), ["unknown"]);
}

/// What was captured and what the kernel tells of a socket's end come by two ways.
#[test]
fn a_refusal_counts_though_the_end_of_its_socket_was_told_first() {
    let (fd, socket) = (Fd(5), Some(Inode(7)));
    let peer: std::net::SocketAddr = "192.0.2.10:443".parse().unwrap();
    let connect =
        What::Connect { fd, socket, transport: Transport::Tcp, peer: Address::Inet(peer) };
    let ended = What::TcpClosed(TcpSample {
        inode: Inode(0),
        local: "192.0.2.1:40000".parse().unwrap(),
        peer,
        state: "CLOSE".into(),
        tcp: TcpInfo::default(),
    });
    let mut run = Run::of("go mod download").event(ROOT, connect);
    let refused_at = run.t;
    run = run.event(0, ended);
    let result = "ECONNREFUSED".into();
    let what = What::ConnectEnd { fd, socket, result };
    run.session.apply(&Event { t: refused_at, pid: Pid(ROOT), tid: Tid(ROOT), what });
    assert_eq!(codes(&run.ends(1)), ["connect-refused"]);
}

/// A connection to the web proxy at 192.0.2.3 port 3128.
fn to_web_proxy(run: Run) -> Run {
    let (fd, socket) = (Fd(5), Some(Inode(7)));
    let peer = Address::Inet("192.0.2.3:3128".parse().unwrap());
    run.env("HTTP_PROXY", "http://192.0.2.3:3128")
        .event(ROOT, What::Connect { fd, socket, transport: Transport::Tcp, peer })
        .event(ROOT, What::ConnectEnd { fd, socket, result: "ok".into() })
}

#[test]
fn a_web_proxy_that_wants_a_login_is_named_with_the_variable() {
    let tunnel = format!("{GET}Proxy Authentication Required\n");
    let plain = "go: example.com/lib@v1.4.2: reading http://proxy.example.com/example.com/lib/@v/v1.4.2.mod: 407 Proxy Authentication Required\n";
    for said in [tunnel.as_str(), plain] {
        let found = to_web_proxy(Run::of("go mod download")).says(said).ends(1);
        assert_eq!(codes(&found), ["tunnel-auth"], "{said}");
        assert_eq!(found[0].peer.as_ref().unwrap().port, Some(3128));
        assert!(
            found[0].facts.iter().any(|f| f.lines == ["HTTP_PROXY, from the environment"]),
            "{:?}",
            found[0].facts
        );
        let unseen = Run::of("go mod download").says(said).ends(1);
        assert_eq!(codes(&unseen), ["tunnel-auth"], "{said}");
    }
}

#[test]
fn a_connection_that_ended_too_early_is_cut_whatever_go_calls_it() {
    for why in [
        "EOF",
        "unexpected EOF",
        "read tcp 192.0.2.1:40000->192.0.2.3:3128: read: connection reset by peer",
        "http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"\"",
        "stream error: stream ID 1; INTERNAL_ERROR; received from peer",
        "http2: client connection lost",
    ] {
        let found = to_web_proxy(Run::of("go mod download")).says(&format!("{GET}{why}\n")).ends(1);
        assert_eq!(codes(&found), ["connection-reset"], "{why}");
    }
    let found = to_web_proxy(Run::of("go mod download")).says("go: reading go.mod: EOF\n").ends(1);
    assert_eq!(codes(&found), ["unknown"]);
}

#[test]
fn a_certificate_is_told_by_what_was_said_where_the_handshake_was_not_seen() {
    let git = "fatal: unable to access 'https://proxy.example.com/repo/': SSL certificate problem: self-signed certificate";
    for why in [
        "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is after 2020-01-01T00:00:00Z",
        "remote error: tls: handshake failure",
        git,
    ] {
        let found = Run::of("go mod download").says(&format!("{GET}{why}\n")).ends(1);
        assert_eq!(codes(&found), ["tls-failed"], "{why}");
        assert!(found[0].summary.starts_with("proxy.example.com: "));
    }
}

#[test]
fn an_attempt_that_had_no_time_to_be_answered_is_no_silence() {
    let (fd, socket) = (Fd(5), Some(Inode(7)));
    let peer = Address::Inet("192.0.2.10:443".parse().unwrap());
    let connect = What::Connect { fd, socket, transport: Transport::Tcp, peer };
    let run = || Run::of("go mod download");
    let late = run().event(ROOT, connect.clone()).passes(Nanos::from_secs(30)).ends(1);
    assert_eq!(codes(&late), ["connect-silent"]);
    let at_once = run().step(Nanos::from_millis(10)).event(ROOT, connect).ends(1);
    assert_eq!(codes(&at_once), ["unknown"]);
}

/// On a busy machine the first bytes of a connection may go unseen. What git was told to fetch says that they were a CONNECT.
#[test]
fn what_git_asks_its_web_proxy_is_known_by_its_words() {
    let (fd, socket) = (Fd(5), Some(Inode(7)));
    let peer: std::net::SocketAddr = "192.0.2.3:3128".parse().unwrap();
    let words = ["git-remote-https", "origin", "https://git.example.com/lib.git"];
    let git = ProcessState {
        pid: Pid(101),
        ppid: Pid(ROOT),
        in_tree: true,
        role: ProcessRole::Git,
        comm: "git-remote-http".into(),
        argv: words.map(String::from).into(),
        state: 'S',
        descriptors: vec![Descriptor {
            fd,
            target: DescriptorTarget::Socket(Inode(7)),
            locks: Vec::new(),
            pos: None,
            access: None,
            close_on_exec: true,
        }],
        ..ProcessState::default()
    };
    let sent = TcpInfo { bytes_acked: 122, last_data_sent_ms: 6000, ..TcpInfo::default() };
    let connection = Socket {
        inode: Inode(7),
        protocol: Transport::Tcp,
        state: "ESTABLISHED".into(),
        local: "192.0.2.9:4000".parse().unwrap(),
        peer: Some(peer),
        receive_queue: 0,
        send_queue: 0,
        tcp: Some(sent),
    };
    let connect =
        What::Connect { fd, socket, transport: Transport::Tcp, peer: Address::Inet(peer) };
    let found = Run::of("go mod download")
        .starts(101, ROOT, "git remote-https")
        .event(101, connect)
        .event(101, What::ConnectEnd { fd, socket, result: "ok".into() })
        .passes(Nanos::from_secs(6))
        .snapshot(Snapshot {
            processes: vec![git],
            sockets: vec![connection],
            ..Snapshot::default()
        })
        .stands_still();
    assert_eq!(codes(&found)[0], "tunnel-silent", "{found:?}");
    assert!(found[0].summary.contains("asked for git.example.com:443"), "{}", found[0].summary);
}
