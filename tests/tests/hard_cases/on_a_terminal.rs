//! Case 16: job control and the keyboard.

use std::ffi::OsString;
use std::fs;

use anyhow::{Result, ensure};
use gmtrace_tests::harness::{BOTH, How, Launch, touch};
use gmtrace_tests::processes::{await_quiet, await_that, marked, nobody_left};
use gmtrace_tests::terminal::Terminal;

fn on_terminal(mode: &str) -> Result<Launch> {
    Ok(Launch::fixture("on_terminal")?.arg(mode).given("terminal"))
}

#[test]
fn a_password_is_read_without_echo() -> Result<()> {
    let launch = on_terminal("password")?;
    let mut screens = Vec::new();
    for how in BOTH {
        let mut terminal = Terminal::start(&launch, how)?;
        terminal.shows("Password: ")?;
        terminal.press("secret\n")?;
        let (status, screen) = terminal.end()?;
        assert_eq!(status.code(), Some(4), "{how:?}: {screen}");
        ensure!(
            screen.contains("read 6 letters") && !screen.contains("secret"),
            "{how:?}: {screen}"
        );
        screens.push(screen);
        nobody_left(launch.marker())?;
    }
    assert_eq!(screens[0], screens[1]);
    Ok(())
}

/// Case 28, too: a second ^C is one more for the command, and ends nothing by itself.
#[test]
fn each_key_reaches_the_command_once() -> Result<()> {
    let launch = on_terminal("counts")?;
    let mut screens = Vec::new();
    for how in BOTH {
        let mut terminal = Terminal::start(&launch, how)?;
        terminal.shows("ready\r\n")?;
        for (key, seen) in [
            ("\x03", "HUP 0 INT 1 QUIT 0 USR1 0 USR2 0 TERM 0 CONT 0 TSTP 0 WINCH 0."),
            ("\x03", "HUP 0 INT 2 QUIT 0 USR1 0 USR2 0 TERM 0 CONT 0 TSTP 0 WINCH 0."),
            ("\x1c", "HUP 0 INT 2 QUIT 1 USR1 0 USR2 0 TERM 0 CONT 0 TSTP 0 WINCH 0."),
            ("\x1a", "HUP 0 INT 2 QUIT 1 USR1 0 USR2 0 TERM 0 CONT 0 TSTP 1 WINCH 0."),
        ] {
            await_quiet(launch.marker())?;
            terminal.press(key)?;
            await_quiet(launch.marker())?;
            terminal.press("look\n")?;
            terminal.shows("so far: ")?;
            assert_eq!(terminal.shows("\r\n")?, seen, "{how:?}");
        }
        terminal.press("end\n")?;
        let (status, screen) = terminal.end()?;
        assert_eq!(status.code(), Some(4), "{how:?}: {screen}");
        screens.push(screen);
        nobody_left(launch.marker())?;
    }
    assert_eq!(screens[0], screens[1]);
    Ok(())
}

