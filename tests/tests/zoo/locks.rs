//! L1 to L10: a lock is in the way.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use gmtrace_tests::disk::LocklessDisk;
use gmtrace_tests::fixtures;
use gmtrace_tests::go::{GoCommand, Project, Running};
use gmtrace_tests::harness::send;
use gmtrace_tests::holder::{Holder, make, wait_for_queue};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::zoo::{self, Way};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub(crate) const MODULE: &str = "example.com/m000@v1.0.0";
pub(crate) const ZIP: &str = "/m000/@v/v1.0.0.zip";

/// One module, its proxy, and a project that requires it.
pub(crate) struct Place {
    pub(crate) proxy: HttpServer<ModuleProxy>,
    pub(crate) project: Project,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let modules = Modules::generated(1, 1000);
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        let project = zoo::go()?.project()?.requires(&modules)?;
        Ok(Self { proxy, project })
    }

    pub(crate) fn download(&self) -> GoCommand {
        self.project.go(["mod", "download"]).proxy(&self.proxy.url())
    }

    /// The lock of the module's version (modfetch.lockVersion).
    pub(crate) fn lock(&self) -> PathBuf {
        self.project.modcache().join("cache/download/example.com/m000/@v/v1.0.0.lock")
    }

    /// Runs `go mod download` into a lock that somebody has, and expects to be told so.
    fn waits_for(&self, way: &Way, lock: &Path) -> Result<()> {
        let holder = Holder::of(lock)?;
        let hang = way.run(self.download())?;
        wait_for_queue(lock)?;
        let answer = hang.stalls()?;
        let found = answer.expect("lock-held").state("stalled").confidence("certain").links(1);
        found.lock(lock).holder(holder.pid()).path(lock);
        drop(holder);
        hang.succeeds()?.expect("lock-held").state("slow");
        Ok(())
    }
}

