//! What happens after the first readings, by eBPF, with `--watch`: readings are a second apart, and much is over within one.

use gmtrace::capture::clock::Clock;
use gmtrace::capture::ebpf::{self, Reader, Refusal, Run};
use gmtrace::capture::ptrace::{PendingLocks, SeenSignals};
use gmtrace::capture::queue::{EventReceiver, queue};
use gmtrace_core::event::{Event, What};
use gmtrace_core::units::Pid;
use std::collections::HashSet;

/// Events that may wait for the next look.
const ROOM: usize = 64 * 1024;

/// The processes of a tree, followed from now on.
#[derive(Debug)]
pub struct Following {
    reader: Option<Reader>,
    events: EventReceiver,
    ended: HashSet<Pid>,
}

impl Following {
    /// Follows these processes, and all that they start.
    ///
    /// # Errors
    /// Why that cannot be done here.
    pub fn start(pids: &[Pid], clock: Clock) -> Result<Following, Refusal> {
        let refused = |why: ebpf::Error| Refusal::Refused(why.to_string());
        let mut loaded = ebpf::load()?;
        for pid in pids {
            loaded.follow_running(*pid).map_err(refused)?;
        }
        let (sender, events) = queue(ROOM);
        let run = Run {
            events: sender,
            clock,
            // None of them is gmtrace's child: the end of each is told by the kernel alone.
            command: None,
            follow_children: true,
            signals: SeenSignals::default(),
            locks: PendingLocks::default(),
        };
        let reader = Some(Reader::start(loaded, run).map_err(refused)?);
        Ok(Following { reader, events, ended: HashSet::new() })
    }

    /// What has happened since the last time. Processes that began are left to the readings, which tell more of them.
    pub fn take(&mut self) -> Vec<Event> {
        let told = |event: &Event| !matches!(event.what, What::ProcessStart { .. } | What::Exec(_));
        let events: Vec<Event> = self.events.take().events.into_iter().filter(told).collect();
        let ended = |event: &Event| matches!(event.what, What::ProcessExit { .. });
        self.ended.extend(events.iter().filter(|event| ended(event)).map(|event| event.pid));
        events
    }

    /// Of a reading: whether it says of a process only that it is gone, of which it is known how it ended.
    pub fn knows_better(&self, event: &Event) -> bool {
        event.what == What::ProcessGone && self.ended.contains(&event.pid)
    }

    /// Everything that is left.
    pub fn finish(mut self) -> Vec<Event> {
        let programs = self.reader.take().and_then(Reader::finish);
        let events = self.take();
        // Taking probes out takes the kernel a while; the end of this process does it too.
        std::mem::forget(programs);
        events
    }
}
