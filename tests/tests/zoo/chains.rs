//! C11: waiting for a process of this machine that waits itself.

use anyhow::Result;
use gmtrace_tests::harness::send;
use gmtrace_tests::local_proxy::LocalProxy;
use gmtrace_tests::processes::{await_that, process};
use gmtrace_tests::servers::Fault;
use gmtrace_tests::zoo;
use nix::sys::signal::Signal;

use super::parts::{MODULE, ZIP, download, one, project, proxy};

#[test]
fn c11_the_module_proxy_of_this_machine_waits_for_its_upstream() -> Result<()> {
    let upstream = proxy(&one())?;
    upstream.faults().on(ZIP, Fault::Silent);
    let local = LocalProxy::of(&upstream.url())?;
    let project = project(&one())?;
    let hang = zoo::watch(download(&project).proxy(&local.url()))?;
    upstream.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled").links(2);
    found.role("module-proxy").address("127.0.0.1").port(upstream.address().port()).module(MODULE);
    assert_eq!(found.finding["chain"][1]["pid"], local.pid().as_raw(), "{answer}");
    found.says("the module proxy on this machine is itself stuck on");
    upstream.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").port(upstream.address().port());
    Ok(())
}

/// Whether somebody has sent to this port of loopback what nobody has read there (proc_net_tcp(5): state 01, and a receive queue).
pub(crate) fn has_sent_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, from, _, state, queues, ..] = words.as_slice() else { return false };
        let received = queues.split_once(':').map(|(_, received)| received);
        *from == local && *state == "01" && received.is_some_and(|bytes| bytes != "00000000")
    })
}

#[test]
fn c11_the_module_proxy_of_this_machine_is_stopped() -> Result<()> {
    let upstream = proxy(&one())?;
    let local = LocalProxy::of(&upstream.url())?;
    send(Signal::SIGSTOP, local.pid().as_raw())?;
    await_that("it is stopped", || process(local.pid().as_raw()).filter(|p| p.state == 'T'))?;
    let project = project(&one())?;
    let hang = zoo::watch(download(&project).proxy(&local.url()))?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").symptom("http-silent").state("stalled").links(2);
    found.says(&format!("kill -CONT {}", local.pid()));
    send(Signal::SIGCONT, local.pid().as_raw())?;
    hang.succeeds()?.expect("stopped").state("slow");
    Ok(())
}
