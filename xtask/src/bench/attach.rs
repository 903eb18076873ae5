//! What `gmtrace -p` takes: to its first answer, to its confirmation, and in memory.
//!
//! Standard output is a pipe, as in a CI step. gmtrace writes there what one reading proves as soon
//! as it has it, and completes that after the second reading (`tracer/src/look/shown.rs`), so the
//! first and the last byte tell the two times. Where one reading proves nothing, nothing is written
//! before the second one, and the first answer is as late as that; no time is made up for it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::progress;

use super::Options;
use super::environment::Environment;
use super::memory;
use super::results::{Look, LookResult};
use super::targets::Target;

/// How long a process has hung before it is looked into: nobody asks sooner, and the kernel's word
/// that a connection has been silent so long is what one reading can prove.
const HUNG_FOR: Duration = Duration::from_secs(5);

/// Measures each target, two looks a block as with the other rows.
pub(super) fn measure(
    gmtrace: &Path,
    environment: &Environment,
    options: &Options,
) -> Result<Vec<LookResult>> {
    let starts = [Target::hung_download, Target::goroutines];
    // One after the other: the targets must not see each other's load.
    starts
        .into_iter()
        .map(|start| look_into(start(environment)?, gmtrace, environment, options))
        .collect()
}

fn look_into(
    mut target: Target,
    gmtrace: &Path,
    environment: &Environment,
    options: &Options,
) -> Result<LookResult> {
    progress(format!("attach: memory and {} looks into {}", options.blocks * 2, target.name));
    thread::sleep(HUNG_FOR);
    let pid = target.pid().to_string();
    let command = || {
        let mut command = environment.command(gmtrace);
        command.args(["-p", &pid]).stdin(Stdio::null());
        command
    };
    let peak_memory = peak_memory(&mut command(), gmtrace)?;
    let looks = (0..options.blocks * 2).map(|_| look(&mut command())).collect::<Result<_>>()?;
    target.still_hangs()?;
    Ok(LookResult { target: target.name, looks, peak_memory })
}

/// In a run of its own: it is read every few milliseconds, and that takes time.
fn peak_memory(command: &mut Command, gmtrace: &Path) -> Result<Option<u64>> {
    let mut child = command.stdout(Stdio::null()).spawn().context("cannot run gmtrace")?;
    let peak = memory::peak(&mut child, gmtrace)?;
    let ended = child.wait()?;
    ensure!(ended.success(), "gmtrace -p: {ended}");
    Ok(peak)
}

fn look(command: &mut Command) -> Result<Look> {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run gmtrace")?;
    let mut stdout = child.stdout.take().context("gmtrace has no output")?;
    let times = arrivals(&mut stdout, started)?;
    let ended = child.wait()?;
    ensure!(ended.success(), "gmtrace -p: {ended}");
    let (first, confirmed) = times.context("gmtrace -p said nothing")?;
    Ok(Look { first: first.as_secs_f64(), confirmed: confirmed.as_secs_f64() })
}

/// When the first and the last byte came; `None` when none did.
fn arrivals(from: &mut impl Read, started: Instant) -> Result<Option<(Duration, Duration)>> {
    let mut times = None;
    let mut buffer = [0; 4096];
    while from.read(&mut buffer)? > 0 {
        let now = started.elapsed();
        times = Some((times.map_or(now, |(first, _)| first), now));
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_arrival_count() {
        let started = Instant::now();
        assert_eq!(arrivals(&mut std::io::empty(), started).unwrap(), None);
        let mut parts = b"one".chain(&b"two"[..]).chain(&b"three"[..]);
        let (first, last) = arrivals(&mut parts, started).unwrap().unwrap();
        assert!(first < last && last < started.elapsed());
        let (first, last) = arrivals(&mut &b"one"[..], started).unwrap().unwrap();
        assert_eq!(first, last);
    }
}
