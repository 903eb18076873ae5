//! Case 31: what hangs is seen as it is, in C and in Go. That a rule finds the right words for it is the business of the zoo.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, anyhow, ensure};
use gmtrace_tests::harness::{How, Launch};
use gmtrace_tests::processes::{await_that, marked, nobody_left};
use nix::fcntl::{Flock, FlockArg};

/// Whether some thread of a launch sleeps in flock: /proc/PID/syscall begins with the number (proc(5)).
fn sleeps_in_flock(launch: &Launch) -> Option<()> {
    let number = format!("{} ", nix::libc::SYS_flock);
    let tasks =
        |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let inside = |pid: i32| {
        tasks(pid).any(|task| {
            let syscall = fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            syscall.starts_with(&number) && stat.contains(") S ")
        })
    };
    marked(launch.marker()).iter().any(|process| inside(process.pid)).then_some(())
}

fn waits_for_a_lock(name: &str, says: &str) -> Result<()> {
    let launch = Launch::fixture(name)?;
    let path = launch.room().join("lock");
    let launch = launch.arg(path.clone());
    let held =
        Flock::lock(File::create(&path)?, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    let mut running = launch.start(How::Traced)?;
    assert_eq!(running.line()?, "asking");
    await_that("a thread sleeps in flock", || sleeps_in_flock(&launch))?;
    drop(held.unlock().map_err(|(_, error)| error)?);
    assert_eq!(running.line()?, says);
    ensure!(running.end()?.success());
    nobody_left(launch.marker())?;
    let recording = launch.recording()?;
    let requests: Vec<_> = recording
        .of("lock-request")
        .filter(|event| event["path"] == path.to_string_lossy().as_ref())
        .collect();
    ensure!(requests.len() == 1, "{:?}", recording.events);
    let asked = requests[0];
    let answers: Vec<_> =
        recording.of("lock-end").filter(|event| event["tid"] == asked["tid"]).collect();
    let answered = answers.iter().find(|event| event["t"].as_u64() > asked["t"].as_u64());
    answered.map(|_| ()).ok_or_else(|| anyhow!("no answer to {asked}: {answers:?}"))
}

#[test]
fn a_lock_held_by_another_process_is_seen() -> Result<()> {
    waits_for_a_lock("waits_for_lock", "obtained")
}

#[test]
fn a_lock_that_go_waits_for_is_seen() -> Result<()> {
    waits_for_a_lock("waits_for_lock.go", "obtained <nil>")
}

/// Accepts one connection and reads its request.
fn accepts_a_request(server: &TcpListener) -> Result<TcpStream> {
    server.set_nonblocking(true)?;
    let (mut stream, _) = await_that("a connection", || server.accept().ok())?;
    stream.set_nonblocking(false)?;
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.extend(byte);
    }
    Ok(stream)
}

/// What a Go client does against a server that answers so far and no further, then closes.
fn a_go_request(answer: &[u8], says: &str) -> Result<()> {
    let server = TcpListener::bind("127.0.0.1:0")?;
    let address = server.local_addr()?.to_string();
    let launch = Launch::fixture("hung_get.go")?
        .arg(format!("http://{address}/mod/@v/list"))
        .env("NO_PROXY", "*");
    for how in gmtrace_tests::harness::BOTH {
        let mut running = launch.start(how)?;
        let mut stream = accepts_a_request(&server)?;
        stream.write_all(answer)?;
        drop(stream);
        assert_eq!(running.line()?, says, "{how:?}");
        ensure!(running.end()?.success());
        nobody_left(launch.marker())?;
    }
    let recording = launch.recording()?;
    let to_server = |event: &&serde_json::Value| event.to_string().contains(&address);
    let connect = recording.of("connect").find(to_server).context("no connect to the server")?;
    ensure!(
        recording.of("connect-end").any(|event| event["pid"] == connect["pid"]),
        "{:?}",
        recording.events
    );
    ensure!(
        recording.of("http-request").any(|event| event.to_string().contains("/mod/@v/list")),
        "{:?}",
        recording.events
    );
    Ok(())
}

#[test]
fn a_server_that_never_answers_is_seen() -> Result<()> {
    a_go_request(b"", "no response")
}

#[test]
fn a_server_that_answers_a_header_only_is_seen() -> Result<()> {
    a_go_request(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "200 0 unexpected EOF")
}
