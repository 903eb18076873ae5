//! A command on a terminal of its own, and somebody typing.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitStatus;

use anyhow::{Context, Result, ensure};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::harness::{How, Launch, Running};
use crate::processes::BOUND;

/// What is on the screen, and the keyboard.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    screen: String,
    seen: usize,
    running: Running,
}

impl Terminal {
    /// Starts a launch as the leader of a session whose terminal is a new one. The launch must be `given("terminal")`.
    ///
    /// # Errors
    /// Where there is no terminal to be had, or the launch does not start.
    pub fn start(launch: &Launch, how: How) -> Result<Self> {
        let (master, slave) = pair()?;
        let mut command = launch.prepare(how)?;
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
        let running = Running::spawn(command, launch.marker())?;
        Ok(Self { master, screen: String::new(), seen: 0, running })
    }

    /// The process that was started.
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// Types.
    ///
    /// # Errors
    /// As write(2).
    pub fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.master.write_all(keys.as_bytes())?)
    }

    /// Waits until a text is shown, after what was awaited before; returns what came up to it.
    ///
    /// # Errors
    /// Shows the screen when it never comes.
    pub fn shows(&mut self, text: &str) -> Result<String> {
        loop {
            let fresh = &self.screen[self.seen..];
            if let Some(at) = fresh.find(text) {
                let before = fresh[..at].to_owned();
                self.seen += at + text.len();
                return Ok(before);
            }
            let more = self.read_more()?;
            ensure!(
                more,
                "{text:?} is never shown: {:?}, {:?}",
                self.screen,
                self.running.processes()
            );
        }
    }

    /// Reads what has come; false when nobody has the terminal open any more (EIO), or nothing came within the bound.
    fn read_more(&mut self) -> Result<bool> {
        let mut bytes = [0; 4096];
        let mut ready = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let bound = PollTimeout::try_from(BOUND)?;
        if poll(&mut ready, bound).context("poll")? == 0 {
            return Ok(false);
        }
        let count = self.master.read(&mut bytes).unwrap_or(0);
        self.screen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        Ok(count > 0)
    }

    /// Closes the window.
    pub fn close(self) -> Running {
        self.running
    }

    /// Waits for the end; returns all that was shown.
    ///
    /// # Errors
    /// Where it hangs.
    pub fn end(mut self) -> Result<(ExitStatus, String)> {
        while self.read_more()? {}
        Ok((self.running.end()?, self.screen))
    }
}

/// A new terminal: its keyboard and screen, and what a command opens.
///
/// # Errors
/// Where there is none to be had.
pub fn pair() -> Result<(File, File)> {
    // From the first moment close-on-exec: a copy in the processes of a test that runs beside this one would keep the
    // terminal open.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let no_terminal_of_ours = OFlag::O_NOCTTY.bits();
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(no_terminal_of_ours)
        .open(ptsname_r(&master)?)?;
    Ok((File::from(master.as_fd().try_clone_to_owned()?), slave))
}
