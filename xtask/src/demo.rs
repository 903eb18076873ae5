//! The first thing to try: gmtrace in front of a download that works, and of one that hangs.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::toolchains;
use crate::workspace::{Workspace, progress};

/// A small real module with two dependencies of its own.
const GO_MOD: &str = "module example.com/demo\n\ngo 1.21\n\nrequire rsc.io/quote v1.5.2\n";

/// timeout(1)'s status, which gmtrace gives when it ended a command that had stalled.
const ENDED_BY_STALL: i32 = 124;

/// Downloads a real module through the machine's own GOPROXY, then asks a silent server for it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    progress("building gmtrace");
    let gmtrace = workspace.build_gmtrace()?;
    let go = toolchains::any_go(workspace)?;
    let folder = TempDir::with_prefix("gmtrace-demo-")?;
    fs::write(folder.path().join("go.mod"), GO_MOD)?;

    progress("1. gmtrace go mod download (rsc.io/quote, into an empty module cache)");
    let ended = watch(&gmtrace, &go, folder.path(), "answered", &[])?;
    ensure!(ended.success(), "go mod download ended with {ended}");
    let module = folder.path().join("answered/rsc.io/quote@v1.5.2");
    ensure!(module.is_dir(), "go mod download left no {}", module.display());

    progress("2. the same, with GOPROXY set to a server that never answers; ended after 6 s");
    let silent = TcpListener::bind("127.0.0.1:0").context("no port on loopback")?;
    let proxy = format!("http://{}", silent.local_addr()?);
    // The kernel completes the handshake and takes the request; nobody ever accepts or reads it.
    let ended = watch(&gmtrace, &go, folder.path(), "silent", &[("GOPROXY", &proxy)])?;
    ensure!(
        ended.code() == Some(ENDED_BY_STALL),
        "gmtrace ended with {ended} instead of status {ENDED_BY_STALL}"
    );
    Ok(())
}

fn watch(
    gmtrace: &Path,
    go: &Path,
    folder: &Path,
    cache: &str,
    variables: &[(&str, &str)],
) -> Result<ExitStatus> {
    let mut command = Command::new(gmtrace);
    command.args(["--stall-after", "2s", "--stall-timeout", "6s", "--"]);
    command.arg(go).args(["mod", "download"]).stdin(Stdio::null()).current_dir(folder);
    command.env("GOMODCACHE", folder.join(cache)).env("GOTOOLCHAIN", "local");
    // Without this the module cache is read-only, and the demo could not remove it.
    command.env("GOFLAGS", "-modcacherw").envs(variables.iter().copied());
    command.status().with_context(|| format!("cannot run {}", gmtrace.display()))
}
