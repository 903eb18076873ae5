//! Hangs that people have reported and that are no row of the table, and some with two causes at once.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use gmtrace_tests::go::Project;
use gmtrace_tests::harness::send;
use gmtrace_tests::holder::{Holder, wait_for_queue};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{
    Fault, GitHost, Log, Modules, Question, RecordType, Reply, Transport,
};
use gmtrace_tests::zoo::{self, Way};
use nix::sys::signal::Signal;

use super::parts::{
    ADDRESS, MODULE, NAME, PLAIN, RESOLVER, SECURE, download, one, project, proxy, proxy_in,
    resolver_in,
};
use crate::children::{HOST, Place};

/// Takes connections, tells of each, and says nothing.
struct Mute {
    taken: Arc<Log<SocketAddr>>,
    port: u16,
}

impl Mute {
    fn at(address: [u8; 4], port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::from(address), port))?;
        let port = listener.local_addr()?.port();
        let taken = Arc::new(Log::default());
        let tell = Arc::clone(&taken);
        // It ends with the process.
        thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((stream, from)) = listener.accept() {
                held.push(stream);
                tell.push(from);
            }
        });
        Ok(Self { taken, port })
    }

    fn wait(&self) -> Result<()> {
        self.taken.wait_for("a connection", |_| true).map(drop)
    }
}

/// A script that says in a file that it was called, and goes on as `then` says.
fn script(project: &Project, name: &str, then: &str) -> Result<(PathBuf, PathBuf)> {
    let (program, called) = (project.room().join(name), project.room().join("called"));
    fs::write(&program, format!("#!/bin/sh\ntouch {}\n{then}\n", called.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok((program, called))
}

fn await_call(called: &Path) -> Result<()> {
    await_that("the program is called", || called.exists().then_some(()))
}

scenario!(a_pager_does_not_read(way));
fn a_pager_does_not_read(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let go = zoo::go()?.program().display().to_string();
    let line = format!("{go} list -json std | sleep 600");
    let command = project.command(Path::new("sh"), ["-c", &line]).directory(project.room());
    let hang = way.run(command)?;
    let list = below(hang.command()?, "go")?;
    let sleep = below(hang.command()?, "sleep")?;
    await_that("go list writes", || {
        let threads = fs::read_dir(format!("/proc/{list}/task")).ok()?.flatten();
        let mut calls = threads.filter_map(|t| fs::read_to_string(t.path().join("syscall")).ok());
        let write = format!("{} 0x1 ", nix::libc::SYS_write);
        calls.any(|call| call.starts_with(&write)).then_some(())
    })?;
    let answer = hang.stalls()?;
    let found = answer.expect("output-blocked").state("stalled").process(list);
    found.says("does not read what go writes").says(&sleep.to_string());
    hang.stop()?.expect("output-blocked");
    Ok(())
}

scenario!(a_name_server_does_not_answer_over_tcp(way, lab));
fn a_name_server_does_not_answer_over_tcp(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, _proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.always(Reply::TooLong);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN).env("GODEBUG", "netdns=go"))?;
    let by_tcp = |q: &Question| q.transport == Transport::Tcp;
    resolver.log().wait_for("a question over TCP", by_tcp)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.port(53).says(NAME).by_launch(|found| found.says("over TCP").says("dig +tcp"));
    resolver.lift();
    hang.stop()?.expect("dns-silent").address(RESOLVER);
    Ok(())
}

scenario!(a_socks_proxy_does_not_answer(way));
fn a_socks_proxy_does_not_answer(way: &Way) -> Result<()> {
    let mute = Mute::at([127, 0, 0, 1], 0)?;
    let project = project(&one())?;
    let url = format!("socks5://127.0.0.1:{}", mute.port);
    let hang = way.run(download(&project).proxy(SECURE).web_proxy(&url))?;
    mute.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("tunnel-silent").state("stalled").role("web-proxy");
    found.address("127.0.0.1").port(mute.port).module(MODULE).says("SOCKS").says("HTTPS_PROXY");
    hang.stop()?.expect("tunnel-silent").port(mute.port);
    Ok(())
}

