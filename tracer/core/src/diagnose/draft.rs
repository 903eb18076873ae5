//! Building a finding: what every rule fills in the same way.

use super::scene::Scene;
use super::target::Target;
use crate::report::{
    Blocked, Confidence, Evidence, Fact, Finding, FindingState, Holder, Link, Lock, Peer, Remedy,
    Role,
};
use crate::session::Connection;
use crate::text;
use crate::units::{Fd, Nanos, Pid, Tid};

/// How many modules are named in a message.
const NAMED_MODULES: usize = 3;
/// How many modules are named in a finding.
const LISTED_MODULES: usize = 20;

/// A finding in the making.
pub(super) struct Draft<'a, 's> {
    scene: &'s Scene<'a>,
    finding: Finding,
}

impl<'a, 's> Draft<'a, 's> {
    /// `pid` is blocked since `since`, which `summary` says in one sentence.
    pub(super) fn new(
        scene: &'s Scene<'a>,
        code: &str,
        pid: Pid,
        since: Nanos,
        summary: String,
    ) -> Draft<'a, 's> {
        let modules = scene.modules(pid);
        let finding = Finding {
            id: String::new(),
            code: code.to_owned(),
            symptom: code.to_owned(),
            state: scene.state(),
            confidence: Confidence::Certain,
            summary: summary.clone(),
            since_ns: since,
            end_ns: None,
            blocked_ns: scene.now.since(since),
            blocked: Blocked { pid, ..Blocked::default() },
            peer: None,
            role: None,
            modules_total: modules.len() as u64,
            modules: modules.iter().take(LISTED_MODULES).cloned().collect(),
            lock: None,
            chain: vec![Link {
                pid,
                argv: scene.session.argv(pid),
                waits_for: summary,
                because: String::new(),
            }],
            waiters: Vec::new(),
            limit: None,
            evidence: Vec::new(),
            alternatives: Vec::new(),
            remedies: Vec::new(),
            facts: vec![waiting(scene, pid, &modules)],
        };
        Draft { scene, finding }
    }

    /// How sure; `certain` unless said.
    pub(super) fn confidence(mut self, confidence: Confidence) -> Self {
        self.finding.confidence = confidence;
        self
    }

    /// Another state than the moment's own.
    pub(super) fn state(mut self, state: FindingState) -> Self {
        self.finding.state = state;
        self
    }

    /// Where the wait is.
    pub(super) fn blocked(mut self, tid: Option<Tid>, syscall: &str, fd: Option<Fd>) -> Self {
        self.finding.blocked.tid = tid;
        self.finding.blocked.syscall = Some(syscall.to_owned());
        self.finding.blocked.fd = fd;
        self
    }

    /// The goroutine that waits, and for what, as a snapshot shows it.
    pub(super) fn goroutine(self, goid: u64, waits_for: &str) -> Self {
        let now = self.scene.now;
        self.goroutine_by(goid, waits_for, now, "snapshot")
    }

    /// The same, known from another source, at another time.
    pub(super) fn goroutine_by(
        mut self,
        goid: u64,
        waits_for: &str,
        t: Nanos,
        source: &str,
    ) -> Self {
        self.finding.blocked.goid = Some(goid);
        self.evidence(format!("goroutine {goid} waits for {waits_for}"), t, source)
    }

    /// The goroutine that sits in the system call of a thread, where these were read.
    pub(super) fn goroutine_of(mut self, tid: Tid) -> Self {
        let process = self.scene.session.state_of(self.finding.blocked.pid);
        let mut all = process.and_then(|p| p.go.as_ref()).into_iter().flat_map(|go| &go.goroutines);
        self.finding.blocked.goid = all.find(|g| g.tid == Some(tid)).map(|g| g.id);
        self
    }

    /// The file it is about.
    pub(super) fn path(mut self, path: &str) -> Self {
        self.finding.blocked.path = Some(path.to_owned());
        self
    }

    /// The connection it is about: peer, role, and the `server` line.
    pub(super) fn connection(mut self, connection: &Connection, target: &Target) -> Self {
        self.finding.peer = Some(target.peer(self.scene, connection));
        self.finding.role = target.role;
        self.finding.blocked.fd = Some(connection.fd);
        self.fact("server", [target.server_line()])
    }

    /// The other end, where it is not one of the tree's connections.
    pub(super) fn peer(mut self, peer: Peer) -> Self {
        self.finding.peer = Some(peer);
        self
    }

    /// What it was for.
    pub(super) fn role(mut self, role: Role) -> Self {
        self.finding.role = Some(role);
        self
    }

    /// A labelled line of the message.
    pub(super) fn fact<S: Into<String>>(
        mut self,
        label: &str,
        lines: impl IntoIterator<Item = S>,
    ) -> Self {
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        if !lines.is_empty() {
            self.finding.facts.push(Fact { label: label.to_owned(), lines });
        }
        self
    }

