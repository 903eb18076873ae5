//! Looking into something that runs already: an answer at once, which a second reading confirms or corrects.

use super::{Current, Told, Watch, concerns};
use crate::diagnose::{Moment, Scene, attached, diagnose_some};
use crate::event::{ProcessRole, ProcessState, SnapshotCause};
use crate::report::{Confidence, Finding, FindingState, Stall};
use crate::session::Connection;
use crate::text::{self, Style};
use crate::units::{Nanos, Pid};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A wait that the kernel says is at least this old needs no second reading.
const OLD_ENOUGH: Nanos = Nanos::from_secs(1);

/// Of so many commands something is said before the second reading.
const AT_FIRST: usize = 3;

/// So many kinds of wait are told of each.
const KINDS: usize = 3;

/// How far the two readings have come.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// When the first was taken.
    first: Option<Nanos>,
    /// When things had settled after it, where they moved still.
    settled: Option<Nanos>,
    /// When the second was.
    second: Option<Nanos>,
    /// The go commands that moved between them.
    moved: Vec<Pid>,
    /// Whether what runs in those that use a CPU was looked at in between; before that there are none such.
    busy: bool,
}

impl Watch {
    /// Whether the first two readings are still being taken.
    pub(super) fn is_looking(&self) -> bool {
        self.session.is_attached() && self.looks.second.is_none()
    }

    /// Whether the first reading was confirmed or corrected by a second one.
    pub fn is_checked(&self) -> bool {
        self.looks.second.is_some()
    }

    /// The go commands that moved between the two readings.
    pub fn moved(&self) -> &[Pid] {
        &self.looks.moved
    }

    /// One answer for each command that waits, the one that holds up most others first.
    pub fn answers(&self) -> Vec<Finding> {
        let Some(current) = &self.current else { return Vec::new() };
        let mut left = self.session.clocks();
        let mut answers: Vec<Finding> = Vec::new();
        for finding in &current.findings {
            let before = left.len();
            left.retain(|pid| !concerns(&self.session, finding, &[*pid], false));
            if left.len() < before || answers.is_empty() {
                answers.push(finding.clone());
            }
        }
        answers
    }

    /// Whether one reading is enough: the kernel says for how long it has been so, or it is so at any moment.
    pub fn is_proven(finding: &Finding) -> bool {
        if finding.confidence == Confidence::Possible {
            return false;
        }
        match finding.symptom.as_str() {
            "unknown" | "child-waiting" | "body-slow" | "throttled" | "spinning" | "starved" => {
                false
            }
            "dns-silent" | "connect-silent" | "tls-silent" | "tunnel-silent" | "http-silent"
            | "body-stalled" => finding.blocked_ns >= OLD_ENOUGH,
            _ => true,
        }
    }

    /// Whether both give the reader the same answer.
    pub fn same_answer(a: &Finding, b: &Finding) -> bool {
        super::same_answer(a, b)
    }

    /// Whether a finding has lasted for as long as `--stall-after` says, as far as is known.
    pub fn is_stall(&self, finding: &Finding) -> bool {
        let threshold = self.session.header.stall_after_ns;
        let unknown = self.looks.first.is_some_and(|first| finding.since_ns >= first);
        threshold.0 > 0
            && finding.state == FindingState::Stalled
            && (finding.blocked_ns >= threshold || unknown && self.is_checked())
    }

    /// What the newest reading could not see.
    pub fn unseen(&self) -> Vec<String> {
        let backend = self.session.header.backend.unseen.iter();
        let read = self.session.snapshot.iter().flat_map(|(_, snapshot)| &snapshot.unseen);
        backend.chain(read).cloned().collect()
    }

    /// After the second reading: a sentence on each command that waits for nothing.
    pub fn not_waiting(&self) -> Vec<String> {
        let answers = self.answers();
        let session = &self.session;
        let waits = |pid: &Pid| answers.iter().any(|f| concerns(session, f, &[*pid], false));
        let rest = session.clocks().into_iter().filter(|pid| !waits(pid));
        rest.filter(|pid| session.process(*pid).is_some()).map(|pid| self.sentence(pid)).collect()
    }

