//! Name servers.

use anyhow::Result;
use gmtrace_tests::go::{Go, GoCommand, Project};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{RecordType, Reply, Resolver};
use gmtrace_tests::zoo::Way;

use super::parts::{NAME, PLAIN, RESOLVER, download, ip, one, project, proxy_in, resolver_in};

/// Go's own resolver also where the go command is linked against libc.
fn asking(project: &Project) -> GoCommand {
    download(project).proxy(PLAIN).env("GODEBUG", "netdns=go")
}

scenario!(n1_the_resolver_is_silent(way, lab));
fn n1_the_resolver_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.always(Reply::Silent);
    let project = project(&one())?;
    let hang = way.run(asking(&project))?;
    resolver.wait_for(NAME, RecordType::A)?;
    let answer = hang.stalls()?;
    answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER).port(53);
    answer.expect("dns-silent").says(NAME).confidence("certain");
    resolver.lift();
    hang.succeeds()?.expect("dns-silent").state("slow").address(RESOLVER).says(NAME);
    Ok(())
}

scenario!(n2_the_resolver_of_libc_is_silent(way, lab));
fn n2_the_resolver_of_libc_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.always(Reply::Silent);
    let project = Go::linked_with_libc()?.project()?.requires(&one())?;
    let command = download(&project).proxy(PLAIN).env("GODEBUG", "netdns=cgo");
    let hang = way.run(command)?;
    resolver.wait_for(NAME, RecordType::A)?;
    let answer = hang.stalls()?;
    answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    answer.expect("dns-silent").says(NAME).says("getaddrinfo");
    hang.stop()?.expect("dns-silent").role("resolver").address(RESOLVER).says("getaddrinfo");
    Ok(())
}

scenario!(n3_one_of_two_questions_is_answered(way, lab));
fn n3_one_of_two_questions_is_answered(way: &Way, lab: &Lab) -> Result<()> {
    let resolver = resolver_in(lab)?;
    resolver.on_type(NAME, RecordType::AAAA, Reply::Silent);
    let project = project(&one())?;
    let hang = way.run(asking(&project))?;
    resolver.wait_for(NAME, RecordType::AAAA)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.port(53).says(NAME).says("the AAAA record");
    hang.stop()?.expect("dns-silent").role("resolver").address(RESOLVER);
    Ok(())
}

scenario!(n4_the_first_of_three_resolvers_is_dead(way, lab));
fn n4_the_first_of_three_resolvers_is_dead(way: &Way, lab: &Lab) -> Result<()> {
    let (dead, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    dead.always(Reply::Silent);
    let mut others = Vec::new();
    for address in ["192.0.2.54", "192.0.2.55"] {
        lab.address(address)?;
        let resolver = Resolver::start(ip(address)?, 53)?;
        resolver.knows(NAME, &[ip(super::parts::ADDRESS)?]);
        others.push(resolver);
    }
    lab.resolvers(&[RESOLVER, "192.0.2.54", "192.0.2.55"])?;
    let project = project(&one())?;
    let hang = way.run(asking(&project))?;
    dead.wait_for(NAME, RecordType::A)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").address(RESOLVER);
    found.says("number 1 of 3");
    hang.succeeds()?.expect("dns-silent").state("slow").address(RESOLVER);
    Ok(())
}

scenario!(n7_a_name_of_the_search_list_is_not_answered(way, lab));
fn n7_a_name_of_the_search_list_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    let search = "search a.example b.example c.example\noptions ndots:5\n";
    lab.resolv_conf(&format!("nameserver {RESOLVER}\n{search}"))?;
    let first = format!("{NAME}.a.example");
    resolver.on(&first, Reply::Silent);
    let project = project(&one())?;
    let hang = way.run(asking(&project))?;
    resolver.wait_for(&first, RecordType::A)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.says(&first).says("a.example was added from the search list");
    hang.stop()?.expect("dns-silent").says("search list");
    Ok(())
}

scenario!(n5_the_resolver_fails(way, lab), which ends);
fn n5_the_resolver_fails(way: &Way, lab: &Lab) -> Result<()> {
    let resolver = resolver_in(lab)?;
    let project = project(&one())?;
    for (reply, code) in [(Reply::ServFail, "SERVFAIL"), (Reply::NxDomain, "NXDOMAIN")] {
        resolver.lift();
        resolver.on(NAME, reply);
        let answer = way.run(asking(&project))?.fails()?;
        answer.expect("dns-failed").state("failed").role("resolver").address(RESOLVER);
        answer.expect("dns-failed").says(code).says(NAME).confidence("certain");
    }
    Ok(())
}

scenario!(n6_nobody_listens_at_the_resolver(way, lab), which ends);
fn n6_nobody_listens_at_the_resolver(way: &Way, lab: &Lab) -> Result<()> {
    lab.address(RESOLVER)?;
    lab.resolvers(&[RESOLVER])?;
    let project = project(&one())?;
    let answer = way.run(asking(&project))?.fails()?;
    answer.expect("dns-unreachable").state("failed").role("resolver").address(RESOLVER);
    answer.expect("dns-unreachable").says(NAME).says("ECONNREFUSED");
    Ok(())
}
