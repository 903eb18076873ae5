//! What go started keeps it waiting, by attach.

use std::fs;

use anyhow::Result;
use gmtrace_tests::harness::send;
use gmtrace_tests::lab;
use gmtrace_tests::local_proxy::LocalProxy;
use gmtrace_tests::processes::{await_read, await_that, below, process};
use gmtrace_tests::servers::{Fault, GitHost, RecordType, Reply, SshHost, TestCa};
use gmtrace_tests::zoo;
use nix::sys::signal::Signal;

use crate::chains::{Daemon, credential_cache_below};
use crate::children::{HOST, Place};
use crate::helpers::Mute;
use crate::parts::{
    MODULE, RESOLVER, SECURE, ZIP, download, one, project, proxy, resolver_in, secure_proxy_in,
};
use crate::questions::{await_left, leaving};

#[test]
fn c2_ssh_asks_whether_to_trust_a_host() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        let ssh = SshHost::start([192, 0, 2, 22], 22)?;
        let by_ssh = format!("[url \"ssh://git@{HOST}/\"]\n\tinsteadOf = https://{HOST}/\n");
        fs::write(place.project.home().join(".gitconfig"), by_ssh)?;
        // Up to Go 1.24 an ssh that the user did not choose has BatchMode set, and asks nothing.
        let asked = place.download().at_a_terminal().env("GIT_SSH_COMMAND", "ssh");
        let hang = zoo::hang(asked)?;
        ssh.wait_for_client()?;
        let asking = below(hang.pid(), "ssh")?;
        await_read(asking, "tty")?;
        let answer = hang.look()?;
        let found = answer.expect("prompt").state("stalled").confidence("certain").host(HOST);
        assert_eq!(found.finding["blocked"]["pid"], asking.as_raw(), "{answer}");
        found.says("trust this host?").says("BatchMode=yes").says(&format!("ssh ({asking})"));
        Ok(())
    })
}

#[test]
fn c3_git_asks_for_a_user_name() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
        let asked = place.download().at_a_terminal().env("GIT_TERMINAL_PROMPT", "1");
        let hang = zoo::hang(asked)?;
        place.git.wait_for("/lib.git/info/refs")?;
        let git = below(hang.pid(), "git-remote-http")?;
        await_read(git, "tty")?;
        let answer = hang.look()?;
        let found = answer.expect("prompt").state("stalled").host(HOST);
        assert_eq!(found.finding["blocked"]["pid"], git.as_raw(), "{answer}");
        Ok(())
    })
}

#[test]
fn c4_a_credential_helper_does_not_answer() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
        let mute = Mute::new(&place.project)?;
        let config = format!("[credential]\n\thelper = {}\n", mute.program.display());
        fs::write(place.project.home().join(".gitconfig"), config)?;
        let hang = zoo::hang(place.download())?;
        mute.wait()?;
        let helper = below(hang.pid(), Mute::NAME)?;
        let answer = hang.look()?;
        let found = answer.expect("helper-silent").state("stalled").role("helper");
        assert_eq!(found.finding["blocked"]["pid"], helper.as_raw(), "{answer}");
        found.says("credential.helper").says(Mute::NAME);
        Ok(())
    })
}

#[test]
fn c5_a_goauth_command_does_not_answer() -> Result<()> {
    let Some(go) = zoo::go_with("GOAUTH", 24)? else { return Ok(()) };
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, _proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        let project = go.project()?.requires(&one())?;
        let mute = Mute::new(&project)?;
        let command = download(&project).proxy(SECURE).trust(&ca).env("GOAUTH", &mute.program);
        let hang = zoo::hang(command)?;
        mute.wait()?;
        let answer = hang.look()?;
        let found = answer.expect("helper-silent").state("stalled").role("helper");
        found.says("GOAUTH").says(Mute::NAME);
        Ok(())
    })
}

#[test]
fn c6_a_daemon_keeps_the_pipe_of_git_that_has_ended() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        let hang = zoo::hang(leaving(&place.project, place.download())?)?;
        let (go, daemon) = await_left(&place.project, || Ok(hang.pid()))?;
        let answer = hang.look()?;
        let found = answer.expect("pipe-held").state("stalled").confidence("certain").links(2);
        assert_eq!(found.finding["blocked"]["pid"], go.as_raw(), "{answer}");
        assert_eq!(found.finding["chain"][1]["pid"], daemon.as_raw(), "{answer}");
        found.says(&format!("sleep (pid {daemon})")).says(&format!("kill {daemon}"));
        send(Signal::SIGTERM, daemon.as_raw())?;
        hang.succeeds()
    })
}

#[test]
fn c7_git_is_stopped_for_reading_the_terminal_from_the_background() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Silent);
        let hang = zoo::hang(place.download())?;
        place.git.wait_for("/lib.git/info/refs")?;
        let git = below(hang.pid(), "git")?;
        send(Signal::SIGTTIN, git.as_raw())?;
        await_that("git is stopped", || process(git.as_raw()).filter(|p| p.state == 'T'))?;
        let answer = hang.look()?;
        let found = answer.expect("stopped").state("stalled").confidence("certain");
        // Which signal it was, nobody can read afterwards.
        found.says(&format!("kill -CONT {git}")).links(2);
        send(Signal::SIGCONT, git.as_raw())?;
        place.git.faults().lift();
        hang.succeeds()
    })
}