    /// What the first reading shows of programs that are not go, where it proves nothing: a line at once, for whoever waits for the
    /// second. What a go command waits for is told when it is known.
    pub fn at_first(&self) -> Vec<String> {
        if !self.session.go_commands().is_empty() {
            return Vec::new();
        }
        let scene = Scene::new(&self.session, Moment::Stall);
        let shown = |pid: Pid| {
            let busy = busy_with(self.session.state_of(pid)?)?;
            Some(format!(
                "{}: {busy}. One look proves nothing; again in a second.",
                scene.command(pid)
            ))
        };
        self.session.clocks().into_iter().filter_map(shown).take(AT_FIRST).collect()
    }

    fn sentence(&self, pid: Pid) -> String {
        let scene = Scene::new(&self.session, Moment::Stall);
        let who = scene.command(pid);
        match (scene.is_go(pid), self.looks.moved.contains(&pid)) {
            (true, true) => format!("{who} works: it moved between two looks."),
            (true, false) => {
                format!("{who} did not move between two looks, and nothing explains it.")
            }
            (false, true) if self.only_computes(pid) => format!(
                "{who} works: it used a CPU between two looks, and did nothing else; no go command runs below it."
            ),
            (false, true) => format!("{who} works; no go command runs below it."),
            (false, false) => format!(
                "{who} is idle: it waits for nothing that is overdue; no go command runs below it."
            ),
        }
    }

    /// Whether it used a CPU since the first reading and did nothing else. It may compute, or go round in a loop.
    fn only_computes(&self, pid: Pid) -> bool {
        self.looks.first.is_some_and(|first| !self.session.has_acted(pid, first))
    }

    /// When the last of what moved since the first reading did, or a reading lost its answer; from then on a second reading has to wait.
    pub fn settled(&self) -> Option<Nanos> {
        self.looks.first.map(|first| self.looks.settled.unwrap_or(first))
    }

    /// Takes the first or the second reading in, or a look between them: what has just begun settles within a moment
    /// (acknowledgements are delayed for up to 40 ms), and is no movement of a command that hangs.
    pub(super) fn look_into(&mut self, t: Nanos, cause: SnapshotCause) {
        self.looked = Some(t);
        let Some(first) = self.looks.first else { return self.first_look(t) };
        let first = self.looks.settled.unwrap_or(first);
        if cause == SnapshotCause::Asked {
            let clocks = self.session.clocks();
            let moved = clocks.iter().any(|pid| self.session.movement.last_moved(*pid) > first);
            self.looks.settled = moved.then_some(t).or(self.looks.settled);
            self.looks.busy = !self.session.may_spin(t).is_empty();
            return;
        }
        if self.spins_lately(t) {
            self.looks.settled = Some(t);
            return;
        }
        let clocks = self.session.clocks();
        let moved = |pid: &Pid| self.session.movement.last_moved(*pid) > first;
        let (moved, still): (Vec<Pid>, Vec<Pid>) = clocks.into_iter().partition(moved);
        let old_wait = self.has_old_wait(t);
        let findings = self.found_in(&still, old_wait);
        if self.loses_answer(t, &still, &findings) {
            self.looks.settled = Some(t);
            return;
        }
        self.looks.second = Some(t);
        let time = text::duration(t.since(first).0, Style::About);
        let checked = match moved.is_empty() {
            true => format!("twice, {time} apart: nothing moved"),
            false => format!("twice, {time} apart: this wait went on, other work moved"),
        };
        let findings = self.as_attached(findings, Some(&checked));
        self.looks.moved = moved;
        self.current = None;
        let Some(worst) = findings.first().cloned() else { return };
        self.stalls.push(Stall { start_ns: worst.since_ns, end_ns: None, finding: None });
        self.told.push(Told { finding: worst, cut: None });
        let whose = self.standing(still);
        self.current = Some(Current {
            whose,
            old_wait,
            looked: t,
            confirmed: true,
            doubtful: false,
            findings,
        });
    }