scenario!(l1_another_process_holds_the_lock_of_a_version(way));
fn l1_another_process_holds_the_lock_of_a_version(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let hang = way.run(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-held").state("stalled").confidence("certain");
    found.lock(place.lock()).holder(holder.pid()).module(MODULE).path(place.lock());
    found.says(&format!("{} holds, {} queues", holder.pid(), hang.command()?)).links(1);
    drop(holder);
    hang.succeeds()?.expect("lock-held").state("slow").module(MODULE);
    Ok(())
}

scenario!(l2_the_holder_is_a_go_command_silent_on_the_network(way));
fn l2_the_holder_is_a_go_command_silent_on_the_network(way: &Way) -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let first = place.download().spawn()?;
    place.proxy.wait_for(ZIP)?;
    let hang = way.run(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("lock-held").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.lock(place.lock()).holder(first.pid()).module(MODULE).links(2);
    if !way.launches() {
        holder_is_told_of_its_waiter(first.pid(), hang.command()?)?;
    }
    place.proxy.faults().lift();
    first.wait()?.succeeded()?;
    hang.succeeds()?.expect("http-silent").symptom("lock-held").state("slow");
    Ok(())
}

/// Of the holder it is told who waits behind it; and of both together the holder comes first.
fn holder_is_told_of_its_waiter(holder: Pid, waiter: Pid) -> Result<()> {
    let behind = format!("(pid {waiter}) waits for its lock");
    let answer = zoo::look(&[holder])?;
    answer.expect("http-silent").symptom("http-silent").links(1).says(&behind);
    let both = zoo::look(&[waiter, holder])?;
    both.expect("http-silent").symptom("http-silent").links(1).says(&behind);
    assert!(both.stderr.contains("behind    go mod download (pid "), "{both}");
    Ok(())
}

/// Two go commands in a row, and a third to come: it wants to write go.sum; the second holds the lock that is for that, and waits
/// for the module of the first.
struct Row {
    proxy: HttpServer<ModuleProxy>,
    whole: PathBuf,
    first: Running,
    second: Running,
    cache: PathBuf,
    other: Project,
}

impl Row {
    fn new() -> Result<Self> {
        let modules = Modules::generated(2, 1000);
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        proxy.faults().on(ZIP, Fault::Silent);
        let project = zoo::go()?.project()?.require("example.com/m000", "v1.0.0")?;
        let other = zoo::go()?.project()?.require("example.com/m001", "v1.0.0")?;
        let cache = project.modcache();
        let whole = cache.join("cache/lock");
        let version = cache.join("cache/download/example.com/m000/@v/v1.0.0.lock");
        let first = project.go(["mod", "download"]).proxy(&proxy.url()).spawn()?;
        proxy.wait_for(ZIP)?;
        make(&whole)?;
        // flock becomes the go command, which inherits the lock.
        let words = ["--no-fork", &whole.to_string_lossy(), "go", "mod", "download"];
        let second = project.command(Path::new("flock"), words).proxy(&proxy.url()).spawn()?;
        wait_for_queue(&version)?;
        Ok(Self { proxy, whole, first, second, cache, other })
    }

    fn third(&self) -> GoCommand {
        let third = self.other.go(["mod", "download"]).proxy(&self.proxy.url());
        third.env("GOMODCACHE", &self.cache)
    }

    /// Lets both end, which must be a good end. The module cache that all share goes with them, so the third has to end before.
    fn end(self) -> Result<()> {
        self.proxy.faults().lift();
        self.first.wait()?.succeeded()?;
        self.second.wait()?.succeeded().map(drop)
    }
}

scenario!(l3_three_go_commands_in_a_row(way));
fn l3_three_go_commands_in_a_row(way: &Way) -> Result<()> {
    let row = Row::new()?;
    let hang = way.run(row.third())?;
    wait_for_queue(&row.whole)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("lock-held").role("module-proxy").links(3);
    found.state("stalled").lock(&row.whole).holder(row.second.pid());
    found.says("the lock of example.com/m000 v1.0.0");
    found.address("127.0.0.1").port(row.proxy.address().port());
    found.link(0, hang.command()?).link(1, row.second.pid()).link(2, row.first.pid());
    let kill = format!("kill {} {}", row.second.pid(), row.first.pid());
    found.by_launch(|found| found.says(&kill));
    row.proxy.faults().lift();
    hang.succeeds()?;
    row.end()
}

scenario!(l4_the_lock_of_the_whole_cache(way));
fn l4_the_lock_of_the_whole_cache(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.modcache().join("cache/lock");
    place.waits_for(way, &lock)
}

scenario!(l4_the_projects_go_mod(way));
fn l4_the_projects_go_mod(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.directory().join("go.mod");
    place.waits_for(way, &lock)
}

scenario!(l4_the_projects_go_sum(way));
fn l4_the_projects_go_sum(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.directory().join("go.sum");
    place.waits_for(way, &lock)
}

/// The lock of the repository, which go will open again: what it made of it is gone.
fn lock_of_repository(place: &crate::children::Place) -> Result<PathBuf> {
    let cache = place.project.modcache().join("cache");
    place.download().spawn()?.wait()?.succeeded()?;
    let locks = std::fs::read_dir(cache.join("vcs"))?.flatten().map(|entry| entry.path());
    let lock = locks.into_iter().find(|path| path.extension().is_some_and(|e| e == "lock"));
    std::fs::remove_dir_all(cache.join("download"))?;
    lock.context("no lock of a repository")
}

/// Whether a thread of the process sits in flock(2).
fn sits_in_flock(pid: Pid) -> bool {
    let number = format!("{} ", nix::libc::SYS_flock);
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut calls = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("syscall")).ok());
    calls.any(|call| call.starts_with(&number))
}

scenario!(l4_the_lock_of_a_repository(way, lab));
fn l4_the_lock_of_a_repository(way: &Way, lab: &Lab) -> Result<()> {
    let place = crate::children::Place::new(lab)?;
    let lock = lock_of_repository(&place)?;
    let holder = Holder::of(&lock)?;
    let hang = way.run(place.download())?;
    wait_for_queue(&lock)?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-held").state("stalled").confidence("certain").links(1);
    found.lock(&lock).holder(holder.pid()).says("the lock of a repository in the module cache");
    drop(holder);
    hang.succeeds()?.expect("lock-held").state("slow");
    Ok(())
}

scenario!(l7_the_holder_lives_in_another_pid_namespace(way, lab));
fn l7_the_holder_lives_in_another_pid_namespace(way: &Way, _lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    make(&place.lock())?;
    let mut inside = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child", "flock", "--no-fork"])
        .arg(place.lock())
        .args(["sleep", "600"])
        .spawn()?;
    let holder = below(Pid::from_raw(inside.id().cast_signed()), "sleep")?;
    let hang = way.run(place.download())?;
    await_that("it waits", || sits_in_flock(hang.command().ok()?).then_some(()))?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-held").state("stalled").lock(place.lock()).module(MODULE);
    found.first_holder(holder);
    inside.kill()?;
    inside.wait()?;
    hang.succeeds()?.expect("lock-held").state("slow");
    Ok(())
}

