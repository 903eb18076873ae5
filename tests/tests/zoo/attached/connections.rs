//! Connections, by attach: those that do not come about, those that die, and those that stand and are nobody's wait.

use std::net::SocketAddr;

use anyhow::Result;
use gmtrace_tests::lab;
use gmtrace_tests::servers::{
    Fault, HttpServer, Listen, Module, ModuleProxy, SumDb, TestCa, TlsFault, wait_for_syn,
};
use gmtrace_tests::zoo;

use crate::parts::{
    ADDRESS, MODULE, NAME, PLAIN, SECURE, ZIP, download, ip, one, project, proxy_in, resolver_in,
    secure_proxy_in,
};

#[test]
fn n11_the_first_of_two_addresses_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        lab.drop_to("192.0.2.9")?;
        resolver.knows(NAME, &[ip("192.0.2.9")?, ip(ADDRESS)?]);
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN))?;
        wait_for_syn(SocketAddr::from((ip("192.0.2.9")?, 80)))?;
        let answer = hang.look()?;
        let found = answer.expect("connect-silent").state("stalled").role("module-proxy");
        found.host(NAME).address("192.0.2.9").port(80).module(MODULE);
        Ok(())
    })
}

#[test]
fn n13_a_large_client_hello_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        proxy.faults().in_handshake(TlsFault::SilentAbove(1400));
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(SECURE).trust(&ca))?;
        let size = proxy.wait_for_hello()?.size;
        if size <= 1400 {
            // Go before 1.24 has small key shares: nothing is in its way.
            return hang.succeeds();
        }
        let answer = hang.look()?;
        let found = answer.expect("tls-silent").state("stalled").role("module-proxy");
        found.host(NAME).address(ADDRESS).port(443).says("tlsmlkem=0").says(&size.to_string());
        Ok(())
    })
}

#[test]
fn n21_the_path_dies_under_a_request() -> Result<()> {
    lab::isolated(|lab| {
        let long = Module::new(&format!("example.com/{}", ["long"; 80].join("/")), "v1.0.0");
        let modules = one().with(long);
        let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &modules)?);
        lab.rule("tcp dport 80 ip length > 450 counter drop")?;
        let project = project(&modules)?;
        let hang = zoo::hang(download(&project).proxy(PLAIN))?;
        lab.wait_for_loss()?;
        let answer = hang.look()?;
        let found = answer.expect("peer-dead").state("stalled").role("module-proxy");
        found.host(NAME).address(ADDRESS).port(80);
        Ok(())
    })
}

/// Until keep-alive probes stay without an answer, it looks like a sender that stopped.
#[test]
fn n21_the_path_dies_under_a_body() -> Result<()> {
    lab::isolated(|lab| {
        let (_resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        proxy.faults().on(ZIP, Fault::BodyThenSilence(500));
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(PLAIN))?;
        proxy.wait_for_body(ZIP, 500)?;
        lab.drop_port(80)?;
        let answer = hang.look()?;
        let found = answer.expect("body-stalled").state("stalled").role("module-proxy");
        found.host(NAME).address(ADDRESS).module(MODULE).says("keep-alive");
        Ok(())
    })
}

#[test]
fn n35_ipv6_is_silent_in_tls() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (resolver, _proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        lab.address("2001:db8::1")?;
        let listen = Listen::at(ip("2001:db8::1")?, 443).tls(ca.tls(&[NAME])?);
        let over_ipv6 = HttpServer::start(listen, ModuleProxy::new(&one()))?;
        over_ipv6.faults().in_handshake(TlsFault::Silent);
        resolver.knows(NAME, &[ip("2001:db8::1")?, ip(ADDRESS)?]);
        let project = project(&one())?;
        let hang = zoo::hang(download(&project).proxy(SECURE).trust(&ca))?;
        over_ipv6.wait_for_hello()?;
        let answer = hang.look()?;
        let found = answer.expect("tls-silent").state("stalled").role("module-proxy");
        found.host(NAME).address("2001:db8::1").port(443).module(MODULE);
        Ok(())
    })
}

/// The checksum database has answered for go.mod, and its connection is kept. The zip does not come.
#[test]
fn n15_an_idle_connection_is_not_blamed() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        lab.address("192.0.2.8")?;
        resolver.knows("sum.example.com", &[ip("192.0.2.8")?]);
        let listen = Listen::at(ip("192.0.2.8")?, 443).tls(ca.tls(&["sum.example.com"])?);
        let sums = HttpServer::start(listen, SumDb::new("sum.example.com", &one())?)?;
        proxy.faults().on(ZIP, Fault::Silent);
        let project = project(&one())?;
        let gosumdb = sums.site().gosumdb("https://sum.example.com");
        let hang = zoo::hang(download(&project).proxy(SECURE).sumdb(&gosumdb).trust(&ca))?;
        sums.wait_for("/lookup/")?;
        proxy.wait_for(ZIP)?;
        let answer = hang.look()?;
        let found = answer.expect("http-silent").state("stalled").role("module-proxy");
        found.host(NAME).address(ADDRESS).port(443).module(MODULE);
        let about_sums = |f: &serde_json::Value| f["peer"]["address"] == "192.0.2.8";
        let findings = answer.timeline["findings"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(!findings.iter().any(about_sums), "{answer}");
        Ok(())
    })
}
