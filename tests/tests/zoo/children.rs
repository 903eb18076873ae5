//! C1, C7, C12, C13, C14: what go started keeps it waiting, fails, or stays behind.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use gmtrace_tests::cgroup::Controller;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::harness::send;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, GitHost, HttpServer, Listen, Module, TestCa};
use gmtrace_tests::zoo::{self, Way};
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;

pub const HOST: &str = "git.example.com";
const MODULE: &str = "git.example.com/lib@v1.2.3";

/// A git server at the usual port of its name, and a project that requires a module of it.
pub struct Place {
    ca: TestCa,
    pub git: HttpServer<GitHost>,
    pub project: Project,
}

impl Place {
    pub fn new(lab: &Lab) -> Result<Self> {
        Self::publishing(lab, &Module::new("git.example.com/lib", "v1.2.3").filler(10_000))
    }

    /// With `module` in its repository, which is `git.example.com/lib` at v1.2.3.
    pub fn publishing(lab: &Lab, module: &Module) -> Result<Self> {
        lab.host(HOST, "192.0.2.22")?;
        let ca = TestCa::new()?;
        let host = GitHost::new(HOST)?;
        host.publish(module)?;
        let listen = Listen::at(Ipv4Addr::new(192, 0, 2, 22), 443).tls(ca.tls(&[HOST])?);
        let project = zoo::go()?.project()?.require("git.example.com/lib", "v1.2.3")?;
        Ok(Self { git: HttpServer::start(listen, host)?, project, ca })
    }

    /// A project that requires the same, of which nothing has been fetched.
    pub fn another_project(&self) -> Result<Project> {
        zoo::go()?.project()?.require("git.example.com/lib", "v1.2.3")
    }

    pub fn download(&self) -> GoCommand {
        self.project.go(["mod", "download"]).proxy("direct").trust(&self.ca)
    }
}

scenario!(c1_the_git_server_is_silent(way, lab));
fn c1_the_git_server_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Silent);
    let hang = way.run(place.download())?;
    place.git.wait_for("/lib.git/info/refs")?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("vcs").host(HOST);
    found.address("192.0.2.22").links(3).says("git-remote-https");
    place.git.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").role("vcs");
    Ok(())
}

scenario!(c7_git_is_stopped_for_reading_the_terminal_from_the_background(way, lab));
fn c7_git_is_stopped_for_reading_the_terminal_from_the_background(
    way: &Way,
    lab: &Lab,
) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Silent);
    let hang = way.run(place.download())?;
    place.git.wait_for("/lib.git/info/refs")?;
    let git = below(hang.command()?, "git")?;
    // What the kernel sends to a background process that reads its terminal (termios(3)).
    send(Signal::SIGTTIN, git.as_raw())?;
    await_that("git is stopped", || process(git.as_raw()).filter(|p| "Tt".contains(p.state)))?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").state("stalled").confidence("certain").links(2);
    found.says(&format!("kill -CONT {git}"));
    // Which signal it was, nobody can read afterwards.
    found.by_launch(|found| found.says("SIGTTIN").says("reading the terminal from the background"));
    send(Signal::SIGCONT, git.as_raw())?;
    place.git.faults().lift();
    hang.succeeds()?;
    Ok(())
}

scenario!(c12_git_is_not_let_in(way, lab), which ends);
fn c12_git_is_not_let_in(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let answer = way.run(place.download())?.fails()?;
    place.git.wait_for("/lib.git/info/refs")?;
    let found = answer.expect("child-failed").state("failed").role("vcs").module(MODULE);
    found.says("could not read Username").says("status 128").says("needs a login");
    Ok(())
}

