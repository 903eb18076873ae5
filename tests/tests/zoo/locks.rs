//! L1 to L10: a lock is in the way.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use gmtrace_tests::disk::LocklessDisk;
use gmtrace_tests::fixtures;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::harness::send;
use gmtrace_tests::holder::{Holder, make, wait_for_queue};
use gmtrace_tests::lab;
use gmtrace_tests::processes::{await_that, process};
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::zoo::{self, Watched};
use nix::sys::signal::Signal;

const MODULE: &str = "example.com/m000@v1.0.0";
const ZIP: &str = "/m000/@v/v1.0.0.zip";

/// One module, its proxy, and a project that requires it.
struct Place {
    proxy: HttpServer<ModuleProxy>,
    project: Project,
}

impl Place {
    fn new() -> Result<Self> {
        let modules = Modules::generated(1, 1000);
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        let project = zoo::go()?.project()?.requires(&modules)?;
        Ok(Self { proxy, project })
    }

    fn download(&self) -> GoCommand {
        self.project.go(["mod", "download"]).proxy(&self.proxy.url())
    }

    /// The lock of the module's version (modfetch.lockVersion).
    fn lock(&self) -> PathBuf {
        self.project.modcache().join("cache/download/example.com/m000/@v/v1.0.0.lock")
    }

    /// Runs `go mod download` into the lock that `holder` has, and expects to be told so.
    fn waits_for(&self, lock: &Path, holder: Holder) -> Result<()> {
        let hang = zoo::watch(self.download())?;
        wait_for_queue(lock)?;
        hang.stalls()?.expect("lock-held").state("stalled").lock(lock).holder(holder.pid());
        drop(holder);
        hang.succeeds()?.expect("lock-held").state("slow");
        Ok(())
    }
}

#[test]
fn l1_another_process_holds_the_lock_of_a_version() -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let hang = zoo::watch(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-held").state("stalled").confidence("certain");
    found.lock(place.lock()).holder(holder.pid()).module(MODULE).path(place.lock());
    found.says(&format!("{} holds, {} queues", holder.pid(), hang.command()?)).links(1);
    drop(holder);
    hang.succeeds()?.expect("lock-held").state("slow").module(MODULE);
    Ok(())
}

#[test]
fn l2_the_holder_is_a_go_command_silent_on_the_network() -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let first = place.download().spawn()?;
    place.proxy.wait_for(ZIP)?;
    let hang = zoo::watch(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("lock-held").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.lock(place.lock()).holder(first.pid()).module(MODULE).links(2);
    place.proxy.faults().lift();
    first.wait()?.succeeded()?;
    hang.succeeds()?.expect("http-silent").symptom("lock-held").state("slow");
    Ok(())
}

/// The third wants to write go.sum. The second holds the lock that is for that, and waits for the first one's module.
#[test]
fn l3_three_go_commands_in_a_row() -> Result<()> {
    let modules = Modules::generated(2, 1000);
    let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
    proxy.faults().on(ZIP, Fault::Silent);
    let project = zoo::go()?.project()?.require("example.com/m000", "v1.0.0")?;
    let other = zoo::go()?.project()?.require("example.com/m001", "v1.0.0")?;
    let cache = project.modcache();
    let (whole, version) =
        (cache.join("cache/lock"), cache.join("cache/download/example.com/m000/@v/v1.0.0.lock"));
    let first = project.go(["mod", "download"]).proxy(&proxy.url()).spawn()?;
    proxy.wait_for(ZIP)?;
    make(&whole)?;
    // flock becomes the go command, which inherits the lock.
    let words = ["--no-fork", &whole.to_string_lossy(), "go", "mod", "download"];
    let second = project.command(Path::new("flock"), words).proxy(&proxy.url()).spawn()?;
    wait_for_queue(&version)?;
    let third = other.go(["mod", "download"]).proxy(&proxy.url()).env("GOMODCACHE", &cache);
    let hang = zoo::watch(third)?;
    wait_for_queue(&whole)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("lock-held").role("module-proxy").links(3);
    found.lock(&whole).holder(second.pid()).port(proxy.address().port());
    found.says(&format!("kill {} {}", second.pid(), first.pid()));
    proxy.faults().lift();
    first.wait()?.succeeded()?;
    second.wait()?.succeeded()?;
    hang.succeeds()?;
    Ok(())
}

