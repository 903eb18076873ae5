//! HTTP/2, as module proxies on the internet speak it: one connection carries all requests, and a hang is one of them.

use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{
    Access, Fault, HttpServer, Listen, Module, ModuleProxy, Modules, Resolver, SumDb, TestCa,
};
use gmtrace_tests::zoo::{Answer, Way};

use super::parts::{ADDRESS, MODULE, NAME, SECURE, ZIP, download, ip, one, project, resolver_in};

/// The checksum database's name and address.
const SUMS: &str = "sum.example.com";
const SUMS_ADDRESS: &str = "192.0.2.8";

/// A module proxy that speaks HTTP/2, a project that needs its modules, and all around them.
struct Place {
    proxy: HttpServer<ModuleProxy>,
    project: Project,
    ca: TestCa,
    resolver: Resolver,
    modules: Modules,
}

impl Place {
    fn new(lab: &Lab, modules: Modules) -> Result<Self> {
        Self::with(lab, modules, Listen::http2)
    }

    /// Whose proxy sends PINGs all the time.
    fn with_pings(lab: &Lab, modules: Modules) -> Result<Self> {
        Self::with(lab, modules, |listen| listen.pings(Duration::from_millis(200)))
    }

    fn with(lab: &Lab, modules: Modules, how: impl Fn(Listen) -> Listen) -> Result<Self> {
        let (ca, resolver) = (TestCa::new()?, resolver_in(lab)?);
        lab.address(ADDRESS)?;
        let listen = how(Listen::at(ip(ADDRESS)?, 443).tls(ca.tls(&[NAME])?));
        let proxy = HttpServer::start(listen, ModuleProxy::new(&modules))?;
        Ok(Self { proxy, project: project(&modules)?, ca, resolver, modules })
    }

    fn download(&self) -> GoCommand {
        download(&self.project).proxy(SECURE).trust(&self.ca)
    }

    /// A checksum database that speaks HTTP/2 too, and the words by which go asks it.
    fn sums(&self, lab: &Lab) -> Result<(HttpServer<SumDb>, String)> {
        lab.address(SUMS_ADDRESS)?;
        self.resolver.knows(SUMS, &[ip(SUMS_ADDRESS)?]);
        let listen = Listen::at(ip(SUMS_ADDRESS)?, 443).tls(self.ca.tls(&[SUMS])?).http2();
        let sums = HttpServer::start(listen, SumDb::new(SUMS, &self.modules)?)?;
        let gosumdb = sums.site().gosumdb(&format!("https://{SUMS}"));
        Ok((sums, gosumdb))
    }

    /// Waits until all these requests have come, on one connection and by HTTP/2, and all but one are answered.
    fn wait_for_zips(&self, count: usize) -> Result<()> {
        let zip = |access: &Access| access.target.ends_with(".zip") && access.http2;
        self.proxy.log().wait_for_nth(count, "a request for each zip", zip)?;
        let answered = |access: &Access| zip(access) && access.status.is_some();
        self.proxy.log().wait_for_nth(count - 1, "the answers", answered)?;
        Ok(())
    }
}

/// That the verdict speaks of this module alone, and nobody but the proxy is blamed.
fn is_about(answer: &Answer, code: &str, module: &str) {
    let found = answer.expect(code).state("stalled").role("module-proxy").host(NAME);
    found.address(ADDRESS).port(443).confidence("certain").only_module(module);
    let others = |f: &serde_json::Value| f["peer"]["address"] != ADDRESS;
    let findings = answer.timeline["findings"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(!findings.iter().any(others), "{answer}");
}

scenario!(n16_a_request_is_not_answered(way, lab));
fn n16_a_request_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, one())?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let hang = way.run(place.download())?;
    assert!(place.proxy.wait_for(ZIP)?.http2);
    is_about(&hang.stalls()?, "http-silent", MODULE);
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").host(NAME).module(MODULE);
    Ok(())
}

scenario!(n16_the_first_request_is_not_answered(way, lab));
fn n16_the_first_request_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, one())?;
    place.proxy.faults().always(Fault::Silent);
    let hang = way.run(place.download())?;
    assert!(place.proxy.wait_for(".mod")?.http2);
    is_about(&hang.stalls()?, "http-silent", MODULE);
    hang.stop()?.expect("http-silent").host(NAME).module(MODULE);
    Ok(())
}

scenario!(n30_one_of_many_requests_is_not_answered(way, lab));
fn n30_one_of_many_requests_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, Modules::generated(30, 10_000))?;
    place.proxy.faults().on("/m017/@v/v1.0.0.zip", Fault::Silent);
    let hang = way.run(place.download())?;
    place.wait_for_zips(30)?;
    is_about(&hang.stalls()?, "http-silent", "example.com/m017@v1.0.0");
    place.proxy.faults().lift();
    let answer = hang.succeeds()?;
    answer.expect("http-silent").state("slow").module("example.com/m017@v1.0.0");
    Ok(())
}