/// The default action of ^C, without a shell.
#[test]
fn ctrl_c_kills_as_ever() -> Result<()> {
    let launch = on_terminal("reads")?;
    for how in BOTH {
        use std::os::unix::process::ExitStatusExt;
        let mut terminal = Terminal::start(&launch, how)?;
        await_that("the command reads", || reader(&launch, 'S'))?;
        await_quiet(launch.marker())?;
        terminal.press("\x03")?;
        let (status, screen) = terminal.end()?;
        assert_eq!(status.signal(), Some(2), "{how:?}: {screen}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// The window closes: the kernel sends SIGHUP to the leader of the session, which is the front; the command gets it once.
#[test]
fn a_closed_window_hangs_up_once() -> Result<()> {
    for how in BOTH {
        let launch = on_terminal("hangup")?;
        let count = launch.room().join("count");
        let launch = launch.arg(count.clone());
        let mut terminal = Terminal::start(&launch, how)?;
        terminal.shows("ready")?;
        await_quiet(launch.marker())?;
        let running = terminal.close();
        await_that("the command is hung up", || count.exists().then_some(()))?;
        await_quiet(launch.marker())?;
        touch(launch.room().join("count.end"))?;
        assert_eq!(running.end()?.code(), Some(4), "{how:?}");
        assert_eq!(fs::read_to_string(count)?, "hung up\nHUP 1\n", "{how:?}");
        nobody_left(launch.marker())?;
    }
    Ok(())
}

/// Somebody at a bash with job control, who types the words of a launch.
struct Shell {
    terminal: Terminal,
    launch: Launch,
    job: Launch,
    how: How,
}

impl Shell {
    /// `set -b`: bash says at once when a job stops.
    fn open(how: How, mode: &str) -> Result<Self> {
        let launch = Launch::command(["bash", "--norc", "--noprofile", "-i"])?
            .given("terminal")
            .env("PS1", "bash> ");
        let mut terminal = Terminal::start(&launch, How::Bare)?;
        terminal.shows("bash> ")?;
        terminal.press("set -b\n")?;
        terminal.shows("bash> ")?;
        Ok(Self { terminal, launch, job: Launch::fixture("on_terminal")?.arg(mode), how })
    }

    fn types_the_command(&mut self, ending: &str) -> Result<()> {
        let words: Vec<OsString> = self.job.words(self.how)?;
        let words: Vec<_> = words.iter().map(|word| format!("'{}'", word.display())).collect();
        self.terminal.press(&format!("{}{ending}\n", words.join(" ")))
    }

    fn command_is(&self, state: char) -> Result<()> {
        await_that(&format!("the command is in state {state}"), || reader(&self.launch, state))
    }

    /// `echo` of two words with nothing between them is not shown by the line that was typed.
    fn status(&mut self) -> Result<String> {
        self.terminal.press("echo sta''tus $?.\n")?;
        self.terminal.shows("status ")?;
        self.terminal.shows(".")
    }

    fn leave(mut self) -> Result<()> {
        self.terminal.press("exit\n")?;
        let (status, screen) = self.terminal.end()?;
        ensure!(status.success(), "{screen}");
        nobody_left(self.launch.marker())
    }
}

/// Whether the fixture of a launch is in a state; a traced one that is stopped may be shown as `t`.
fn reader(launch: &Launch, state: char) -> Option<()> {
    let all = marked(launch.marker());
    let command = all.iter().find(|process| process.name.starts_with("on_terminal"))?;
    (command.state.to_ascii_uppercase() == state).then_some(())
}

#[test]
fn ctrl_z_stops_and_fg_goes_on() -> Result<()> {
    for how in BOTH {
        let mut shell = Shell::open(how, "stops")?;
        shell.types_the_command("")?;
        shell.terminal.shows("ready")?;
        for _ in 0..2 {
            await_quiet(shell.launch.marker())?;
            shell.terminal.press("\x1a")?;
            shell.terminal.shows("Stopped")?;
            shell.terminal.shows("bash> ")?;
            shell.command_is('T')?;
            shell.terminal.press("fg\n")?;
            shell.command_is('S')?;
            shell.terminal.press("word\n")?;
            shell.terminal.shows("went on")?;
        }
        shell.terminal.press("end\n")?;
        shell.terminal.shows("continued ")?;
        assert_eq!(shell.terminal.shows(" times")?, "2", "{how:?}");
        shell.terminal.shows("bash> ")?;
        assert_eq!(shell.status()?, "4", "{how:?}");
        shell.leave()?;
    }
    Ok(())
}

/// ^C at a job in the foreground: bash shows a new prompt and the status of a death by SIGINT.
#[test]
fn ctrl_c_in_a_shell_ends_the_job_alone() -> Result<()> {
    for how in BOTH {
        let mut shell = Shell::open(how, "stops")?;
        shell.types_the_command("")?;
        shell.terminal.shows("ready")?;
        await_quiet(shell.launch.marker())?;
        shell.terminal.press("\x03")?;
        shell.terminal.shows("bash> ")?;
        assert_eq!(shell.status()?, "130", "{how:?}");
        shell.leave()?;
    }
    Ok(())
}

#[test]
fn a_background_job_that_reads_is_stopped_by_sigttin() -> Result<()> {
    for how in BOTH {
        let mut shell = Shell::open(how, "reads")?;
        shell.types_the_command(" &")?;
        shell.terminal.shows("Stopped")?;
        shell.command_is('T')?;
        shell.terminal.press("fg\n")?;
        shell.command_is('S')?;
        shell.terminal.press("hello\n")?;
        shell.terminal.shows("read hello")?;
        shell.terminal.shows("bash> ")?;
        assert_eq!(shell.status()?, "4", "{how:?}");
        shell.leave()?;
    }
    Ok(())
}

#[test]
fn a_background_job_that_prints_is_stopped_where_tostop_is_set() -> Result<()> {
    for how in BOTH {
        let mut shell = Shell::open(how, "prints")?;
        shell.terminal.press("stty tostop\n")?;
        shell.terminal.shows("bash> ")?;
        shell.types_the_command(" &")?;
        shell.terminal.shows("Stopped")?;
        shell.command_is('T')?;
        shell.terminal.press("fg\n")?;
        shell.terminal.shows("printed")?;
        shell.terminal.shows("bash> ")?;
        assert_eq!(shell.status()?, "4", "{how:?}");
        shell.leave()?;
    }
    Ok(())
}

/// A background job that does not touch the terminal runs to its end, and `wait` has its status.
#[test]
fn a_background_job_ends_with_its_status() -> Result<()> {
    for how in BOTH {
        let mut shell = Shell::open(how, "prints")?;
        shell.types_the_command(" </dev/null >/dev/null 2>&1 & wait $!")?;
        shell.terminal.shows("bash> ")?;
        assert_eq!(shell.status()?, "4", "{how:?}");
        shell.leave()?;
    }
    Ok(())
}