    /// Another line in place of `waiting`, which stands first.
    pub(super) fn first_fact(
        mut self,
        label: &str,
        lines: impl IntoIterator<Item = String>,
    ) -> Self {
        if let Some(fact) = self.finding.facts.first_mut() {
            *fact = Fact { label: label.to_owned(), lines: lines.into_iter().collect() };
        }
        self
    }

    /// What the blocked process waits for, as a link of a chain, and why that follows.
    pub(super) fn link(mut self, waits_for: String, because: String) -> Self {
        if let Some(link) = self.finding.chain.first_mut() {
            link.waits_for = waits_for;
            link.because = because;
        }
        self
    }

    /// Another link at the end of the chain.
    pub(super) fn then(mut self, pid: Pid, waits_for: &str, because: &str) -> Self {
        self.finding.chain.push(Link {
            pid,
            argv: self.scene.session.argv(pid),
            waits_for: waits_for.to_owned(),
            because: because.to_owned(),
        });
        self
    }

    /// A fact the conclusion rests on, shown as `seen`.
    pub(super) fn seen(self, text: impl Into<String>, t: Nanos, source: &str) -> Self {
        let text = text.into();
        self.fact("seen", [text.clone()]).evidence(text, t, source)
    }

    /// A fact the conclusion rests on.
    pub(super) fn evidence(mut self, text: impl Into<String>, t: Nanos, source: &str) -> Self {
        self.finding.evidence.push(Evidence { text: text.into(), t, source: source.to_owned() });
        self
    }

    /// When go gives up by itself.
    pub(super) fn limit(mut self, limit: impl Into<String>) -> Self {
        self.finding.limit = Some(limit.into());
        self
    }

    /// What else would look like this.
    pub(super) fn or_else(mut self, text: impl Into<String>) -> Self {
        self.finding.alternatives.push(text.into());
        self
    }

    /// Something to do.
    pub(super) fn remedy(mut self, text: impl Into<String>, command: Option<String>) -> Self {
        // What was taken out of a command cannot be pasted.
        let command = command.filter(|c| !super::paste::is_redacted(c));
        self.finding.remedies.push(Remedy { text: text.into(), command, safe: true });
        self
    }

    /// The lock it is about.
    pub(super) fn lock(mut self, path: &str, kind: &str, holders: Vec<Holder>) -> Self {
        self.finding.lock = Some(Lock { path: path.to_owned(), kind: kind.to_owned(), holders });
        self.path(path)
    }

    /// The modules it concerns, where the rule knows better than the locks.
    pub(super) fn modules(mut self, modules: Vec<String>) -> Self {
        self.finding.modules_total = modules.len() as u64;
        if let Some(fact) = self.finding.facts.first_mut() {
            *fact = waiting(self.scene, self.finding.blocked.pid, &modules);
        }
        self.finding.modules = modules.into_iter().take(LISTED_MODULES).collect();
        self
    }

    /// Whether locks have told which modules it concerns.
    pub(super) fn has_modules(&self) -> bool {
        self.finding.modules_total > 0
    }

    /// The modules it concerns; they are told elsewhere in the message.
    pub(super) fn concerns(mut self, modules: Vec<String>) -> Self {
        self.finding.modules_total = modules.len() as u64;
        self.finding.modules = modules.into_iter().take(LISTED_MODULES).collect();
        self
    }

    /// The finding.
    pub(super) fn done(mut self) -> Finding {
        let first = self.finding.evidence.first();
        if let (Some(link), Some(evidence)) = (self.finding.chain.first_mut(), first)
            && link.because.is_empty()
        {
            link.because.clone_from(&evidence.text);
        }
        self.finding
    }
}

/// The `waiting` line: who, and for which modules.
fn waiting(scene: &Scene<'_>, pid: Pid, modules: &[String]) -> Fact {
    let command = scene.command(pid);
    let lines = match modules.len() as u64 {
        0 if !scene.is_go(pid) || !scene.is_stall() => vec![command],
        0 if scene.session.modules_locked.is_empty() => {
            vec![format!("{command}, before its first module")]
        }
        0 => vec![command, "for .mod files, a list or a checksum: no module is locked".to_owned()],
        n => {
            let mut named: Vec<String> =
                modules.iter().take(NAMED_MODULES).map(|m| text::module(m)).collect();
            if modules.len() > NAMED_MODULES {
                named.push(format!("{} more", modules.len() - NAMED_MODULES));
            }
            vec![format!("{command}, {}:", text::count(n, "module", "modules")), text::list(&named)]
        }
    };
    Fact { label: "waiting".to_owned(), lines }
}
