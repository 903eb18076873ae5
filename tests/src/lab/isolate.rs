//! Into the namespaces.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Lab;

/// The network namespace outside, as the name of `/proc/self/ns/net` gives it.
const OUTSIDE: &str = "GMTRACE_LAB_OUTSIDE";
/// A file in which a test that runs inside says that it did.
const SIGN: &str = "GMTRACE_LAB_SIGN";

/// Whom the lab is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Root stays root; an ordinary user is root of a user namespace.
    AsCaller,
    /// A user namespace even for root: capabilities end at the walls of the lab.
    UserNamespace,
}

/// Runs a test in a lab of its own. To be called by a `#[test]` function, with a closure written there: its type is
/// how the test is found again.
///
/// # Errors
/// Those of the scenario, or why there can be no lab here.
pub fn isolated<F: FnOnce(&Lab) -> Result<()>>(scenario: F) -> Result<()> {
    isolated_as(Privilege::AsCaller, scenario)
}

/// As [`isolated`], with a say in the privilege.
///
/// # Errors
/// Those of the scenario, or why there can be no lab here.
pub fn isolated_as<F: FnOnce(&Lab) -> Result<()>>(privilege: Privilege, scenario: F) -> Result<()> {
    if let Some(sign) = std::env::var_os(SIGN) {
        fs::write(sign, "inside")?;
        return scenario(&Lab::enter()?);
    }
    let test = test_of(std::any::type_name::<F>())?;
    let sign = tempfile::NamedTempFile::new()?;
    let output = command(std::env::current_exe()?, privilege)?
        .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(SIGN, sign.path())
        .output()
        .context("cannot run unshare: install the package util-linux")?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        fs::read(sign.path())? == b"inside",
        "no lab, or no test {test} in it: {said}{}",
        hint(&said)
    );
    ensure!(output.status.success(), "inside the lab:\n{said}");
    Ok(())
}

/// `unshare(1)` with `program`, whose arguments may be added. Inside, the program calls [`Lab::enter`].
///
/// # Errors
/// When `/proc` cannot be read.
pub fn command(program: impl AsRef<OsStr>, privilege: Privilege) -> Result<Command> {
    let mut command = Command::new("unshare");
    if privilege == Privilege::UserNamespace || !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--"]).arg(program).env(OUTSIDE, network_namespace()?);
    Ok(command)
}

/// Refuses to touch the network of the machine.
pub(super) fn check_inside() -> Result<()> {
    let outside = std::env::var(OUTSIDE).context("this process was not started by lab::command")?;
    ensure!(
        network_namespace()? != outside,
        "this process lives in the network it was started from"
    );
    Ok(())
}

fn network_namespace() -> Result<String> {
    Ok(fs::read_link("/proc/self/ns/net")?.to_string_lossy().into_owned())
}

/// `binary::module::test::{{closure}}` is the test `module::test`.
fn test_of(closure: &str) -> Result<&str> {
    let path = closure.split("::{{closure}}").next().unwrap_or_default();
    match path.split_once("::") {
        Some((_, test)) if path.len() < closure.len() => Ok(test),
        _ => bail!("lab::isolated wants a closure written in the test itself, not {closure}"),
    }
}

fn hint(said: &str) -> &'static str {
    if said.contains("unshare failed") || said.contains("Operation not permitted") {
        "\nThis machine forbids user namespaces to ordinary users. See the sysctls kernel.unprivileged_userns_clone, \
         kernel.apparmor_restrict_unprivileged_userns and user.max_user_namespaces, or run the test as root."
    } else {
        ""
    }
}
