//! Programs for arm64, run by qemu's user emulation: it puts a program that has its addresses fixed where the program wants to be, so
//! that the emulator's own memory is the program's. On a machine with arm64 the other tests say the same.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gmtrace_core::event::GoRuntime;
use gmtrace_core::golang::{
    self, Binary, Extras, Piece, ReadMemory, Recorded, Recorder, Registration,
};
use gmtrace_core::units::Tid;
use gmtrace_tests::fixtures::{GoBuild, go_fixture};
use gmtrace_tests::go::Go;
use nix::sys::signal::Signal;

use crate::RELEASES;
use crate::look::{epolls, equal, record, settled};

/// `/proc/PID/mem` of the emulator.
struct Memory(File);

impl ReadMemory for Memory {
    fn read(&self, pieces: &mut [Piece<'_>]) {
        for piece in pieces {
            piece.filled = self.0.read_at(piece.buffer, piece.address).unwrap_or(0);
        }
    }
}

/// A program that is being emulated.
struct Emulated {
    pid: i32,
    program: PathBuf,
}

impl Emulated {
    fn extras(&self, binary: &Binary) -> Result<Extras> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid))?;
        let threads = tasks.map(|task| Ok(task?.file_name().to_string_lossy().parse()?));
        let mut registrations = Vec::new();
        for fd in epolls(self.pid)? {
            let text = fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", self.pid))?;
            registrations.extend(Registration::parse(&text));
        }
        let threads = threads.collect::<Result<_>>()?;
        Ok(Extras { entry: Some(binary.entry), registrations, threads })
    }

    fn read(&self) -> Result<(GoRuntime, Recorded)> {
        let binary = Binary::read(File::open(&self.program)?)?.context("it is not a Go program")?;
        let extras = self.extras(&binary)?;
        let memory = Memory(File::open(format!("/proc/{}/mem", self.pid))?);
        let recorder = Recorder::new(&memory);
        let tids = extras.threads.iter().map(|thread| (*thread, Tid(*thread))).collect();
        let runtime = GoRuntime::of(golang::read(&recorder, &binary, &extras), &tids);
        Ok((runtime, recorder.finish(binary, extras)))
    }
}

fn truth(go: &Go) -> Result<()> {
    let what = format!("{}-every_wait-arm64", go.says()?);
    let program = go_fixture(go, "every_wait", GoBuild::Arm64)?;
    let qemu = Path::new("/usr/bin/qemu-aarch64");
    let command = go.project()?.command(qemu, [program.to_str().context("a path")?]);
    let command = command.env("GOTRACEBACK", "system").env("GOGC", "off");
    let hung = command.env("PATH", "/usr/bin:/bin").spawn();
    let hung = hung.context("this test needs the package qemu-user")?;
    hung.wait_for_stderr("ready")?;
    let emulated = Emulated { pid: hung.pid().as_raw(), program };
    let read = settled(|| Some(emulated.read().ok()?.0)).with_context(|| what.clone())?;
    record(&what, || emulated.read())?;
    hung.signal(Signal::SIGQUIT)?;
    equal(&what, &read, &hung.wait()?.stderr)?;
    assert!(read.goroutines.iter().filter(|g| g.waits_for.is_some()).count() >= 6, "{what}");
    Ok(())
}

#[test]
fn of_every_release() -> Result<()> {
    truth(&Go::linked_with_libc()?)?;
    RELEASES.iter().try_for_each(|release| truth(&Go::version(release)?))
}