scenario!(n19_one_of_many_streams_stalls_in_its_body(way, lab));
fn n19_one_of_many_streams_stalls_in_its_body(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, Modules::generated(8, 100_000))?;
    place.proxy.faults().on("/m005/@v/v1.0.0.zip", Fault::BodyThenSilence(50_000));
    let hang = way.run(place.download())?;
    place.wait_for_zips(8)?;
    place.proxy.wait_for_body("/m005/@v/v1.0.0.zip", 50_000)?;
    let answer = hang.stalls()?;
    is_about(&answer, "body-stalled", "example.com/m005@v1.0.0");
    answer.expect("body-stalled").says("50 kB");
    place.proxy.faults().lift();
    let answer = hang.succeeds()?;
    answer.expect("body-stalled").state("slow").module("example.com/m005@v1.0.0");
    Ok(())
}

scenario!(n17_half_a_zip_comes_beside_an_idle_connection(way, lab));
/// Its reader waits for a buffer, and not at the connection; another connection of HTTP/2 is idle.
fn n17_half_a_zip_comes_beside_an_idle_connection(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, Modules::generated(1, 100_000))?;
    let (sums, gosumdb) = place.sums(lab)?;
    place.proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let hang = way.run(place.download().sumdb(&gosumdb))?;
    assert!(sums.wait_for("/lookup/")?.http2);
    place.proxy.wait_for_body(ZIP, 50_000)?;
    let answer = hang.stalls()?;
    is_about(&answer, "body-stalled", MODULE);
    answer.expect("body-stalled").says("50 kB");
    place.proxy.faults().lift();
    hang.succeeds()?.expect("body-stalled").state("slow").module(MODULE);
    Ok(())
}

scenario!(n25_the_checksum_database_does_not_answer(way, lab));
fn n25_the_checksum_database_does_not_answer(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, one())?;
    let (sums, gosumdb) = place.sums(lab)?;
    sums.faults().on("/lookup/", Fault::Silent);
    let hang = way.run(place.download().sumdb(&gosumdb))?;
    assert!(sums.wait_for("/lookup/")?.http2);
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("sumdb");
    found.host(SUMS).address(SUMS_ADDRESS).confidence("certain");
    hang.stop()?.expect("http-silent").role("sumdb").host(SUMS);
    Ok(())
}

scenario!(n18_a_zip_comes_slowly(way, lab));
fn n18_a_zip_comes_slowly(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, Modules::generated(3, 24_000))?;
    place.proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::Throttle(4_000));
    let goes_on = way.run(place.download())?;
    place.proxy.wait_for("/m001/@v/v1.0.0.zip")?;
    goes_on.works()?;
    Ok(())
}

/// Small key shares, so that the ClientHello is shorter than what is lost.
const SMALL_HELLO: &str = "tlsmlkem=0";

/// A module whose request is longer than what gets through, compressed as it is (RFC 7541).
fn long() -> Module {
    Module::new(&format!("example.com/{}", ["long"; 160].join("/")), "v1.0.0")
}

scenario!(n21_the_path_dies_under_a_request(way, lab));
fn n21_the_path_dies_under_a_request(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab, one().with(long()))?;
    lab.rule("tcp dport 443 ip length > 450 counter drop")?;
    let hang = way.run(place.download().env("GODEBUG", SMALL_HELLO))?;
    lab.wait_for_loss()?;
    let answer = hang.stalls()?;
    let found = answer.expect("peer-dead").state("stalled").role("module-proxy");
    found.host(NAME).address(ADDRESS).port(443);
    lab.heal()?;
    hang.succeeds()?.expect("peer-dead").state("slow").host(NAME);
    Ok(())
}

scenario!(n16_a_request_is_not_answered_and_pings_come(way, lab));
/// The server's PINGs come and are answered. Of what is waited for, nothing comes.
fn n16_a_request_is_not_answered_and_pings_come(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::with_pings(lab, Modules::generated(5, 1000))?;
    place.proxy.faults().on("/m003/@v/v1.0.0.zip", Fault::Silent);
    let hang = way.run(place.download())?;
    place.wait_for_zips(5)?;
    is_about(&hang.stalls()?, "http-silent", "example.com/m003@v1.0.0");
    place.proxy.pongs().wait_for_nth(50, "an answer to a PING", |_| true)?;
    place.proxy.faults().lift();
    let answer = hang.succeeds()?;
    answer.expect("http-silent").state("slow").module("example.com/m003@v1.0.0");
    answer.stalled(1);
    Ok(())
}

scenario!(n17_half_a_zip_comes_and_pings_come(way, lab));
fn n17_half_a_zip_comes_and_pings_come(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::with_pings(lab, Modules::generated(2, 100_000))?;
    place.proxy.faults().on(ZIP, Fault::BodyThenSilence(50_000));
    let hang = way.run(place.download())?;
    place.proxy.wait_for_body(ZIP, 50_000)?;
    is_about(&hang.stalls()?, "body-stalled", MODULE);
    place.proxy.faults().lift();
    hang.succeeds()?.expect("body-stalled").state("slow").module(MODULE);
    Ok(())
}

scenario!(n18_a_zip_comes_slowly_and_pings_come(way, lab));
fn n18_a_zip_comes_slowly_and_pings_come(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::with_pings(lab, Modules::generated(3, 24_000))?;
    place.proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::Throttle(4_000));
    let goes_on = way.run(place.download())?;
    place.proxy.wait_for("/m001/@v/v1.0.0.zip")?;
    goes_on.works()?;
    Ok(())
}
