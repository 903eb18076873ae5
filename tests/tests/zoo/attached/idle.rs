//! H3, H4, H7, L8: what waits for nothing that is overdue is no stall.

use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::holder::make;
use gmtrace_tests::local_proxy::LocalProxy;
use gmtrace_tests::servers::{Fault, Modules};
use gmtrace_tests::zoo;

use crate::locks::{Place, ZIP};
use crate::parts::{download, one, project, proxy};

/// A language server in small: it listens, and keeps connections to whom it asked before and to who asked it.
#[test]
fn h7_a_server_with_kept_connections_is_idle() -> Result<()> {
    let upstream = proxy(&one())?;
    let local = LocalProxy::of(&upstream.url())?;
    let project = project(&one())?;
    zoo::hang(download(&project).proxy(&local.url()))?.succeeds()?;
    let answer = zoo::look(&[local.pid()])?;
    answer.no_stall();
    assert_eq!(answer.timeline["verdict"]["state"], "ok", "{answer}");
    assert!(answer.stderr.contains(" is idle: "), "{answer}");
    Ok(())
}

#[test]
fn h3_every_response_is_late() -> Result<()> {
    let modules = Modules::generated(40, 2_000);
    works(&modules, Fault::Delay(Duration::from_millis(200)))
}

#[test]
fn h4_every_response_is_slow() -> Result<()> {
    works(&Modules::generated(4, 1_000_000), Fault::Throttle(100_000))
}

/// A download that goes on, slowly, is told as one that works.
fn works(modules: &Modules, fault: Fault) -> Result<()> {
    let proxy = proxy(modules)?;
    proxy.faults().on("/@v/", fault);
    let project = project(modules)?;
    let goes_on = zoo::hang(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for("/@v/")?;
    let answer = goes_on.look()?;
    answer.no_stall();
    assert_eq!(answer.timeline["verdict"]["state"], "ok", "{answer}");
    assert!(answer.stderr.contains(" works: it moved"), "{answer}");
    proxy.faults().lift();
    goes_on.succeeds()
}

/// The wait of the command is what is told, and not the lock files that nobody holds.
#[test]
fn l8_a_lock_file_that_nobody_holds_is_not_blamed() -> Result<()> {
    let place = Place::new()?;
    make(&place.lock())?;
    make(&place.project.modcache().join("cache/lock"))?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let hang = zoo::hang(place.download())?;
    place.proxy.wait_for(ZIP)?;
    let answer = hang.look()?;
    answer.expect("http-silent").symptom("http-silent").role("module-proxy").links(1);
    answer.never("lock-held").never("lock-orphaned");
    Ok(())
}
