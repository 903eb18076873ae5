//! C2, C3, C6: a child asks somebody, or leaves somebody behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_read, await_that, below, descendants, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, GitHost, SshHost};
use gmtrace_tests::zoo::Way;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::children::{HOST, Place};

scenario!(c2_ssh_asks_whether_to_trust_a_host(way, lab));
fn c2_ssh_asks_whether_to_trust_a_host(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    let ssh = SshHost::start([192, 0, 2, 22], 22)?;
    let by_ssh = format!("[url \"ssh://git@{HOST}/\"]\n\tinsteadOf = https://{HOST}/\n");
    fs::write(place.project.home().join(".gitconfig"), by_ssh)?;
    // Up to Go 1.24 an ssh that the user did not choose has BatchMode set, and asks nothing.
    let asked = place.download().at_a_terminal().env("GIT_SSH_COMMAND", "ssh");
    let hang = way.run(asked)?;
    ssh.wait_for_client()?;
    let asking = below(hang.command()?, "ssh")?;
    await_read(asking, "tty")?;
    let answer = hang.stalls()?;
    let found = answer.expect("prompt").state("stalled").confidence("certain").host(HOST);
    found.process(asking);
    found.says("ssh is waiting for you to type an answer about git.example.com.");
    found.says("trust this host?").says("BatchMode=yes").says(&format!("ssh ({asking})"));
    hang.types("no\n")?;
    hang.fails()?.never("unknown");
    Ok(())
}

scenario!(c3_git_asks_for_a_user_name_and_a_password(way, lab));
fn c3_git_asks_for_a_user_name_and_a_password(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let asked = place.download().at_a_terminal().env("GIT_TERMINAL_PROMPT", "1");
    let hang = way.run(asked)?;
    place.git.wait_for("/lib.git/info/refs")?;
    let git = below(hang.command()?, "git-remote-http")?;
    await_read(git, "tty")?;
    let answer = hang.stalls()?;
    let found = answer.expect("prompt").state("stalled").host(HOST).says("user name");
    found.process(git);
    hang.types("me\n")?;
    hang.wait_for_secret()?;
    await_read(git, "tty")?;
    hang.types("wrong\n")?;
    hang.fails()?.also("prompt");
    Ok(())
}

/// A git that leaves something behind on its first call, and is otherwise the real one.
fn leaving(project: &Project, command: GoCommand) -> Result<GoCommand> {
    let (bin, left) = (project.room().join("bin"), project.room().join("left"));
    fs::create_dir(&bin)?;
    let path = std::env::var("PATH")?;
    let git = path.split(':').map(|dir| format!("{dir}/git"));
    let git = git.into_iter().find(|git| fs::metadata(git).is_ok()).context("git")?;
    let left = left.display();
    let script = format!(
        "#!/bin/sh\n[ -e {left} ] || {{ sleep 600 & echo $! > {left}.new; mv {left}.new {left}; }}\nexec {git} \"$@\"\n"
    );
    fs::write(bin.join("git"), script)?;
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755))?;
    Ok(command.env("PATH", format!("{}:{path}", bin.display())))
}

/// Waits until git has ended and left its daemon behind, which holds a pipe that go reads: go, which `find` gives once it runs, and
/// the daemon.
fn await_left(project: &Project, find: impl FnOnce() -> Result<Pid>) -> Result<(Pid, Pid)> {
    let left = project.room().join("left");
    let daemon: i32 = await_that("what git leaves behind", || {
        fs::read_to_string(&left).ok()?.trim().parse().ok()
    })?;
    let go = find()?;
    await_that("git has ended", || {
        let gits = descendants(go.as_raw()).into_iter().filter_map(process);
        let none = !gits.into_iter().any(|p| p.name.starts_with("git"));
        none.then_some(())
    })?;
    let pipe = fs::read_link(format!("/proc/{daemon}/fd/1"))?;
    let fds = fs::read_dir(format!("/proc/{go}/fd"))?.flatten();
    let mut files = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    ensure!(files.any(|file| file == pipe), "go does not read {}", pipe.display());
    Ok((go, Pid::from_raw(daemon)))
}

scenario!(c6_a_daemon_keeps_the_pipe_of_git_that_has_ended(way, lab));
fn c6_a_daemon_keeps_the_pipe_of_git_that_has_ended(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    let hang = way.run(leaving(&place.project, place.download())?)?;
    let (go, daemon) = await_left(&place.project, || hang.command())?;
    let answer = hang.stalls()?;
    let found = answer.expect("pipe-held").state("stalled").confidence("certain").links(2);
    found.process(go);
    found.link(1, daemon);
    found.says(&format!("sleep (pid {daemon})")).says(&format!("kill {daemon}"));
    kill(daemon, Signal::SIGTERM)?;
    hang.succeeds()?.expect("pipe-held").state("slow");
    Ok(())
}
