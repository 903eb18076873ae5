//! HTTP/2, by attach: many requests on one connection, of which the goroutines know which is which.

use anyhow::Result;
use gmtrace_tests::lab;
use gmtrace_tests::servers::{Fault, Modules};
use gmtrace_tests::zoo;

use crate::http2::{Place, SMALL_HELLO, is_about, long};
use crate::parts::{ADDRESS, MODULE, NAME, ZIP, one};

#[test]
fn n16_a_request_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, one())?;
        place.proxy.faults().on(ZIP, Fault::Silent);
        let hang = zoo::hang(place.download())?;
        assert!(place.proxy.wait_for(ZIP)?.http2);
        is_about(&hang.look()?, "http-silent", MODULE);
        place.proxy.faults().lift();
        hang.succeeds()
    })
}

#[test]
fn n30_one_of_many_requests_is_not_answered() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, Modules::generated(30, 10_000))?;
        place.proxy.faults().on("/m017/@v/v1.0.0.zip", Fault::Silent);
        let hang = zoo::hang(place.download())?;
        place.wait_for_zips(30)?;
        is_about(&hang.look()?, "http-silent", "example.com/m017@v1.0.0");
        Ok(())
    })
}

#[test]
fn n19_one_of_many_streams_stalls_in_its_body() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, Modules::generated(8, 100_000))?;
        place.proxy.faults().on("/m005/@v/v1.0.0.zip", Fault::BodyThenSilence(50_000));
        let hang = zoo::hang(place.download())?;
        place.wait_for_zips(8)?;
        place.proxy.wait_for_body("/m005/@v/v1.0.0.zip", 50_000)?;
        let answer = hang.look()?;
        is_about(&answer, "body-stalled", "example.com/m005@v1.0.0");
        answer.expect("body-stalled").says("50 kB");
        Ok(())
    })
}

#[test]
fn n17_half_a_zip_comes_beside_an_idle_connection() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, Modules::generated(1, 100_000))?;
        let (sums, gosumdb) = place.sums(lab)?;
        place.proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
        let hang = zoo::hang(place.download().sumdb(&gosumdb))?;
        assert!(sums.wait_for("/lookup/")?.http2);
        place.proxy.wait_for_body(ZIP, 50_000)?;
        let answer = hang.look()?;
        is_about(&answer, "body-stalled", MODULE);
        answer.expect("body-stalled").says("50 kB");
        Ok(())
    })
}

#[test]
fn n18_a_zip_that_comes_slowly_is_no_stall() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, Modules::generated(1, 100_000))?;
        place.proxy.faults().on(ZIP, Fault::Throttle(20_000));
        let hang = zoo::hang(place.download())?;
        place.proxy.wait_for(ZIP)?;
        let answer = hang.look()?;
        assert_eq!(answer.timeline["verdict"]["state"], "ok", "{answer}");
        Ok(())
    })
}

#[test]
fn n21_the_path_dies_under_a_request() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab, one().with(long()))?;
        lab.rule("tcp dport 443 ip length > 450 counter drop")?;
        let hang = zoo::hang(place.download().env("GODEBUG", SMALL_HELLO))?;
        lab.wait_for_loss()?;
        let answer = hang.look()?;
        let found = answer.expect("peer-dead").state("stalled").role("module-proxy");
        found.host(NAME).address(ADDRESS).port(443);
        Ok(())
    })
}

#[test]
fn n16_a_request_is_not_answered_and_pings_come() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::with_pings(lab, Modules::generated(5, 1000))?;
        place.proxy.faults().on("/m003/@v/v1.0.0.zip", Fault::Silent);
        let hang = zoo::hang(place.download())?;
        place.wait_for_zips(5)?;
        is_about(&hang.look()?, "http-silent", "example.com/m003@v1.0.0");
        Ok(())
    })
}

#[test]
fn n17_half_a_zip_comes_and_pings_come() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::with_pings(lab, Modules::generated(2, 100_000))?;
        place.proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
        let hang = zoo::hang(place.download())?;
        place.proxy.wait_for_body(ZIP, 50_000)?;
        is_about(&hang.look()?, "body-stalled", MODULE);
        Ok(())
    })
}

#[test]
fn n18_a_zip_comes_slowly_and_pings_come() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::with_pings(lab, Modules::generated(1, 100_000))?;
        place.proxy.faults().on(ZIP, Fault::Throttle(20_000));
        let hang = zoo::hang(place.download())?;
        place.proxy.wait_for(ZIP)?;
        let answer = hang.look()?;
        assert_eq!(answer.timeline["verdict"]["state"], "ok", "{answer}");
        Ok(())
    })
}
