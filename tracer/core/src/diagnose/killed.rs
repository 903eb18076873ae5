//! # killed: ended from outside
//!
//! The command, or a program it started, was ended by a signal that came from elsewhere: another process, a job's time limit, a
//! terminal that was closed, or the kernel because memory ran out. Ctrl-C and gmtrace's own limits are not told here.
//!
//! **Seen by** the exit by a signal; the sender where the signal could be seen; `oom_kill` of the control group. SIGKILL is never
//! seen on its way (ptrace(2)), so its sender is not known.
//!
//! **What to do** Out of memory: more memory for the container or job, or fewer compilers at once (`GOFLAGS=-p=1`). Otherwise look
//! at the limits of the CI job or service.

use super::draft::Draft;
use super::scene::Scene;
use crate::event::{EndedBy, Exit, ProcessRole, SignalSender};
use crate::report::{Confidence, Finding};
use crate::session::Process;
use crate::text;
use crate::units::{Nanos, Pid};

/// Signals of a program's own faults, or of a closed pipe: nobody else ended it.
const ITS_OWN: &[&str] =
    &["SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS", "SIGPIPE"];

/// A process that was ended by a signal.
struct Death<'a> {
    t: Nanos,
    pid: Pid,
    signal: &'a str,
    sender: Option<&'a SignalSender>,
    /// What go said about it.
    line: Option<(Nanos, Pid, &'a str)>,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() || ended_by_wish(scene) {
        return Vec::new();
    }
    let root = scene.session.root();
    if let Some(Exit::Signal(signal)) = scene.session.end.as_ref().and_then(|e| e.exit.as_ref()) {
        let t = scene.session.process(root).and_then(|p| p.ended).unwrap_or(scene.now);
        return death(scene, root, signal, t).map(|d| told(scene, &d)).into_iter().collect();
    }
    let children = scene.session.ended.iter().filter(|p| p.pid != root && !p.is_telemetry());
    let mut deaths = children.filter_map(|p| of_child(scene, p));
    deaths.next().map(|d| told(scene, &d)).into_iter().collect()
}

/// gmtrace's own limits, and Ctrl-C.
fn ended_by_wish(scene: &Scene<'_>) -> bool {
    let by = scene.session.end.as_ref().and_then(|e| e.ended_by);
    matches!(by, Some(EndedBy::Timeout | EndedBy::StallTimeout | EndedBy::Interrupt))
}

fn of_child<'a>(scene: &Scene<'a>, process: &'a Process) -> Option<Death<'a>> {
    let Some(Exit::Signal(signal)) = &process.exit else { return None };
    let mut death = death(scene, process.pid, signal, process.ended?)?;
    // os.ProcessState.String, as cmd/go prints it: `signal: killed`.
    let words = match signal.as_str() {
        "SIGKILL" => "signal: killed",
        "SIGTERM" => "signal: terminated",
        "SIGHUP" => "signal: hangup",
        "SIGINT" => "signal: interrupt",
        _ => "signal: ",
    };
    death.line = scene.said(words);
    let known = death.line.is_some() || death.sender.is_some() || oom_kills(scene).is_some();
    (known || is_waited_for(scene, process)).then_some(death)
}

/// Whether the parent fails by the death of its child, as go and git do. Others kill their own (a debugger, a test runner), and SIGKILL
/// does not show its sender.
fn is_waited_for(scene: &Scene<'_>, process: &Process) -> bool {
    scene.session.role_of_process(process.ppid) != ProcessRole::Other
}

