//! `gmtrace ps`: the go commands that run, looked at twice.

use super::{NOTHING, refuse};
use crate::cli::{PsFormat, PsOptions, RunOptions};
use crate::output::screen;
use crate::run::plan::{host, nanos};
use gmtrace::attach::{Observer, go_commands};
use gmtrace::capture::proc::SnapshotWants;
use gmtrace_core::event::{Backend, Header, HeaderTag, Mode, RECORDING_SCHEMA, SnapshotCause};
use gmtrace_core::report::ps::{PS_SCHEMA, Ps, ps, text};
use gmtrace_core::units::Pid;
use gmtrace_core::watch::Watch;
use std::io::Write;
use std::time::Duration;

/// What has just begun when gmtrace comes has settled after this long.
const SETTLE: Duration = Duration::from_millis(250);
/// What works shows it within this time.
const BETWEEN: Duration = Duration::from_millis(500);
/// A reading takes milliseconds, and a second or two where thousands of processes run.
const READING: Duration = Duration::from_secs(10);
/// Lists are no wider where nothing says how wide the terminal is, or it is very wide.
const WIDEST: usize = 160;

/// Prints the list.
pub fn list(options: &PsOptions, run: &RunOptions, own: Vec<Pid>) -> u8 {
    let mut pids = go_commands();
    pids.retain(|pid| !own.contains(pid));
    let listed = match pids.is_empty() {
        true => nobody(),
        false => match look(run, pids, own) {
            Some(listed) => listed,
            None => return refuse("/proc does not answer"),
        },
    };
    let said = match options.format {
        PsFormat::Text => {
            let style = screen::for_stdout(&run.look);
            let home = std::env::var("HOME").ok();
            text(&listed, style.width.min(WIDEST), style.palette, home.as_deref())
        }
        PsFormat::Json => match gmtrace_core::report::ps::json(&listed) {
            Ok(json) => json,
            Err(_) => return NOTHING,
        },
    };
    let mut out = std::io::stdout().lock();
    let _gone = out.write_all(said.as_bytes()).and_then(|()| out.flush());
    0
}

fn nobody() -> Ps {
    Ps {
        schema: PS_SCHEMA.to_owned(),
        gmtrace: env!("CARGO_PKG_VERSION").to_owned(),
        observed_at: now(),
        processes: Vec::new(),
        unseen: Vec::new(),
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn look(run: &RunOptions, pids: Vec<Pid>, own: Vec<Pid>) -> Option<Ps> {
    let observer = Observer::start(pids.clone(), own).ok()?;
    // The first of them may end before it is read: then there is one less.
    let Some(begun) = observer.begin(READING) else { return Some(nobody()) };
    let mut watch = Watch::new(Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.to_owned(),
        gmtrace: env!("CARGO_PKG_VERSION").to_owned(),
        mode: Mode::Attach,
        argv: Vec::new(),
        cwd: String::new(),
        pid: begun.root.pid,
        started_at: now(),
        host: host(),
        backend: Backend { name: "proc".to_owned(), ..Backend::default() },
        stall_after_ns: nanos(run.stall_after.0),
    });
    for event in begun.events {
        watch.observe(&event);
    }
    // What has just begun settles first, as with -p.
    std::thread::sleep(SETTLE);
    for event in observer.read(SnapshotCause::Asked, SnapshotWants::default(), READING)? {
        watch.observe(&event);
    }
    while !watch.is_checked() {
        std::thread::sleep(BETWEEN);
        let events = observer.read(SnapshotCause::Confirm, SnapshotWants::default(), READING)?;
        for event in events {
            watch.observe(&event);
        }
    }
    Some(ps(&watch, &pids, &now()))
}
