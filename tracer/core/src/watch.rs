//! When to speak: from events to stalls, and from stalls to sentences. Pure, so that a recording replays to the same stalls.

mod attached;

use crate::diagnose::{Moment, diagnose, diagnose_some, serves};
use crate::event::{End, EndedBy, Event, Exit, Header, Snapshot, SnapshotCause, What};
use crate::report::{Confidence, Finding, FindingState, Stall};
use crate::session::{OLD_WAIT, Phase, Session};
use crate::units::{Nanos, Pid};

/// While a stall lasts and nothing new is known, it is looked at again this often.
const LOOK_AGAIN: Nanos = Nanos::from_secs(5);
/// A first reading is confirmed by a second one this much later.
const CONFIRM_AFTER: Nanos = Nanos::from_secs(1);
/// Where someone asks (a timeout that ends the command), it is enough that nothing has moved for so long.
const STILL_WHEN_ASKED: Nanos = Nanos::from_secs(1);
/// A stall that ended within this time and came to nothing is not told at the end.
const WORTH_TELLING: Nanos = Nanos::from_secs(1);

/// Something to tell the reader now.
#[derive(Debug, Clone, PartialEq)]
pub enum Say {
    /// Nothing moves, for this reason; also when the answer has changed.
    Stalled(Box<Finding>),
    /// What was announced is over.
    MovingAgain {
        /// What it was.
        finding: Box<Finding>,
        /// How long it lasted.
        lasted: Nanos,
        /// Whether it is known to be over because what was waited for came.
        came: bool,
    },
}

/// The session, and what was said about it.
#[derive(Debug)]
pub struct Watch {
    /// The model.
    pub session: Session,
    /// The times in which nothing moved.
    pub stalls: Vec<Stall>,
    /// What was found in them, by the stall's place in `stalls`.
    told: Vec<Told>,
    current: Option<Current>,
    /// When a snapshot was last looked at.
    looked: Option<Nanos>,
    /// Who stood still, and since when, when a first reading was taken: one that waits for the second to be told.
    unsure: Option<(Pid, Nanos)>,
    /// Findings of the whole run, once it is over.
    last: Vec<Finding>,
    /// Someone asked because the command is to be ended now: what moves from then on moves to its end.
    ending: bool,
    /// How far the two readings of something that was found running have come.
    looks: attached::Looks,
}

/// What was found in a stall.
#[derive(Debug)]
struct Told {
    finding: Finding,
    /// How the process that stalled ended, where its end was that of the stall.
    cut: Option<Exit>,
}

/// A stall that goes on.
#[derive(Debug)]
struct Current {
    /// Who does not move, and when each last did.
    whose: Vec<(Pid, Nanos)>,
    old_wait: bool,
    looked: Nanos,
    confirmed: bool,
    /// Whether the newest reading explained nothing, after one that did.
    doubtful: bool,
    findings: Vec<Finding>,
}

impl Watch {
    /// A watch over the run that `header` announces.
    pub fn new(header: Header) -> Watch {
        Watch {
            session: Session::new(header),
            stalls: Vec::new(),
            told: Vec::new(),
            current: None,
            looked: None,
            unsure: None,
            last: Vec::new(),
            ending: false,
            looks: attached::Looks::default(),
        }
    }

    /// Takes an event in, and says what there is to say about it.
    pub fn observe(&mut self, event: &Event) -> Vec<Say> {
        self.session.apply(event);
        let mut said = Vec::new();
        if let What::Snapshot(snapshot) = &event.what {
            match self.is_looking() {
                true => self.look_into(event.t, snapshot.cause),
                false => {
                    said.extend(self.look(event.t, snapshot));
                    self.ending |= snapshot.cause == SnapshotCause::Asked;
                }
            }
        }
        said.extend(self.check_moving(event.t));
        said
    }

    /// Takes the end of the run in.
    pub fn finish(&mut self, end: End) {
        // What gmtrace only looked into may go on as it was.
        if !self.session.is_attached() || end.exit.is_some() {
            self.close_stall(end.t, end.exit.clone());
        }
        self.session.finish(end);
        self.last = diagnose(&self.session, Moment::End);
    }

    /// Whether a snapshot is due at `now`, and why.
    pub fn due(&self, now: Nanos) -> Option<SnapshotCause> {
        let threshold = self.session.header.stall_after_ns;
        if threshold.0 == 0 || self.session.is_over() {
            return None;
        }
        if let Some(current) = &self.current {
            let passed = now.since(current.looked);
            let sure = current.confirmed && !current.doubtful;
            let again = if sure { LOOK_AGAIN } else { CONFIRM_AFTER };
            return (passed >= again).then_some(SnapshotCause::Confirm);
        }
        // Where a look found nothing, the next one waits as well.
        if self.looked.is_some_and(|t| now.since(t) < CONFIRM_AFTER) {
            return None;
        }
        if let Some(oldest) = self.session.stalled(now, threshold).first() {
            let second = self.unsure == Some((*oldest, self.session.movement.last_moved(*oldest)));
            return Some(if second { SnapshotCause::Confirm } else { SnapshotCause::Stall });
        }
        self.has_old_wait(now).then_some(SnapshotCause::OldWait)
    }

