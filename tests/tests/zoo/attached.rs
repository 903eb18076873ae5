//! The same hangs, by attach: the command hangs already when gmtrace comes, and only `/proc` is read.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use gmtrace_tests::cgroup::{Controller, Group};
use gmtrace_tests::disk::DeadDisk;
use gmtrace_tests::go::Go;
use gmtrace_tests::harness::send;
use gmtrace_tests::holder::{Holder, make, wait_for_queue};
use gmtrace_tests::lab;
use gmtrace_tests::processes::{await_that, process};
use gmtrace_tests::servers::{
    Access, Fault, FullBacklog, GitHost, HttpServer, Listen, Modules, RecordType, Reply, SumDb,
    TestCa, TlsFault, WebProxy, wait_for_syn,
};
use gmtrace_tests::zoo;
use nix::sys::signal::Signal;

mod children;
mod commands;
mod connections;
mod http2;
mod idle;
mod locks;
mod names;
mod system;

use crate::children as of_git;
use crate::locks::Place;
use crate::parts::{
    ADDRESS, MODULE, NAME, PLAIN, RESOLVER, SECURE, ZIP, download, ip, one, project, proxy,
    proxy_in, resolver_in, secure_proxy_in,
};

#[test]
fn n1_the_resolver_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        resolver.always(Reply::Silent);
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN).env("GODEBUG", "netdns=go"))?;
        resolver.wait_for(NAME, RecordType::A)?;
        let answer = hang.look()?;
        answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER).port(53);
        answer.expect("dns-silent").says(NAME);
        Ok(())
    })
}

#[test]
fn n2_the_resolver_of_libc_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        resolver.always(Reply::Silent);
        let project = Go::linked_with_libc()?.project()?.requires(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN).env("GODEBUG", "netdns=cgo"))?;
        resolver.wait_for(NAME, RecordType::A)?;
        hang.look()?.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
        Ok(())
    })
}

#[test]
fn n22_a_redirect_leads_to_a_silent_host() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        resolver.knows("storage.example.com", &[ip("192.0.2.7")?]);
        lab.drop_to("192.0.2.7")?;
        proxy.faults().on(ZIP, Fault::Redirect("http://storage.example.com".to_owned()));
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip("192.0.2.7")?, 80)))?;
        let answer = hang.look()?;
        let found = answer.expect("connect-silent").role("redirect").host("storage.example.com");
        found.address("192.0.2.7").module(MODULE);
        Ok(())
    })
}

#[test]
fn n23_a_web_proxy_does_not_answer() -> Result<()> {
    let web_proxy = HttpServer::start(Listen::loopback(), WebProxy::new())?;
    web_proxy.faults().always(Fault::Silent);
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(SECURE).web_proxy(&web_proxy.url()))?;
    web_proxy.wait_for("proxy.example.com:443")?;
    let answer = hang.look()?;
    answer.expect("tunnel-silent").state("stalled").role("web-proxy").address("127.0.0.1");
    answer.expect("tunnel-silent").port(web_proxy.address().port());
    Ok(())
}

#[test]
fn n26_a_toolchain_does_not_come() -> Result<()> {
    let Some(go) = zoo::go_with("the download of toolchains", 21)? else { return Ok(()) };
    let proxy = proxy(&one())?;
    proxy.faults().on("/golang.org/toolchain/", Fault::Silent);
    let project = go.project()?.requires(&one())?;
    let project = project.file("go.mod", "module example.com/project\n\ngo 1.99.0\n")?;
    let gosumdb = SumDb::new("sum.example.com", &one())?.gosumdb(&proxy.url());
    let command = download(&project).proxy(&proxy.url()).sumdb(&gosumdb);
    let hang = zoo::hang(command.env("GOTOOLCHAIN", "auto"))?;
    proxy.wait_for("/golang.org/toolchain/")?;
    let answer = hang.look()?;
    answer.expect("http-silent").state("stalled").role("toolchain").address("127.0.0.1");
    Ok(())
}

#[test]
fn n30_one_of_two_hundred_modules() -> Result<()> {
    let modules = Modules::generated(200, 1000);
    let proxy = proxy(&modules)?;
    proxy.faults().on("/m117/@v/v1.0.0.zip", Fault::Silent);
    let project = project(&modules)?;
    let hang = zoo::hang(download(&project).proxy(&proxy.url()))?;
    let zips = |asked: &Access| asked.target.ends_with(".zip");
    proxy.log().wait_for_nth(200, "a request for each zip", zips)?;
    // All others have been unpacked when nothing but this one is locked any more.
    let pid = hang.pid().as_raw();
    await_that("the others are done", || only_lock(pid, "m117").then_some(()))?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").role("module-proxy");
    found.module("example.com/m117@v1.0.0");
    assert_eq!(found.finding["modules_total"], 1, "{answer}");
    Ok(())
}

