//! Reads the ring buffer on a thread of its own, and sends on what it says, in the order in which it happened.

use super::events::{Known, Translator, described};
use super::libraries::Libraries;
use super::load::{Error, Loaded};
use super::wire::{self, Record};
use crate::capture::clock::Clock;
use crate::capture::ptrace::{PendingLocks, SeenSignals};
use crate::capture::queue::{EventSender, Refused};
use aya::maps::{MapData, RingBuf};
use gmtrace_abi::{Counts, Head, Kind};
use gmtrace_core::event::{Event, ProcessRole, What};
use gmtrace_core::units::Pid;
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::MissedTickBehavior;

/// Records are fetched this often; the kernel wakes the reader earlier only where the ring fills up.
const EVERY: Duration = Duration::from_millis(10);
/// Records of a ring that are taken in before others have their turn.
const AT_ONCE: usize = 4096;
/// So often are they fetched at the end: more than the rings can hold.
const AT_THE_END: usize = 64;
/// It is waited for so long: a file of a process that it looks at may be on a disk that does not answer.
const BOUND: Duration = Duration::from_secs(1);
/// Records come in the order in which they were finished. A CPU that was interrupted while it wrote one is this late at most.
const LATE_NS: u64 = 5_000_000;
/// What was lost is told this often: what the command waits for may be among it.
const TELL_LOSSES_EVERY: Duration = Duration::from_millis(250);

/// A reader that runs.
#[derive(Debug)]
pub struct Reader {
    asks: Asks,
    over: Receiver<Loaded>,
}

/// What a reader can be asked for.
#[derive(Debug)]
enum Ask {
    /// Take in what has been written, and say so.
    Fetch(Sender<()>),
    /// Likewise, and end.
    End,
}

/// The way to a reader.
#[derive(Debug, Clone)]
pub struct Asks(UnboundedSender<Ask>);

impl Asks {
    /// Comes back when everything that had been written has been taken in.
    pub fn fetch(&self) {
        let (done, wait) = channel();
        // An error: the reader has ended, and has taken in everything.
        if self.0.send(Ask::Fetch(done)).is_ok() {
            _ = wait.recv_timeout(BOUND);
        }
    }
}

/// What a reader is told of the run.
pub struct Run {
    /// Where events go.
    pub events: EventSender,
    /// Their clock.
    pub clock: Clock,
    /// gmtrace's own child, the first process of the tree: its end is told by who waits for it.
    pub command: Option<Pid>,
    /// Whether children are told of.
    pub follow_children: bool,
    /// The signals that reach the command.
    pub signals: SeenSignals,
    /// Locks whose end the sampler may see first.
    pub locks: PendingLocks,
}

impl Reader {
    /// Starts to read.
    ///
    /// # Errors
    /// Where the ring cannot be mapped, or there can be no thread.
    pub fn start(mut loaded: Loaded, run: Run) -> Result<Reader, Error> {
        let rings = loaded.rings()?;
        let (ask, asked) = unbounded_channel();
        let (tell_over, over) = channel();
        let Run { events, clock, command, follow_children, signals, locks } = run;
        let libraries = std::mem::take(&mut loaded.libraries);
        let translator = Translator::new(clock, command, follow_children, (signals, locks));
        let (held, received) = (Vec::new(), [0; Kind::COUNT]);
        let told = [Counts::default(); Kind::COUNT];
        let reading = Reading {
            loaded,
            rings,
            translator,
            libraries,
            held,
            events,
            clock,
            received,
            told,
            refused: 0,
            callers: HashSet::new(),
        };
        let thread = std::thread::Builder::new().name("ebpf".to_owned());
        let work = move || reading.run(asked, &tell_over);
        thread.spawn(work).map_err(|why| Error::Refused {
            what: "a thread for the ring buffer".to_owned(),
            why: why.to_string(),
        })?;
        Ok(Reader { asks: Asks(ask), over })
    }

    /// The way to it.
    pub fn asks(&self) -> Asks {
        self.asks.clone()
    }

    /// Takes in everything that was written so far, says what was lost, and ends. Gives the programs back, still attached; nothing
    /// where that takes too long.
    pub fn finish(self) -> Option<Loaded> {
        // An error: the thread has ended by itself.
        _ = self.asks.0.send(Ask::End);
        self.over.recv_timeout(BOUND).ok()
    }
}

