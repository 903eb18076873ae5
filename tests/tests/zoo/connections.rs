//! Connections that do not come about, or die.

use std::net::SocketAddr;

use anyhow::Result;
use gmtrace_tests::lab;
use gmtrace_tests::servers::{Fault, FullBacklog, Module, wait_for_syn};
use gmtrace_tests::zoo;

use super::parts::{
    ADDRESS, MODULE, NAME, PLAIN, ZIP, download, ip, one, project, proxy, proxy_in, resolver_in,
};

#[test]
fn n8_nobody_accepts() -> Result<()> {
    let full = FullBacklog::start([127, 0, 0, 1], 0)?;
    let project = project(&one())?;
    let hang = zoo::watch(download(&project).proxy(&format!("http://{}", full.address())))?;
    wait_for_syn(full.address())?;
    let answer = hang.stalls()?;
    answer.expect("connect-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("connect-silent").port(full.address().port()).confidence("certain");
    hang.stop()?.expect("connect-silent").role("module-proxy").address("127.0.0.1");
    Ok(())
}

#[test]
fn n8_packets_are_dropped() -> Result<()> {
    lab::isolated(|lab| {
        let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        lab.drop_to(ADDRESS)?;
        let project = project(&one())?;
        let hang = zoo::watch(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip(ADDRESS)?, 80)))?;
        let answer = hang.stalls()?;
        answer.expect("connect-silent").role("module-proxy").host(NAME).address(ADDRESS).port(80);
        lab.heal()?;
        hang.succeeds()?.expect("connect-silent").state("slow").host(NAME).address(ADDRESS);
        Ok(())
    })
}

#[test]
fn n9_the_connection_is_refused() -> Result<()> {
    lab::isolated(|lab| {
        let _resolver = resolver_in(lab)?;
        lab.address(ADDRESS)?;
        let project = project(&one())?;
        let answer = zoo::watch(download(&project).proxy(PLAIN))?.fails()?;
        answer.expect("connect-refused").state("failed").role("module-proxy").host(NAME);
        answer.expect("connect-refused").address(ADDRESS).port(80).confidence("certain");
        Ok(())
    })
}

#[test]
fn n10_the_network_is_unreachable() -> Result<()> {
    lab::isolated(|lab| {
        let _resolver = resolver_in(lab)?;
        let project = project(&one())?;
        let answer = zoo::watch(download(&project).proxy(PLAIN))?.fails()?;
        answer.expect("connect-unreachable").state("failed").role("module-proxy").host(NAME);
        answer.expect("connect-unreachable").address(ADDRESS).says("ENETUNREACH");
        Ok(())
    })
}

#[test]
fn n11_the_first_of_two_addresses_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        lab.drop_to("192.0.2.9")?;
        resolver.knows(NAME, &[ip("192.0.2.9")?, ip(ADDRESS)?]);
        let project = project(&one())?;
        let hang = zoo::watch(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip("192.0.2.9")?, 80)))?;
        hang.stalls()?.expect("connect-silent").host(NAME).address("192.0.2.9").says("not tried");
        hang.succeeds()?.expect("connect-silent").state("slow").address("192.0.2.9");
        Ok(())
    })
}

#[test]
fn n20_the_connection_is_cut() -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::BodyThenReset(500));
    let project = project(&one())?;
    let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("connection-reset").state("failed").role("module-proxy").address("127.0.0.1");
    answer.expect("connection-reset").port(proxy.address().port()).module(MODULE);
    Ok(())
}

#[test]
fn n21_the_path_dies_under_a_request() -> Result<()> {
    lab::isolated(|lab| {
        let long = Module::new(&format!("example.com/{}", ["long"; 80].join("/")), "v1.0.0");
        let modules = one().with(long);
        let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &modules)?);
        lab.rule("tcp dport 80 ip length > 450 counter drop")?;
        let project = project(&modules)?;
        let hang = zoo::watch(download(&project).proxy(PLAIN))?;
        lab.wait_for_loss()?;
        let answer = hang.stalls()?;
        answer
            .expect("peer-dead")
            .state("stalled")
            .role("module-proxy")
            .host(NAME)
            .address(ADDRESS);
        lab.heal()?;
        hang.succeeds()?.expect("peer-dead").state("slow").host(NAME);
        Ok(())
    })
}

/// From here a path that dies while the other side sends looks like a sender that stopped, until go's keep-alive probes (after
/// 30 s, and again every 15 s) stay without an answer.
#[test]
fn n21_the_path_dies_under_a_body() -> Result<()> {
    lab::isolated(|lab| {
        let (_resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        proxy.faults().on(ZIP, Fault::BodyThenSilence(500));
        let project = project(&one())?;
        let hang = zoo::watch(download(&project).proxy(PLAIN))?;
        proxy.wait_for_body(ZIP, 500)?;
        lab.drop_port(80)?;
        hang.stalls()?.expect("body-stalled").says("keep-alive").host(NAME).module(MODULE);
        hang.wait_for_stderr("peer-dead")?;
        hang.stop()?.expect("peer-dead").role("module-proxy").host(NAME).address(ADDRESS);
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
        let hang = zoo::watch(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip("192.0.2.7")?, 80)))?;
        let answer = hang.stalls()?;
        answer.expect("connect-silent").role("redirect").host("storage.example.com");
        answer.expect("connect-silent").address("192.0.2.7").module(MODULE).says(NAME);
        hang.stop()?.expect("connect-silent").role("redirect").host("storage.example.com");
        Ok(())
    })
}
