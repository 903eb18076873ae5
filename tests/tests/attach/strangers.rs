//! Ordinary users: their own processes are open to them, those of others are explained.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output};

use anyhow::Result;
use gmtrace_tests::fixtures;
use gmtrace_tests::harness::is_root;
use gmtrace_tests::holder::wait_for_queue;
use tempfile::TempDir;

use crate::parts::{Silent, stderr, stdout};

const NOBODY: u32 = 65534;

/// A directory that everybody may use, with a gmtrace that everybody may run.
struct Open {
    room: TempDir,
}

impl Open {
    fn new() -> Result<Self> {
        let room = tempfile::tempdir()?;
        fs::set_permissions(room.path(), fs::Permissions::from_mode(0o777))?;
        fs::copy(fixtures::gmtrace()?, room.path().join("gmtrace"))?;
        Ok(Self { room })
    }

    fn as_nobody(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.uid(NOBODY).gid(NOBODY).current_dir(self.room.path());
        command
    }

    fn gmtrace(&self, words: &[&str]) -> Result<Output> {
        Ok(self.as_nobody(self.room.path().join("gmtrace")).args(words).output()?)
    }

    fn spawn(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.as_nobody("flock".into());
        Ok(command.args(words).spawn()?)
    }
}

#[test]
fn ones_own_processes_need_no_privilege() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can become another user");
        return Ok(());
    }
    let open = Open::new()?;
    let lock = open.room.path().join("lock");
    fs::write(&lock, "")?;
    let path = lock.to_string_lossy().into_owned();
    let mut holder = open.spawn(&["--no-fork", &path, "sleep", "600"])?;
    gmtrace_tests::processes::await_that("the lock is held", || is_held(&lock).then_some(()))?;
    let mut waiter = open.spawn(&["--no-fork", &path, "true"])?;
    wait_for_queue(&lock)?;
    let output = open.gmtrace(&["-p", &waiter.id().to_string()])?;
    holder.kill()?;
    holder.wait()?;
    waiter.wait()?;
    let said = stdout(&output);
    assert!(output.status.success(), "{said}{}", stderr(&output));
    assert!(said.contains("is waiting for a lock that sleep (pid "), "{said}");
    assert!(said.contains("lock-held, certain"), "{said}");
    Ok(())
}

fn is_held(lock: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(inode) = fs::metadata(lock).map(|m| m.ino()) else { return false };
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    table.lines().any(|line| line.contains(&format!(":{inode} ")) && !line.contains("->"))
}

#[test]
fn processes_of_others_are_explained() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can become another user");
        return Ok(());
    }
    let open = Open::new()?;
    let silent = Silent::new()?;
    let hang = silent.hang()?;
    let pid = hang.pid();
    let output = open.gmtrace(&["-p", &pid.to_string()])?;
    let (said, complaint) = (stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(1), "{said}{complaint}");
    let why = format!("process {pid} belongs to user root; try: sudo gmtrace -p {pid}");
    assert!(complaint.contains(&why), "{said}{complaint}");
    // What everybody may see is told all the same.
    assert!(said.contains(&format!("go mod download (pid {pid})")), "{said}");
    assert!(said.contains("unseen ") && said.contains("belongs to user root"), "{said}");

    let list = stdout(&open.gmtrace(&["ps"])?);
    let row = list.lines().find(|line| line.contains(&pid.to_string()));
    assert!(
        row.is_some_and(|row| row.contains("hidden") && row.contains("sudo gmtrace ps")),
        "{list}"
    );
    Ok(())
}

/// The lock table is open to everybody: who waits is known, although the system call is not.
#[test]
fn a_process_that_is_not_dumpable() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can become another user");
        return Ok(());
    }
    let open = Open::new()?;
    // A program that may not be read is not dumpable (execve(2)).
    let program = open.room.path().join("closed");
    fs::copy("/bin/sleep", &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o711))?;
    let mut closed = open.as_nobody(program).arg("600").spawn()?;
    let pid = closed.id();
    let output = open.gmtrace(&["-p", &pid.to_string()])?;
    closed.kill()?;
    closed.wait()?;
    let complaint = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.contains("is not dumpable") && complaint.contains("try: sudo"),
        "{complaint}"
    );
    Ok(())
}