#[test]
fn c8_git_resolves_a_name_and_the_resolver_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        resolver.always(Reply::Silent);
        let project = zoo::go()?.project()?.require("git.example.com/lib.git", "v1.2.3")?;
        let hang = zoo::hang(project.go(["mod", "download"]).proxy("direct"))?;
        resolver.wait_for(HOST, RecordType::A)?;
        let answer = hang.look()?;
        let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
        found.port(53).says("git-remote-https");
        Ok(())
    })
}

#[test]
fn c9_a_gocacheprog_does_not_answer() -> Result<()> {
    let Some(go) = zoo::go_with("GOCACHEPROG", 24)? else { return Ok(()) };
    let project = go.project()?.file("main.go", "package main\n\nfunc main() {}\n")?;
    let mute = Mute::new(&project)?;
    let hang = zoo::hang(project.go(["build", "./..."]).env("GOCACHEPROG", &mute.program))?;
    mute.wait()?;
    let answer = hang.look()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper");
    found.says("GOCACHEPROG").says(Mute::NAME);
    Ok(())
}

#[test]
fn c10_a_program_that_go_generate_runs_hangs_by_itself() -> Result<()> {
    let project = zoo::go()?.project()?;
    let project = project.file("waits.go", "package project\n\n//go:generate sleep 600\n")?;
    let hang = zoo::hang(project.go(["generate", "./..."]))?;
    let sleep = below(hang.pid(), "sleep")?;
    let answer = hang.look()?;
    let found = answer.expect("child-waiting").state("stalled").says("sleeps for a set time");
    assert_eq!(found.finding["blocked"]["pid"], sleep.as_raw(), "{answer}");
    Ok(())
}

#[test]
fn c10_go_is_not_blamed_on_an_idle_connection() -> Result<()> {
    lab::isolated(|lab| {
        let ca = TestCa::new()?;
        let (_resolver, proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &one())?);
        let project = project(&one())?
            .file("waits.go", "package project\n\n//go:generate sleep 600\n")?
            .file("uses.go", "package project\n\nimport _ \"example.com/m000\"\n")?;
        let hang = zoo::hang(project.go(["generate", "./..."]).proxy(SECURE).trust(&ca))?;
        let _sleep = below(hang.pid(), "sleep")?;
        proxy.wait_for(".zip")?;
        let answer = hang.look()?;
        answer.expect("child-waiting").state("stalled").says("sleep");
        answer.never("http-silent").never("body-stalled");
        Ok(())
    })
}

#[test]
fn c11_the_module_proxy_of_this_machine_waits_for_its_upstream() -> Result<()> {
    let upstream = proxy(&one())?;
    upstream.faults().on(ZIP, Fault::Silent);
    let local = LocalProxy::of(&upstream.url())?;
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(&local.url()))?;
    upstream.wait_for(ZIP)?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled").links(2);
    found.role("module-proxy").address("127.0.0.1").port(upstream.address().port()).module(MODULE);
    assert_eq!(found.finding["chain"][1]["pid"], local.pid().as_raw(), "{answer}");
    upstream.faults().lift();
    hang.succeeds()
}

#[test]
fn c11_the_module_proxy_of_this_machine_is_stopped() -> Result<()> {
    let upstream = proxy(&one())?;
    let local = LocalProxy::of(&upstream.url())?;
    send(Signal::SIGSTOP, local.pid().as_raw())?;
    await_that("it is stopped", || process(local.pid().as_raw()).filter(|p| p.state == 'T'))?;
    let project = project(&one())?;
    let hang = zoo::hang(download(&project).proxy(&local.url()))?;
    let port = local.port()?;
    await_that("go has asked it", || crate::chains::has_sent_to(port).then_some(()))?;
    let answer = hang.look()?;
    let found = answer.expect("stopped").symptom("http-silent").state("stalled").links(2);
    found.says(&format!("kill -CONT {}", local.pid()));
    send(Signal::SIGCONT, local.pid().as_raw())?;
    hang.succeeds()
}

#[test]
fn c11_a_credential_daemon_behind_a_unix_socket_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
        let daemon = Daemon::start(&place.project)?;
        let hang = zoo::hang(place.download())?;
        daemon.wait()?;
        let answer = hang.look()?;
        let found = answer.expect("helper-silent").state("stalled").role("helper");
        found.says("credential.helper").says(&format!("python3 (pid {})", daemon.pid()));
        Ok(())
    })
}

#[test]
fn c11_a_credential_daemon_behind_a_unix_socket_is_stopped() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new(lab)?;
        GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
        let daemon = Daemon::start(&place.project)?;
        daemon.stop()?;
        let hang = zoo::hang(place.download())?;
        await_read(credential_cache_below(hang.pid())?, "socket:")?;
        let answer = hang.look()?;
        let found = answer.expect("stopped").state("stalled");
        found.says(&format!("kill -CONT {}", daemon.pid()));
        Ok(())
    })
}
