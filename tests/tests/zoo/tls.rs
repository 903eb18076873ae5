//! TLS handshakes.

use anyhow::Result;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{
    Certificate, Fault, HttpServer, Listen, ModuleProxy, SumDb, TestCa, TlsFault,
};
use gmtrace_tests::zoo::Way;

use super::parts::{
    ADDRESS, MODULE, NAME, SECURE, ZIP, download, ip, one, project, resolver_in, secure_proxy_in,
};

scenario!(n12_the_client_hello_is_not_answered(way, lab));
fn n12_the_client_hello_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    proxy.faults().in_handshake(TlsFault::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(SECURE).trust(&ca))?;
    assert_eq!(proxy.wait_for_hello()?.sni.as_deref(), Some(NAME));
    let answer = hang.stalls()?;
    answer.expect("tls-silent").state("stalled").role("module-proxy").host(NAME);
    let found = answer.expect("tls-silent").address(ADDRESS).port(443).module(MODULE);
    found.says("10 s").confidence("certain");
    proxy.faults().lift();
    hang.succeeds()?.expect("tls-silent").state("slow").role("module-proxy").host(NAME);
    Ok(())
}

scenario!(n13_a_large_client_hello_is_not_answered(way, lab));
fn n13_a_large_client_hello_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    proxy.faults().in_handshake(TlsFault::SilentAbove(1400));
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(SECURE).trust(&ca))?;
    let hello = proxy.wait_for_hello()?;
    if hello.size <= 1400 {
        hang.succeeds()?.no_stall();
        return way.skip("Go before 1.24 has small key shares: nothing is in their way");
    }
    let answer = hang.stalls()?;
    let found = answer.expect("tls-silent").state("stalled").role("module-proxy").host(NAME);
    found.address(ADDRESS).port(443).says("tlsmlkem=0").says(&hello.size.to_string());
    hang.stop()?.expect("tls-silent").host(NAME);
    Ok(())
}

scenario!(n14_the_certificate_is_not_accepted(way, lab), which ends);
fn n14_the_certificate_is_not_accepted(way: &Way, lab: &Lab) -> Result<()> {
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
        let answer = way.run(download(&project).proxy(SECURE).trust(&ca))?.fails()?;
        answer.expect("tls-failed").state("failed").role("module-proxy").host(NAME);
        answer.expect("tls-failed").address(ADDRESS).says(reason).confidence("certain");
    }
    Ok(())
}

scenario!(n15_a_request_inside_tls_is_not_answered(way, lab));
fn n15_a_request_inside_tls_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(SECURE).trust(&ca))?;
    proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").state("stalled").role("module-proxy").host(NAME);
    answer.expect("http-silent").address(ADDRESS).port(443).module(MODULE);
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").role("module-proxy").host(NAME);
    Ok(())
}

scenario!(n35_ipv6_is_silent_in_tls(way, lab));
fn n35_ipv6_is_silent_in_tls(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (resolver, _proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    lab.address("2001:db8::1")?;
    let listen = Listen::at(ip("2001:db8::1")?, 443).tls(ca.tls(&[NAME])?);
    let over_ipv6 = HttpServer::start(listen, ModuleProxy::new(&one()))?;
    over_ipv6.faults().in_handshake(TlsFault::Silent);
    resolver.knows(NAME, &[ip("2001:db8::1")?, ip(ADDRESS)?]);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(SECURE).trust(&ca))?;
    over_ipv6.wait_for_hello()?;
    let answer = hang.stalls()?;
    let found = answer.expect("tls-silent").state("stalled").role("module-proxy").host(NAME);
    found.address("2001:db8::1").port(443).module(MODULE);
    found.by_launch(|found| found.says(&format!("IPv4 address {ADDRESS} was not tried")));
    // Who has not seen the look-up does not know the address.
    found.by_attach(|found| found.says("IPv4 was not tried, or lost").says("curl -4"));
    hang.stop()?.expect("tls-silent").host(NAME).address("2001:db8::1");
    Ok(())
}

scenario!(n15_an_idle_connection_is_not_blamed(way, lab));
/// The checksum database has answered for go.mod, and its connection is kept. The zip does not come.
fn n15_an_idle_connection_is_not_blamed(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    lab.address("192.0.2.8")?;
    resolver.knows("sum.example.com", &[ip("192.0.2.8")?]);
    let listen = Listen::at(ip("192.0.2.8")?, 443).tls(ca.tls(&["sum.example.com"])?);
    let sums = HttpServer::start(listen, SumDb::new("sum.example.com", &one())?)?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let gosumdb = sums.site().gosumdb("https://sum.example.com");
    let hang = way.run(download(&project).proxy(SECURE).sumdb(&gosumdb).trust(&ca))?;
    sums.wait_for("/lookup/")?;
    proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy");
    found.host(NAME).address(ADDRESS).port(443).module(MODULE);
    let about_sums = |f: &serde_json::Value| f["peer"]["address"] == "192.0.2.8";
    let findings = answer.timeline["findings"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(!findings.iter().any(about_sums), "{answer}");
    hang.stop()?;
    Ok(())
}
