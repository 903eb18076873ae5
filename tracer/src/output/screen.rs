//! Terminals: width, colours, the live line.

mod voice;

use crate::cli::{ColorChoice, LookOptions};
use gmtrace_core::report::palette::Palette;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use voice::Voice;

/// Where there is no terminal, lines are made for this width.
const COLUMNS: usize = 80;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Columns.
    pub width: usize,
    /// Colours.
    pub palette: Palette,
}

/// The style for standard output.
pub fn for_stdout(look: &LookOptions) -> Style {
    style(look, &std::io::stdout())
}

fn style(look: &LookOptions, stream: &(impl IsTerminal + AsFd)) -> Style {
    let colors = match look.color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            let asked_not_to = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
            let dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
            stream.is_terminal() && !asked_not_to && !dumb
        }
    };
    Style {
        width: columns(stream).unwrap_or(COLUMNS),
        palette: if colors { Palette::COLORS } else { Palette::PLAIN },
    }
}

/// The terminal's width (ioctl_tty(2), TIOCGWINSZ).
fn columns(stream: &impl AsFd) -> Option<usize> {
    let (width, _) = terminal_size::terminal_size_of(stream)?;
    Some(usize::from(width.0)).filter(|w| *w >= 20)
}

/// Standard error, kept by gmtrace while the command runs: a copy that no child inherits.
pub struct Screen {
    file: Option<File>,
    voice: Option<Voice>,
    is_terminal: bool,
    alone: bool,
    look: LookOptions,
}

/// The copy of standard error that the live line is written to and taken away from, by several threads.
/// Whoever cannot have it at once goes without: nobody waits for it.
static LIVE: Mutex<Option<OwnedFd>> = Mutex::new(None);
/// Whether the live line stands there now.
static SHOWN: AtomicBool = AtomicBool::new(false);

impl Screen {
    /// Takes hold of standard error; where that is closed, nothing is ever said.
    pub fn new(look: &LookOptions) -> Screen {
        let stderr = std::io::stderr();
        let file = stderr.as_fd().try_clone_to_owned().ok().map(File::from);
        let (is_terminal, alone) = (stderr.is_terminal(), output_is_known());
        Screen { file, voice: None, is_terminal, alone, look: look.clone() }
    }

    /// The style for standard error, as wide as it is now.
    pub fn style(&self) -> Style {
        match &self.file {
            Some(file) => style(&self.look, file),
            None => Style { width: COLUMNS, palette: Palette::PLAIN },
        }
    }

    /// Whether standard error is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Prints a block or a line, without waiting for it; a terminal that has gone away is no failure.
    ///
    /// Not before the launch: it starts a thread.
    pub fn say(&mut self, text: &str) {
        let Some(file) = &self.file else { return };
        let ending = if text.ends_with('\n') { "" } else { "\n" };
        let text = format!("{text}{ending}");
        if self.voice.is_none() {
            self.voice = file.try_clone().ok().and_then(Voice::start);
        }
        match &self.voice {
            Some(voice) => voice.say(text),
            None => {
                clear_live_line();
                voice::write_all(file, text.as_bytes(), PollTimeout::ZERO);
            }
        }
    }

    /// Lets go of standard error, when all has been said, or after `bound`.
    pub fn finish(&mut self, bound: Duration) {
        clear_live_line();
        if let Some(voice) = self.voice.take() {
            voice.finish(bound);
        }
        self.file = None;
        if let Ok(mut live) = LIVE.try_lock() {
            *live = None;
        }
    }

    /// Whether a live line may be drawn at all: on a terminal, in whose foreground this is, and that nobody else draws on, as a
    /// pager does that reads the command's output.
    pub fn can_draw(&self) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| self.is_terminal && self.alone) else {
            return false;
        };
        self.voice.as_ref().is_none_or(Voice::is_silent) && in_foreground(file)
    }

    /// Draws the live line over the old one.
    pub fn draw(&mut self, line: &str) {
        let Some(file) = &self.file else { return };
        let Ok(mut live) = LIVE.try_lock() else { return };
        if live.is_none() {
            *live = file.as_fd().try_clone_to_owned().ok();
        }
        let Some(live) = live.as_ref() else { return };
        if SHOWN.swap(true, Ordering::AcqRel) {
            write_now(live, "\r\x1b[K");
        }
        write_now(live, line);
    }
}

/// Takes the live line away. Called by the ptrace thread too, before a write of the command goes on: it does not block. In the
/// background the terminal is somebody else's.
pub fn clear_live_line() {
    if !SHOWN.load(Ordering::Acquire) {
        return;
    }
    let Ok(live) = LIVE.try_lock() else { return };
    let shown = SHOWN.swap(false, Ordering::AcqRel);
    if let Some(live) = live.as_ref().filter(|live| shown && in_foreground(live)) {
        write_now(live, "\r\x1b[K");
    }
}

fn in_foreground(terminal: impl AsFd) -> bool {
    nix::unistd::tcgetpgrp(terminal).is_ok_and(|group| group == nix::unistd::getpgrp())
}

/// Whether standard output goes to a terminal, a file or `/dev/null`, and to no other program.
fn output_is_known() -> bool {
    let Ok(copy) = std::io::stdout().as_fd().try_clone_to_owned() else { return true };
    if copy.is_terminal() {
        return true;
    }
    // Device 1, 3: null(4).
    let null = libc::makedev(1, 3);
    File::from(copy)
        .metadata()
        .is_ok_and(|m| m.is_file() || m.file_type().is_char_device() && m.rdev() == null)
}

/// Writes a few bytes, unless the terminal is held (Ctrl-S) or full.
fn write_now(fd: &OwnedFd, text: &str) {
    let mut ready = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|n| n == 1) {
        let _gone = nix::unistd::write(fd, text.as_bytes());
    }
}
