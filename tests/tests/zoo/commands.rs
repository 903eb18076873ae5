//! The same hang under other commands of go, and below a shell or make.

use std::fs;

use anyhow::Result;
use gmtrace_tests::go::GoCommand;
use gmtrace_tests::processes::below;
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Access, Fault, Modules};
use gmtrace_tests::zoo::{Hang, Way};
use nix::unistd::Pid;

use crate::locks::{MODULE, Place, ZIP};
use crate::parts::{download, one, project, proxy};

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
    let hang = waits_for(way, place, command, (ZIP, MODULE), find)?;
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").module(MODULE);
    Ok(())
}

/// Runs `command`, and expects `file`, which is of `module`, to be missing in `go`, the process that `find` gives. It hangs still.
fn waits_for(
    way: &Way,
    place: &Place,
    command: GoCommand,
    (file, module): (&str, &str),
    find: impl Fn(Pid) -> Result<Pid>,
) -> Result<Hang> {
    let hang = way.run(command)?;
    place.proxy.wait_for(file)?;
    let go = find(hang.command()?)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").symptom("http-silent").state("stalled");
    found.role("module-proxy").address("127.0.0.1").port(place.proxy.address().port());
    found.module(module).links(1);
    found.process(go);
    Ok(hang)
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

scenario!(go_mod_tidy(way));
/// It refuses a go.mod of a later Go than it is.
fn go_mod_tidy(way: &Way) -> Result<()> {
    let Place { proxy, project } = place()?;
    let go_mod = fs::read_to_string(project.directory().join("go.mod"))?;
    let project = project.file("go.mod", &go_mod.replace("go 1.21", "go 1.19"))?;
    let place = Place { proxy, project };
    let command = place.project.go(["mod", "tidy"]).proxy(&place.proxy.url());
    waits_for_a_zip(way, &place, command, itself)
}

scenario!(go_test(way));
/// Only the test needs the module.
fn go_test(way: &Way) -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let test = "package project\n\nimport (\n\t_ \"example.com/m000\"\n\t\"testing\"\n)\n\n\
        func TestNothing(t *testing.T) {}\n";
    let place = Place { project: place.project.file("uses_test.go", test)?, ..place };
    let command = place.project.go(["test", "./..."]).proxy(&place.proxy.url());
    waits_for(way, &place, command, (ZIP, MODULE), itself)?.stop()?;
    Ok(())
}

scenario!(go_list_of_newer_versions(way));
/// Which versions there are is asked of the proxy, module by module.
fn go_list_of_newer_versions(way: &Way) -> Result<()> {
    const LIST: &str = "/m000/@v/list";
    let place = Place::new()?;
    place.proxy.faults().on(LIST, Fault::Silent);
    let command = place.project.go(["list", "-m", "-u", "all"]).proxy(&place.proxy.url());
    let hang = waits_for(way, &place, command, (LIST, "example.com/m000"), itself)?;
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").module("example.com/m000");
    Ok(())
}

/// In a workspace -mod=mod is refused.
const IN_A_WORKSPACE: (&str, &str) = ("GOFLAGS", "-modcacherw");

/// A workspace of the project, which requires m000, and of another module in `tool`, which requires m001.
fn workspace() -> Result<Place> {
    let modules = Modules::generated(2, 1000);
    let (proxy, project) = (proxy(&modules)?, project(&one())?);
    let tool = project.directory().join("tool");
    fs::create_dir(&tool)?;
    fs::write(
        tool.join("go.mod"),
        "module example.com/tool\n\ngo 1.21\n\nrequire example.com/m001 v1.0.0\n",
    )?;
    fs::write(tool.join("uses.go"), "package tool\n\nimport _ \"example.com/m001\"\n")?;
    let sums = modules.go_sum();
    fs::write(tool.join("go.sum"), &sums)?;
    let project = project.file("go.work", "go 1.21\n\nuse (\n\t.\n\t./tool\n)\n")?;
    let project = project.file("go.sum", &sums)?;
    Ok(Place { proxy, project })
}

scenario!(go_build_in_a_workspace(way));
/// The module that is missing is one of another module of the workspace.
fn go_build_in_a_workspace(way: &Way) -> Result<()> {
    const ZIP: &str = "/m001/@v/v1.0.0.zip";
    let place = workspace()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let command = place.project.go(["build", "./tool"]).proxy(&place.proxy.url());
    let command = command.env(IN_A_WORKSPACE.0, IN_A_WORKSPACE.1);
    let module = "example.com/m001@v1.0.0";
    let hang = waits_for(way, &place, command, (ZIP, module), itself)?;
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").only_module(module);
    Ok(())
}