    /// Since when nothing moves, and why, while that is so.
    pub fn stalled_now(&self) -> Option<(Nanos, Option<&Finding>)> {
        self.current.as_ref()?;
        let stall = self.stalls.last()?;
        Some((stall.start_ns, self.told.last().map(|told| &told.finding)))
    }

    /// Everything found so far, the verdict first: what stalls now; what stalled until somebody ended it, for that is what was
    /// waited for; what the run failed by; what slowed it.
    pub fn findings(&self) -> Vec<Finding> {
        let current = self.current.iter().flat_map(|c| &c.findings);
        let mut all: Vec<(Place, Finding)> = current.map(|f| (Place::Now, f.clone())).collect();
        all.extend(self.last.iter().map(|f| (Place::of_end(f), f.clone())));
        for (told, stall) in self.told.iter().zip(&self.stalls) {
            if let Some(end) = stall.end_ns {
                merge(&mut all, self.place_of(told), told.over(end));
            }
        }
        if all.iter().any(|(place, _)| matches!(place, Place::Cut | Place::Failed | Place::CutLate))
        {
            all.retain(|(place, _)| *place != Place::Unexplained);
        }
        all.sort_by_key(|(place, _)| *place);
        let numbered = all.into_iter().enumerate();
        numbered.map(|(n, (_, f))| Finding { id: format!("f{}", n + 1), ..f }).collect()
    }

    fn place_of(&self, told: &Told) -> Place {
        let by = self.session.end.as_ref().and_then(|end| end.ended_by);
        let wished =
            matches!(by, Some(EndedBy::Timeout | EndedBy::StallTimeout | EndedBy::Interrupt));
        match &told.cut {
            Some(Exit::Signal(_)) => Place::Cut,
            Some(Exit::Code(1..)) if wished => Place::Cut,
            Some(Exit::Code(1..)) => Place::CutLate,
            _ => Place::Slowed,
        }
    }

    /// The stalls, each with the id of the finding that explains it.
    pub fn stalls(&self) -> Vec<Stall> {
        let findings = self.findings();
        let id_of = |n: usize| {
            let told = &self.told.get(n)?.finding;
            findings
                .iter()
                .find(|f| f.code == told.code && f.peer_key() == told.peer_key())
                .map(|f| f.id.clone())
        };
        self.stalls
            .iter()
            .enumerate()
            .map(|(n, stall)| Stall { finding: id_of(n), ..stall.clone() })
            .collect()
    }

    /// Looks at a snapshot: the start of a stall, its confirmation, or a change of the answer.
    fn look(&mut self, t: Nanos, snapshot: &Snapshot) -> Option<Say> {
        self.looked = Some(t);
        let threshold = match snapshot.cause {
            SnapshotCause::Asked => STILL_WHEN_ASKED,
            _ => self.session.header.stall_after_ns,
        };
        let whose = self.session.stalled(t, threshold);
        let old_wait = snapshot.cause == SnapshotCause::OldWait
            || self.current.as_ref().is_some_and(|c| c.old_wait) && self.has_old_wait(t);
        if snapshot.cause == SnapshotCause::End {
            return None;
        }
        if whose.is_empty() && !old_wait {
            // Continued after a stop, and not moved yet: what was said stands.
            self.current.iter_mut().for_each(|current| current.looked = t);
            return None;
        }
        let mut findings = diagnose_some(&self.session, Moment::Stall, |f| {
            // What was not seen concerns every answer.
            f.code == "trace-incomplete" || concerns(&self.session, f, &whose, old_wait)
        });
        findings.retain(|f| !serves(&self.session, f));
        let findings = self.as_attached(findings, None);
        let first = findings.first().cloned()?;
        if first.state != FindingState::Stalled {
            return None;
        }
        if self.loses_answer(t, &whose, &findings) {
            return None;
        }
        if snapshot.cause == SnapshotCause::Stall && self.is_unsure(&whose, &first) {
            return None;
        }
        let known = self
            .current
            .as_ref()
            .and_then(|c| c.findings.first())
            .is_some_and(|f| same_answer(f, &first));
        if self.current.is_none() {
            let start = whose.iter().map(|p| self.session.movement.last_moved(*p)).min();
            let start = start.unwrap_or(first.since_ns);
            self.stalls.push(Stall { start_ns: start, end_ns: None, finding: None });
            self.told.push(Told { finding: first.clone(), cut: None });
        } else if let Some(told) = self.told.last_mut() {
            told.finding = first.clone();
        }
        let confirmed = self.current.is_some() || snapshot.cause == SnapshotCause::Confirm;
        let whose = whose.iter().map(|p| (*p, self.session.movement.last_moved(*p))).collect();
        let current = Current { whose, old_wait, looked: t, confirmed, doubtful: false, findings };
        self.current = Some(current);
        (!known).then(|| Say::Stalled(Box::new(first)))
    }

