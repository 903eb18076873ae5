use super::*;
use crate::event::{GoArgument, Status, WaitsFor};

/// A call of `function` with arguments; those that begin with `0x` are objects.
fn call(function: &str, arguments: &[(&str, &str)]) -> GoCall {
    let value = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => GoValue::Object(u64::from_str_radix(digits, 16).unwrap()),
        None => GoValue::Text(text.to_owned()),
    };
    let named =
        |(name, text): &(&str, &str)| GoArgument { name: (*name).into(), value: value(text) };
    GoCall { function: function.into(), arguments: arguments.iter().map(named).collect() }
}

/// A goroutine with these calls on its stack, innermost first.
fn goroutine(id: u64, parked: Option<(i32, Direction)>, calls: Vec<GoCall>) -> Goroutine {
    Goroutine {
        id,
        status: Status::Waiting,
        wait_reason: None,
        tid: None,
        waits_for: parked.map(|(fd, direction)| WaitsFor { fd: Fd(fd), direction }),
        parent: None,
        created_by: None,
        system: false,
        interrupted: None,
        functions: calls.iter().map(|call| call.function.clone()).collect(),
        cut: false,
        calls,
    }
}

fn at(fd: i32, goroutines: Vec<Goroutine>) -> Awaited {
    let go = GoRuntime { total: 2, goroutines, ..GoRuntime::default() };
    of(&go).remove(&Fd(fd)).unwrap()
}

/// The dial has the address that it has come to in it as well.
#[test]
fn a_dial_is_for_the_host_that_it_was_told() {
    let dial = vec![
        call("net.(*netFD).connect", &[]),
        call("net.(*sysDialer).dialTCP", &[("address", "192.0.2.9:80")]),
        call("net.(*Dialer).DialContext", &[("address", "proxy.example.com:80")]),
        call("net/http.(*Transport).dialConn", &[("scheme", "http")]),
    ];
    let awaited = at(5, vec![goroutine(7, Some((5, Direction::Write)), dial)]);
    assert_eq!(awaited.what, Await::Connect);
    assert_eq!(awaited.host.as_deref(), Some("proxy.example.com:80"));
}

#[test]
fn a_body_comes_from_the_host_that_its_connection_was_dialled_for() {
    let reads = vec![
        call(
            "net/http.(*persistConn).Read",
            &[("connection", "0xc000"), ("address", "storage.example.com:443")],
        ),
        call("net/http.(*bodyEOFSignal).Read", &[]),
    ];
    let awaited = at(5, vec![goroutine(7, Some((5, Direction::Read)), reads)]);
    assert_eq!(awaited.what, Await::Body);
    assert_eq!(awaited.host.as_deref(), Some("storage.example.com:443"));
}

/// As Go 1.25 has it.
#[test]
fn the_one_goroutine_that_waits_for_the_end_of_a_body_tells_its_host() {
    let reads = || {
        let calls = vec![call("net/http.(*bodyEOFSignal).Read", &[])];
        goroutine(7, Some((5, Direction::Read)), calls)
    };
    let loops = |id, host: &str| {
        let calls = vec![call("net/http.(*persistConn).readLoop", &[("address", host)])];
        goroutine(id, None, calls)
    };
    let one = at(5, vec![reads(), loops(8, "storage.example.com:443")]);
    assert_eq!(one.host.as_deref(), Some("storage.example.com:443"));
    let two = vec![reads(), loops(8, "storage.example.com:443"), loops(9, "proxy.example.com:443")];
    assert_eq!(at(5, two).host, None, "either may be it");
}

#[test]
fn a_request_to_another_host_than_the_one_asked_for_followed_a_redirect() {
    let asks = |host: &str| {
        let now = format!("https://{host}/m/@v/v1.0.0.zip");
        let request = [("connection", "0xc000"), ("url", now.as_str())];
        let first = [("url", "https://proxy.example.com/m/@v/v1.0.0.zip")];
        let calls = vec![
            call("net/http.(*persistConn).roundTrip", &request),
            call("cmd/go/internal/web.get", &first),
        ];
        let reads = call("net/http.(*persistConn).readLoop", &[("connection", "0xc000")]);
        let reader = goroutine(8, Some((5, Direction::Read)), vec![reads]);
        at(5, vec![goroutine(7, None, calls), reader]).redirected_from
    };
    let from = asks("storage.example.com");
    assert_eq!(from.as_deref(), Some("https://proxy.example.com/m/@v/v1.0.0.zip"));
    assert_eq!(asks("proxy.example.com"), None);
}

const PROXY: (i32, &str, &str) = (5, "0xc000", "proxy.example.com");
const SUMS: (i32, &str, &str) = (8, "0xd000", "sum.example.com");

/// Who reads a connection of HTTP/2.
fn reads((fd, connection, host): (i32, &str, &str)) -> Goroutine {
    let calls = vec![
        call("crypto/tls.(*Conn).Read", &[("connection", "0xaaaa"), ("host", host)]),
        call("net/http.(*http2ClientConn).readLoop", &[("connection", connection)]),
    ];
    goroutine(fd.unsigned_abs().into(), Some((fd, Direction::Read)), calls)
}

/// Who waits for a part of a response of HTTP/2, in `function`, for `module`.
fn wants(function: &str, connection: &[(&str, &str)], module: &str) -> Goroutine {
    let calls = vec![
        call(function, connection),
        call("net/http.http2transportResponseBody.Read", &[]),
        call(
            "cmd/go/internal/modfetch.(*proxyRepo).Zip",
            &[("module", module), ("version", "v1.0.0")],
        ),
    ];
    let is_body = function.ends_with("pipe).Read");
    let calls = calls.into_iter().filter(|c| is_body || !c.function.contains("ResponseBody"));
    goroutine(70, None, calls.collect())
}

const BODY: &str = "net/http.(*http2pipe).Read";
const REQUEST: &str = "net/http.(*http2ClientConn).roundTrip";

#[test]
fn a_body_of_http2_comes_on_the_connection_of_its_stream() {
    let of_proxy = || wants(BODY, &[("connection", "0xc000")], "example.com/m");
    let all = || vec![reads(PROXY), reads(SUMS), of_proxy()];
    let awaited = at(5, all());
    assert_eq!((awaited.what, awaited.modules), (Await::Body, vec!["example.com/m@v1.0.0".into()]));
    assert_eq!(awaited.host.as_deref(), Some("proxy.example.com"));
    assert_eq!(at(8, all()).what, Await::Idle);
}

#[test]
fn a_body_of_http2_whose_stream_is_not_known_may_come_on_any_connection() {
    let both = vec![reads(PROXY), reads(SUMS), wants(BODY, &[], "example.com/m")];
    let go = GoRuntime { goroutines: both, ..GoRuntime::default() };
    assert_eq!(of(&go), BTreeMap::new());
    let one = vec![reads(PROXY), wants(BODY, &[], "example.com/m")];
    assert_eq!(at(5, one).what, Await::Body, "there is only this one");
}

#[test]
fn a_connection_of_http2_is_waited_for_by_all_that_have_a_stream_on_it() {
    let awaited = at(
        5,
        vec![
            reads(PROXY),
            reads(SUMS),
            wants(BODY, &[("connection", "0xc000")], "example.com/a"),
            wants(REQUEST, &[("connection", "0xc000")], "example.com/b"),
            wants(REQUEST, &[("connection", "0xd000")], "example.com/c"),
        ],
    );
    assert_eq!(awaited.what, Await::Response);
    assert_eq!(awaited.modules, ["example.com/b@v1.0.0", "example.com/a@v1.0.0"]);
}
