//! S12 to S15: programs that are not the go command, and others that leave it no CPU.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Result;
use gmtrace_tests::fixtures::{GoBuild, fixture, go_fixture};
use gmtrace_tests::processes::{await_read, below, process};
use gmtrace_tests::zoo;
use nix::unistd::Pid;

#[test]
fn s12_a_go_program_waits_for_itself() -> Result<()> {
    let project = zoo::go()?.project()?;
    let none: [&str; 0] = [];
    let hang = zoo::watch(project.command(&fixture("deadlocks.go")?, none))?;
    let answer = hang.stalls()?;
    let found = answer.expect("goroutines-deadlocked").state("stalled").confidence("likely");
    found.says("its 2 goroutines wait for each other").says("chan receive, in main.main");
    assert_eq!(found.finding["blocked"]["goid"], 1, "{answer}");
    hang.stop()?.expect("goroutines-deadlocked");
    Ok(())
}

/// What gmtrace says of a program that spins in this way.
fn spins(how: &str, function: &str) -> Result<()> {
    let project = zoo::go()?.project()?;
    let hang = zoo::watch(project.command(&go_program("spins")?, [how]))?;
    let answer = hang.stalls()?;
    let found = answer.expect("spinning").state("stalled").confidence("likely");
    found.says(&format!("goroutine 1 runs in main.{function}, called by main.main"));
    found.says(&format!("kill -QUIT {}", hang.command()?));
    assert_eq!(found.finding["blocked"]["goid"], 1, "{answer}");
    hang.stop()?.expect("spinning");
    Ok(())
}

/// A program built by the Go of the scenarios, whose runtime it brings along.
pub(crate) fn go_program(name: &str) -> Result<PathBuf> {
    go_fixture(&zoo::go()?, name, GoBuild::Plain)
}

#[test]
fn s13_a_go_program_waits_for_a_flag_in_a_loop() -> Result<()> {
    spins("flag", "flag")
}

#[test]
fn s13_a_go_program_polls_a_channel() -> Result<()> {
    spins("channel", "channel")
}

#[test]
fn s14_a_shell_waits_for_input() -> Result<()> {
    let project = zoo::go()?.project()?;
    let fifo = project.room().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    // Open for both, so that it neither waits for a writer nor comes to an end (fifo(7)).
    let words = ["-c", "exec 3<> fifo; read answer <&3"];
    let command = project.command(Path::new("sh"), words).directory(project.room());
    let hang = zoo::watch(command)?;
    let shell = below(hang.pid(), "sh")?;
    await_read(shell, "fifo")?;
    let answer = hang.stalls()?;
    let found = answer.expect("not-go").state("stalled").says(&format!("reads {}", fifo.display()));
    assert_eq!(found.finding["blocked"]["pid"], shell.as_raw(), "{answer}");
    hang.stop()?.expect("not-go");
    Ok(())
}

/// Programs that spin on one CPU, until they are dropped.
pub(crate) struct Spinners(Vec<Child>);

impl Spinners {
    pub(crate) fn on(cpu: usize) -> Result<Self> {
        let one = || {
            Command::new("taskset")
                .args(["-c", &cpu.to_string(), "sh", "-c", "while :; do :; done"])
                .stdin(Stdio::null())
                .spawn()
        };
        Ok(Self((0..8).map(|_| one()).collect::<Result<_, _>>()?))
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether every thread of a process sleeps.
pub(crate) fn all_asleep(pid: Pid) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut numbers = threads.filter_map(|task| task.file_name().to_str()?.parse().ok());
    numbers.all(|tid| process(tid).is_some_and(|thread| thread.state == 'S'))
}

#[test]
fn s15_others_have_the_cpu() -> Result<()> {
    let project = zoo::go()?.project()?;
    let spinners = Spinners::on(0)?;
    let go = zoo::go()?.program();
    let words = ["--idle", "0", "taskset", "-c", "0", &*go.to_string_lossy(), "list", "std"];
    let hang = zoo::watch(project.command(Path::new("chrt"), words))?;
    let answer = hang.stalls()?;
    let go = hang.command()?.as_raw();
    let threads = std::fs::read_dir(format!("/proc/{go}/task"))?.flatten();
    let ids = threads.filter_map(|thread| thread.file_name().to_str()?.parse().ok());
    assert!(ids.filter_map(process).any(|thread| thread.state == 'R'), "{answer}");
    let found = answer.expect("starved").state("stalled").says("wants to run and gets no CPU");
    assert_eq!(found.finding["blocked"]["pid"], go, "{answer}");
    drop(spinners);
    hang.succeeds()?.also("starved").state("slow");
    Ok(())
}