scenario!(the_web_proxy_of_git_does_not_answer(way, lab));
fn the_web_proxy_of_git_does_not_answer(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    let mute = Mute::at([127, 0, 0, 1], 3128)?;
    let config = "[http]\n\tproxy = http://127.0.0.1:3128\n";
    fs::write(place.project.home().join(".gitconfig"), config)?;
    // The path names the repository: go asks nobody where it is, and git is the first who needs the network.
    let project = zoo::go()?.project()?.require("git.example.com/lib.git", "v1.2.3")?;
    fs::write(project.home().join(".gitconfig"), config)?;
    let hang = way.run(project.go(["mod", "download"]).proxy("direct"))?;
    mute.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("tunnel-silent").state("stalled").role("web-proxy");
    found.address("127.0.0.1").port(3128).says("git-remote-https").says("git config");
    hang.stop()?.expect("tunnel-silent").port(3128);
    Ok(())
}

scenario!(an_ssh_server_says_nothing(way, lab));
fn an_ssh_server_says_nothing(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    let mute = Mute::at([192, 0, 2, 22], 22)?;
    let by_ssh = format!("[url \"ssh://git@{HOST}/\"]\n\tinsteadOf = https://{HOST}/\n");
    fs::write(place.project.home().join(".gitconfig"), by_ssh)?;
    let hang = way.run(place.download().env("GIT_SSH_COMMAND", "ssh"))?;
    mute.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("vcs").address("192.0.2.22");
    found.port(22).says("ssh -v");
    hang.stop()?.expect("http-silent").port(22);
    Ok(())
}

scenario!(a_window_that_asks_for_a_login_stays_open(way, lab));
fn a_window_that_asks_for_a_login_stays_open(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let (program, called) = script(&place.project, "asks-in-a-window", "sleep 600")?;
    let hang = way.run(place.download().env("GIT_ASKPASS", &program))?;
    await_call(&called)?;
    let asks = below(hang.command()?, "asks-in-a-windo")?;
    let answer = hang.stalls()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper").process(asks);
    found.says("GIT_ASKPASS").says("asks-in-a-windo");
    hang.stop()?.expect("helper-silent");
    Ok(())
}

scenario!(a_wrapper_of_the_compiler_hangs(way));
fn a_wrapper_of_the_compiler_hangs(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?.file("main.go", "package main\n\nfunc main() {}\n")?;
    let then = "case \"$1\" in *compile) exec sleep 600;; esac\nexec \"$@\"";
    let (program, called) = script(&project, "wraps", then)?;
    let wrapped = format!("-toolexec={}", program.display());
    // Nothing is compiled where the cache knows the result.
    let cold = project.room().join("cold");
    let hang = way.run(project.go(["build", &wrapped, "./..."]).env("GOCACHE", cold))?;
    await_call(&called)?;
    let sleep = below(hang.command()?, "sleep")?;
    let answer = hang.stalls()?;
    let found = answer.expect("child-waiting").state("stalled").says("sleeps for a set time");
    assert_eq!(process(sleep.as_raw()).map(|p| p.state), Some('S'));
    found.says("sleep");
    hang.stop()?.expect("child-waiting");
    Ok(())
}

scenario!(a_redirect_leads_to_a_name_that_is_not_answered(way, lab));
fn a_redirect_leads_to_a_name_that_is_not_answered(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    proxy.faults().on(".zip", Fault::Redirect("http://storage.example.com/".to_owned()));
    resolver.on("storage.example.com", Reply::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN).env("GODEBUG", "netdns=go"))?;
    resolver.wait_for("storage.example.com", RecordType::A)?;
    let answer = hang.stalls()?;
    let found = answer.expect("dns-silent").state("stalled").role("resolver").address(RESOLVER);
    found.says("storage.example.com");
    hang.stop()?.expect("dns-silent").says("storage.example.com");
    Ok(())
}