/// Readiness of a descriptor, for the runtime that this is called in.
#[allow(unsafe_code, reason = "tokio leaves it to the caller that the descriptor stays the same")]
fn readiness(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, and the same, until it is dropped, and it is given away here.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

struct Reading {
    loaded: Loaded,
    libraries: Libraries,
    rings: [RingBuf<MapData>; 2],
    translator: Translator,
    /// What an earlier one may still have to go before.
    held: Vec<(Head, Known)>,
    /// Events that the watch had no room for.
    refused: u64,
    events: EventSender,
    clock: Clock,
    received: [u64; Kind::COUNT],
    /// What had been lost when that was last told.
    told: [Counts; Kind::COUNT],
    /// Processes whose Go functions are probed.
    callers: HashSet<Pid>,
}

impl Reading {
    fn run(mut self, asked: UnboundedReceiver<Ask>, over: &Sender<Loaded>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.and_then(|runtime| runtime.block_on(self.read(asked)));
        if let Err(why) = ended {
            tracing::warn!("the ring buffer: {why}");
        }
        // Who lives on goes on writing.
        for _ in 0..AT_THE_END {
            if self.fetch() {
                break;
            }
        }
        self.send_until(u64::MAX);
        match self.loaded.counts() {
            Ok(counts) => {
                if tracing::enabled!(tracing::Level::DEBUG) {
                    self.note(&counts);
                }
                self.say_losses(&counts);
            }
            Err(why) => tracing::warn!("{why}"),
        }
        // Nobody wants it: dropped here.
        _ = over.send(self.loaded);
    }

    async fn read(&mut self, mut asked: UnboundedReceiver<Ask>) -> io::Result<()> {
        let [rare, many] = &self.rings;
        let rare = readiness(rare.as_fd().try_clone_to_owned()?)?;
        let many = readiness(many.as_fd().try_clone_to_owned()?)?;
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        loop {
            let ask = tokio::select! {
                ask = asked.recv() => Some(ask.unwrap_or(Ask::End)),
                _ = tick.tick() => None,
                readable = rare.readable() => { readable?.clear_ready(); None }
                readable = many.readable() => { readable?.clear_ready(); None }
            };
            self.fetch();
            self.libraries.look(&mut self.loaded);
            match ask {
                Some(Ask::End) => return Ok(()),
                // Who asked and does not wait is gone.
                Some(Ask::Fetch(done)) => _ = done.send(()),
                None => {}
            }
            self.send_until(self.clock.monotonic().saturating_sub(LATE_NS));
            if told.elapsed() >= TELL_LOSSES_EVERY {
                told = Instant::now();
                if let Ok(counts) = self.loaded.counts() {
                    self.say_losses(&counts);
                }
            }
        }
    }

    /// Takes in what is there, but no more than comes in a moment: others are waiting for what has come. Gives whether that was all.
    fn fetch(&mut self) -> bool {
        let rings = 0..self.rings.len();
        // Each of them, whatever became of the one before.
        rings.map(|ring| self.fetch_from(ring)).filter(|all| !all).count() == 0
    }

    fn fetch_from(&mut self, ring: usize) -> bool {
        for _ in 0..AT_ONCE {
            let Some(item) = self.rings.get_mut(ring).and_then(RingBuf::next) else { return true };
            let read = wire::record(&item);
            drop(item);
            if let Some((head, record)) = read {
                self.take(head, record);
            }
        }
        false
    }

    fn take(&mut self, head: Head, record: Record) {
        if let Some(received) = self.received.get_mut(head.kind as usize) {
            *received += 1;
        }
        self.forget_calls(&head, &record);
        let known = match record {
            // What it is is to be read before it has ended.
            Record::Exec(exec) => Known::Program(Box::new(described(&head, &exec))),
            record => Known::Record(record),
        };
        if let Known::Program(exec) = &known {
            let pid = Pid(head.pid.cast_signed());
            self.libraries.began(pid);
            // If it is another one than those before, its functions are probed from now on.
            if exec.role == ProcessRole::Go {
                self.callers.insert(pid);
                self.loaded.watch_go(Path::new(&format!("/proc/{pid}/exe")));
            }
        }
        self.held.push((head, known));
    }

    /// What a process had called before it ended, or became another program, does not return.
    fn forget_calls(&mut self, head: &Head, record: &Record) {
        let pid = Pid(head.pid.cast_signed());
        match record {
            Record::Call(_) => _ = self.callers.insert(pid),
            Record::Exec(_) | Record::Exit(_) if self.callers.remove(&pid) => {
                if let Err(why) = self.loaded.forget_calls(pid, head.t) {
                    tracing::debug!("{why}");
                }
            }
            _ => {}
        }
    }

    /// Sends on what happened before `until`, on CLOCK_MONOTONIC.
    fn send_until(&mut self, until: u64) {
        self.held.sort_by_key(|(head, _)| head.t);
        let ready = self.held.partition_point(|(head, _)| head.t < until);
        for (head, known) in self.held.drain(..ready) {
            for event in self.translator.events(head, known, &self.loaded.go) {
                // Gone: nobody wants to know.
                self.refused += u64::from(self.events.send(event) == Err(Refused::Full));
            }
        }
    }

    /// For who wants to know exactly: every record that was made was received or lost, and what has ended has left nothing behind.
    fn note(&self, counts: &[Counts; Kind::COUNT]) {
        for ((kind, counts), received) in Kind::ALL.iter().zip(counts).zip(self.received) {
            let Counts { made, dropped, unpaired } = counts;
            if *made > 0 {
                tracing::debug!(
                    "records: {kind:?}: made {made}, received {received}, dropped {dropped}, unpaired {unpaired}"
                );
            }
        }
        match self.loaded.begun() {
            Ok(maps) => tracing::debug!("left in maps: {maps:?}"),
            Err(why) => tracing::debug!("{why}"),
        }
    }

    /// What there was no room for since that was last told, by what it was.
    fn say_losses(&mut self, counts: &[Counts; Kind::COUNT]) {
        let refused = std::mem::take(&mut self.refused);
        self.say_lost("event", refused, "they came faster than they could be taken in");
        let told = std::mem::replace(&mut self.told, *counts);
        for ((kind, counts), told) in Kind::ALL.iter().zip(counts).zip(told) {
            let what = format!("{kind:?}").to_lowercase();
            let dropped = counts.dropped.saturating_sub(told.dropped);
            self.say_lost(&what, dropped, "the ring buffer was full");
            let unpaired = counts.unpaired.saturating_sub(told.unpaired);
            self.say_lost(&what, unpaired, "more of them at a time than there is room for");
        }
    }

    fn say_lost(&self, what: &str, count: u64, why: &str) {
        if count > 0 {
            let what = What::Lost { what: what.to_owned(), count, why: why.to_owned() };
            let t = self.clock.now();
            self.events.send_last(Event { t, pid: Pid(0), tid: Pid(0).into(), what });
        }
    }
}
