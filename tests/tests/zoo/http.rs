//! Requests that are not answered, or wrongly, or slowly.

use anyhow::Result;
use gmtrace_tests::servers::{Fault, Modules};
use gmtrace_tests::zoo;

use super::parts::{MODULE, ZIP, download, one, project, proxy};

#[test]
fn n16_a_request_is_not_answered() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let hang = zoo::watch(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("http-silent").port(proxy.address().port()).module(MODULE);
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").role("module-proxy");
    Ok(())
}

#[test]
fn n16_the_first_request_is_not_answered() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().always(Fault::Silent);
    let project = project(&one())?;
    let hang = zoo::watch(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(".mod")?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").role("module-proxy").module(MODULE).confidence("certain");
    answer.expect("http-silent").says("/example.com/m000/@v/v1.0.0.mod");
    hang.stop()?.expect("http-silent").role("module-proxy").address("127.0.0.1").module(MODULE);
    Ok(())
}

#[test]
fn n17_half_a_zip_comes() -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let project = project(&modules)?;
    let hang = zoo::watch(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for_body(ZIP, 50_000)?;
    let answer = hang.stalls()?;
    answer.expect("body-stalled").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("body-stalled").module(MODULE).says("50 kB").confidence("certain");
    proxy.faults().lift();
    hang.succeeds()?.expect("body-stalled").state("slow").module(MODULE);
    Ok(())
}

#[test]
fn n18_a_zip_comes_slowly() -> Result<()> {
    let modules = Modules::generated(1, 24_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(2_000));
    let project = project(&modules)?;
    let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.succeeds()?;
    answer.no_stall().expect("body-slow").state("notice").role("module-proxy").says("kB a second");
    Ok(())
}

#[test]
fn n29_the_request_is_refused() -> Result<()> {
    let proxy = proxy(&one())?;
    for (status, text) in [(429, "too many requests"), (503, "down for a moment")] {
        proxy.faults().lift();
        proxy.faults().on(".mod", Fault::Status(status, text));
        let project = project(&one())?;
        let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.fails()?;
        answer.expect("http-refused").state("failed").role("module-proxy").address("127.0.0.1");
        answer.expect("http-refused").says(&status.to_string()).module(MODULE);
    }
    Ok(())
}

#[test]
fn n30_one_of_two_hundred_modules_is_not_answered() -> Result<()> {
    let modules = Modules::generated(200, 1000);
    let proxy = proxy(&modules)?;
    proxy.faults().on("/example.com/m137/@v/v1.0.0.zip", Fault::Silent);
    let project = project(&modules)?;
    let hang = zoo::watch(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for("/example.com/m137/@v/v1.0.0.zip")?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy");
    assert_eq!(
        found.finding["modules"],
        serde_json::json!(["example.com/m137@v1.0.0"]),
        "{answer}"
    );
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").module("example.com/m137@v1.0.0");
    Ok(())
}

#[test]
fn n31_a_login_page_comes() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().always(Fault::LoginPage);
    let project = zoo::go()?.project()?;
    let command = project.go(["mod", "download", MODULE]).proxy(&proxy.url());
    let answer = zoo::watch(command)?.fails()?;
    answer.expect("not-a-module-proxy").state("failed").role("module-proxy");
    answer.expect("not-a-module-proxy").address("127.0.0.1").port(proxy.address().port());
    Ok(())
}
