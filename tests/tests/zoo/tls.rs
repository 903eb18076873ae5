//! TLS handshakes.

use anyhow::Result;
use gmtrace_tests::lab;
use gmtrace_tests::servers::{
    Certificate, Fault, HttpServer, Listen, ModuleProxy, TestCa, TlsFault,
};
use gmtrace_tests::zoo;

use super::parts::{
    ADDRESS, MODULE, NAME, SECURE, ZIP, download, ip, one, project, resolver_in, secure_proxy_in,
};

#[test]
fn n12_the_client_hello_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        proxy.faults().in_handshake(TlsFault::Silent);
        let project = project(&one())?;
        let hang = zoo::watch(download(&project).proxy(SECURE).trust(&ca))?;
        assert_eq!(proxy.wait_for_hello()?.sni.as_deref(), Some(NAME));
        let answer = hang.stalls()?;
        answer.expect("tls-silent").state("stalled").role("module-proxy").host(NAME);
        answer.expect("tls-silent").address(ADDRESS).port(443).says("10 s").confidence("certain");
        proxy.faults().lift();
        hang.succeeds()?.expect("tls-silent").state("slow").role("module-proxy").host(NAME);
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
        let hang = zoo::watch(download(&project).proxy(SECURE).trust(&ca))?;
        let hello = proxy.wait_for_hello()?;
        if hello.size <= 1400 {
            // Go before 1.24 has small key shares: nothing is in its way.
            hang.succeeds()?.no_stall();
            return Ok(());
        }
        let answer = hang.stalls()?;
        answer.expect("tls-silent").role("module-proxy").host(NAME).says("tlsmlkem=0");
        answer.expect("tls-silent").says(&hello.size.to_string());
        hang.stop()?.expect("tls-silent").host(NAME);
        Ok(())
    })
}

#[test]
fn n14_the_certificate_is_not_accepted() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let _resolver = resolver_in(lab)?;
        lab.address(ADDRESS)?;
        let project = project(&one())?;
        for (certificate, reason) in [
            (Certificate::UnknownAuthority, "unknown authority"),
            (Certificate::WrongName, "elsewhere.example.com"),
            (Certificate::Expired, "expired"),
        ] {
            let listen = Listen::at(ip(ADDRESS)?, 443).tls(ca.tls_with(&[NAME], certificate)?);
            let _proxy = HttpServer::start(listen, ModuleProxy::new(&one()))?;
            let answer = zoo::watch(download(&project).proxy(SECURE).trust(&ca))?.fails()?;
            answer.expect("tls-failed").state("failed").role("module-proxy").host(NAME);
            answer.expect("tls-failed").address(ADDRESS).says(reason).confidence("certain");
        }
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
        let hang = zoo::watch(download(&project).proxy(SECURE).trust(&ca))?;
        proxy.wait_for(ZIP)?;
        let answer = hang.stalls()?;
        answer.expect("http-silent").state("stalled").role("module-proxy").host(NAME);
        answer.expect("http-silent").address(ADDRESS).port(443).module(MODULE);
        proxy.faults().lift();
        hang.succeeds()?.expect("http-silent").state("slow").role("module-proxy").host(NAME);
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
        let hang = zoo::watch(download(&project).proxy(SECURE).trust(&ca))?;
        over_ipv6.wait_for_hello()?;
        let answer = hang.stalls()?;
        answer.expect("tls-silent").role("module-proxy").host(NAME).address("2001:db8::1");
        answer.expect("tls-silent").says(&format!("IPv4 address {ADDRESS} was not tried"));
        hang.stop()?.expect("tls-silent").host(NAME).address("2001:db8::1");
        Ok(())
    })
}
