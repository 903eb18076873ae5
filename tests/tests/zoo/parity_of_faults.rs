//! What fails, and what hangs, is told alike by ptrace and by eBPF: every fault of the network, and a lock.

use anyhow::{Result, ensure};
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::holder::Holder;
use gmtrace_tests::lab::{self, Lab};
use gmtrace_tests::servers::{Certificate, Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::servers::{Reply, TestCa, TlsFault};
use gmtrace_tests::zoo::{Answer, watch_by};
use serde_json::{Value, json};

use super::parity::same;
use super::parts::{
    ADDRESS, NAME, PLAIN, SECURE, ZIP, download, ip, one, project, proxy, proxy_in, resolver_in,
    secure_proxy_in,
};

/// Runs until gmtrace says that it hangs, and ends it then. What it hangs in is what was said then: how sure that is, and what became
/// of it, hangs on when it was ended.
fn hangs(backend: &str, command: GoCommand) -> Result<Answer> {
    let watched = watch_by(backend, command)?;
    let mut verdict = watched.stalls()?.timeline["findings"][0].take();
    let mut ended = watched.stop()?;
    ensure!(verdict["code"].is_string(), "nothing was found: {ended}");
    (verdict["state"], verdict["confidence"]) = (Value::Null, Value::Null);
    ended.timeline["findings"] = json!([verdict]);
    Ok(ended)
}

fn fails(backend: &str, command: GoCommand) -> Result<Answer> {
    watch_by(backend, command)?.fails()
}

/// Each backend has a project of its own, in which nothing is downloaded yet.
fn each(
    run: fn(&str, GoCommand) -> Result<Answer>,
    command: impl Fn(&Project) -> GoCommand,
    modules: &Modules,
) -> Result<()> {
    same(|backend| run(backend, command(&project(modules)?)))
}

#[test]
fn answers_that_are_none() -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    for fault in
        [Fault::Status(403, "not you"), Fault::BodyThenReset(50_000), Fault::BodyThenClose(50_000)]
    {
        let proxy = proxy(&modules)?;
        proxy.faults().on(ZIP, fault);
        each(fails, |project| download(project).proxy(&proxy.url()), &modules)?;
    }
    Ok(())
}

#[test]
fn answers_that_do_not_come() -> Result<()> {
    let modules = Modules::generated(1, 100_000);
    for fault in [Fault::Silent, Fault::BodyThenSilence(50_000)] {
        let proxy = proxy(&modules)?;
        proxy.faults().on(ZIP, fault);
        each(hangs, |project| download(project).proxy(&proxy.url()), &modules)?;
    }
    Ok(())
}

#[test]
fn handshakes() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        let secure = |project: &Project| download(project).proxy(SECURE).trust(&ca);
        proxy.faults().in_handshake(TlsFault::Silent);
        each(hangs, secure, &one())?;
        proxy.faults().lift();
        proxy.faults().in_handshake(TlsFault::Alert(40));
        each(fails, secure, &one())
    })
}

#[test]
fn a_certificate_and_a_server_without_one() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let _resolver = resolver_in(lab)?;
        lab.address(ADDRESS)?;
        let secure = |project: &Project| download(project).proxy(SECURE).trust(&ca);
        let untrusted = ca.tls_with(&[NAME], Certificate::UnknownAuthority)?;
        for listen in [Listen::at(ip(ADDRESS)?, 443).tls(untrusted), Listen::at(ip(ADDRESS)?, 443)]
        {
            let _proxy = HttpServer::start(listen, ModuleProxy::new(&one()))?;
            each(fails, secure, &one())?;
        }
        Ok(())
    })
}

fn plain(project: &Project) -> GoCommand {
    download(project).proxy(PLAIN)
}

#[test]
fn names() -> Result<()> {
    lab::isolated(|lab| {
        let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
        resolver.always(Reply::Silent);
        each(hangs, plain, &one())?;
        resolver.lift();
        resolver.always(Reply::ServFail);
        each(fails, plain, &one())
    })
}

#[test]
fn ways_that_lead_nowhere() -> Result<()> {
    lab::isolated(|lab| {
        let _resolver = resolver_in(lab)?;
        // Nothing has a route in the lab.
        each(fails, plain, &one())?;
        silent_at(lab)
    })
}

fn silent_at(lab: &Lab) -> Result<()> {
    let _proxy = proxy_in(lab, &one())?;
    lab.drop_to(ADDRESS)?;
    each(hangs, plain, &one())
}

#[test]
fn a_lock_that_somebody_has() -> Result<()> {
    let proxy = proxy(&one())?;
    same(|backend| {
        let project = project(&one())?;
        let lock = "cache/download/example.com/m000/@v/v1.0.0.lock";
        let _holder = Holder::of(&project.modcache().join(lock))?;
        hangs(backend, download(&project).proxy(&proxy.url()))
    })
}
