//! The programs themselves.

use std::fs;

use anyhow::{Result, ensure};
use aya::programs::loaded_programs;
use gmtrace::capture::ebpf;

use super::kernel::{self, Thing};

/// The verifier of Linux 5.8 gives up after a million instructions that it has looked at, and that of 5.14 looks at more of them than
/// this one for the same program: there is room for that.
const MOST: u32 = 10_000;

#[test]
fn they_are_small_and_of_two_kinds() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let mut loaded = ebpf::load().map_err(|why| anyhow::anyhow!("{why}"))?;
    let verified = loaded.verified()?;
    ensure!(verified.len() >= 15, "{verified:?}");
    for program in verified {
        // Linux before 5.16 does not tell.
        let looked_at = program.looked_at.unwrap_or(0);
        ensure!(looked_at < MOST && program.instructions < 4096, "{program:?}");
    }
    let own = kernel::held_by(std::process::id().cast_signed());
    let mut kinds = 0;
    for program in loaded_programs().flatten() {
        if own.contains(&Thing::Program(program.id())) {
            let kind = format!("{:?}", program.program_type());
            let known = ["BPF_PROG_TYPE_RAW_TRACEPOINT", "BPF_PROG_TYPE_KPROBE"];
            ensure!(known.contains(&kind.as_str()), "{program:?}: {kind}");
            kinds += 1;
        }
    }
    ensure!(kinds >= 15, "{kinds} programs");
    Ok(())
}

/// Those of system calls all processes of the machine pay for, and their layout is not the same in every kernel.
#[test]
fn none_is_attached_to_a_system_call() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let loaded = ebpf::load().map_err(|why| anyhow::anyhow!("{why}"))?;
    // bpf_raw_tp_link_show_fdinfo in kernel/bpf/syscall.c.
    let links = fs::read_dir("/proc/self/fdinfo")?.flatten();
    let texts = links.filter_map(|link| fs::read_to_string(link.path()).ok());
    let names: Vec<String> = texts
        .filter_map(|text| {
            Some(text.lines().find_map(|l| l.strip_prefix("tp_name:"))?.trim().into())
        })
        .collect();
    ensure!(names.len() >= 8 && !names.iter().any(|name| name.contains("sys_")), "{names:?}");
    drop(loaded);
    Ok(())
}
