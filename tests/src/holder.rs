//! Processes that hold locks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::processes::{await_that, children};

/// A process that holds a lock until it is dropped.
#[derive(Debug)]
pub struct Holder {
    pid: Pid,
    child: Option<Child>,
}

impl Holder {
    /// A program that locks `file` and sleeps (flock(1), which becomes the program it runs).
    ///
    /// # Errors
    /// When there is no flock (package util-linux), or it does not get the lock.
    pub fn of(file: &Path) -> Result<Self> {
        Self::running(file, &["sleep", "600"])
    }

    /// A program that locks `file`, waits until it is told to go on, and then asks for the lock of `next`.
    ///
    /// # Errors
    /// As [`Holder::of`].
    pub fn that_then_wants(file: &Path, next: &Path) -> Result<Self> {
        make(next)?;
        let next = next.to_str().context("a path")?;
        Self::running(file, &["sh", "-c", "read word && exec flock --no-fork \"$0\" true", next])
    }

    fn running(file: &Path, words: &[&str]) -> Result<Self> {
        make(file)?;
        let mut command = Command::new("flock");
        let child = command.arg("--no-fork").arg(file).args(words).stdin(Stdio::piped()).spawn();
        let child = child.context("cannot run flock: install the package util-linux")?;
        let holder = Self { pid: pid(&child), child: Some(child) };
        await_that("the lock is held", || is_locked(file).then_some(()))?;
        Ok(holder)
    }

    /// The child of a program that locked `file` and died: the lock lives on in the descriptor that it inherited, while the
    /// kernel's table names the dead one.
    ///
    /// # Errors
    /// As [`Holder::of`].
    pub fn orphan_of(file: &Path) -> Result<Self> {
        make(file)?;
        let mut locker = Command::new("flock").arg(file).args(["sleep", "600"]).spawn()?;
        let dead = pid(&locker).as_raw();
        await_that("the lock is held", || is_locked(file).then_some(()))?;
        let child = await_that("its child", || children(dead).first().map(|child| child.pid))?;
        locker.kill()?;
        locker.wait()?;
        Ok(Self { pid: Pid::from_raw(child), child: None })
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Tells it to go on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn go_on(&mut self) -> Result<()> {
        let stdin = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        Ok(stdin.context("nobody to tell")?.write_all(b"go\n")?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        match &mut self.child {
            Some(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            // Ours to end, and nobody else's: it sleeps for ten minutes, so its number is not in use again.
            None => {
                let _ = kill(self.pid, Signal::SIGKILL);
            }
        }
    }
}

/// Makes a lock file as go makes it: empty, with the directories above it.
///
/// # Errors
/// Those of the filesystem.
pub fn make(file: &Path) -> Result<()> {
    fs::create_dir_all(file.parent().context("a file without a directory")?)?;
    OpenOptions::new().create(true).truncate(false).write(true).open(file)?;
    Ok(())
}

/// Whether somebody holds a lock on `file`, by the kernel's table.
pub fn is_locked(file: &Path) -> bool {
    lines(file).iter().any(|line| !line.contains("-> "))
}

/// Waits until somebody queues for a lock on `file`, by the kernel's table: the proof from outside that he hangs there.
///
/// # Errors
/// When nobody does.
pub fn wait_for_queue(file: &Path) -> Result<()> {
    await_that("somebody queues for the lock", || {
        lines(file).iter().any(|line| line.contains("-> ")).then_some(())
    })
}

fn lines(file: &Path) -> Vec<String> {
    let Ok(inode) = fs::metadata(file).map(|data| format!(":{} ", data.ino())) else {
        return Vec::new();
    };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    table.lines().filter(|line| line.contains(&inode)).map(str::to_owned).collect()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}
