//! The faults of a module proxy.

use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::servers::{Fault, FullBacklog, ModuleProxy, Modules, wait_for_syn};

use super::{download, project, proxy, three};

const ZIP: &str = "/m001/@v/v1.0.0.zip";

#[test]
fn delayed_answers_are_answers() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().always(Fault::Delay(Duration::from_millis(20)));
    download(&project(&modules)?).proxy(&proxy.url()).run()?.succeeded()?;
    Ok(())
}

#[test]
fn a_silent_request_is_read_and_not_answered() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Silent);
    let running = download(&project(&modules)?).proxy(&proxy.url()).spawn()?;
    proxy.wait_for(ZIP)?;
    let finished = running.kill()?;
    assert!(!finished.status.success());
    assert_eq!(proxy.wait_for(ZIP)?.status, None);
    Ok(())
}

#[test]
fn a_silence_that_is_lifted_lets_go_come_to_its_end() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).spawn()?;
    proxy.wait_for(ZIP)?;
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}

#[test]
fn a_body_stops_where_it_was_told_to_and_goes_on_when_lifted() -> Result<()> {
    let modules = Modules::generated(3, 100_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).spawn()?;
    assert_eq!(proxy.wait_for_body(ZIP, 50_000)?.sent, 50_000);
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    assert!(proxy.wait_for(ZIP)?.sent > 100_000);
    Ok(())
}

#[test]
fn a_throttled_body_comes_in_small_pieces_and_arrives() -> Result<()> {
    let modules = Modules::generated(3, 3000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(20_000));
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).spawn()?;
    let first = proxy.wait_for_body(ZIP, 1)?;
    assert_eq!(first.sent % 1000, 0, "pieces of a twentieth of the rate");
    running.wait()?.succeeded()?;
    Ok(())
}

#[test]
fn a_throttle_that_is_lifted_ends_at_once() -> Result<()> {
    let modules = Modules::generated(3, 3_000_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(20));
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).spawn()?;
    proxy.wait_for_body(ZIP, 2)?;
    proxy.faults().lift(); // a day and a half early
    running.wait()?.succeeded()?;
    Ok(())
}

#[test]
fn a_connection_is_cut_by_rst() -> Result<()> {
    fails_with(Fault::BodyThenReset(500), "connection reset by peer")
}

#[test]
fn a_connection_is_closed_too_early() -> Result<()> {
    fails_with(Fault::BodyThenClose(500), "unexpected EOF")
}

#[test]
fn a_status_is_what_go_hears() -> Result<()> {
    for status in [401, 403, 404, 410, 429, 503] {
        fails_with(Fault::Status(status, "because of a test"), &status.to_string())?;
    }
    Ok(())
}

#[test]
fn a_text_goes_with_the_status() -> Result<()> {
    fails_with(Fault::Status(404, "because of a test"), "because of a test")
}

#[test]
fn another_content_does_not_match_the_sums() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    let module = modules.find("example.com/m001", "v1.0.0").ok_or(anyhow::anyhow!("no m001"))?;
    proxy.faults().on(ZIP, ModuleProxy::tampered(module)?);
    let project = project(&modules)?.file("go.sum", &modules.go_sum())?;
    download(&project).proxy(&proxy.url()).run()?.failed_saying("checksum mismatch")?;
    Ok(())
}

#[test]
fn a_login_page_is_no_module() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().always(Fault::LoginPage);
    let project = project(&modules)?;
    let get = project.go(["list", "-m", "example.com/other@v1.0.0"]).proxy(&proxy.url()).run()?;
    get.failed_saying("invalid character '<'")?;
    Ok(())
}

#[test]
fn a_redirect_leads_to_the_second_host() -> Result<()> {
    let modules = three();
    let (first, second) = (proxy(&modules)?, proxy(&modules)?);
    first.faults().on(ZIP, Fault::Redirect(second.url()));
    download(&project(&modules)?).proxy(&first.url()).run()?.succeeded()?;
    assert_eq!(first.wait_for(ZIP)?.status, Some(302));
    assert_eq!(second.log().all().len(), 1);
    assert_eq!(second.wait_for(ZIP)?.status, Some(200));
    Ok(())
}

#[test]
fn a_full_backlog_answers_no_syn() -> Result<()> {
    let nobody = FullBacklog::start([127, 0, 0, 1], 0)?;
    let project = project(&three())?;
    let running = download(&project).proxy(&format!("http://{}", nobody.address())).spawn()?;
    wait_for_syn(nobody.address())?;
    running.kill()?;
    Ok(())
}

#[test]
fn a_toolchain_is_asked_for_before_any_module() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().on("golang.org/toolchain/", Fault::Silent);
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).env("GOTOOLCHAIN", "go1.99.0").spawn()?;
    proxy.wait_for("/golang.org/toolchain/@v/v0.0.1-go1.99.0.")?;
    assert_eq!(proxy.log().all().len(), 1);
    running.kill()?;
    Ok(())
}

/// `go mod download` fails, saying `text`, when the zip of one module meets `fault`.
fn fails_with(fault: Fault, text: &str) -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, fault);
    download(&project(&modules)?).proxy(&proxy.url()).run()?.failed_saying(text)?;
    Ok(())
}