#[test]
fn l4_the_lock_of_the_whole_cache() -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.modcache().join("cache/lock");
    place.waits_for(&lock, Holder::of(&lock)?)
}

#[test]
fn l4_the_projects_go_mod() -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.directory().join("go.mod");
    place.waits_for(&lock, Holder::of(&lock)?)
}

#[test]
fn l5_the_locker_died_and_its_child_keeps_the_lock() -> Result<()> {
    let place = Place::new()?;
    let lock = place.lock();
    let holder = Holder::orphan_of(&lock)?;
    let hang = zoo::watch(place.download())?;
    wait_for_queue(&lock)?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-held").lock(&lock).holder(holder.pid());
    assert_eq!(found.finding["lock"]["holders"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(found.finding["lock"]["holders"][0]["alive"], true, "{answer}");
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

#[test]
fn l6_the_holder_is_stopped() -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let pid = holder.pid().as_raw();
    send(Signal::SIGSTOP, pid)?;
    await_that("it is stopped", || process(pid).filter(|process| process.state == 'T'))?;
    let hang = zoo::watch(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").symptom("lock-held").state("stalled").links(2);
    found.lock(place.lock()).holder(holder.pid()).says(&format!("kill -CONT {pid}"));
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

/// Lock files stay where they are after use: each cache is full of them, and that is no reason for a word.
#[test]
fn l8_a_lock_file_that_nobody_holds() -> Result<()> {
    let place = Place::new()?;
    make(&place.lock())?;
    let answer = zoo::watch(place.download())?.succeeds()?;
    assert_eq!(answer.no_stall().timeline["findings"], serde_json::json!([]), "{answer}");
    let page = explain("lock-held")?;
    assert!(page.contains("Never delete the lock file"), "{page}");
    Ok(())
}

fn explain(code: &str) -> Result<String> {
    let output = Command::new(fixtures::gmtrace()?).args(["explain", code]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn l9_two_programs_wait_for_each_other() -> Result<()> {
    let project = zoo::go()?.project()?;
    let (one, other) = (project.room().join("one"), project.room().join("other"));
    make(&one)?;
    let mut holder = Holder::that_then_wants(&other, &one)?;
    let (one_word, other_word) = (one.to_string_lossy(), other.to_string_lossy());
    let words = ["--no-fork", &one_word, "flock", "--no-fork", &other_word, "true"];
    let hang = zoo::watch(project.command(Path::new("flock"), words))?;
    wait_for_queue(&other)?;
    holder.go_on()?;
    wait_for_queue(&one)?;
    let answer = cycle(&hang)?;
    let found = answer.expect("lock-cycle").symptom("lock-held").lock(&other).holder(holder.pid());
    found
        .says(&format!("(pid {})", holder.pid()))
        .says(&format!("(pid {})", hang.command()?))
        .links(2);
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

/// The first answer may be older than the cycle.
fn cycle(hang: &Watched) -> Result<zoo::Answer> {
    hang.wait_for_stderr("lock-cycle")?;
    hang.stalls()
}

#[test]
fn l10_the_filesystem_refuses_locks() -> Result<()> {
    lab::isolated(|lab| {
        let project = zoo::go()?.project()?;
        let go_mod = std::fs::read_to_string(project.directory().join("go.mod"))?;
        let _disk = LocklessDisk::mount(lab, &project.directory(), &go_mod)?;
        let answer =
            zoo::watch(project.go(["mod", "download"]).directory(&project.directory()))?.fails()?;
        let found = answer.expect("lock-unsupported").state("failed");
        found.path(project.directory().join("go.mod")).says(&project.directory().to_string_lossy());
        found.says("no locks available");
        Ok(())
    })
}
