//! The same hang under other commands of go, and below a shell or make.

use anyhow::Result;
use gmtrace_tests::go::GoCommand;
use gmtrace_tests::processes::below;
use gmtrace_tests::servers::Fault;
use gmtrace_tests::zoo;
use nix::unistd::Pid;

use crate::locks::{MODULE, Place, ZIP};

/// A project whose package needs the module.
fn place() -> Result<Place> {
    let Place { proxy, project } = Place::new()?;
    let uses = "package project\n\nimport _ \"example.com/m000\"\n";
    let project = project.file("uses.go", uses)?;
    proxy.faults().on(ZIP, Fault::Silent);
    Ok(Place { proxy, project })
}

/// Attaches to `command`, and expects the zip of the module to be missing in `go`, the process that `find` gives.
fn waits_for_a_zip(
    place: &Place,
    command: GoCommand,
    find: impl Fn(Pid) -> Result<Pid>,
) -> Result<()> {
    let hang = zoo::hang(command)?;
    place.proxy.wait_for(ZIP)?;
    let go = find(hang.pid())?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.module(MODULE).links(1);
    assert_eq!(found.finding["blocked"]["pid"], go.as_raw(), "{answer}");
    place.proxy.faults().lift();
    hang.succeeds()
}

fn itself(pid: Pid) -> Result<Pid> {
    Ok(pid)
}

#[test]
fn go_build() -> Result<()> {
    let place = place()?;
    let command = place.project.go(["build", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, itself)
}

#[test]
fn go_list() -> Result<()> {
    let place = place()?;
    let command = place.project.go(["list", "-deps", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, itself)
}

#[test]
fn go_get() -> Result<()> {
    let place = place()?;
    let command = place.project.go(["get", "example.com/m000@v1.0.0"]).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, itself)
}

#[test]
fn go_vet() -> Result<()> {
    let place = place()?;
    let command = place.project.go(["vet", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, itself)
}

#[test]
fn go_install_of_a_version() -> Result<()> {
    let place = place()?;
    let install = place.project.go(["install", "example.com/m000@v1.0.0"]);
    let hang = zoo::hang(install.proxy(&place.proxy.url()))?;
    place.proxy.wait_for(ZIP)?;
    let answer = hang.look()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy").module(MODULE);
    found.address("127.0.0.1").port(place.proxy.address().port());
    assert_eq!(found.finding["blocked"]["pid"], hang.pid().as_raw(), "{answer}");
    Ok(())
}

#[test]
fn below_a_shell() -> Result<()> {
    let place = place()?;
    let words = ["-c", "go mod download; exit $?"];
    let command = place.project.command("sh".as_ref(), words).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, |shell| below(shell, "go"))
}

#[test]
fn below_make() -> Result<()> {
    let place = place()?;
    let rule = "modules:\n\tgo mod download && true\n";
    let project = place.project.file("Makefile", rule)?;
    let place = Place { project, ..place };
    let command = place.project.command("make".as_ref(), ["modules"]).proxy(&place.proxy.url());
    waits_for_a_zip(&place, command, |make| below(make, "go"))
}
