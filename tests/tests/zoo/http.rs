//! Requests that are not answered, or wrongly, or slowly.

use anyhow::Result;
use gmtrace_tests::processes::await_that;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Access, Fault, Modules};
use gmtrace_tests::zoo::{self, Way};

use nix::unistd::Pid;

use super::parts::{MODULE, ZIP, download, one, project, proxy};

scenario!(n16_a_request_is_not_answered(way));
fn n16_a_request_is_not_answered(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    let found = answer.expect("http-silent").port(proxy.address().port()).module(MODULE);
    found.by_attach(|found| found.says("nothing moved"));
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").role("module-proxy");
    Ok(())
}

scenario!(n16_the_first_request_is_not_answered(way));
fn n16_the_first_request_is_not_answered(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().always(Fault::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(".mod")?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").role("module-proxy").module(MODULE).confidence("certain");
    answer.expect("http-silent").address("127.0.0.1").says("/example.com/m000/@v/v1.0.0.mod");
    hang.stop()?.expect("http-silent").role("module-proxy").address("127.0.0.1").module(MODULE);
    Ok(())
}

scenario!(n17_half_a_zip_comes(way));
fn n17_half_a_zip_comes(way: &Way) -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let project = project(&modules)?;
    let hang = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for_body(ZIP, 50_000)?;
    let answer = hang.stalls()?;
    answer.expect("body-stalled").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("body-stalled").module(MODULE).says("50 kB").confidence("certain");
    proxy.faults().lift();
    hang.succeeds()?.expect("body-stalled").state("slow").module(MODULE);
    Ok(())
}

scenario!(n18_a_zip_comes_slowly(way));
fn n18_a_zip_comes_slowly(way: &Way) -> Result<()> {
    let modules = Modules::generated(1, 24_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(2_000));
    let project = project(&modules)?;
    let goes_on = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(ZIP)?;
    let ended = goes_on.works()?;
    ended.expect("body-slow").state("notice").role("module-proxy").says("kB a second");
    Ok(())
}

scenario!(n29_the_request_is_refused(way), which ends);
fn n29_the_request_is_refused(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    for (status, text) in [(429, "too many requests"), (503, "down for a moment")] {
        proxy.faults().lift();
        proxy.faults().on(".mod", Fault::Status(status, text));
        let project = project(&one())?;
        let answer = way.run(download(&project).proxy(&proxy.url()))?.fails()?;
        answer.expect("http-refused").state("failed").role("module-proxy").address("127.0.0.1");
        answer.expect("http-refused").says(&status.to_string()).module(MODULE);
    }
    Ok(())
}

scenario!(n30_one_of_two_hundred_modules_is_not_answered(way));
fn n30_one_of_two_hundred_modules_is_not_answered(way: &Way) -> Result<()> {
    let modules = Modules::generated(200, 1000);
    let proxy = proxy(&modules)?;
    proxy.faults().on("/example.com/m137/@v/v1.0.0.zip", Fault::Silent);
    let project = project(&modules)?;
    let hang = way.run(download(&project).proxy(&proxy.url()))?;
    let zips = |asked: &Access| asked.target.ends_with(".zip");
    proxy.log().wait_for_nth(200, "a request for each zip", zips)?;
    // All others have been unpacked when nothing but this one is locked any more.
    let go = hang.command()?;
    await_that("the others are done", || only_lock(go, "m137").then_some(()))?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy");
    found.only_module("example.com/m137@v1.0.0");
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").module("example.com/m137@v1.0.0");
    Ok(())
}

/// Whether the only version lock that the process has open is that of this module.
fn only_lock(pid: Pid, module: &str) -> bool {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut locks = links.filter(|link| link.extension().is_some_and(|end| end == "lock"));
    let name = format!("/{module}/");
    locks.next().is_some_and(|lock| lock.to_string_lossy().contains(&name))
        && locks.next().is_none()
}

scenario!(n31_a_login_page_comes(way), which ends);
fn n31_a_login_page_comes(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().always(Fault::LoginPage);
    let project = zoo::go()?.project()?;
    let command = project.go(["mod", "download", MODULE]).proxy(&proxy.url());
    let answer = way.run(command)?.fails()?;
    answer.expect("not-a-module-proxy").state("failed").role("module-proxy");
    answer.expect("not-a-module-proxy").address("127.0.0.1").port(proxy.address().port());
    Ok(())
}
