//! gmtrace is killed, all of it, at any moment.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::harness::{rounds, send};
use gmtrace_tests::processes::{await_that, children, process};
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::zoo;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::kernel::{self, Thing};

/// The command goes on to its own end, and the kernel keeps nothing.
#[test]
fn gmtrace_is_killed_and_the_command_does_not_know() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    // The command becomes a child of this test, which is told how it ended.
    set_child_subreaper(true)?;
    let modules = Modules::generated(12, 20_000);
    let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
    // So that the command is met at work, too.
    proxy.faults().always(Fault::Delay(Duration::from_millis(30)));
    let scene = Scene { modules, proxy };
    let whole = scene.run_bare()?;
    // The moments lie in the time that a run takes here and now.
    let began = Instant::now();
    at_once(|| {
        let (command, project) = scene.command()?;
        let finished = watched(command).run()?.succeeded()?;
        assert_eq!(scene.plain(&finished.stdout, &project), whole);
        Ok(())
    })?;
    let (length, mut seeded) = (began.elapsed(), Moments::seeded());
    let moments: Vec<_> = (0..rounds(100, 500)).map(|_| seeded.within(length)).collect();
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    at_once(|| {
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            let Some(moment) = moments.get(round) else { return Ok(()) };
            let ended = scene.kill_after(*moment, round % 2 == 1, &whole);
            let ended = ended.with_context(|| format!("round {round}"))?;
            met.fetch_add(usize::from(ended), Ordering::Relaxed);
        }
    })?;
    ensure!(met.into_inner() > 0, "the command was never met");
    Ok(())
}

/// So many are watched, and killed, at a time: each waits most of the time, for the kernel to let go of its probes.
const AT_ONCE: usize = 4;

fn at_once(work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let all: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(&work)).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a panic"))?)
    })
}

struct Scene {
    modules: Modules,
    proxy: HttpServer<ModuleProxy>,
}

impl Scene {
    /// With nothing downloaded yet.
    fn command(&self) -> Result<(GoCommand, Project)> {
        let project = zoo::go()?.project()?.requires(&self.modules)?;
        let command = project.go(["mod", "download", "-json"]).proxy(&self.proxy.url());
        Ok((command, project))
    }

    /// What the command says, the paths of its project left out.
    fn plain(&self, said: &str, project: &Project) -> String {
        said.replace(&project.room().display().to_string(), "ROOM")
    }

    fn run_bare(&self) -> Result<String> {
        let (command, project) = self.command()?;
        Ok(self.plain(&command.run()?.succeeded()?.stdout, &project))
    }

    /// Gives whether the command was there. In every second round it has begun before the moment is waited for.
    fn kill_after(&self, moment: Duration, begun: bool, whole: &str) -> Result<bool> {
        let (command, project) = self.command()?;
        let running = watched(command).spawn()?;
        let front = running.pid().as_raw();
        if begun {
            await_that("the command has begun", || {
                // Or has ended, and gmtrace with it.
                let over = process(front).is_none_or(|front| front.state == 'Z');
                (over || command_of(front).is_some()).then_some(())
            })?;
        }
        // Not a wait for anything: the moment itself.
        std::thread::sleep(moment);
        let killed = kill(front)?;
        let since = Instant::now();
        await_that("nothing of gmtrace is in the kernel", || {
            killed.held.is_disjoint(&kernel::everything()).then_some(())
        })?;
        let (things, gone) = (killed.held.len(), since.elapsed());
        let ended = killed.command.map(end_of).transpose()?;
        println!("killed after {moment:?}: {things} things, gone after {gone:?}; {ended:?}");
        let finished = running.kill()?;
        let said = self.plain(&finished.stdout, &project);
        match ended {
            Some(WaitStatus::Exited(_, 0)) => ensure!(said == whole, "it said {said}"),
            Some(other) => ensure!(false, "the command ended by {other:?}: {}", finished.stderr),
            // It had not begun, or had ended before.
            None => ensure!(said.is_empty() || said == whole, "it said {said}"),
        }
        Ok(ended.is_some())
    }
}

fn watched(command: GoCommand) -> GoCommand {
    command.traced(["-q", "--backend", "ebpf"])
}

/// What was there when gmtrace was killed.
struct Killed {
    held: BTreeSet<Thing>,
    command: Option<i32>,
}

/// Stops gmtrace's processes, so that what they hold can be seen, and kills them then and there.
fn kill(front: i32) -> Result<Killed> {
    let stopped = |pid: i32| {
        send(Signal::SIGSTOP, pid)?;
        await_that("it has stopped", || {
            let state = process(pid).map_or('X', |process| process.state);
            matches!(state, 'T' | 'Z' | 'X').then_some(())
        })
    };
    stopped(front)?;
    let tracer = children(front).first().map(|process| process.pid);
    tracer.map(stopped).transpose()?;
    let command = command_of(front);
    let all = [Some(front), tracer].into_iter().flatten();
    let held = all.clone().flat_map(kernel::held_by).collect();
    for pid in all {
        send(Signal::SIGKILL, pid)?;
    }
    Ok(Killed { held, command })
}

/// The child of gmtrace's child; none where that still is gmtrace, and only about to become the command.
fn command_of(front: i32) -> Option<i32> {
    let tracer = children(front).first()?.pid;
    let command = children(tracer).into_iter().next()?;
    (command.name != "gmtrace").then_some(command.pid)
}

/// How a process ended that has become a child of this one.
fn end_of(command: i32) -> Result<WaitStatus> {
    await_that("the command has ended", || {
        // ECHILD: it is not yet.
        let status = waitpid(Pid::from_raw(command), Some(WaitPidFlag::WNOHANG)).ok()?;
        (status != WaitStatus::StillAlive).then_some(status)
    })
}

/// Xorshift: good enough for moments. The seed is printed, and `GMTRACE_SEED` sets it.
struct Moments(u64);

impl Moments {
    fn seeded() -> Self {
        let given = std::env::var("GMTRACE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one("moments")) | 1;
        println!("GMTRACE_SEED={seed}");
        Self(seed)
    }

    fn within(&mut self, length: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        length.mul_f64((self.0 >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
