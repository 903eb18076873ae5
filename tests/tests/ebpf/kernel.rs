//! What the kernel has of eBPF, and who holds it.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, Write};

use anyhow::Result;
use aya::maps::loaded_maps;
use aya::programs::{loaded_links, loaded_programs};

/// A program, a map or a link, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    Program(u32),
    Map(u32),
    Link(u32),
}

/// Whether this machine refuses eBPF to these tests; then that is said.
pub(crate) fn refuses() -> Result<bool> {
    let first = loaded_programs().next();
    let why = first.and_then(Result::err).and_then(|why| number_of(&why));
    let refused = matches!(why, Some(nix::libc::EPERM | nix::libc::ENOSYS));
    if refused {
        // Not by eprintln!, whose words libtest keeps for those who fail.
        writeln!(
            io::stderr(),
            "skipped: bpf(2) is refused here; it takes root on the machine itself"
        )?;
    }
    Ok(refused)
}

/// The errno at the end of a chain of causes.
fn number_of(error: &(dyn Error + 'static)) -> Option<i32> {
    let here = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    here.or_else(|| number_of(error.source()?))
}

/// What a process holds by its descriptors (proc(5), `/proc/PID/fdinfo`).
pub(crate) fn held_by(pid: i32) -> BTreeSet<Thing> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
    texts.flat_map(|text| text.lines().filter_map(thing).collect::<Vec<_>>()).collect()
}

fn thing(line: &str) -> Option<Thing> {
    let (what, number) = line.split_once(':')?;
    let number = number.trim().parse().ok()?;
    match what {
        "prog_id" => Some(Thing::Program(number)),
        "map_id" => Some(Thing::Map(number)),
        "link_id" => Some(Thing::Link(number)),
        _ => None,
    }
}

/// Everything that is loaded on this machine. What goes while it is looked at is not there.
pub(crate) fn everything() -> BTreeSet<Thing> {
    let programs = loaded_programs().flatten().map(|program| Thing::Program(program.id()));
    let maps = loaded_maps().flatten().map(|map| Thing::Map(map.id()));
    let links = loaded_links().flatten().map(|link| Thing::Link(link.id()));
    programs.chain(maps).chain(links).collect()
}
