//! Which descriptor a parked goroutine waits for, known in two ways that have to agree: the `*pollDesc` on its stack, and the one in
//! the epoll set, which holds the goroutine.

use super::arguments;
use super::layout::{FD_SYSFD, Layout, POLLDESC_FD};
use super::memory::Pages;
use super::pclntab::Functions;
use super::unwind::Stack;
use crate::units::Fd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The most registrations that are looked at.
const MAX_REGISTRATIONS: usize = 16_384;

/// What a goroutine waits to be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To read, or to accept.
    Read,
    /// To write, or for connect(2) to end.
    Write,
}

/// What a parked goroutine waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitsFor {
    /// The descriptor.
    pub fd: Fd,
    /// To read or to write.
    pub direction: Direction,
}

/// A line of an epoll descriptor's fdinfo: which descriptor is in the set, and `epoll_event.data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// `tfd`.
    pub fd: i32,
    /// `data`.
    pub data: u64,
}

impl Registration {
    /// The registrations in the text of `/proc/PID/fdinfo/EPFD` (proc_pid_fdinfo(5)).
    pub fn parse(fdinfo: &str) -> Vec<Registration> {
        let lines = fdinfo.lines().filter_map(|line| {
            let mut words = line.strip_prefix("tfd:")?.split_ascii_whitespace();
            let fd = words.next()?.parse().ok()?;
            let data = words.skip_while(|word| *word != "data:").nth(1)?;
            Some(Registration { fd, data: u64::from_str_radix(data, 16).ok()? })
        });
        lines.take(MAX_REGISTRATIONS).collect()
    }
}

/// What the epoll sets say, by the address of the goroutine that waits. A goroutine that seems to wait twice is left out.
pub(super) fn registered(
    pages: &Pages<'_>,
    layout: &Layout,
    registrations: &[Registration],
) -> HashMap<u64, Option<WaitsFor>> {
    let descs = registrations.iter().take(MAX_REGISTRATIONS);
    let descs: Vec<_> = descs.map(|one| (one.fd, layout.epoll.address(one.data))).collect();
    pages.prefetch(descs.iter().map(|(_, desc)| (*desc, layout.polldesc_wg + 8)));
    let mut waiting = HashMap::new();
    for (fd, desc) in descs {
        let word = |offset: u64| pages.word(desc.checked_add(offset)?);
        // The eventfd that wakes the poller has no pollDesc.
        if word(POLLDESC_FD) != u64::try_from(fd).ok() {
            continue;
        }
        let sides = [(layout.polldesc_rg, Direction::Read), (layout.polldesc_wg, Direction::Write)];
        for (offset, direction) in sides {
            // 0, pdReady 1 and pdWait 2 are nobody (runtime/netpoll.go).
            let Some(g) = word(offset).filter(|g| *g > 2) else { continue };
            let waits = WaitsFor { fd: Fd(fd), direction };
            waiting
                .entry(g)
                .and_modify(|known: &mut Option<WaitsFor>| *known = known.filter(|k| *k == waits))
                .or_insert(Some(waits));
        }
    }
    waiting
}

/// What the stack says: the arguments of `internal/poll.runtime_pollWait(pd, mode)`.
pub(super) fn on_stack(
    pages: &Pages<'_>,
    functions: &Functions<'_, '_>,
    stack: &Stack,
) -> Option<WaitsFor> {
    let named = |name: &str| stack.calls.iter().find(|call| &*call.function.name == name);
    let wait = named("internal/poll.runtime_pollWait")?;
    let words = arguments::words(pages, functions, wait);
    let [Some(desc), Some(mode), ..] = *words.as_slice() else { return None };
    let direction = match u8::try_from(mode) {
        Ok(b'r') => Direction::Read,
        Ok(b'w') => Direction::Write,
        _ => return None,
    };
    let fd = descriptor(pages, desc.checked_add(POLLDESC_FD)?)?;
    // The caller's own idea of the descriptor, where its frame still has it.
    let caller =
        stack.calls.iter().find(|call| call.function.name.starts_with("internal/poll.(*FD)."));
    let system = caller.and_then(|call| {
        let first = arguments::words(pages, functions, call).first().copied().flatten()?;
        descriptor(pages, first.checked_add(FD_SYSFD)?)
    });
    let agrees = system.is_none_or(|system| system == fd);
    agrees.then_some(WaitsFor { fd, direction })
}

fn descriptor(pages: &Pages<'_>, at: u64) -> Option<Fd> {
    pages.word(at).and_then(|fd| i32::try_from(fd).ok()).map(Fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_epoll_set() {
        let text = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t1062\n\
            tfd:        8 events: 80002019 data: 7f0f0e008e001234  pos:0 ino:2f sdev:9\n\
            tfd:        4 events:       19 data:           118fd30  pos:0 ino:424 sdev:f\n\
            tfd: x data: 1\ntfd: 5 data:\ntfd: 6 data: zz\n";
        assert_eq!(
            Registration::parse(text),
            [
                Registration { fd: 8, data: 0x7f0f_0e00_8e00_1234 },
                Registration { fd: 4, data: 0x118_fd30 },
            ]
        );
    }
}
