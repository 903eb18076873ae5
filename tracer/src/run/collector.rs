//! The thread that reads `/proc`, beside the one that decides: a reading may take a second where a filesystem is dead.

use gmtrace::bounded::{Counted, Patience, is_any_running};
use gmtrace::capture::clock::Clock;
use gmtrace::capture::gosettings::{self, Started};
use gmtrace::capture::proc::{Proc, SnapshotWants, SocketFilter};
use gmtrace_core::event::{Event, SnapshotCause, What};
use gmtrace_core::units::{Inode, Pid};
use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Duration;

/// How long reading a go command's settings may take.
const BOUND: Duration = Duration::from_secs(1);

/// Something to read.
pub enum Request {
    /// Counters.
    Sample {
        /// Of these processes.
        pids: Vec<Pid>,
        /// And these sockets; none asks for all they own.
        sockets: Option<HashSet<Inode>>,
    },
    /// Everything.
    Snapshot {
        /// Why.
        cause: SnapshotCause,
        /// The command.
        root: Pid,
        /// Processes known from events.
        known: Vec<Pid>,
        /// What else.
        wants: SnapshotWants,
    },
    /// What these go commands work on.
    Work(Vec<Pid>),
    /// What runs in these programs, where they are Go programs.
    Running(Vec<Pid>),
}

/// The way to the collector.
pub struct Collector {
    requests: Sender<Request>,
}

impl Collector {
    /// Starts the thread; what it reads comes as events into `sink`.
    pub fn start(clock: Clock, sink: Sender<Event>) -> Collector {
        let (requests, receiver) = channel();
        let spawned = std::thread::Builder::new()
            .name("collector".to_owned())
            .spawn(move || serve(&receiver, clock, &sink));
        if let Err(error) = spawned {
            tracing::warn!("no thread for /proc: {error}");
        }
        Collector { requests }
    }

    /// Asks for a reading.
    pub fn ask(&self, request: Request) {
        // Without a collector there are no readings; the watch says so when one does not come.
        let _gone = self.requests.send(request);
    }
}

fn serve(requests: &Receiver<Request>, clock: Clock, sink: &Sender<Event>) {
    let _counted = Counted::new();
    let mut proc = Proc::new();
    for request in requests {
        let read = match request {
            Request::Sample { pids, sockets } => {
                let filter = sockets.map_or(SocketFilter::Owned, SocketFilter::Inodes);
                vec![(Pid(0), What::Sample(proc.sample(&pids, &filter)))]
            }
            Request::Snapshot { cause, root, known, wants } => {
                let snapshot = proc.snapshot(cause, root, &known, &wants);
                vec![(Pid(0), What::Snapshot(Box::new(snapshot)))]
            }
            Request::Work(pids) => {
                let work = |pid| Some((pid, What::GoWork { items: proc.work(pid)? }));
                pids.into_iter().filter_map(work).collect()
            }
            Request::Running(pids) => {
                let running = |pid| Some((pid, What::GoRunning(Box::new(proc.running(pid)?))));
                pids.into_iter().filter_map(running).collect()
            }
        };
        let t = clock.now();
        let mut events =
            read.into_iter().map(|(pid, what)| Event { t, pid, tid: pid.into(), what });
        if events.any(|event| sink.send(event).is_err()) {
            return;
        }
    }
}

/// Begins to read the settings of a go command, on a thread of its own: its files may lie on a dead filesystem. What gmtrace
/// started itself is known, and may be over before `/proc` can be read.
pub fn read_settings(
    pid: Pid,
    started: Option<Started>,
    clock: Clock,
    sink: Sender<Event>,
) -> Reading {
    let (reads, over) = channel();
    let work = move || {
        let (_until_it_ends, _counted): (Sender<Infallible>, _) = (reads, Counted::new());
        let settings = match started {
            Some(started) => gosettings::read_started(started, BOUND),
            None => gosettings::read(pid, BOUND),
        };
        if let Some(settings) = settings {
            let what = What::GoSettings(Box::new(settings));
            let _gone = sink.send(Event { t: clock.now(), pid, tid: pid.into(), what });
        }
    };
    let spawned = std::thread::Builder::new().name("settings".to_owned()).spawn(work);
    if let Err(error) = spawned {
        tracing::warn!("no thread for the settings of {pid}: {error}");
    }
    Reading(over)
}

/// A reading that goes on.
pub struct Reading(Receiver<Infallible>);

impl Reading {
    /// Waits until it is over, or until there is no more patience.
    pub fn wait(&self, patience: &mut Patience) {
        while !self.is_over() && !patience.is_over(is_any_running) {
            // Nothing is ever sent: the sender goes with the thread.
            _ = self.0.recv_timeout(patience.pause());
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        matches!(self.0.try_recv(), Err(TryRecvError::Disconnected))
    }
}
