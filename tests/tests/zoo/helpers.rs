//! C4, C5, C8, C9, C10: helpers that never answer, and other programs below go that wait.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Result;
use gmtrace_tests::go::Project;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, GitHost, RecordType, Reply, TestCa};
use gmtrace_tests::zoo::{self, Way};

use super::parts::{RESOLVER, SECURE, download, one, project, resolver_in, secure_proxy_in};
use crate::children::{HOST, Place};

/// A program that says that it was asked, and no more.
struct Mute {
    program: PathBuf,
    asked: PathBuf,
}

impl Mute {
    const NAME: &'static str = "says-nothing";

    fn new(project: &Project) -> Result<Self> {
        let (program, asked) = (project.room().join(Self::NAME), project.room().join("asked"));
        let script = format!("#!/bin/sh\ntouch {}\nsleep 600\n", asked.display());
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { program, asked })
    }

    fn wait(&self) -> Result<()> {
        await_that("the helper is asked", || self.asked.exists().then_some(()))
    }
}

scenario!(c4_a_credential_helper_does_not_answer(way, lab));
fn c4_a_credential_helper_does_not_answer(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let mute = Mute::new(&place.project)?;
    let config = format!("[credential]\n\thelper = {}\n", mute.program.display());
    fs::write(place.project.home().join(".gitconfig"), config)?;
    let hang = way.run(place.download())?;
    mute.wait()?;
    let helper = below(hang.command()?, Mute::NAME)?;
    let answer = hang.stalls()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper").process(helper);
    found.confidence("certain").says("credential.helper").says(Mute::NAME);
    hang.stop()?.expect("helper-silent");
    Ok(())
}

scenario!(c5_a_goauth_command_does_not_answer(way, lab));
fn c5_a_goauth_command_does_not_answer(way: &Way, lab: &Lab) -> Result<()> {
    let Some(go) = way.go_with("GOAUTH", 24)? else { return Ok(()) };
    let ca = TestCa::new()?;
    let (_resolver, _proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    let project = go.project()?.requires(&one())?;
    let mute = Mute::new(&project)?;
    let command = download(&project).proxy(SECURE).trust(&ca).env("GOAUTH", &mute.program);
    let hang = way.run(command)?;
    mute.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper");
    found.says("GOAUTH").says(Mute::NAME);
    hang.stop()?.expect("helper-silent");
    Ok(())
}

scenario!(c8_git_resolves_a_name_and_the_resolver_is_silent(way, lab));
fn c8_git_resolves_a_name_and_the_resolver_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let resolver = resolver_in(lab)?;
    resolver.always(Reply::Silent);
    // The path names the repository: go asks nobody where it is, and git is the first who needs the address.
    let project = zoo::go()?.project()?.require("git.example.com/lib.git", "v1.2.3")?;
    let hang = way.run(project.go(["mod", "download"]).proxy("direct"))?;
    resolver.wait_for(HOST, RecordType::A)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.port(53).says(HOST).says("getaddrinfo").says("git-remote-https");
    hang.stop()?.expect("dns-silent").address(RESOLVER);
    Ok(())
}

scenario!(c9_a_gocacheprog_does_not_answer(way));
fn c9_a_gocacheprog_does_not_answer(way: &Way) -> Result<()> {
    let Some(go) = way.go_with("GOCACHEPROG", 24)? else { return Ok(()) };
    let project = go.project()?.file("main.go", "package main\n\nfunc main() {}\n")?;
    let mute = Mute::new(&project)?;
    let hang = way.run(project.go(["build", "./..."]).env("GOCACHEPROG", &mute.program))?;
    mute.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper");
    found.says("GOCACHEPROG").says(Mute::NAME);
    hang.stop()?.expect("helper-silent");
    Ok(())
}

scenario!(c10_a_program_that_go_generate_runs_hangs_by_itself(way));
fn c10_a_program_that_go_generate_runs_hangs_by_itself(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let project = project.file("waits.go", "package project\n\n//go:generate sleep 600\n")?;
    let hang = way.run(project.go(["generate", "./..."]))?;
    let sleep = below(hang.command()?, "sleep")?;
    let answer = hang.stalls()?;
    let found = answer.expect("child-waiting").state("stalled").says("sleeps for a set time");
    found.process(sleep);
    hang.stop()?;
    Ok(())
}

scenario!(c10_go_is_not_blamed_on_an_idle_connection(way, lab));
fn c10_go_is_not_blamed_on_an_idle_connection(way: &Way, lab: &Lab) -> Result<()> {
    let ca = TestCa::new()?;
    let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
    let project = project(&one())?;
    let project = project
        .file("waits.go", "package project\n\n//go:generate sleep 600\n")?
        .file("uses.go", "package project\n\nimport _ \"example.com/m000\"\n")?;
    let command = project.go(["generate", "./..."]).proxy(SECURE).trust(&ca);
    let hang = way.run(command)?;
    let _sleep = below(hang.command()?, "sleep")?;
    proxy.wait_for(".zip")?;
    let answer = hang.stalls()?;
    answer.expect("child-waiting").state("stalled").says("sleep");
    answer.never("http-silent").never("body-stalled");
    hang.stop()?;
    Ok(())
}
