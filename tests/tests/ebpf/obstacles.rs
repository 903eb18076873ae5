//! What keeps eBPF from working, in namespaces where that is really so: the reason is told, and there is another way.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;

use super::kernel;

/// gmtrace where `hide` was done to the files of `/sys`, which nobody else sees.
fn where_it_is(hide: &str, options: &[&str]) -> Result<Output> {
    let script = format!("{hide} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(gmtrace()?).args(options);
    let command = command.args(["--", "sh", "-c", "exit 6"]).env("GMTRACE_STATE", "off");
    command.env_remove("GMTRACE_BACKEND").output().context("unshare")
}

const NO_TYPES: &str = "mount -t tmpfs none /sys/kernel/btf";
const LOCKED: &str = "mount -t tmpfs none /sys/kernel/security && \
    echo 'none integrity [confidentiality]' > /sys/kernel/security/lockdown";

#[test]
fn a_kernel_without_types_and_one_that_is_locked() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for (hide, reason) in
        [(NO_TYPES, "/sys/kernel/btf/vmlinux"), (LOCKED, "lockdown mode (confidentiality)")]
    {
        let asked = where_it_is(hide, &["--backend", "ebpf"])?;
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        assert_eq!(asked.status.code(), Some(125), "{said}");
        ensure!(said.contains(reason) && said.contains("try: --backend ptrace"), "{said}");
        // Without having been asked for, ptrace does.
        let left_alone = where_it_is(hide, &["-v"])?;
        let said = String::from_utf8_lossy(&left_alone.stderr).into_owned();
        assert_eq!(left_alone.status.code(), Some(6), "{said}");
        ensure!(said.contains(reason) && said.contains("ptrace"), "{said}");
    }
    Ok(())
}