    /// Whether a first reading waits for a second one to be told. One that says no more than what is possible does: on a busy machine
    /// that may be over in a moment. So does one that ends at a lock whose holder runs outside of the tree: how long that, or
    /// what runs below it, waits for something itself is only known by two readings.
    fn is_unsure(&mut self, whose: &[Pid], first: &Finding) -> bool {
        let oldest = whose.first().map(|pid| (*pid, self.session.movement.last_moved(*pid)));
        let before = std::mem::replace(&mut self.unsure, oldest);
        let possible = first.confidence == Confidence::Possible;
        (possible || ends_outside(&self.session, first)) && before != oldest
    }

    /// Whether a reading does not count: for one of `pids`, which stand still, the one before had an answer, and this one has none. A
    /// question that is asked again has another socket (net/dnsclient_unix.go dials for each), and the reading fell between the two;
    /// the next one tells.
    fn loses_answer(&mut self, t: Nanos, pids: &[Pid], findings: &[Finding]) -> bool {
        let session = &self.session;
        let Some(current) = self.current.as_mut().filter(|c| !c.doubtful) else { return false };
        let explained = |pid: Pid, findings: &[Finding]| {
            let about = |f: &&Finding| concerns(session, f, &[pid], false);
            findings.iter().filter(about).any(|f| f.code != "unknown")
        };
        let loses = |pid: Pid| {
            session.processes.contains_key(&pid)
                && explained(pid, &current.findings)
                && !explained(pid, findings)
        };
        current.doubtful = pids.iter().any(|pid| loses(*pid));
        if current.doubtful {
            current.looked = t;
        }
        current.doubtful
    }

    /// Whether what stood still moves again. What ended instead is told by its end.
    fn check_moving(&mut self, t: Nanos) -> Option<Say> {
        let current = self.current.as_ref().filter(|_| !self.ending)?;
        let start = self.stalls.last()?.start_ns;
        let session = &self.session;
        let mut alive =
            current.whose.iter().filter(|(pid, _)| session.processes.contains_key(pid)).peekable();
        let ended = alive.peek().is_none() && !current.whose.is_empty();
        let stands = alive.any(|(pid, then)| session.movement.last_moved(*pid) <= *then);
        if stands || current.old_wait && self.has_old_wait(t) {
            return None;
        }
        let exit = current.whose.first().and_then(|(pid, _)| session.process(*pid)?.exit.clone());
        let finding = self.told.last()?.finding.clone();
        let came = came(session, &finding, start);
        self.close_stall(t, exit.filter(|_| ended));
        (!ended).then(|| Say::MovingAgain {
            lasted: t.since(start),
            finding: Box::new(finding),
            came,
        })
    }

    /// Ends the stall that goes on, if any; `cut` is the end of the process that stalled, where that ends it.
    fn close_stall(&mut self, t: Nanos, cut: Option<Exit>) {
        if self.current.take().is_none() {
            return;
        }
        if let Some(told) = self.told.last_mut() {
            told.cut.clone_from(&cut);
        }
        if let Some(stall) = self.stalls.last_mut() {
            stall.end_ns = Some(t);
            if cut.is_none() && t.since(stall.start_ns) < WORTH_TELLING {
                self.stalls.pop();
                self.told.pop();
            }
        }
    }

    /// Whether a single wait is so old that it is spoken of even while others move.
    fn has_old_wait(&self, now: Nanos) -> bool {
        let session = &self.session;
        let least = OLD_WAIT.max(session.header.stall_after_ns);
        let old = |since: Nanos| session.watched(since, now) >= least;
        let mut locks = session.locks.iter().chain(self.found(&session.found_locks));
        let lock = locks.any(|l| l.ended.is_none() && old(l.since));
        let mut lookups = session.lookups.iter().chain(self.found(&session.found_lookups));
        let lookup = lookups.any(|l| !l.is_over() && old(l.since));
        let connection = self.waits().any(|c| {
            old(c.waiting_since())
                && !matches!(c.phase(), Phase::Response if c.bytes_received() > 0)
        });
        lock || lookup || connection
    }
}

