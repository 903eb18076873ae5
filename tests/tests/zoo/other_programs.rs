//! S12 to S15: programs that are not the go command, and others that leave it no CPU.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use gmtrace_tests::fixtures::{GoBuild, fixture, go_fixture};
use gmtrace_tests::processes::{Process, await_read, await_that, process};
use gmtrace_tests::scenario;
use gmtrace_tests::zoo::{self, Hang, Way};
use nix::unistd::Pid;

scenario!(s12_a_go_program_waits_for_itself(way));
fn s12_a_go_program_waits_for_itself(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let none: [&str; 0] = [];
    let program = fixture("deadlocks.go")?;
    let hang = way.run(project.command(&program, none))?;
    let pid = hang.command()?;
    await_that("it waits", || is_asleep(pid, &program).then_some(()))?;
    let answer = hang.stalls()?;
    let found = answer.expect("goroutines-deadlocked").state("stalled").confidence("likely");
    found.says("its 2 goroutines wait for each other").says("chan receive, in main.main");
    found.goroutine(1);
    hang.stop()?.expect("goroutines-deadlocked");
    Ok(())
}

/// For those who need a CPU: two of them and gmtrace on two CPUs, and neither gets the quarter of one that makes it worth a reading.
static CPU: Mutex<()> = Mutex::new(());

fn cpu() -> MutexGuard<'static, ()> {
    CPU.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until a program has used two seconds of CPU time.
fn wait_for_work(hang: &Hang) -> Result<()> {
    let pid = hang.command()?;
    await_that("it uses a CPU", || (cpu_ticks(pid)? >= 200).then_some(()))
}

/// CPU time in hundredths of a second: the fields `utime` and `stime` (proc_pid_stat(5)).
pub(crate) fn cpu_ticks(pid: impl Display) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut used = fields.split(' ').skip(11).take(2);
    Some(used.next()?.parse::<u64>().ok()? + used.next()?.parse::<u64>().ok()?)
}

/// What gmtrace says of a program that spins in this way.
fn spins(way: &Way, how: &str, function: &str) -> Result<()> {
    let _mine = cpu();
    let project = zoo::go()?.project()?;
    let hang = way.run(project.command(&go_program("spins")?, [how]))?;
    wait_for_work(&hang)?;
    let answer = hang.stalls()?;
    let found = answer.expect("spinning").state("stalled").confidence("likely");
    found.says(&format!("goroutine 1 runs in main.{function}, called by main.main"));
    found.says(&format!("kill -QUIT {}", hang.command()?));
    found.goroutine(1);
    hang.stop()?.expect("spinning");
    Ok(())
}

/// A program built by the Go of the scenarios, whose runtime it brings along.
pub(crate) fn go_program(name: &str) -> Result<PathBuf> {
    go_fixture(&zoo::go()?, name, GoBuild::Plain)
}

scenario!(s13_a_go_program_waits_for_a_flag_in_a_loop(way));
fn s13_a_go_program_waits_for_a_flag_in_a_loop(way: &Way) -> Result<()> {
    spins(way, "flag", "flag")
}

scenario!(s13_a_go_program_polls_a_channel(way));
fn s13_a_go_program_polls_a_channel(way: &Way) -> Result<()> {
    spins(way, "channel", "channel")
}

scenario!(s13_a_program_that_computes_does_not_spin(way));
/// What computes for long is not taken for what spins.
fn s13_a_program_that_computes_does_not_spin(way: &Way) -> Result<()> {
    let _mine = cpu();
    let project = zoo::go()?.project()?;
    for words in [&[][..], &["prints"]] {
        let command = project.command(&go_program("computes")?, words.iter().copied());
        let goes_on = way.run(command)?;
        wait_for_work(&goes_on)?;
        goes_on.works()?;
    }
    Ok(())
}

scenario!(s13_a_program_that_spins_beside_its_work_works(way));
fn s13_a_program_that_spins_beside_its_work_works(way: &Way) -> Result<()> {
    let _mine = cpu();
    let project = zoo::go()?.project()?;
    let goes_on = way.run_for("6s", project.command(&go_program("spins")?, ["beside"]))?;
    wait_for_work(&goes_on)?;
    goes_on.works_on()?;
    Ok(())
}

scenario!(s14_a_shell_waits_for_input(way));
fn s14_a_shell_waits_for_input(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let fifo = project.room().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    // Open for both, so that it neither waits for a writer nor comes to an end (fifo(7)).
    let words = ["-c", "exec 3<> fifo; read answer <&3"];
    let command = project.command(Path::new("sh"), words).directory(project.room());
    let hang = way.run(command)?;
    let shell = hang.command()?;
    await_read(shell, "fifo")?;
    let answer = hang.stalls()?;
    let found = answer.expect("not-go").state("stalled").says(&format!("reads {}", fifo.display()));
    found.process(shell);
    hang.stop()?.expect("not-go");
    Ok(())
}

/// Programs that spin on one CPU, until they are dropped: nice, for gmtrace and other tests want that CPU too. A program of the idle
/// class (sched(7)) still gets a three-hundredth of it.
struct Spinners(Vec<Child>);

impl Spinners {
    fn on(cpu: usize) -> Result<Self> {
        let one = || {
            Command::new("nice")
                .args(["-n", "10", "taskset", "-c", &cpu.to_string()])
                .args(["sh", "-c", "while :; do :; done"])
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

/// Whether a process runs this program, and every thread of it sleeps.
fn is_asleep(pid: Pid, program: &Path) -> bool {
    let exe = std::fs::read_link(format!("/proc/{pid}/exe"));
    exe.is_ok_and(|exe| exe == program) && all_asleep(pid)
}

/// Whether every thread of a process sleeps.
pub(crate) fn all_asleep(pid: Pid) -> bool {
    threads(pid).all(|thread| thread.is_some_and(|thread| thread.state == 'S'))
}

/// Whether a thread of a process could run.
fn wants_a_cpu(pid: Pid) -> bool {
    threads(pid).flatten().any(|thread| thread.state == 'R')
}

/// The threads of a process; none for one that is gone by now.
fn threads(pid: Pid) -> impl Iterator<Item = Option<Process>> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|task| task.file_name().to_str()?.parse().ok()).map(process)
}

scenario!(s15_others_have_the_cpu(way));
fn s15_others_have_the_cpu(way: &Way) -> Result<()> {
    let _mine = cpu();
    let project = zoo::go()?.project()?;
    let spinners = Spinners::on(0)?;
    let go = zoo::go()?.program();
    let words = ["--idle", "0", "taskset", "-c", "0", &*go.to_string_lossy(), "list", "std"];
    let hang = way.run(project.command(Path::new("chrt"), words))?;
    let go = hang.command()?;
    await_that("it is the go command that starves", || {
        let exe = std::fs::read_link(format!("/proc/{go}/exe")).ok()?;
        (exe.ends_with("bin/go") && wants_a_cpu(go)).then_some(())
    })?;
    let answer = hang.stalls()?;
    let found = answer.expect("starved").state("stalled").says("wants to run and gets no CPU");
    found.process(go);
    drop(spinners);
    hang.succeeds()?.also("starved").state("slow");
    Ok(())
}