scenario!(l9_a_program_holds_the_lock_that_the_go_command_below_it_needs(way));
/// Whoever holds the lock waits for the end of the one who waits for it.
fn l9_a_program_holds_the_lock_that_the_go_command_below_it_needs(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.modcache().join("cache/lock");
    make(&lock)?;
    let go = zoo::go()?.program();
    let words = [&*lock.to_string_lossy(), &*go.to_string_lossy(), "mod", "download"];
    let hang =
        way.run(place.project.command(Path::new("flock"), words).proxy(&place.proxy.url()))?;
    wait_for_queue(&lock)?;
    let answer = hang.stalls()?;
    let found = answer.expect("lock-cycle").symptom("lock-held").state("stalled").lock(&lock);
    found.holder(hang.command()?);
    hang.stop()?;
    Ok(())
}

scenario!(l5_the_locker_died_and_its_child_keeps_the_lock(way));
fn l5_the_locker_died_and_its_child_keeps_the_lock(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let lock = place.lock();
    let holder = Holder::orphan_of(&lock)?;
    let hang = way.run(place.download())?;
    wait_for_queue(&lock)?;
    let answer = hang.stalls()?;
    answer.expect("lock-held").lock(&lock).only_holder(holder.pid());
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

scenario!(l6_the_holder_is_stopped(way));
fn l6_the_holder_is_stopped(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let holder = Holder::of(&place.lock())?;
    let pid = holder.pid().as_raw();
    send(Signal::SIGSTOP, pid)?;
    await_that("it is stopped", || process(pid).filter(|process| process.state == 'T'))?;
    let hang = way.run(place.download())?;
    wait_for_queue(&place.lock())?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").symptom("lock-held").state("stalled").links(2);
    found.lock(place.lock()).holder(holder.pid()).says(&format!("kill -CONT {pid}"));
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

scenario!(l8_a_lock_file_that_nobody_holds(way), which ends);
/// Lock files stay where they are after use: each cache is full of them, and that is no reason for a word.
fn l8_a_lock_file_that_nobody_holds(way: &Way) -> Result<()> {
    let place = Place::new()?;
    make(&place.lock())?;
    way.run(place.download())?.succeeds()?.no_stall().no_finding();
    let page = explain("lock-held")?;
    assert!(page.contains("Never delete the lock file"), "{page}");
    Ok(())
}

scenario!(l8_a_lock_file_that_nobody_holds_is_not_blamed(way));
/// The wait of the command is what is told, and not the lock files that nobody holds.
fn l8_a_lock_file_that_nobody_holds_is_not_blamed(way: &Way) -> Result<()> {
    let place = Place::new()?;
    make(&place.lock())?;
    make(&place.project.modcache().join("cache/lock"))?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let hang = way.run(place.download())?;
    place.proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").symptom("http-silent").role("module-proxy").links(1);
    answer.never("lock-held").never("lock-orphaned");
    hang.stop()?;
    Ok(())
}

fn explain(code: &str) -> Result<String> {
    let output = Command::new(fixtures::gmtrace()?).args(["explain", code]).output()?;
    Ok(String::from_utf8(output.stdout)?)
}

scenario!(l9_two_programs_wait_for_each_other(way));
fn l9_two_programs_wait_for_each_other(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let (one, other) = (project.room().join("one"), project.room().join("other"));
    make(&one)?;
    let mut holder = Holder::that_then_wants(&other, &one)?;
    let (one_word, other_word) = (one.to_string_lossy(), other.to_string_lossy());
    let words = ["--no-fork", &one_word, "flock", "--no-fork", &other_word, "true"];
    let hang = way.run(project.command(Path::new("flock"), words))?;
    wait_for_queue(&other)?;
    holder.go_on()?;
    wait_for_queue(&one)?;
    // The first answer may be older than the cycle.
    let answer = hang.stalls_saying("lock-cycle")?;
    let found = answer.expect("lock-cycle").symptom("lock-held").lock(&other).holder(holder.pid());
    found.says(&format!("(pid {})", holder.pid())).links(2);
    found.says(&format!("(pid {})", hang.command()?));
    drop(holder);
    hang.succeeds()?;
    Ok(())
}

scenario!(l10_the_filesystem_refuses_locks(way, lab), which ends);
fn l10_the_filesystem_refuses_locks(way: &Way, lab: &Lab) -> Result<()> {
    let project = zoo::go()?.project()?;
    let go_mod = std::fs::read_to_string(project.directory().join("go.mod"))?;
    let _disk = LocklessDisk::mount(lab, &project.directory(), &go_mod)?;
    let answer =
        way.run(project.go(["mod", "download"]).directory(&project.directory()))?.fails()?;
    let found = answer.expect("lock-unsupported").state("failed");
    found.path(project.directory().join("go.mod")).says(&project.directory().to_string_lossy());
    found.says("no locks available");
    Ok(())
}
