//! The terminals that processes read, and whether they show what is typed.

use super::filesystem::is_our_view;
use super::process::Seen;
use crate::bounded::run_bounded;
use gmtrace_core::event::{DescriptorTarget, Syscall, Terminal};
use nix::fcntl::OFlag;
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

/// A terminal answers at once; one whose line is a modem may not even open.
const BOUND: Duration = Duration::from_millis(200);

/// At most this many are looked at.
const MAX_TERMINALS: usize = 8;

/// The terminals that a thread of one of `seen` sits in a read of.
pub(super) fn read_by(seen: &[Seen]) -> Vec<Terminal> {
    let names: BTreeSet<String> = seen.iter().flat_map(read_terminals).collect();
    let shown = names.into_iter().take(MAX_TERMINALS).filter_map(|name| {
        let asked = name.clone();
        let echo = run_bounded(BOUND, move || shows_what_is_typed(&asked)).flatten()?;
        Some(Terminal { name, echo })
    });
    shown.collect()
}

/// In another mount namespace the same name is another terminal.
fn read_terminals(process: &Seen) -> Vec<String> {
    let state = &process.state;
    let calls = state.threads.iter().filter_map(|thread| thread.syscall.as_ref());
    let reads = calls.filter(|call| call.name == "read").filter_map(Syscall::descriptor);
    let names = reads.filter_map(|fd| match &process.opened(fd)?.descriptor.target {
        DescriptorTarget::Tty(name) if name == "tty" => state.tty.clone(),
        DescriptorTarget::Tty(name) => Some(name.clone()),
        _ => None,
    });
    let names: Vec<String> = names.collect();
    if names.is_empty() || !is_our_view(state.pid) { Vec::new() } else { names }
}

/// The terminal is opened for a moment, not as anybody's controlling one, and nothing is read from it.
fn shows_what_is_typed(name: &str) -> Option<bool> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let terminal = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(format!("/dev/{name}"))
        .ok()?;
    let settings = tcgetattr(&terminal).ok()?;
    Some(settings.local_flags.contains(LocalFlags::ECHO))
}
