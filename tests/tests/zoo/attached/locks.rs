//! Locks, by attach.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use gmtrace_tests::holder::{Holder, make, wait_for_queue};
use gmtrace_tests::lab;
use gmtrace_tests::processes::{await_that, below};
use gmtrace_tests::zoo;
use nix::unistd::Pid;

use crate::children;
use crate::locks::{MODULE, Place, Row, lock_of_repository};

/// Attaches to `go mod download` that waits for the lock that `holder` has.
fn waits_for(place: &Place, lock: &Path) -> Result<()> {
    let holder = Holder::of(lock)?;
    let hang = zoo::hang(place.download())?;
    wait_for_queue(lock)?;
    let answer = hang.look()?;
    let found = answer.expect("lock-held").state("stalled").confidence("certain").links(1);
    found.lock(lock).holder(holder.pid()).path(lock);
    drop(holder);
    hang.succeeds()
}

#[test]
fn l3_three_go_commands_in_a_row() -> Result<()> {
    let row = Row::new()?;
    let hang = zoo::hang(row.third())?;
    wait_for_queue(&row.whole)?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").symptom("lock-held").role("module-proxy").links(3);
    found.state("stalled").lock(&row.whole).holder(row.second.pid());
    found.says("the lock of example.com/m000 v1.0.0");
    found.address("127.0.0.1").port(row.proxy.address().port());
    let (first, second) = (row.first.pid(), row.second.pid());
    for (link, pid) in [(0, hang.pid()), (1, second), (2, first)] {
        assert_eq!(found.finding["chain"][link]["pid"], pid.as_raw(), "{answer}");
    }
    row.proxy.faults().lift();
    hang.succeeds()?;
    row.end()
}

#[test]
fn l4_the_lock_of_the_whole_cache() -> Result<()> {
    let place = Place::new()?;
    waits_for(&place, &place.project.modcache().join("cache/lock"))
}

#[test]
fn l4_the_projects_go_mod() -> Result<()> {
    let place = Place::new()?;
    waits_for(&place, &place.project.directory().join("go.mod"))
}

#[test]
fn l4_the_projects_go_sum() -> Result<()> {
    let place = Place::new()?;
    waits_for(&place, &place.project.directory().join("go.sum"))
}

#[test]
fn l4_the_lock_of_a_repository() -> Result<()> {
    lab::isolated(|lab| {
        let place = children::Place::new(lab)?;
        let lock = lock_of_repository(&place)?;
        let holder = Holder::of(&lock)?;
        let hang = zoo::hang(place.download())?;
        wait_for_queue(&lock)?;
        let answer = hang.look()?;
        let found = answer.expect("lock-held").state("stalled").confidence("certain").links(1);
        found.lock(&lock).holder(holder.pid());
        found.says("the lock of a repository in the module cache");
        drop(holder);
        hang.succeeds()
    })
}

#[test]
fn l7_the_holder_lives_in_another_pid_namespace() -> Result<()> {
    lab::isolated(|_| {
        let place = Place::new()?;
        make(&place.lock())?;
        let mut inside = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "flock", "--no-fork"])
            .arg(place.lock())
            .args(["sleep", "600"])
            .spawn()?;
        let holder = below(Pid::from_raw(inside.id().cast_signed()), "sleep")?;
        let hang = zoo::hang(place.download())?;
        let go = hang.pid();
        await_that("it waits", || crate::locks::sits_in_flock(go).then_some(()))?;
        let answer = hang.look()?;
        let found = answer.expect("lock-held").state("stalled").lock(place.lock()).holder(holder);
        found.module(MODULE);
        inside.kill()?;
        inside.wait()?;
        hang.succeeds()
    })
}

/// Whoever holds the lock waits for the end of the one who waits for it. Of the holder it is asked here.
#[test]
fn l9_a_program_holds_the_lock_that_the_go_command_below_it_needs() -> Result<()> {
    let place = Place::new()?;
    let lock = place.project.modcache().join("cache/lock");
    make(&lock)?;
    let go = zoo::go()?.program();
    let words = [&*lock.to_string_lossy(), &*go.to_string_lossy(), "mod", "download"];
    let command = place.project.command(Path::new("flock"), words).proxy(&place.proxy.url());
    let hang = zoo::hang(command)?;
    wait_for_queue(&lock)?;
    let answer = hang.look()?;
    let found = answer.expect("lock-cycle").symptom("lock-held").state("stalled").lock(&lock);
    found.holder(hang.pid());
    Ok(())
}
