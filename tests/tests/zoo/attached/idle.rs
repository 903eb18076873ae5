//! H7, L8: what waits for nothing that is overdue is no stall.

use anyhow::Result;
use gmtrace_tests::holder::make;
use gmtrace_tests::local_proxy::LocalProxy;
use gmtrace_tests::servers::Fault;
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
