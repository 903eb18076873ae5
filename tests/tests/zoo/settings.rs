//! Runs that fail by what was asked for, or asked where.

use anyhow::{Context, Result};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Module, ModuleProxy, Modules};
use gmtrace_tests::zoo::{self, Way};

use super::parts::{MODULE, ZIP, download, one, project, proxy};

scenario!(n32_a_private_module_is_asked_of_a_public_proxy(way), which ends);
fn n32_a_private_module_is_asked_of_a_public_proxy(way: &Way) -> Result<()> {
    let proxy = proxy(&Modules::default())?;
    let project = zoo::go()?.project()?.require("git.example.com/team/private", "v0.3.0")?;
    let answer = way.run(download(&project).proxy(&proxy.url()))?.fails()?;
    proxy.wait_for("/git.example.com/team/private/")?;
    answer.expect("private-asked-publicly").state("failed").role("module-proxy");
    answer.expect("private-asked-publicly").module("git.example.com/team/private@v0.3.0");
    answer.expect("private-asked-publicly").says("GOPRIVATE=git.example.com");
    Ok(())
}

scenario!(n33_a_zip_does_not_match_go_sum(way), which ends);
fn n33_a_zip_does_not_match_go_sum(way: &Way) -> Result<()> {
    let modules = one();
    let proxy = proxy(&modules)?;
    let module = modules.find("example.com/m000", "v1.0.0").context("the module")?;
    proxy.faults().on(ZIP, ModuleProxy::tampered(module)?);
    let project = project(&modules)?.file("go.sum", &modules.go_sum())?;
    let answer = way.run(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("checksum-mismatch").state("failed").module(MODULE).says("go.sum");
    Ok(())
}

scenario!(n34_a_newer_go_is_wanted(way), which ends);
fn n34_a_newer_go_is_wanted(way: &Way) -> Result<()> {
    // Older ones try, whatever go.mod says (go.dev/doc/toolchain).
    let Some(go) = way.go_with("a go line that is obeyed", 21)? else { return Ok(()) };
    let modules = Modules::new([Module::new("example.com/m000", "v1.0.0").go("1.99.0")]);
    let proxy = proxy(&modules)?;
    let project = project(&modules)?.file("go.mod", "module example.com/project\n\ngo 1.99.0\n")?;
    let version = go.says()?;
    let answer = way.run(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("toolchain-unavailable").state("failed").says("1.99.0");
    answer.expect("toolchain-unavailable").says(version.trim_start_matches("go"));
    Ok(())
}
