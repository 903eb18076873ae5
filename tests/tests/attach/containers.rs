//! Processes in other namespaces.

use std::process::{Child, Command};

use anyhow::{Result, ensure};
use gmtrace_tests::fixtures;
use gmtrace_tests::harness::is_root;
use gmtrace_tests::lab;
use gmtrace_tests::processes::{await_that, children};
use gmtrace_tests::zoo;

use crate::parts::{Silent, stderr, stdout};

/// A number that nobody has out here: the next one inside is set (pid_namespaces(7), ns_last_pid).
const INSIDE: i32 = 4_000_000;

struct Container {
    unshare: Child,
    pid: i32,
}

impl Container {
    fn start() -> Result<Self> {
        let script =
            format!("echo {} > /proc/sys/kernel/ns_last_pid; sleep 600 & wait", INSIDE - 1);
        let unshare = Command::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script])
            .spawn()?;
        let outer = unshare.id().cast_signed();
        let find = || {
            let shell = children(outer).first()?.pid;
            children(shell).into_iter().find(|child| child.name == "sleep")
        };
        let sleep = await_that("it runs", find)?;
        Ok(Self { unshare, pid: sleep.pid })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _gone = self.unshare.kill();
        let _gone = self.unshare.wait();
    }
}

#[test]
fn both_pids_are_told_and_the_inner_one_will_do() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can make a pid namespace");
        return Ok(());
    }
    let container = Container::start()?;
    for pid in [container.pid, INSIDE] {
        let output = zoo::gmtrace(["-p", &pid.to_string(), "-F", "json"])?;
        ensure!(output.status.success(), "{pid}: {}{}", stdout(&output), stderr(&output));
        let timeline: serde_json::Value = serde_json::from_str(&stdout(&output))?;
        let process = &timeline["processes"][0];
        assert_eq!(process["pid"], container.pid, "{timeline:#}");
        assert_eq!(process["ns_pid"], INSIDE, "{timeline:#}");
    }
    let again = Container::start()?;
    let output = zoo::gmtrace(["-p", &INSIDE.to_string()])?;
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for outer in [container.pid, again.pid] {
        assert!(said.contains("several containers") && said.contains(&outer.to_string()), "{said}");
    }
    Ok(())
}

/// Netlink answers for one network only: the socket itself is asked, through a copy.
#[test]
fn connections_in_another_network() -> Result<()> {
    if !is_root() {
        println!("not tested: only root can enter a network namespace");
        return Ok(());
    }
    lab::isolated(|_lab| {
        let silent = Silent::new()?;
        let hang = silent.hang()?;
        // The process that made the lab lives in the network outside.
        let outside = format!("--net=/proc/{}/ns/net", nix::unistd::getppid());
        let output = Command::new("nsenter")
            .args([&outside, "--"])
            .arg(fixtures::gmtrace()?)
            .args(["-p", &hang.pid().to_string(), "-F", "json"])
            .output()?;
        ensure!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
        let timeline: serde_json::Value = serde_json::from_str(&stdout(&output))?;
        let finding = &timeline["findings"][0];
        assert_eq!(finding["code"], "http-silent", "{timeline:#}");
        assert_eq!(finding["peer"]["port"], silent.proxy.address().port());
        assert_eq!(finding["peer"]["tcp"]["state"], "ESTABLISHED");
        Ok(())
    })
}
