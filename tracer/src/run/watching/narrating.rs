//! What `-v` tells of a run: `-v` programs, settings and readings in words, `-vv` and `-vvv` events as they are recorded.

use gmtrace_core::event::{Backend, Event, GoSettings, Snapshot, What};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::Pid;
use tracing::{debug, info, trace};

/// The settings by which downloads are understood.
const TOLD: &[&str] =
    &["GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GOTOOLCHAIN", "GOMODCACHE"];

/// How the command is watched.
pub(super) fn backend(backend: &Backend) {
    info!("watching by {}: {}", backend.name, Escaped(&backend.why));
    for unseen in &backend.unseen {
        info!("not seen: {}", Escaped(unseen));
    }
}

/// What was taken in. Secrets have been removed where it was captured.
pub(super) fn event(event: &Event) {
    let pid = event.pid;
    match &event.what {
        What::Exec(exec) => info!("{pid} runs {}", Escaped(&exec.argv.join(" "))),
        What::ProcessExit { exit, .. } => info!("{pid} ended: {exit:?}"),
        What::GoSettings(found) => settings(pid, found),
        What::Snapshot(taken) => snapshot(taken),
        _ => {}
    }
    match &event.what {
        What::Sample(_) | What::GoWork { .. } | What::GoRunning(_) | What::Snapshot(_) => {
            trace!("{}", record(event));
        }
        _ => debug!("{}", record(event)),
    }
}

/// As it is recorded. Made only where it is printed.
fn record(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

fn settings(pid: Pid, settings: &GoSettings) {
    let told = TOLD.iter().filter_map(|name| {
        let setting = settings.env.get(*name).filter(|setting| !setting.value.is_empty())?;
        Some(format!("{name}={}", Escaped(&setting.value)))
    });
    info!("{pid} has {}", told.collect::<Vec<_>>().join(" "));
}

fn snapshot(taken: &Snapshot) {
    let Snapshot { cause, processes, sockets, locks, .. } = taken;
    info!(
        "looked at /proc ({cause:?}): {} processes, {} sockets, {} locks",
        processes.len(),
        sockets.len(),
        locks.len()
    );
}
