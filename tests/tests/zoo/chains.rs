//! C11: waiting for a process of this machine that waits itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Result;
use gmtrace_tests::go::Project;
use gmtrace_tests::harness::send;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::local_proxy::LocalProxy;
use gmtrace_tests::processes::{await_read, await_that, descendants, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, GitHost};
use gmtrace_tests::zoo::Way;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::children::Place;
use super::parts::{MODULE, ZIP, download, one, project, proxy};

scenario!(c11_the_module_proxy_of_this_machine_waits_for_its_upstream(way, lab));
/// In a process of its own, as each lab is: a child that another test is about to start has the upstream's sockets for a moment.
fn c11_the_module_proxy_of_this_machine_waits_for_its_upstream(
    way: &Way,
    _lab: &Lab,
) -> Result<()> {
    let upstream = proxy(&one())?;
    upstream.faults().on(ZIP, Fault::Silent);
    let local = LocalProxy::of(&upstream.url())?;
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(&local.url()))?;
    upstream.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled").links(2);
    found.role("module-proxy").address("127.0.0.1").port(upstream.address().port()).module(MODULE);
    found.link(1, local.pid());
    found.by_launch(|found| found.says("the module proxy on this machine is itself stuck on"));
    upstream.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").port(upstream.address().port());
    Ok(())
}

/// Whether somebody has sent to this port of loopback what nobody has read there (proc_net_tcp(5): state 01, and a receive queue).
fn has_sent_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, from, _, state, queues, ..] = words.as_slice() else { return false };
        let received = queues.split_once(':').map(|(_, received)| received);
        *from == local && *state == "01" && received.is_some_and(|bytes| bytes != "00000000")
    })
}

scenario!(c11_the_module_proxy_of_this_machine_is_stopped(way));
fn c11_the_module_proxy_of_this_machine_is_stopped(way: &Way) -> Result<()> {
    let upstream = proxy(&one())?;
    let local = LocalProxy::of(&upstream.url())?;
    send(Signal::SIGSTOP, local.pid().as_raw())?;
    await_that("it is stopped", || process(local.pid().as_raw()).filter(|p| p.state == 'T'))?;
    let project = project(&one())?;
    let hang = way.run(download(&project).proxy(&local.url()))?;
    let port = local.port()?;
    await_that("go has asked it", || has_sent_to(port).then_some(()))?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").symptom("http-silent").state("stalled").links(2);
    found.says(&format!("kill -CONT {}", local.pid()));
    send(Signal::SIGCONT, local.pid().as_raw())?;
    hang.succeeds()?.expect("stopped").state("slow");
    Ok(())
}

/// A credential daemon that git's own helper, `git credential-cache`, talks to over a unix socket. It takes what it is asked, and is silent.
struct Daemon {
    child: Child,
    asked: PathBuf,
}

impl Daemon {
    const SOURCE: &str = "import pathlib, signal, socket, sys\n\
        listener = socket.socket(socket.AF_UNIX)\n\
        listener.bind(sys.argv[1]); listener.listen()\n\
        pathlib.Path(sys.argv[1] + '.listens').touch()\n\
        near = listener.accept()[0]; near.recv(99)\n\
        pathlib.Path(sys.argv[1] + '.asked').touch()\n\
        signal.pause()\n";

    /// Starts it, and has git use it.
    fn start(project: &Project) -> Result<Self> {
        let socket = project.room().join("credentials");
        let config = format!("[credential]\n\thelper = cache --socket {}\n", socket.display());
        fs::write(project.home().join(".gitconfig"), config)?;
        let mut python = Command::new("python3");
        python.args(["-c", Self::SOURCE]).arg(&socket).stdin(Stdio::null());
        let daemon = Self { child: python.spawn()?, asked: socket.with_extension("asked") };
        let listens = socket.with_extension("listens");
        await_that("the daemon listens", || listens.exists().then_some(()))?;
        Ok(daemon)
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    fn wait(&self) -> Result<()> {
        await_that("the daemon is asked", || self.asked.exists().then_some(()))
    }

    /// Stops it; whoever connects waits in its queue from then on.
    fn stop(&self) -> Result<()> {
        send(Signal::SIGSTOP, self.pid())?;
        await_that("it is stopped", || process(self.pid()).filter(|p| p.state == 'T')).map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// git's helper, once it runs.
fn credential_cache_below(pid: Pid) -> Result<Pid> {
    let is_it = |pid: &i32| {
        let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.starts_with("git\0credential-cache\0")
    };
    let find = || descendants(pid.as_raw()).into_iter().find(is_it);
    await_that("git credential-cache", find).map(Pid::from_raw)
}

scenario!(c11_a_credential_daemon_behind_a_unix_socket_is_silent(way, lab));
fn c11_a_credential_daemon_behind_a_unix_socket_is_silent(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let daemon = Daemon::start(&place.project)?;
    let hang = way.run(place.download())?;
    daemon.wait()?;
    let answer = hang.stalls()?;
    let found = answer.expect("helper-silent").state("stalled").role("helper");
    found.says("credential.helper").says(&format!("python3 (pid {})", daemon.pid()));
    hang.stop()?.expect("helper-silent");
    Ok(())
}

scenario!(c11_a_credential_daemon_behind_a_unix_socket_is_stopped(way, lab));
fn c11_a_credential_daemon_behind_a_unix_socket_is_stopped(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new(lab)?;
    GitHost::on_info_refs(place.git.faults(), Fault::Status(401, "who are you?"));
    let daemon = Daemon::start(&place.project)?;
    daemon.stop()?;
    let hang = way.run(place.download())?;
    place.git.wait_for("/lib.git/info/refs")?;
    await_read(credential_cache_below(hang.command()?)?, "socket:")?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").state("stalled");
    found.says(&format!("kill -CONT {}", daemon.pid()));
    hang.stop()?.expect("stopped");
    Ok(())
}