/// Whether the only version lock that the process has open is that of this module.
fn only_lock(pid: i32, module: &str) -> bool {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let mut locks = links.filter(|link| link.extension().is_some_and(|end| end == "lock"));
    let name = format!("/{module}/");
    locks.next().is_some_and(|lock| lock.to_string_lossy().contains(&name))
        && locks.next().is_none()
}

#[test]
fn n8_nobody_accepts() -> Result<()> {
    let full = FullBacklog::start([127, 0, 0, 1], 0)?;
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(&format!("http://{}", full.address())))?;
    wait_for_syn(full.address())?;
    let answer = hang.look()?;
    answer.expect("connect-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("connect-silent").port(full.address().port()).confidence("certain");
    Ok(())
}

#[test]
fn n8_packets_are_dropped() -> Result<()> {
    lab::isolated(|lab| {
        let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        lab.drop_to(ADDRESS)?;
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip(ADDRESS)?, 80)))?;
        let answer = hang.look()?;
        let found =
            answer.expect("connect-silent").role("module-proxy").host(NAME).address(ADDRESS);
        found.port(80).module(MODULE);
        Ok(())
    })
}

#[test]
fn n12_the_client_hello_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        proxy.faults().in_handshake(TlsFault::Silent);
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(SECURE).trust(&ca))?;
        proxy.wait_for_hello()?;
        let answer = hang.look()?;
        answer.expect("tls-silent").state("stalled").role("module-proxy").host(NAME);
        answer.expect("tls-silent").address(ADDRESS).port(443).module(MODULE);
        Ok(())
    })
}

#[test]
fn n15_a_request_inside_tls_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        proxy.faults().on(ZIP, Fault::Silent);
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(SECURE).trust(&ca))?;
        proxy.wait_for(ZIP)?;
        let answer = hang.look()?;
        answer.expect("http-silent").state("stalled").role("module-proxy").address(ADDRESS);
        answer.expect("http-silent").module(MODULE).host(NAME);
        Ok(())
    })
}

#[test]
fn n16_a_request_is_not_answered() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(ZIP)?;
    let answer = hang.look()?;
    answer.expect("http-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("http-silent").port(proxy.address().port()).module(MODULE).says("nothing moved");
    proxy.faults().lift();
    hang.succeeds()
}

#[test]
fn n16_the_first_request_is_not_answered() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().always(Fault::Silent);
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(".mod")?;
    hang.look()?.expect("http-silent").role("module-proxy").address("127.0.0.1");
    Ok(())
}

#[test]
fn n17_half_a_zip_comes() -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let project = project(&modules)?;
    let hang = zoo::hang(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for_body(ZIP, 50_000)?;
    let answer = hang.look()?;
    answer.expect("body-stalled").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("body-stalled").module(MODULE).says("50 kB");
    Ok(())
}

#[test]
fn n18_a_zip_that_comes_slowly_is_no_stall() -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    let proxy = proxy(&modules)?;
    proxy.faults().on(ZIP, Fault::Throttle(20_000));
    let project = project(&modules)?;
    let hang = zoo::hang(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for(ZIP)?;
    let answer = hang.look()?;
    assert_eq!(answer.timeline["verdict"]["state"], "ok", "{answer}");
    assert!(answer.stderr.contains(" works: "), "{answer}");
    Ok(())
}

#[test]
fn n25_the_checksum_database_does_not_answer() -> Result<()> {
    let proxy = proxy(&one())?;
    let sums = HttpServer::start(Listen::loopback(), SumDb::new("sum.example.com", &one())?)?;
    sums.faults().on("/lookup/", Fault::Silent);
    let project = project(&one())?;
    let gosumdb = sums.site().gosumdb(&sums.url());
    let hang = zoo::hang(download(&project).proxy(&proxy.url()).sumdb(&gosumdb))?;
    sums.wait_for("/lookup/")?;
    let answer = hang.look()?;
    answer.expect("http-silent").state("stalled").role("sumdb").address("127.0.0.1");
    answer.expect("http-silent").port(sums.address().port()).says("GONOSUMDB");
    Ok(())
}

#[test]
fn l1_another_process_holds_the_lock_of_a_version() -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let hang = zoo::hang(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.look()?;
    let found = answer.expect("lock-held").state("stalled").confidence("certain");
    found.lock(place.lock()).holder(holder.pid()).module(MODULE).path(place.lock());
    found.says(&format!("{} holds, {} queues", holder.pid(), hang.pid())).links(1);
    drop(holder);
    hang.succeeds()
}