    /// Whether only now something uses so much of a CPU that it may spin: others had that CPU before. Then it is looked at once more.
    fn spins_lately(&mut self, t: Nanos) -> bool {
        let lately = !self.looks.busy && !self.session.may_spin(t).is_empty();
        self.looks.busy |= lately;
        lately
    }

    fn first_look(&mut self, t: Nanos) {
        self.looks.first = Some(t);
        let clocks = self.session.clocks();
        let mut findings = self.found_in(&clocks, false);
        // That nothing moves, one reading cannot tell.
        findings.retain(|f| f.code != "unknown");
        let findings = self.as_attached(findings, None);
        let whose = self.standing(clocks);
        self.current = Some(Current {
            whose,
            old_wait: false,
            looked: t,
            confirmed: false,
            doubtful: false,
            findings,
        });
    }

    /// What keeps `pids` waiting now, those first that most others wait behind.
    fn found_in(&self, pids: &[Pid], old_wait: bool) -> Vec<Finding> {
        let mut findings = diagnose_some(&self.session, Moment::Stall, |f| {
            concerns(&self.session, f, pids, old_wait)
        });
        // Of a program that is not go nobody knows whether it should move: a language server is idle most of the time.
        let idle = |f: &Finding| {
            let guess = f.code == "unknown" || f.confidence == Confidence::Possible;
            guess
                && self.session.role_of_process(f.blocked.pid) != ProcessRole::Go
                && self.session.go_commands().is_empty()
        };
        findings.retain(|f| f.state == FindingState::Stalled && !idle(f));
        findings.sort_by_key(|f| Reverse(f.waiters.len()));
        findings
    }

    fn standing(&self, pids: Vec<Pid>) -> Vec<(Pid, Nanos)> {
        pids.into_iter().map(|pid| (pid, self.session.movement.last_moved(pid))).collect()
    }

    /// The findings in the words for someone who asks from outside.
    pub(super) fn as_attached(
        &self,
        findings: Vec<Finding>,
        checked: Option<&str>,
    ) -> Vec<Finding> {
        let Some(first) = self.looks.first.filter(|_| self.session.is_attached()) else {
            return findings;
        };
        findings.into_iter().map(|f| attached::tell(&self.session, f, first, checked)).collect()
    }

    /// What only a snapshot shows, where that is all there is.
    pub(super) fn found<'a, T>(&self, found: &'a [T]) -> &'a [T] {
        if self.session.is_attached() { found } else { &[] }
    }

    /// Open connections on which something is waited for.
    pub(super) fn waits(&self) -> impl Iterator<Item = &Connection> {
        let found = self.found(&self.session.found_connections);
        self.session.open_waits().chain(found.iter().filter(|c| c.waits()))
    }
}

/// `1,002 goroutines: 1,000 in IO wait, 1 in select`; of what is no Go program its threads and the calls they sit in.
fn busy_with(process: &ProcessState) -> Option<String> {
    let go = process.go.as_ref().filter(|go| go.unreadable.is_none() && go.total > 0);
    let (total, kinds): (String, Vec<&str>) = match go {
        Some(go) => {
            let own = go.goroutines.iter().filter(|goroutine| !goroutine.system);
            let kinds = own.filter_map(|goroutine| goroutine.wait_reason.as_deref());
            (text::count(go.total, "goroutine", "goroutines"), kinds.collect())
        }
        None => {
            let calls = process.threads.iter().filter_map(|thread| thread.syscall.as_ref());
            let threads = process.threads.len() as u64;
            (
                text::count(threads, "thread", "threads"),
                calls.map(|call| call.name.as_str()).collect(),
            )
        }
    };
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    kinds.into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    let told = counts.iter().take(KINDS).map(|(kind, count)| format!("{count} in {kind}"));
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("{total}: {}", told.join(", ")))
}
