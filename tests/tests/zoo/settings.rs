//! Runs that fail by what was asked for, or asked where.

use anyhow::Result;
use gmtrace_tests::servers::{Module, ModuleProxy, Modules};
use gmtrace_tests::zoo;

use super::parts::{MODULE, ZIP, download, one, project, proxy};

#[test]
fn n32_a_private_module_is_asked_of_a_public_proxy() -> Result<()> {
    let proxy = proxy(&Modules::default())?;
    let project = zoo::go()?.project()?.require("git.example.com/team/private", "v0.3.0")?;
    let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.fails()?;
    proxy.wait_for("/git.example.com/team/private/")?;
    answer.expect("private-asked-publicly").state("failed").role("module-proxy");
    answer.expect("private-asked-publicly").module("git.example.com/team/private@v0.3.0");
    answer.expect("private-asked-publicly").says("GOPRIVATE=git.example.com");
    Ok(())
}

#[test]
fn n33_a_zip_does_not_match_go_sum() -> Result<()> {
    let modules = one();
    let proxy = proxy(&modules)?;
    let module = modules.find("example.com/m000", "v1.0.0").expect("the module");
    proxy.faults().on(ZIP, ModuleProxy::tampered(module)?);
    let project = project(&modules)?.file("go.sum", &modules.go_sum())?;
    let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("checksum-mismatch").state("failed").module(MODULE).says("go.sum");
    Ok(())
}

#[test]
fn n34_a_newer_go_is_wanted() -> Result<()> {
    // Older ones try, whatever go.mod says (go.dev/doc/toolchain).
    let Some(go) = zoo::go_with("a go line that is obeyed", 21)? else { return Ok(()) };
    let modules = Modules::new([Module::new("example.com/m000", "v1.0.0").go("1.99.0")]);
    let proxy = proxy(&modules)?;
    let project = project(&modules)?.file("go.mod", "module example.com/project\n\ngo 1.99.0\n")?;
    let version = go.says()?;
    let answer = zoo::watch(download(&project).proxy(&proxy.url()))?.fails()?;
    answer.expect("toolchain-unavailable").state("failed").says("1.99.0");
    answer.expect("toolchain-unavailable").says(version.trim_start_matches("go"));
    Ok(())
}
