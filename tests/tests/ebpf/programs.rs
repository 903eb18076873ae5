//! The programs themselves.

use anyhow::{Result, ensure};
use aya::programs::loaded_programs;
use gmtrace::capture::ebpf;

use super::kernel::{self, Thing};

/// The verifier of Linux 5.8 gives up after a million instructions that it has looked at, and that of 5.14 looks at more of them than
/// this one for the same program: there is room for that.
const MOST: u32 = 10_000;

/// None hangs on the tracepoint of a system call, which all processes pay for, and whose layout is not the same in every kernel.
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