scenario!(two_the_holder_of_the_lock_waits_for_a_login(way, lab));
/// One go command waits for another's lock, and that one for a helper which asks somebody who is not there.
fn two_the_holder_of_the_lock_waits_for_a_login(way: &Way, lab: &Lab) -> Result<()> {
    if way.go_with("a list of references that is fetched under a lock", 25)?.is_none() {
        return Ok(());
    }
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let (program, called) = script(&place.project, "says-nothing", "sleep 600")?;
    let config = format!("[credential]\n\thelper = {}\n", program.display());
    fs::write(place.project.home().join(".gitconfig"), config)?;
    let _holder = place.download().spawn()?;
    await_call(&called)?;
    let hang = way.run(place.download())?;
    // What runs below a holder of another tree is looked for by the second reading.
    let answer = hang.stalls_saying("says-nothing")?;
    let found = answer.expect("helper-silent").state("stalled").symptom("lock-held");
    found.says("says-nothing");
    hang.stop()?.expect("helper-silent").symptom("lock-held");
    Ok(())
}

scenario!(two_the_name_server_is_slow_and_the_proxy_silent(way, lab));
/// The slow answer came in the end: it is the proxy that is waited for.
fn two_the_name_server_is_slow_and_the_proxy_silent(way: &Way, lab: &Lab) -> Result<()> {
    let (resolver, proxy) = (resolver_in(lab)?, proxy_in(lab, &one())?);
    resolver.always(Reply::Delay(std::time::Duration::from_millis(700)));
    proxy.faults().on(".mod", Fault::Silent);
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(PLAIN).env("GODEBUG", "netdns=go"))?;
    proxy.wait_for(".mod")?;
    let answer = hang.stalls_saying(ADDRESS)?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy").host(NAME);
    found.address(ADDRESS).port(80).confidence("certain");
    proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").address(ADDRESS);
    Ok(())
}

scenario!(two_one_module_waits_for_a_lock_and_another_for_the_proxy(way));
/// Both are told, each with its own module.
fn two_one_module_waits_for_a_lock_and_another_for_the_proxy(way: &Way) -> Result<()> {
    let modules = Modules::generated(2, 1000);
    let (proxy, project) = (proxy(&modules)?, project(&modules)?);
    proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::Silent);
    let lock = project.modcache().join("cache/download/example.com/m000/@v/v1.0.0.lock");
    let holder = Holder::of(&lock)?;
    let hang = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for("/m001/@v/v1.0.0.zip")?;
    wait_for_queue(&lock)?;
    let answer = hang.stalls()?;
    // The two began at the same time.
    let locked_first = answer.timeline["findings"][0]["code"] == "lock-held";
    answer.expect(if locked_first { "lock-held" } else { "http-silent" });
    let held = answer.also("lock-held").state("stalled").confidence("certain");
    held.lock(&lock).only_holder(holder.pid()).only_module(MODULE);
    let silent = answer.also("http-silent").state("stalled").role("module-proxy");
    silent.only_module("example.com/m001@v1.0.0").port(proxy.address().port());
    proxy.faults().lift();
    hang.stalls_saying("lock-held")?.expect("lock-held").only_holder(holder.pid());
    drop(holder);
    hang.succeeds()?.also("lock-held").state("slow").only_module(MODULE);
    Ok(())
}

scenario!(two_git_is_stopped_while_its_resolver_is_silent(way, lab));
/// It would not see an answer if there came one: whoever lets it go on learns of the resolver next.
fn two_git_is_stopped_while_its_resolver_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let resolver = resolver_in(lab)?;
    resolver.always(Reply::Silent);
    let project = zoo::go()?.project()?.require("git.example.com/lib.git", "v1.2.3")?;
    let hang = way.run(project.go(["mod", "download"]).proxy("direct"))?;
    resolver.wait_for(HOST, RecordType::A)?;
    let git = below(hang.command()?, "git-remote-http")?;
    send(Signal::SIGSTOP, git.as_raw())?;
    await_that("git is stopped", || process(git.as_raw()).filter(|p| "Tt".contains(p.state)))?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").state("stalled").confidence("certain").process(git);
    found.says(&format!("kill -CONT {git}"));
    send(Signal::SIGCONT, git.as_raw())?;
    let answer = hang.stalls_saying(RESOLVER)?;
    answer.expect("dns-silent").state("stalled").address(RESOLVER).says("git-remote-https");
    hang.stop()?.also("dns-silent");
    Ok(())
}
