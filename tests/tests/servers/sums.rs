//! The checksum database.

use std::sync::Arc;

use anyhow::Result;
use gmtrace_tests::servers::{
    Fault, FullBacklog, HttpServer, Listen, Module, ModuleProxy, Modules, SumDb, wait_for_syn,
};

use super::{download, project, proxy, three};

const NAME: &str = "sum.example.com";

#[test]
fn go_believes_the_database() -> Result<()> {
    let modules = Modules::generated(299, 10).with(Module::new("example.com/Upper", "v1.0.0"));
    let (proxy, sums) = (proxy(&modules)?, database(&modules)?);
    let gosumdb = sums.site().gosumdb(&sums.url());
    download(&project(&modules)?).proxy(&proxy.url()).sumdb(&gosumdb).run()?.succeeded()?;
    assert_eq!(sums.log().count(|access| access.target.starts_with("/lookup/")), 300);
    assert!(
        sums.log().count(|access| access.target.starts_with("/tile/8/1/")) > 0,
        "no tile of the second level"
    );
    assert_eq!(sums.log().count(|access| access.status != Some(200)), 0);
    Ok(())
}

#[test]
fn go_asks_the_mirror_first() -> Result<()> {
    let modules = three();
    let sums = Arc::new(SumDb::new(NAME, &modules)?);
    let gosumdb = sums.key();
    let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules).mirroring(sums))?;
    download(&project(&modules)?).proxy(&proxy.url()).sumdb(&gosumdb).run()?.succeeded()?;
    assert_eq!(proxy.wait_for("/sumdb/sum.example.com/supported")?.status, Some(200));
    Ok(())
}

#[test]
fn a_mirror_without_the_database_leads_to_its_own_address() -> Result<()> {
    let modules = three();
    let proxy = proxy(&modules)?;
    let project = project(&modules)?;
    // A name that only a lab could resolve: HTTPS to it fails at once through a web proxy that is not there.
    let command = download(&project).proxy(&proxy.url()).sumdb(&SumDb::new(NAME, &modules)?.key());
    command.web_proxy("http://127.0.0.1:1").run()?.failed_saying("https://sum.example.com/")?;
    assert_eq!(proxy.wait_for("/sumdb/sum.example.com/supported")?.status, Some(404));
    Ok(())
}

#[test]
fn go_sees_that_the_database_disagrees() -> Result<()> {
    let modules = three();
    let other = Modules::new(modules.iter().map(Module::tampered));
    let (proxy, sums) = (proxy(&modules)?, database(&other)?);
    let gosumdb = sums.site().gosumdb(&sums.url());
    let failed = download(&project(&modules)?).proxy(&proxy.url()).sumdb(&gosumdb).run()?;
    failed.failed_saying("SECURITY ERROR")?;
    Ok(())
}

#[test]
fn go_sees_that_the_signature_is_anothers() -> Result<()> {
    let modules = three();
    let (proxy, sums, other) = (proxy(&modules)?, database(&modules)?, database(&modules)?);
    let gosumdb = other.site().gosumdb(&sums.url());
    let failed = download(&project(&modules)?).proxy(&proxy.url()).sumdb(&gosumdb).run()?;
    failed.failed_saying("note has no verifiable signatures")?;
    Ok(())
}

#[test]
fn the_database_is_silent() -> Result<()> {
    let modules = three();
    let (proxy, sums) = (proxy(&modules)?, database(&modules)?);
    sums.faults().on("/lookup/", Fault::Silent);
    let gosumdb = sums.site().gosumdb(&sums.url());
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).sumdb(&gosumdb).spawn()?;
    sums.wait_for("/lookup/example.com/m00")?;
    running.kill()?;
    Ok(())
}

#[test]
fn the_database_answers_no_syn() -> Result<()> {
    let modules = three();
    let (proxy, nobody) = (proxy(&modules)?, FullBacklog::start([127, 0, 0, 1], 0)?);
    let gosumdb = SumDb::new(NAME, &modules)?.gosumdb(&format!("http://{}", nobody.address()));
    let project = project(&modules)?;
    let running = download(&project).proxy(&proxy.url()).sumdb(&gosumdb).spawn()?;
    wait_for_syn(nobody.address())?;
    running.kill()?;
    Ok(())
}

fn database(modules: &Modules) -> Result<HttpServer<SumDb>> {
    HttpServer::start(Listen::loopback(), SumDb::new(NAME, modules)?)
}
