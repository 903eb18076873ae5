//! The threads of the tracer beside the ptrace thread: one listens to the front, one runs the watch.

use super::forward::Forwarder;
use super::link::{Link, ToFront};
use super::{Capture, Command, FrontSide, WatchSide};
use crate::capture::ptrace::sys;
use nix::unistd::{chdir, setsid};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long a watch may go on when nobody waits for it any more.
const LAST_WORK: Duration = Duration::from_secs(10);

/// The two threads.
pub(super) struct Companions {
    front_gone: Receiver<()>,
    watch_over: Receiver<()>,
}

impl Companions {
    /// Starts both. Call it while SIGALRM is still blocked, so that only the ptrace thread gets it.
    pub(super) fn start<W>(
        side: WatchSide,
        forwarder: Forwarder,
        link: &Arc<Link>,
        watch: W,
    ) -> Companions
    where
        W: FnOnce(WatchSide) + Send + 'static,
    {
        let (tell_gone, front_gone) = channel();
        let (tell_over, watch_over) = channel();
        let keeper = Keeper {
            link: Arc::clone(link),
            forwarder,
            command: side.command.clone(),
            lives_on: side.capture != Capture::Ptrace,
            gone: Arc::clone(&side.front.gone),
        };
        // Where no thread can be had (RLIMIT_NPROC), the command is served all the same: nobody listens, nobody watches.
        _ = thread::Builder::new().name("keeper".into()).spawn(move || {
            keeper.listen();
            _ = tell_gone.send(());
        });
        let front = side.front.clone();
        let without_watch = front.clone();
        let watching = thread::Builder::new().name("watch".into()).spawn(move || {
            // A failing watch must not keep the front waiting; what it had to say is lost, and std has said why.
            _ = catch_unwind(AssertUnwindSafe(|| watch(side)));
            front.done();
            _ = tell_over.send(());
        });
        if watching.is_err() {
            without_watch.done();
        }
        Companions { front_gone, watch_over }
    }

    /// Waits until the front has ended, and the watch or its time.
    pub(super) fn wait(self) {
        _ = self.front_gone.recv();
        _ = self.watch_over.recv_timeout(LAST_WORK);
    }
}

/// Listens to the front.
struct Keeper {
    link: Arc<Link>,
    forwarder: Forwarder,
    command: Command,
    /// Whether the command lives on without gmtrace.
    lives_on: bool,
    gone: Arc<AtomicBool>,
}

impl Keeper {
    fn listen(&self) {
        while let Some(got) = self.link.next_signal() {
            self.forwarder.got(got);
        }
        self.gone.store(true, Ordering::Relaxed);
        // Killed before the command had ended, which it has not where signals reach it: ESRCH once it was waited for.
        if self.lives_on && self.command.kill(0).is_ok() {
            // It needs nobody, and gmtrace was to end.
            sys::exit_now(0);
        }
        // So is the command then, as if it had been killed itself. What it leaves behind lives on.
        _ = self.command.kill(libc::SIGKILL);
        leave_the_session();
    }
}

/// What is left may run for long: nothing of the user's may be held by it, no terminal, no pipe, no directory.
fn leave_the_session() {
    sys::let_go_of_files(true);
    _ = setsid();
    _ = chdir("/");
}

/// The end of a link that the watch uses.
pub(super) fn front_side(link: &Arc<Link>) -> FrontSide {
    FrontSide {
        link: Arc::clone(link),
        gone: Arc::new(AtomicBool::new(false)),
        said: Arc::default(),
    }
}

impl FrontSide {
    pub(super) fn say_status(&self, status: u8) {
        self.link.send_soon(ToFront::Status(status));
    }

    pub(super) fn say_done(&self) {
        if !self.said.swap(true, Ordering::Relaxed) {
            // Now, and not when the front has gone: a CI runner kills the process group of what has ended at once, and daemons that
            // left that group have to outlive it with their tracer (zoo: c14).
            _ = setsid();
            self.link.send(&ToFront::Done);
        }
    }
}
