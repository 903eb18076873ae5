//! HTTP/2, as real module proxies speak it: one connection for all modules.

use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::go::GoCommand;
use gmtrace_tests::servers::{
    Access, Fault, HttpServer, Listen, ModuleProxy, Modules, Response, TestCa,
};

use super::{download, project, three};

const ZIP: &str = "/m001/@v/v1.0.0.zip";

/// A proxy that speaks HTTP/2, and the authority of its certificate.
fn proxy(modules: &Modules) -> Result<(HttpServer<ModuleProxy>, TestCa)> {
    let ca = TestCa::new()?;
    let listen = Listen::loopback().tls(ca.tls(&[])?).http2();
    Ok((HttpServer::start(listen, ModuleProxy::new(modules))?, ca))
}

/// `go mod download` of three modules from there.
fn from(proxy: &HttpServer<ModuleProxy>, ca: &TestCa, modules: &Modules) -> Result<GoCommand> {
    Ok(download(&project(modules)?).proxy(&proxy.url()).trust(ca))
}

#[test]
fn all_modules_come_on_one_connection() -> Result<()> {
    let modules = Modules::generated(40, 100_000);
    let (proxy, ca) = proxy(&modules)?;
    from(&proxy, &ca, &modules)?.run()?.succeeded()?;
    let asked = proxy.log().all();
    assert!(asked.len() >= 120, "{asked:#?}");
    let of_one = |access: &Access| access.http2 && access.peer == asked[0].peer;
    assert!(asked.iter().all(of_one), "{asked:#?}");
    assert!(asked.iter().all(|access| access.host == proxy.address().to_string()), "{asked:#?}");
    Ok(())
}

#[test]
fn who_would_rather_have_http_1_gets_it() -> Result<()> {
    let modules = three();
    let (proxy, ca) = proxy(&modules)?;
    from(&proxy, &ca, &modules)?.env("GODEBUG", "http2client=0").run()?.succeeded()?;
    assert_eq!(proxy.log().count(|access| access.http2), 0);
    Ok(())
}

#[test]
fn a_silent_request_holds_up_no_other_until_it_is_lifted() -> Result<()> {
    let modules = three();
    let (proxy, ca) = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Silent);
    let running = from(&proxy, &ca, &modules)?.spawn()?;
    let zips = |access: &Access| access.target.ends_with(".zip") && access.status.is_some();
    proxy.log().wait_for_nth(2, "the other two zips", zips)?;
    assert_eq!(proxy.wait_for(ZIP)?.status, None);
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}

#[test]
fn a_body_stops_in_the_middle_until_it_is_lifted() -> Result<()> {
    let modules = Modules::generated(3, 100_000);
    let (proxy, ca) = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let running = from(&proxy, &ca, &modules)?.spawn()?;
    assert_eq!(proxy.wait_for_body(ZIP, 50_000)?.sent, 50_000);
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}

#[test]
fn a_body_that_comes_slowly_comes_whole() -> Result<()> {
    let modules = Modules::generated(3, 20_000);
    let (proxy, ca) = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(100_000));
    from(&proxy, &ca, &modules)?.run()?.succeeded()?;
    Ok(())
}

/// A WINDOW_UPDATE that go writes after the RST takes the error with it, and the reader finds the end of the connection
/// (socket(7), SO_ERROR).
#[test]
fn a_connection_is_cut_in_the_middle_of_a_body() -> Result<()> {
    let ends = ["connection reset by peer", "unexpected EOF", "broken pipe"];
    let failed = cut_by(Fault::BodyThenReset(50_000))?;
    assert!(ends.iter().any(|end| failed.contains(end)), "{failed}");
    Ok(())
}

#[test]
fn a_connection_is_closed_in_the_middle_of_a_body() -> Result<()> {
    let failed = cut_by(Fault::BodyThenClose(50_000))?;
    assert!(failed.contains("unexpected EOF"), "{failed}");
    Ok(())
}

/// What go says when its connection ends by this fault.
fn cut_by(fault: Fault) -> Result<String> {
    let modules = Modules::generated(3, 100_000);
    let (proxy, ca) = proxy(&modules)?;
    proxy.faults().on(ZIP, fault);
    let failed = from(&proxy, &ca, &modules)?.run()?;
    assert!(!failed.status.success(), "{}", failed.stderr);
    assert_eq!(proxy.wait_for(ZIP)?.sent, 50_000);
    assert!(failed.stderr.contains("go: example.com/m001@v1.0.0: "), "{}", failed.stderr);
    Ok(failed.stderr)
}

#[test]
fn a_status_is_told() -> Result<()> {
    let modules = three();
    let (proxy, ca) = proxy(&modules)?;
    proxy.faults().on(".mod", Fault::Status(503, "down for a moment"));
    let failed = from(&proxy, &ca, &modules)?.run()?;
    assert!(failed.stderr.contains("503 Service Unavailable"), "{}", failed.stderr);
    Ok(())
}

#[test]
fn another_answer_takes_the_place_of_the_right_one() -> Result<()> {
    let modules = three();
    let (proxy, ca) = proxy(&modules)?;
    let wrong = Response::ok("application/zip", b"no zip".as_slice());
    proxy.faults().on(ZIP, Fault::Instead(wrong));
    let failed = from(&proxy, &ca, &modules)?.run()?;
    assert!(failed.stderr.contains("zip: not a valid zip file"), "{}", failed.stderr);
    Ok(())
}

#[test]
fn pings_are_answered_while_a_request_is_not() -> Result<()> {
    let modules = three();
    let ca = TestCa::new()?;
    let listen = Listen::loopback().tls(ca.tls(&[])?).pings(Duration::from_millis(1));
    let proxy = HttpServer::start(listen, ModuleProxy::new(&modules))?;
    proxy.faults().on(ZIP, Fault::Silent);
    let running = from(&proxy, &ca, &modules)?.spawn()?;
    proxy.wait_for(ZIP)?;
    proxy.pongs().wait_for_nth(20, "an answer to a PING", |_| true)?;
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}