scenario!(c12_what_git_said_holds_no_password(way, lab), which ends);
/// A password in the address is in what git says, and must not be in what gmtrace keeps.
fn c12_what_git_said_holds_no_password(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(403, "not you"));
    let gitconfig =
        "[url \"https://me:hunter2@git.example.com/\"]\n\tinsteadOf = https://git.example.com/\n";
    fs::write(place.project.home().join(".gitconfig"), gitconfig)?;
    let ended = way.run(place.download())?.fails()?;
    ended.expect("child-failed").state("failed").role("vcs").module(MODULE);
    ended.keeps_secret("hunter2");
    Ok(())
}

scenario!(c13_go_is_killed_from_outside(way), which ends);
fn c13_go_is_killed_from_outside(way: &Way) -> Result<()> {
    for (signal, name) in [(Signal::SIGTERM, "SIGTERM"), (Signal::SIGKILL, "SIGKILL")] {
        let place = crate::system::Place::new()?;
        place.proxy.faults().on(".zip", Fault::Silent);
        let running = way.run(place.download())?;
        place.proxy.wait_for(".zip")?;
        send(signal, running.command()?.as_raw())?;
        let answer = running.fails()?;
        let found = answer.expect("killed").state("failed").says(name);
        if signal == Signal::SIGTERM {
            found.says(&format!("process {}", std::process::id()));
        }
    }
    Ok(())
}

scenario!(c13_git_is_killed_from_outside(way, lab), which ends);
fn c13_git_is_killed_from_outside(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Silent);
    let running = way.run(place.download())?;
    place.git.wait_for("/lib.git/info/refs")?;
    let git = below(running.command()?, "git")?;
    send(Signal::SIGKILL, git.as_raw())?;
    // What git started holds its output open until its server answers.
    place.git.faults().lift();
    let answer = running.fails()?;
    let found = answer.expect("killed").state("failed").says("SIGKILL");
    found.process(git);
    Ok(())
}

scenario!(c13_the_kernel_kills_a_child_because_its_group_has_no_memory_left(way), which ends);
fn c13_the_kernel_kills_a_child_because_its_group_has_no_memory_left(way: &Way) -> Result<()> {
    let Some(group) = way.group(Controller::Memory)? else { return Ok(()) };
    group.memory(64 << 20)?;
    let project = zoo::go()?.project()?;
    // tail keeps the last line of a file without lines.
    let project = project.file("eats.go", "package project\n\n//go:generate tail /dev/zero\n")?;
    let join = format!("echo $$ > {} && exec go generate ./...", group.procs().display());
    let answer = way.run(project.command("sh".as_ref(), ["-c", &join]))?.fails()?;
    assert!(group.oom_kills() > 0, "nobody was killed: {answer:?}");
    answer.expect("killed").state("failed").says("SIGKILL").says("memory").says("tail");
    Ok(())
}

scenario!(c14_a_daemon_is_left_behind_and_lives_on(way), which ends);
fn c14_a_daemon_is_left_behind_and_lives_on(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let room = project.room();
    let (question, answer) = (room.join("question"), room.join("answer"));
    nix::unistd::mkfifo(&question, nix::sys::stat::Mode::S_IRWXU)?;
    // It has a session of its own before go ends, and keeps the standard error of go.
    let daemon = format!(
        "cd {} && setsid sh -c 'touch ready; read word < question && echo \"$word\" > new && mv new answer' &\n\
         cd {} && until [ -e ready ]; do sleep 0.01; done\n",
        room.display(),
        room.display()
    );
    fs::write(room.join("leave.sh"), daemon)?;
    let generate =
        format!("package project\n\n//go:generate sh {}\n", room.join("leave.sh").display());
    let project = project.file("leaves.go", &generate)?;
    way.run(project.go(["generate", "./..."]))?.succeeds()?.no_stall();
    assert!(!answer.exists());
    // Without a reader this fails (ENXIO), and does not wait for one (fifo(7)).
    let asked =
        OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&question);
    asked.context("the daemon is gone")?.write_all(b"still here\n")?;
    await_that("the daemon's answer", || fs::read_to_string(&answer).ok())?;
    Ok(())
}
