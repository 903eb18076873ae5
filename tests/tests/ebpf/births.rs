//! A process that begins in the tree is in it before its first instruction: none is missed, however early and however many.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use gmtrace_tests::harness::Launch;
use gmtrace_tests::recording::Recording;

use super::kernel;

/// How many processes began, became a program, and ended, and how they did.
fn lives(recording: &Recording) -> Result<BTreeMap<String, usize>> {
    let mut lives = BTreeMap::from([("began".to_owned(), recording.children()?)]);
    for (kind, what) in [("exec", "argv"), ("process-exit", "exit")] {
        for event in recording.of(kind) {
            *lives.entry(format!("{kind} {}", event[what])).or_default() += 1;
        }
    }
    Ok(lives)
}

#[test]
fn a_storm_of_them_is_told_as_ptrace_tells_it() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for (fixture, arguments, least) in
        [("vfork_storm", &["200"][..], 300), ("pid_reuse", &["300"], 300)]
    {
        let by = |backend: &str| {
            let mut launch = Launch::fixture(fixture)?.option(format!("--backend={backend}"));
            for argument in arguments {
                launch = launch.arg(*argument);
            }
            lives(&launch.runs_alike()?.recording()?)
        };
        let (ptrace, ebpf) = (by("ptrace")?, by("ebpf")?);
        assert_eq!(ebpf, ptrace, "{fixture}");
        ensure!(ebpf["began"] >= least, "{fixture}: {ebpf:?}");
    }
    Ok(())
}
