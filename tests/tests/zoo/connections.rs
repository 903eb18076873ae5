//! Connections that do not come about, or die.

use std::net::SocketAddr;

use anyhow::Result;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, FullBacklog, Module, wait_for_syn};
use gmtrace_tests::zoo::Way;

use super::parts::{
    ADDRESS, MODULE, NAME, PLAIN, ZIP, download, ip, one, project, proxy, proxy_in, resolver_in,
};

scenario!(n8_nobody_accepts(way));
fn n8_nobody_accepts(way: &Way) -> Result<()> {
    let full = FullBacklog::start([127, 0, 0, 1], 0)?;
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(&format!("http://{}", full.address())))?;
    wait_for_syn(full.address())?;
    let answer = hang.stalls()?;
    answer.expect("connect-silent").state("stalled").role("module-proxy").address("127.0.0.1");
    answer.expect("connect-silent").port(full.address().port()).confidence("certain");
    hang.stop()?.expect("connect-silent").role("module-proxy").address("127.0.0.1");
    Ok(())
}

scenario!(n8_packets_are_dropped(way, lab));
fn n8_packets_are_dropped(way: &Way, lab: &Lab) -> Result<()> {
    let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    lab.drop_to(ADDRESS)?;
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN))?;
    wait_for_syn(SocketAddr::from((ip(ADDRESS)?, 80)))?;
    let answer = hang.stalls()?;
    let found = answer.expect("connect-silent").role("module-proxy").host(NAME).address(ADDRESS);
    found.port(80).module(MODULE);
    lab.heal()?;
    hang.succeeds()?.expect("connect-silent").state("slow").host(NAME).address(ADDRESS);
    Ok(())
}

scenario!(n9_the_connection_is_refused(way, lab), which ends);
fn n9_the_connection_is_refused(way: &Way, lab: &Lab) -> Result<()> {
    let _resolver = resolver_in(lab)?;
    lab.address(ADDRESS)?;
    let project = project(&one())?;
    let answer = way.run(download(&project).proxy(PLAIN))?.fails()?;
    answer.expect("connect-refused").state("failed").role("module-proxy").host(NAME);
    answer.expect("connect-refused").address(ADDRESS).port(80).confidence("certain");
    Ok(())
}

scenario!(n10_the_network_is_unreachable(way, lab), which ends);
fn n10_the_network_is_unreachable(way: &Way, lab: &Lab) -> Result<()> {
    let _resolver = resolver_in(lab)?;
    let project = project(&one())?;
    let answer = way.run(download(&project).proxy(PLAIN))?.fails()?;
    answer.expect("connect-unreachable").state("failed").role("module-proxy").host(NAME);
    answer.expect("connect-unreachable").address(ADDRESS).says("ENETUNREACH");
    Ok(())
}

scenario!(n11_the_first_of_two_addresses_is_silent(way, lab));
fn n11_the_first_of_two_addresses_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    lab.drop_to("192.0.2.9")?;
    resolver.knows(NAME, &[ip("192.0.2.9")?, ip(ADDRESS)?]);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN))?;
    wait_for_syn(SocketAddr::from((ip("192.0.2.9")?, 80)))?;
    let answer = hang.stalls()?;
    let found = answer.expect("connect-silent").state("stalled").role("module-proxy");
    found.host(NAME).address("192.0.2.9").port(80);
    found.module(MODULE).by_launch(|found| found.says("not tried"));
    hang.succeeds()?.expect("connect-silent").state("slow").address("192.0.2.9");
    Ok(())
}

scenario!(n20_the_connection_is_cut(way), which ends);
fn n20_the_connection_is_cut(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::BodyThenReset(500));
    let project = project(&one())?;
    let answer = way.run(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("connection-reset").state("failed").role("module-proxy").address("127.0.0.1");
    answer.expect("connection-reset").port(proxy.address().port()).module(MODULE);
    Ok(())
}

scenario!(n21_the_path_dies_under_a_request(way, lab));
fn n21_the_path_dies_under_a_request(way: &Way, lab: &Lab) -> Result<()> {
    let long = Module::new(&format!("example.com/{}", ["long"; 80].join("/")), "v1.0.0");
    let modules = one().with(long);
    let (_resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &modules)?);
    lab.rule("tcp dport 80 ip length > 450 counter drop")?;
    let project = project(&modules)?;
    let hang = way.run(download(&project).proxy(PLAIN))?;
    lab.wait_for_loss()?;
    let answer = hang.stalls()?;
    let found = answer.expect("peer-dead").state("stalled").role("module-proxy").host(NAME);
    found.address(ADDRESS).port(80);
    lab.heal()?;
    hang.succeeds()?.expect("peer-dead").state("slow").host(NAME);
    Ok(())
}

scenario!(n21_the_path_dies_under_a_body(way, lab));
/// From here a path that dies while the other side sends looks like a sender that stopped, until go's keep-alive probes (after
/// 30 s, and again every 15 s) stay without an answer.
fn n21_the_path_dies_under_a_body(way: &Way, lab: &Lab) -> Result<()> {
    let (_resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    proxy.faults().on(ZIP, Fault::BodyThenSilence(500));
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN))?;
    proxy.wait_for_body(ZIP, 500)?;
    lab.drop_port(80)?;
    let answer = hang.stalls()?;
    let found = answer.expect("body-stalled").state("stalled").role("module-proxy");
    found.host(NAME).address(ADDRESS).module(MODULE).says("keep-alive");
    hang.says("peer-dead")?;
    hang.stop()?.expect("peer-dead").role("module-proxy").host(NAME).address(ADDRESS);
    Ok(())
}

scenario!(n22_a_redirect_leads_to_a_silent_host(way, lab));
fn n22_a_redirect_leads_to_a_silent_host(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.knows("storage.example.com", &[ip("192.0.2.7")?]);
    lab.drop_to("192.0.2.7")?;
    proxy.faults().on(ZIP, Fault::Redirect("http://storage.example.com".to_owned()));
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN))?;
    wait_for_syn(SocketAddr::from((ip("192.0.2.7")?, 80)))?;
    let answer = hang.stalls()?;
    answer.expect("connect-silent").role("redirect").host("storage.example.com");
    let found = answer.expect("connect-silent").address("192.0.2.7").module(MODULE);
    found.by_launch(|found| found.says(NAME));
    hang.stop()?.expect("connect-silent").role("redirect").host("storage.example.com");
    Ok(())
}
