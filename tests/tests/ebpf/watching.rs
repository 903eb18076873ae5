//! `-p PID --watch`: what happens between two readings.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::{GoBuild, gmtrace, go_fixture};
use gmtrace_tests::go::Go;
use gmtrace_tests::processes::await_that;
use gmtrace_tests::recording::Recording;
use gmtrace_tests::servers::{HttpServer, Listen, ModuleProxy, Modules};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::kernel;

/// Of a program that runs already, however it was built: a request, its connection and its answer, and a lock, all of which are over
/// long before they are read in `/proc`.
#[test]
fn a_request_and_a_lock_between_two_readings() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let server =
        HttpServer::start(Listen::loopback(), ModuleProxy::new(&Modules::generated(1, 10)))?;
    for how in GoBuild::ALL {
        let recording = watched(how, &server.url()).with_context(|| format!("{how:?}"))?;
        let urls: Vec<&str> =
            recording.of("go-request").filter_map(|e| e["url"].as_str()).collect();
        assert_eq!(urls, [format!("{}/quick", server.url())], "{how:?}");
        let answers: Vec<_> =
            recording.of("go-response").filter_map(|e| e["status"].as_u64()).collect();
        assert_eq!(answers, [404], "{how:?}");
        for kind in ["connect", "connect-end", "lock-request", "lock-end"] {
            ensure!(recording.count(kind) == 1, "{how:?}, {kind}: {:?}", recording.events);
        }
    }
    Ok(())
}

fn watched(how: GoBuild, url: &str) -> Result<Recording> {
    let room = tempfile::tempdir()?;
    let path = |name: &str| room.path().join(name);
    fs::write(path("lock"), "")?;
    let program = go_fixture(&Go::find()?, "go_asks_when_told", how)?;
    let mut asks = Ended(
        Command::new(program)
            .arg(url)
            .arg(path("lock"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let mut lines = BufReader::new(asks.0.stdout.take().context("no pipe")?).lines();
    let mut line = || lines.next().context("it says no more")?.context("it cannot be read");
    assert_eq!(line()?, "ready");
    let mut watch = Ended(
        Command::new(gmtrace()?)
            .args(["-v", "--watch", "-p", &asks.0.id().to_string(), "-o"])
            .arg(path("run.jsonl"))
            .env_remove("GMTRACE_BACKEND")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(path("said"))?)
            .stderr(File::create(path("log"))?)
            .spawn()?,
    );
    await_that("it follows", || {
        let log = fs::read_to_string(path("log")).unwrap_or_default();
        log.contains("from now on by eBPF too").then_some(())
    })?;
    let mut told = asks.0.stdin.take().context("no pipe")?;
    writeln!(told, "quick")?;
    assert_eq!(line()?, "404 quick");
    // As Ctrl-C in a terminal does.
    killpg(Pid::from_raw(watch.0.id().cast_signed()), Signal::SIGINT)?;
    let watched = watch.0.wait()?;
    drop(told);
    ensure!(asks.0.wait()?.success(), "the program that was watched");
    ensure!(watched.success(), "{}", fs::read_to_string(path("log"))?);
    Recording::read(&path("run.jsonl"))
}

/// A process that a test which fails half way does not leave behind.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It has ended, where all went well.
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}