/// A death by somebody else's hand.
fn death<'a>(scene: &Scene<'a>, pid: Pid, signal: &'a str, t: Nanos) -> Option<Death<'a>> {
    let mut sent =
        scene.session.signals.iter().filter(|(_, to, name, _)| *to == pid && name == signal);
    // Go's runtime takes a signal, and sends it to itself to die of it: the first one counts.
    let sender = sent.next().map(|(_, _, _, sender)| sender);
    let own = match sender {
        Some(SignalSender::Process { pid: from, .. }) => scene.session.process(*from).is_some(),
        Some(SignalSender::Kernel) => signal != "SIGHUP" && signal != "SIGKILL",
        Some(SignalSender::Unknown) | None => false,
    };
    let fault = ITS_OWN.contains(&signal) && !matches!(sender, Some(SignalSender::Process { .. }));
    (!own && !fault).then_some(Death { t, pid, signal, sender, line: None })
}

fn told(scene: &Scene<'_>, death: &Death<'_>) -> Finding {
    let Death { t, pid, signal, .. } = *death;
    let oom = oom_kills(scene).filter(|_| signal == "SIGKILL");
    let name = name(scene, pid);
    let summary = match (&oom, sender(death)) {
        (Some(_), _) => format!("{name} was killed, and memory had run out."),
        (None, Some(sender)) => format!("{name} was ended by {signal}, sent by {sender}."),
        (None, None) if signal == "SIGKILL" => {
            format!("{name} was ended by SIGKILL; by whom was not seen.")
        }
        (None, None) => format!("{name} was ended by {signal} from outside."),
    };
    let mut made = Draft::new(scene, "killed", pid, t, summary).seen(
        format!("{} ended by {signal}", scene.command(pid)),
        t,
        "process-exit",
    );
    if let Some((t, _, line)) = death.line {
        made = made.seen(line.to_owned(), t, "stderr");
    }
    let unsaid = pid != scene.session.root() && death.line.is_none();
    if unsaid {
        made = made.confidence(Confidence::Possible);
    }
    match oom {
        Some((group, kills)) => made
            .confidence(match unsaid {
                true => Confidence::Possible,
                false => Confidence::Likely,
            })
            .fact("group", [group.to_owned()])
            .seen(
                format!("out-of-memory kills in its control group: {kills}"),
                scene.now,
                "snapshot",
            )
            .or_else("the kill for memory was an earlier one, and this came from elsewhere")
            .remedy("give the container or job more memory (docker: --memory)", None)
            .remedy(
                "or run fewer compilers at once:",
                Some(format!("GOFLAGS=-p=1 {}", scene.paste(pid))),
            )
            .done(),
        None if signal == "SIGKILL" => made
            .or_else("memory ran out in the whole machine, or a job's limit was reached")
            .remedy(
                "see whether the kernel did it:",
                Some("sudo dmesg | grep -i 'out of memory'".to_owned()),
            )
            .done(),
        None => made.or_else("a job's time limit, or a service manager").done(),
    }
}

/// The command as it was typed; of its children the program, and what it was to do: `git ls-remote`.
fn name(scene: &Scene<'_>, pid: Pid) -> String {
    let words = scene.words(pid);
    match pid == scene.session.root() {
        true => words,
        false => words.split(' ').take(2).collect::<Vec<_>>().join(" "),
    }
}

/// `process 4711 of user 1000`.
fn sender(death: &Death<'_>) -> Option<String> {
    match death.sender? {
        SignalSender::Process { pid, uid } if pid.0 > 0 => {
            Some(format!("process {pid} of user {uid}"))
        }
        SignalSender::Process { .. } => Some("a process of another container".to_owned()),
        SignalSender::Kernel if death.signal == "SIGHUP" => {
            Some("its terminal, which closed".to_owned())
        }
        SignalSender::Kernel => Some("the kernel".to_owned()),
        SignalSender::Unknown => None,
    }
}

/// The control group in which the out-of-memory killer has struck, and how often since the group exists.
fn oom_kills<'a>(scene: &Scene<'a>) -> Option<(&'a str, String)> {
    let (_, snapshot) = scene.session.snapshot.as_ref()?;
    let group = snapshot.cgroups.iter().find(|g| g.oom_kills > 0)?;
    Some((&group.path, text::count(group.oom_kills, "time", "times")))
}