/// The answer of the waiter is a chain to the silent proxy; that of the holder tells who waits behind it; and of both together the
/// holder comes first.
#[test]
fn l2_the_holder_is_a_go_command_silent_on_the_network() -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let first = zoo::hang(place.download())?;
    place.proxy.wait_for(ZIP)?;
    let hang = zoo::hang(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").symptom("lock-held").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.lock(place.lock()).holder(first.pid()).module(MODULE).links(2);

    let answer = first.look()?;
    let found = answer.expect("http-silent").symptom("http-silent").links(1);
    found.says(&format!("(pid {}) waits for its lock", hang.pid()));

    let both = zoo::look(&[hang.pid(), first.pid()])?;
    let found = both.expect("http-silent").symptom("http-silent").links(1);
    found.says(&format!("(pid {}) waits for its lock", hang.pid()));
    assert!(both.stderr.contains("behind    go mod download (pid "), "{both}");
    place.proxy.faults().lift();
    first.succeeds()?;
    hang.succeeds()
}

#[test]
fn l5_the_locker_died_and_its_child_keeps_the_lock() -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::orphan_of(&place.lock())?;
    let hang = zoo::hang(place.download())?;
    wait_for_queue(&place.lock())?;
    hang.look()?.expect("lock-held").lock(place.lock()).holder(holder.pid());
    Ok(())
}

#[test]
fn l6_the_holder_is_stopped() -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let pid = holder.pid().as_raw();
    send(Signal::SIGSTOP, pid)?;
    await_that("it is stopped", || process(pid).filter(|process| process.state == 'T'))?;
    let hang = zoo::hang(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.look()?;
    let found = answer.expect("stopped").symptom("lock-held").state("stalled").links(2);
    found.lock(place.lock()).holder(holder.pid()).says(&format!("kill -CONT {pid}"));
    Ok(())
}

#[test]
fn l9_two_programs_wait_for_each_other() -> Result<()> {
    let project = zoo::go()?.project()?;
    let (one, other) = (project.room().join("one"), project.room().join("other"));
    make(&one)?;
    let mut holder = Holder::that_then_wants(&other, &one)?;
    let (one_word, other_word) = (one.to_string_lossy(), other.to_string_lossy());
    let words = ["--no-fork", &one_word, "flock", "--no-fork", &other_word, "true"];
    let hang = zoo::hang(project.command(Path::new("flock"), words))?;
    wait_for_queue(&other)?;
    holder.go_on()?;
    wait_for_queue(&one)?;
    let answer = hang.look()?;
    let found = answer.expect("lock-cycle").symptom("lock-held").lock(&other).holder(holder.pid());
    found.says(&format!("(pid {})", hang.pid())).links(2);
    Ok(())
}

#[test]
fn c1_the_git_server_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let place = of_git::Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Silent);
        let hang = zoo::hang(place.download())?;
        place.git.wait_for("/lib.git/info/refs")?;
        let answer = hang.look()?;
        let found = answer.expect("http-silent").state("stalled").role("vcs");
        found.address("192.0.2.22").links(3).says("git-remote-https");
        Ok(())
    })
}

/// Neither does gmtrace hang with it: what may block is asked by a process that nobody waits for.
#[test]
fn s1_the_module_cache_lies_on_a_dead_disk() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let dead = place.project.room().join("dead");
        std::fs::create_dir(&dead)?;
        let disk = DeadDisk::mount(lab, &dead)?;
        let hang = zoo::hang(place.download().env("GOMODCACHE", dead.join("mod")))?;
        disk.wait_for("mod")?;
        let answer = hang.look()?;
        answer.expect("fs-blocked").state("stalled").path(dead.join("mod"));
        disk.abort()
    })
}

#[test]
fn s3_go_is_stopped_by_a_signal() -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(".zip", Fault::Silent);
    let hang = zoo::hang(place.download())?;
    place.proxy.wait_for(".zip")?;
    hang.signal(Signal::SIGSTOP)?;
    let pid = hang.pid().as_raw();
    await_that("go is stopped", || process(pid).filter(|process| process.state == 'T'))?;
    let answer = hang.look()?;
    answer.expect("stopped").state("stalled").says(&format!("kill -CONT {pid}"));
    place.proxy.faults().lift();
    hang.signal(Signal::SIGCONT)?;
    hang.succeeds()
}

#[test]
fn s4_the_control_group_is_frozen() -> Result<()> {
    let Some(group) = Group::with(Controller::Freezer)? else { return Ok(()) };
    let place = Place::new()?;
    place.proxy.faults().on(".zip", Fault::Silent);
    let hang = zoo::hang(place.download())?;
    place.proxy.wait_for(".zip")?;
    group.take(hang.pid())?;
    group.freeze()?;
    hang.look()?.expect("frozen").state("stalled").says("gmtrace-test-");
    place.proxy.faults().lift();
    group.thaw()?;
    hang.succeeds()
}
