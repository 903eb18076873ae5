//! Looking into a process, and asking it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use gmtrace::capture::proc::{GoProgram, Goroutines};
use gmtrace_core::event::{GoRuntime, Goroutine, Status};
use gmtrace_core::golang::Recorded;
use gmtrace_core::units::{Fd, Pid};
use gmtrace_tests::processes::await_that;

use crate::dump::{differences, of, parse};

/// The Go program that a process runs.
pub(crate) fn open(pid: i32) -> Result<GoProgram> {
    let program = Goroutines::new().open(Pid(pid), &epolls(pid)?)?;
    program.with_context(|| format!("process {pid} runs no Go program"))
}

pub(crate) fn epolls(pid: i32) -> Result<Vec<Fd>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path()).unwrap_or_default();
        if target.to_string_lossy().contains("eventpoll") {
            found.push(Fd(entry.file_name().to_string_lossy().parse()?));
        }
    }
    Ok(found)
}

/// The goroutines once they hang: nobody runs or is about to, and two readings say the same.
pub(crate) fn hanging(pid: i32) -> Result<GoRuntime> {
    settled(|| Some(open(pid).ok()?.read()))
}

/// The same of another way to read.
pub(crate) fn settled(mut read: impl FnMut() -> Option<GoRuntime>) -> Result<GoRuntime> {
    let mut before: Option<GoRuntime> = None;
    await_that("its goroutines hang", || {
        let now = read()?;
        let hang = now.unreadable.is_none() && now.goroutines.iter().all(hangs);
        let same = before.replace(now.clone()).is_some_and(|before| before == now);
        (hang && same).then_some(now)
    })
    .with_context(|| format!("the last reading: {before:?}"))
}

fn hangs(goroutine: &Goroutine) -> bool {
    matches!(goroutine.status, Status::Waiting | Status::Syscall)
}

/// Fails unless a reading says what the process said afterwards.
pub(crate) fn equal(what: &str, read: &GoRuntime, dump: &str) -> Result<()> {
    ensure!(read.partial.is_empty(), "{what}: {:?}", read.partial);
    let (read, dumped) = (of(read), parse(dump));
    ensure!(!dumped.is_empty(), "{what}: no goroutine in {dump}");
    let differences = differences(&read, &dumped);
    if !differences.is_empty() {
        bail!("{what}: {} differ\n{}", differences.len(), differences.join("\n"));
    }
    Ok(())
}

/// Keeps a reading for those who have no toolchain, where `GMTRACE_RECORD_GOROUTINES` names a directory.
pub(crate) fn record(
    name: &str,
    reading: impl FnOnce() -> Result<(GoRuntime, Recorded)>,
) -> Result<()> {
    let Some(directory) = std::env::var_os("GMTRACE_RECORD_GOROUTINES") else { return Ok(()) };
    let (runtime, recorded) = reading()?;
    let path = |ending: &str| Path::new(&directory).join(format!("{name}.{ending}"));
    let mut gzip = GzEncoder::new(File::create(path("gz"))?, Compression::best());
    gzip.write_all(&recorded.to_bytes()?)?;
    gzip.finish()?;
    Ok(fs::write(path("json"), serde_json::to_vec_pretty(&runtime)?)?)
}
