//! The processes that `gmtrace -p` is measured on.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::workspace::succeed;

use super::environment::Environment;
use super::work;

/// go asks the proxy within a fraction of this, however busy the machine is.
const UNTIL_ASKED: Duration = Duration::from_secs(60);

/// 500 connections over loopback, and a goroutine that reads from either end of each. It writes a
/// byte once all of them are there.
const GOROUTINES: &str = include_str!("goroutines.go");

/// A process that hangs; dropping it ends it.
pub(super) struct Target {
    /// What it is, for the table.
    pub(super) name: &'static str,
    child: Child,
}

impl Target {
    /// `go mod download`, whose proxy has taken the connection and never answers.
    pub(super) fn hung_download(environment: &Environment) -> Result<Self> {
        let (address, asked) = silent_proxy()?;
        let modules = ["hung.example.com/m".to_owned()];
        let folder = work::module_that_requires(environment.folder(), "hung", modules.into_iter())?;
        let mut command = environment.command(&environment.go);
        command.args(["mod", "download"]).current_dir(folder).env("GOPROXY", address);
        let target = Self::start("a hung go mod download", command.stdout(Stdio::null()))?;
        asked.recv_timeout(UNTIL_ASKED).context("go mod download has not asked the proxy")?;
        Ok(target)
    }

    /// A Go process with 1,000 goroutines and 1,000 descriptors, each goroutine waiting for one. It
    /// is no go command, and the answer says so (`not-go`): the time is that of reading so much.
    pub(super) fn goroutines(environment: &Environment) -> Result<Self> {
        // Not on tmpfs: where that is mounted noexec, no program can be started from it.
        let folder = tempfile::tempdir()?;
        let program = build(environment, &folder)?;
        let mut command = environment.command(&program);
        let name = "a process with 1,000 goroutines and 1,000 descriptors";
        let mut target = Self::start(name, command.stdout(Stdio::piped()))?;
        let mut stdout = target.child.stdout.take().context("the program has no output")?;
        let read = stdout.read(&mut [0])?;
        ensure!(read == 1, "the program with 1,000 goroutines has ended");
        Ok(target)
    }

    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self { name, child: child.with_context(|| format!("cannot start {name}"))? })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails when there is nothing left to look into.
    pub(super) fn still_hangs(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "{} has ended: {ended:?}", self.name);
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Accepts connections and never reads from them nor writes; tells of each. Its address for GOPROXY.
fn silent_proxy() -> Result<(String, Receiver<()>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = format!("http://{}", listener.local_addr()?);
    let (tell, told) = channel();
    thread::spawn(move || keep_silent(&listener, &tell));
    Ok((address, told))
}

fn keep_silent(listener: &TcpListener, tell: &Sender<()>) {
    let mut held: Vec<TcpStream> = Vec::new();
    for connection in listener.incoming().flatten() {
        held.push(connection);
        // Nobody listens any more once the first one has come.
        let _ = tell.send(());
    }
}

fn build(environment: &Environment, folder: &TempDir) -> Result<PathBuf> {
    let module =
        work::module_that_requires(folder.path(), "goroutines", std::iter::empty::<String>())?;
    fs::write(module.join("main.go"), GOROUTINES)?;
    let program = folder.path().join("program");
    let mut command = environment.command(&environment.go);
    command.args(["build", "-o"]).arg(&program).current_dir(&module);
    // The same program everywhere, whether there is a C compiler or not.
    succeed(command.env("CGO_ENABLED", "0"))?;
    Ok(program)
}