/// Whether the other end of a finding was heard from since `start`; of a finding without one nothing speaks against it.
fn came(session: &Session, finding: &Finding, start: Nanos) -> bool {
    let Some(peer) = finding.peer.as_ref().filter(|p| p.address.is_some()) else { return true };
    let is_it = |end: std::net::SocketAddr| {
        peer.address.as_deref() == Some(end.ip().to_string().as_str())
            && peer.port == Some(end.port())
    };
    let after = |t: Option<Nanos>| t.is_some_and(|t| t > start);
    let connection = session.connections.iter().chain(&session.found_connections).any(|c| {
        let connected = c.decided.as_ref().filter(|(_, result)| result == "ok").map(|(t, _)| *t);
        let accepted = finding.code == "connect-silent" && after(connected);
        is_it(c.peer) && (after(c.received_at) || accepted)
    });
    let mut questions = session.lookups.iter().flat_map(|l| &l.questions);
    connection
        || questions
            .any(|q| q.server.is_some_and(is_it) && after(q.answer.as_ref().map(|(t, ..)| *t)))
}

/// Whether a finding is about what stands still, and not about something beside it.
fn concerns(session: &Session, finding: &Finding, whose: &[Pid], old_wait: bool) -> bool {
    let chain_meets = |pid: &Pid| {
        finding.chain.iter().any(|l| l.pid == *pid) || session.is_below(finding.blocked.pid, *pid)
    };
    if whose.iter().any(chain_meets) {
        return true;
    }
    let waited = session.watched(finding.since_ns, session.now);
    old_wait && finding.code != "unknown" && waited.min(finding.blocked_ns) >= OLD_WAIT
}

/// Whether a finding ends at a lock that is held outside of the tree.
fn ends_outside(session: &Session, finding: &Finding) -> bool {
    let outside = |pid: Pid| session.state_of(pid).is_some_and(|p| !p.in_tree);
    let mut holders = finding.lock.iter().flat_map(|lock| &lock.holders);
    finding.code == "lock-held" && holders.any(|holder| outside(holder.pid))
}

/// Whether two findings give the reader the same answer.
fn same_answer(a: &Finding, b: &Finding) -> bool {
    a.code == b.code
        && a.symptom == b.symptom
        && a.blocked.pid == b.blocked.pid
        && a.peer_key() == b.peer_key()
        && a.lock.as_ref().map(|l| &l.path) == b.lock.as_ref().map(|l| &l.path)
}

/// The order in which findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// It stalls now.
    Now,
    /// It stalled until somebody ended it.
    Cut,
    /// The run failed by it.
    Failed,
    /// It stalled until the command gave up, for a reason that is told before.
    CutLate,
    /// The run failed, and nothing explains it.
    Unexplained,
    /// It stalled, and went on.
    Slowed,
    /// Worth knowing.
    Notice,
}

impl Place {
    /// Of a finding about the whole run.
    fn of_end(finding: &Finding) -> Place {
        match finding.state {
            _ if finding.code == "unknown" => Place::Unexplained,
            FindingState::Stalled | FindingState::Failed => Place::Failed,
            FindingState::Slow => Place::Slowed,
            FindingState::Notice => Place::Notice,
        }
    }
}

impl Told {
    /// The finding of a stall that was over at `end`.
    fn over(&self, end: Nanos) -> Finding {
        let failed = matches!(&self.cut, Some(Exit::Signal(_) | Exit::Code(1..)));
        Finding {
            state: if failed { FindingState::Failed } else { FindingState::Slow },
            end_ns: Some(end),
            blocked_ns: end.since(self.finding.since_ns),
            ..self.finding.clone()
        }
    }
}

/// Adds a finding of the past. One like it that is there already gains what was only known while it stalled.
fn merge(all: &mut Vec<(Place, Finding)>, place: Place, finding: Finding) {
    let same = |f: &Finding| f.code == finding.code && f.peer_key() == finding.peer_key();
    let Some((known_place, known)) = all.iter_mut().find(|(_, f)| same(f)) else {
        all.push((place, finding));
        return;
    };
    *known_place = (*known_place).min(place);
    known.blocked_ns = known.blocked_ns.max(finding.blocked_ns);
    known.since_ns = known.since_ns.min(finding.since_ns);
    if known.modules.is_empty() {
        known.modules = finding.modules;
        known.modules_total = finding.modules_total;
    }
}

impl Finding {
    /// What tells one culprit from another: host, address and port.
    pub fn peer_key(&self) -> Option<(Option<&str>, Option<&str>, Option<u16>)> {
        self.peer.as_ref().map(|p| (p.host.as_deref(), p.address.as_deref(), p.port))
    }
}
