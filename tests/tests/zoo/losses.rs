//! S16: what the answer needs was lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::harness::send;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, RecordType, Reply};
use gmtrace_tests::zoo::{self, Answer, Hang, Way};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::children::HOST;
use super::parts::{
    ADDRESS, MODULE, NAME, PLAIN, RESOLVER, ZIP, one, project, proxy, proxy_in, resolver_in,
};

/// A debug build of gmtrace makes its rings this large, and a storm of so many locks and signals fills both.
const RING: (&str, &str) = ("GMTRACE_TEST_RING", "65536");
const STORM: &str = "5000";

/// A shell that runs `line`, in which `STORM` waits for [`overflow`].
fn shell(project: &Project, line: &str) -> Result<GoCommand> {
    let room = project.room().display();
    nix::unistd::mkfifo(&project.room().join("begin"), Mode::S_IRWXU)?;
    let storm = fixture("storm")?;
    let storm = format!("read word < {room}/begin; {} {STORM}", storm.display());
    let line = line.replace("GO", &zoo::go()?.program().to_string_lossy());
    let line = format!("{}; exit $?", line.replace("STORM", &storm));
    Ok(project.command(Path::new("sh"), ["-c", &line]).env(RING.0, RING.1))
}

/// Makes the rings overflow, and keeps them full while what `meanwhile` waits for comes about: gmtrace is stopped, and takes nothing out.
fn overflow(hang: &Hang, project: &Project, meanwhile: impl FnOnce() -> Result<()>) -> Result<()> {
    let shell = hang.command()?;
    await_that("the shell waits for a writer", || {
        let call = fs::read_to_string(format!("/proc/{shell}/syscall")).ok()?;
        call.starts_with(&format!("{} ", nix::libc::SYS_openat)).then_some(())
    })?;
    let tracer = process(shell.as_raw()).context("no shell")?.parent;
    send(Signal::SIGSTOP, tracer)?;
    await_that("gmtrace is stopped", || process(tracer).filter(|p| p.state == 'T'))?;
    fs::write(project.room().join("begin"), "now\n")?;
    let storm = hang.wait_for_line()?;
    assert_eq!(storm, STORM);
    meanwhile()?;
    send(Signal::SIGCONT, tracer)?;
    Ok(())
}

/// Expects that records of this kind were lost, and that this is told beside the answer.
fn lost(answer: &Answer, kind: &str) {
    let losses = &answer.timeline["losses"];
    let count = losses[format!("{kind}: the ring buffer was full")].as_u64();
    assert!(count > Some(0), "no loss of {kind}: {losses}\n{answer:#}");
    answer.also("trace-incomplete").state("notice");
}

scenario!(s16_the_look_up_of_git_was_lost(way, lab), ebpf only: "no other way of looking has a ring that can overflow");
/// Neither that git began was seen, nor what it asks.
fn s16_the_look_up_of_git_was_lost(way: &Way, lab: &Lab) -> Result<()> {
    let resolver = resolver_in(lab)?;
    resolver.always(Reply::Silent);
    let project = zoo::go()?.project()?.require("git.example.com/lib.git", "v1.2.3")?;
    let hang = way.run(shell(&project, "STORM; GO mod download")?.proxy("direct"))?;
    overflow(&hang, &project, || resolver.wait_for(HOST, RecordType::A).map(drop))?;
    let git = below(hang.command()?, "git-remote-http")?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.port(53).process(git).says("git-remote-https").confidence("likely");
    found.says("of this run, which could tell more");
    lost(&answer, "lookupstart");
    lost(&answer, "exec");
    hang.stop()?.also("trace-incomplete");
    Ok(())
}

scenario!(s16_the_request_of_go_was_lost(way), ebpf only: "no other way of looking has a ring that can overflow");
/// Nothing of go was seen; its memory tells what it waits for.
fn s16_the_request_of_go_was_lost(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = project(&one())?;
    let hang = way.run(shell(&project, "STORM; GO mod download")?.proxy(&proxy.url()))?;
    overflow(&hang, &project, || proxy.wait_for(ZIP).map(drop))?;
    let go = below(hang.command()?, "go")?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy").module(MODULE);
    found.address("127.0.0.1").port(proxy.address().port()).process(go);
    lost(&answer, "connect");
    proxy.faults().lift();
    hang.succeeds()?.also("trace-incomplete");
    Ok(())
}

scenario!(s16_the_answer_of_a_resolver_was_lost(way, lab), ebpf only: "no other way of looking has a ring that can overflow");
/// The question was seen and told of, and its answer was not: by now it is the proxy that is silent.
fn s16_the_answer_of_a_resolver_was_lost(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.always(Reply::Delay(Duration::from_secs(60)));
    proxy.faults().on(".mod", Fault::Silent);
    let project = project(&one())?;
    let command = shell(&project, "GO mod download & STORM; wait $!")?;
    let hang = way.run(command.proxy(PLAIN).env("GODEBUG", "netdns=go"))?;
    resolver.wait_for(NAME, RecordType::A)?;
    hang.stalls()?.expect("dns-silent").says(NAME).confidence("certain");
    overflow(&hang, &project, || {
        resolver.lift();
        proxy.wait_for(".mod").map(drop)
    })?;
    let answer = hang.stalls_saying("192.0.2.1 ")?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy");
    found.address(ADDRESS).port(80);
    lost(&answer, "received");
    proxy.faults().lift();
    hang.succeeds()?.also("trace-incomplete");
    Ok(())
}