scenario!(go_work_sync(way));
fn go_work_sync(way: &Way) -> Result<()> {
    const MOD: &str = "/m001/@v/v1.0.0.mod";
    let place = workspace()?;
    place.proxy.faults().on(MOD, Fault::Silent);
    let command = place.project.go(["work", "sync"]).proxy(&place.proxy.url());
    let command = command.env(IN_A_WORKSPACE.0, IN_A_WORKSPACE.1);
    let module = "example.com/m001@v1.0.0";
    let hang = waits_for(way, &place, command, (MOD, module), itself)?;
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").only_module(module);
    Ok(())
}

/// A project with what it requires in its vendor directory, and a proxy that has gone silent since.
fn vendored() -> Result<(Place, usize)> {
    let place = place()?;
    let project = place.project.file("go.sum", &one().go_sum())?;
    let place = Place { project, ..place };
    place.proxy.faults().lift();
    place.project.go(["mod", "vendor"]).proxy(&place.proxy.url()).run()?.succeeded()?;
    fs::remove_dir_all(place.project.modcache())?;
    place.proxy.faults().always(Fault::Silent);
    let asked = place.proxy.log().all().len();
    Ok((place, asked))
}

/// The vendor directory is used as it is by default.
fn builds(place: &Place) -> GoCommand {
    let build = place.project.go(["build", "./..."]).proxy(&place.proxy.url());
    build.env("GOFLAGS", "-modcacherw")
}

scenario!(a_vendored_build_asks_nobody(way), which ends);
fn a_vendored_build_asks_nobody(way: &Way) -> Result<()> {
    let (place, asked) = vendored()?;
    way.run(builds(&place))?.succeeds()?.no_stall();
    assert_eq!(place.proxy.log().all().len(), asked);
    Ok(())
}

scenario!(s10_the_vendor_directory_is_out_of_date(way), which ends);
/// go.mod wants another version than the one that was copied.
fn s10_the_vendor_directory_is_out_of_date(way: &Way) -> Result<()> {
    let (place, asked) = vendored()?;
    let go_mod = fs::read_to_string(place.project.directory().join("go.mod"))?;
    let newer = go_mod.replace("m000 v1.0.0", "m000 v1.1.0");
    assert_ne!(newer, go_mod);
    let place = Place { project: place.project.file("go.mod", &newer)?, ..place };
    let answer = way.run(builds(&place))?.fails()?;
    answer.expect("vendored").state("failed").says("inconsistent vendoring").says("go mod vendor");
    assert_eq!(place.proxy.log().all().len(), asked);
    Ok(())
}

scenario!(go_mod_download_beside_a_vendor_directory(way));
/// It does not care for the vendor directory, and asks.
fn go_mod_download_beside_a_vendor_directory(way: &Way) -> Result<()> {
    let (place, _) = vendored()?;
    let command = download(&place.project).proxy(&place.proxy.url()).env("GOFLAGS", "-modcacherw");
    let hang = way.run(command)?;
    let unanswered = |access: &Access| access.status.is_none();
    place.proxy.log().wait_for("a request that is not answered", unanswered)?;
    let answer = hang.stalls()?;
    let found = answer.expect("http-silent").state("stalled").role("module-proxy");
    found.module(MODULE).process(hang.command()?);
    place.proxy.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow");
    Ok(())
}

/// A program that needs the module.
fn program() -> Result<Place> {
    let place = Place::new()?;
    place.proxy.faults().on(ZIP, Fault::Silent);
    let main = "package main\n\nimport _ \"example.com/m000\"\n\nfunc main() {}\n";
    let project = place.project.file("main.go", main)?;
    Ok(Place { project, ..place })
}

scenario!(go_run_below_make(way));
fn go_run_below_make(way: &Way) -> Result<()> {
    let place = program()?;
    let project = place.project.file("Makefile", "run:\n\t@echo running && go run . && true\n")?;
    let place = Place { project, ..place };
    let command = place.project.command("make".as_ref(), ["run"]).proxy(&place.proxy.url());
    waits_for(way, &place, command, (ZIP, MODULE), |make| below(make, "go"))?.stop()?;
    Ok(())
}

scenario!(go_run_below_a_script(way));
/// A script that looks for something first, as they do, and whose output goes through another program.
fn go_run_below_a_script(way: &Way) -> Result<()> {
    let place = program()?;
    let script = "#!/bin/sh\nset -e\nversion=$(go env GOVERSION)\n\
        echo \"with $version\"\ngo run . 2>&1 | cat\n";
    let project = place.project.file("run.sh", script)?;
    let place = Place { project, ..place };
    let command = place.project.command("sh".as_ref(), ["run.sh"]).proxy(&place.proxy.url());
    waits_for(way, &place, command, (ZIP, MODULE), |sh| below(sh, "go"))?.stop()?;
    Ok(())
}
