//! Name servers, by attach.

use anyhow::Result;
use gmtrace_tests::lab;
use gmtrace_tests::servers::{RecordType, Reply};
use gmtrace_tests::zoo;

use crate::names::asking;
use crate::parts::{NAME, RESOLVER, one, project, proxy_in, resolver_in};

#[test]
fn n3_one_of_two_questions_is_answered() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        resolver.on_type(NAME, RecordType::AAAA, Reply::Silent);
        let project = project(&one())?;
        let hang = zoo::hang(asking(&project))?;
        resolver.wait_for(NAME, RecordType::AAAA)?;
        let answer = hang.look()?;
        let found = answer.expect("dns-silent").state("stalled").role("resolver");
        found.address(RESOLVER).port(53).says(NAME);
        Ok(())
    })
}

#[test]
fn n7_a_name_of_the_search_list_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        let search = "search a.example b.example c.example\noptions ndots:5\n";
        lab.resolv_conf(&format!("nameserver {RESOLVER}\n{search}"))?;
        let first = format!("{NAME}.a.example");
        resolver.on(&first, Reply::Silent);
        let project = project(&one())?;
        let hang = zoo::hang(asking(&project))?;
        resolver.wait_for(&first, RecordType::A)?;
        let answer = hang.look()?;
        let found = answer.expect("dns-silent").state("stalled").role("resolver");
        found.address(RESOLVER).says(&first).says("a.example was added from the search list");
        Ok(())
    })
}
