//! The system around a command, and programs that are not the go command, by attach.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use gmtrace_tests::cgroup::{Controller, Group};
use gmtrace_tests::disk::DeadDisk;
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::lab;
use gmtrace_tests::processes::{await_read, await_that};
use gmtrace_tests::zoo;
use nix::unistd::Pid;

use crate::locks::Place;
use crate::other_programs::{Spinners, go_program};

#[test]
fn s1_the_working_directory_lies_on_a_dead_disk() -> Result<()> {
    lab::isolated(|lab| {
        let place = Place::new()?;
        let dead = place.project.room().join("dead");
        std::fs::create_dir(&dead)?;
        let disk = DeadDisk::mount(lab, &dead)?;
        let hang = zoo::hang(place.download().directory(&dead))?;
        disk.wait_for("go.work")?;
        let answer = hang.look()?;
        let found = answer.expect("fs-blocked").state("stalled");
        found.path(&dead).says(&format!("{} (fuse)", dead.display()));
        disk.abort()
    })
}

#[test]
fn s5_the_cpu_quota_is_one_percent() -> Result<()> {
    let Some(group) = Group::with(Controller::Cpu)? else { return Ok(()) };
    group.cpu_percent(1)?;
    let project = zoo::go()?.project()?;
    let join = format!("echo $$ > {} && exec go list std", group.procs().display());
    let hang = zoo::hang(project.command("sh".as_ref(), ["-c", &join]))?;
    group.wait_for_throttling(10)?;
    let answer = hang.look()?;
    answer.expect("throttled").state("stalled").says("1 %").says("gmtrace-test-");
    group.cpu_unlimited()?;
    hang.succeeds()
}

#[test]
fn s12_a_go_program_waits_for_itself() -> Result<()> {
    let project = zoo::go()?.project()?;
    let none: [&str; 0] = [];
    let hang = zoo::hang(project.command(&fixture("deadlocks.go")?, none))?;
    await_that("it waits", || crate::other_programs::all_asleep(hang.pid()).then_some(()))?;
    let answer = hang.look()?;
    let found = answer.expect("goroutines-deadlocked").state("stalled").confidence("likely");
    found.says("chan receive, in main.main");
    assert_eq!(found.finding["blocked"]["goid"], 1, "{answer}");
    Ok(())
}

/// For those who need a CPU: two of them and gmtrace on two CPUs, and neither gets the quarter of one that makes it worth a reading.
static CPU: Mutex<()> = Mutex::new(());

/// A look at a Go program that has used two seconds of CPU time.
fn look_at_busy(program: &Path, words: &[&str]) -> Result<zoo::Answer> {
    let _mine = CPU.lock().unwrap_or_else(PoisonError::into_inner);
    let project = zoo::go()?.project()?;
    let hang = zoo::hang(project.command(program, words.iter().copied()))?;
    await_that("it uses a CPU", || (cpu_ticks(hang.pid())? >= 200).then_some(()))?;
    let answer = hang.look()?;
    hang.end()?;
    Ok(answer)
}

/// CPU time in hundredths of a second: the fields `utime` and `stime` (proc_pid_stat(5)).
fn cpu_ticks(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut used = fields.split(' ').skip(11).take(2);
    Some(used.next()?.parse::<u64>().ok()? + used.next()?.parse::<u64>().ok()?)
}

#[test]
fn s13_a_go_program_waits_for_a_flag_in_a_loop() -> Result<()> {
    let answer = look_at_busy(&go_program("spins")?, &["flag"])?;
    let found = answer.expect("spinning").state("stalled").confidence("likely");
    found.says("goroutine 1 runs in main.flag, called by main.main");
    assert_eq!(found.finding["blocked"]["goid"], 1, "{answer}");
    Ok(())
}

#[test]
fn what_computes_works() -> Result<()> {
    for (program, words) in
        [("computes", &[][..]), ("computes", &["prints"]), ("spins", &["beside"])]
    {
        let answer = look_at_busy(&go_program(program)?, words)?;
        assert_eq!(answer.timeline["verdict"]["state"], "ok", "{program} {words:?}: {answer}");
        assert!(answer.stderr.contains(" works"), "{program} {words:?}: {answer}");
    }
    Ok(())
}

#[test]
fn s14_a_shell_waits_for_input() -> Result<()> {
    let project = zoo::go()?.project()?;
    let fifo = project.room().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let words = ["-c", "exec 3<> fifo; read answer <&3"];
    let command = project.command(Path::new("sh"), words).directory(project.room());
    let hang = zoo::hang(command)?;
    await_read(hang.pid(), "fifo")?;
    let answer = hang.look()?;
    let found = answer.expect("not-go").state("stalled").says(&format!("reads {}", fifo.display()));
    assert_eq!(found.finding["blocked"]["pid"], hang.pid().as_raw(), "{answer}");
    Ok(())
}

#[test]
fn s15_others_have_the_cpu() -> Result<()> {
    let _mine = CPU.lock().unwrap_or_else(PoisonError::into_inner);
    let project = zoo::go()?.project()?;
    let spinners = Spinners::on(0)?;
    let go = zoo::go()?.program();
    let words = ["--idle", "0", "taskset", "-c", "0", &*go.to_string_lossy(), "list", "std"];
    let hang = zoo::hang(project.command(Path::new("chrt"), words))?;
    let pid = hang.pid();
    await_that("it is the go command that starves", || {
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        exe.ends_with("bin/go").then_some(())
    })?;
    let answer = hang.look()?;
    let found = answer.expect("starved").state("stalled");
    assert_eq!(found.finding["blocked"]["pid"], pid.as_raw(), "{answer}");
    drop(spinners);
    hang.succeeds()
}
