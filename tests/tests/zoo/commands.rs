//! The same hang under other commands of go, and below a shell or make.

use anyhow::Result;
use gmtrace_tests::go::GoCommand;
use gmtrace_tests::processes::below;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::Fault;
use gmtrace_tests::zoo::Way;
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

/// Runs `command`, and expects the zip of the module to be missing in `go`, the process that `find` gives.
fn waits_for_a_zip(
    way: &Way,
    place: &Place,
    command: GoCommand,
    find: impl Fn(Pid) -> Result<Pid>,
) -> Result<()> {
    let hang = way.run(command)?;
    place.proxy.wait_for(ZIP)?;
    let go = find(hang.command()?)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.module(MODULE).links(1);
    found.process(go);
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").module(MODULE);
    Ok(())
}

fn itself(pid: Pid) -> Result<Pid> {
    Ok(pid)
}

scenario!(go_build(way));
fn go_build(way: &Way) -> Result<()> {
    let place = place()?;
    let command = place.project.go(["build", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, itself)
}

scenario!(go_list(way));
fn go_list(way: &Way) -> Result<()> {
    let place = place()?;
    let command = place.project.go(["list", "-deps", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, itself)
}

scenario!(go_get(way));
fn go_get(way: &Way) -> Result<()> {
    let place = place()?;
    let command = place.project.go(["get", "example.com/m000@v1.0.0"]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, itself)
}

scenario!(go_vet(way));
fn go_vet(way: &Way) -> Result<()> {
    let place = place()?;
    let command = place.project.go(["vet", "./..."]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, itself)
}

scenario!(go_install_of_a_version(way));
fn go_install_of_a_version(way: &Way) -> Result<()> {
    let place = place()?;
    let install = place.project.go(["install", "example.com/m000@v1.0.0"]);
    let hang = way.run(install.proxy(&place.proxy.url()))?;
    place.proxy.wait_for(ZIP)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy").module(MODULE);
    found.address("127.0.0.1").port(place.proxy.address().port());
    found.process(hang.command()?);
    hang.stop()?;
    Ok(())
}

scenario!(below_a_shell(way));
fn below_a_shell(way: &Way) -> Result<()> {
    let place = place()?;
    let words = ["-c", "go mod download; exit $?"];
    let command = place.project.command("sh".as_ref(), words).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, |shell| below(shell, "go"))
}

scenario!(below_make(way));
fn below_make(way: &Way) -> Result<()> {
    let place = place()?;
    let rule = "modules:\n\tgo mod download && true\n";
    let project = place.project.file("Makefile", rule)?;
    let place = Place { project, ..place };
    let command = place.project.command("make".as_ref(), ["modules"]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, |make| below(make, "go"))
}
