//! # child-failed: a program that go started ended with an error
//!
//! git, ssh or another program that go needs has failed, and the command with it. go hides what such a program writes until it has
//! ended; its last words say why.
//!
//! **Seen by** `exit status N` in what go said, the program's own end, and its last lines on standard error.
//!
//! **What to do** Run the program by hand, as shown. A login that git asks for cannot be typed here: go switches git's questions off.

use super::draft::Draft;
use super::paste;
use super::said::{self, Line};
use super::scene::Scene;
use crate::event::{Exit, ProcessRole};
use crate::report::{Confidence, Finding, Role};
use crate::session::Process;
use crate::units::{Nanos, Pid};

/// How many of its last lines are told.
const LAST_WORDS: usize = 4;

/// What the last words mean, and what helps.
const MEANINGS: &[(&str, &str, Why)] = &[
    ("could not read Username", "needs a login", Why::Login),
    ("could not read Password", "needs a login", Why::Login),
    ("Authentication failed", "was not let in", Why::Login),
    ("Permission denied (publickey", "was not let in: your key is not known there", Why::Key),
    ("Host key verification failed", "does not know the server's key", Why::Key),
    ("Repository not found", "found no such repository, or may not see it", Why::Login),
    ("Could not resolve host", "could not find the server's address", Why::Network),
    ("Failed to connect", "could not reach the server", Why::Network),
    ("Connection refused", "could not reach the server", Why::Network),
    ("Connection timed out", "could not reach the server", Why::Network),
    ("unable to access", "could not read from the server", Why::Network),
];

/// The kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// A name and password, or a token.
    Login,
    /// Keys of ssh.
    Key,
    /// A rule of the network may know more.
    Network,
    /// The program is not there.
    Missing,
    /// Anything else.
    Other,
}

/// A child's failure.
struct Failure<'a> {
    t: Nanos,
    /// The child, or who speaks of it.
    pid: Pid,
    /// Its words: `git ls-remote -q origin`.
    words: String,
    status: Option<u8>,
    /// What go said.
    line: Option<&'a str>,
    /// Its last lines.
    last: Vec<&'a str>,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let failure = spoken_of(scene).or_else(|| missing(scene)).or_else(|| no_protocol(scene));
    failure.map(|f| told(scene, &f)).into_iter().collect()
}

/// `go: M@V: invalid version: git ls-remote -q origin in DIR: exit status 128:`, then what git said, indented
/// (cmd/go/internal/modfetch/codehost.RunError); or `exit status 1` alone, of `go run`.
fn spoken_of<'a>(scene: &Scene<'a>) -> Option<Failure<'a>> {
    let lines = said::lines(scene, "exit status ").into_iter().rev();
    // Indented is what a module proxy passes on of its own git.
    let (line, status) = lines
        .filter(|l| !l.text.starts_with(char::is_whitespace))
        .find_map(|l| status(l.text).map(|status| (l, status)))?;
    let (before, _) = line.text.rsplit_once("exit status ")?;
    let before = before.trim_end().trim_end_matches(':');
    let named = before.rsplit(": ").next().unwrap_or(before);
    let named = named.split(" in /").next().unwrap_or(named).trim();
    let program = named.split(' ').next().unwrap_or_default();
    let child = newest_child(scene, |p| {
        p.exit == Some(Exit::Code(status)) && (named.is_empty() || p.words().starts_with(program))
    });
    if named.is_empty() && child.is_none() {
        return None;
    }
    let words = if named.is_empty() { child?.words() } else { named.to_owned() };
    Some(Failure {
        t: line.t,
        pid: child.map_or(line.pid, |p| p.pid),
        words,
        status: Some(status),
        line: Some(line.text),
        last: last_words(scene, &line, child),
    })
}

fn status(line: &str) -> Option<u8> {
    let (_, rest) = line.rsplit_once("exit status ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|n| *n != 0)
}

/// Of its own lines and what go repeats of them, the one that there is.
fn last_words<'a>(scene: &Scene<'a>, line: &Line<'a>, child: Option<&Process>) -> Vec<&'a str> {
    let repeated: Vec<&str> = line.indented().filter(|l| !l.is_empty()).collect();
    if !repeated.is_empty() {
        return tail(repeated);
    }
    child.map(|p| own_words(scene, p.pid)).unwrap_or_default()
}

/// What a process and those below it wrote.
fn own_words<'a>(scene: &Scene<'a>, pid: Pid) -> Vec<&'a str> {
    let all = scene.session.output.all();
    let below = all.filter(|(_, p, l)| !l.trim().is_empty() && scene.session.is_below(*p, pid));
    tail(below.map(|(_, _, l)| l).collect())
}

fn tail(mut lines: Vec<&str>) -> Vec<&str> {
    lines.drain(..lines.len().saturating_sub(LAST_WORDS));
    lines
}

/// The program is not installed: `go: missing Git command.`, `exec: "git": executable file not found in $PATH`.
fn missing<'a>(scene: &Scene<'a>) -> Option<Failure<'a>> {
    let (t, pid, line) = scene
        .said(": executable file not found in $PATH")
        .or_else(|| scene.said(" command. See "))?;
    let program = match line.split_once("exec: \"") {
        Some((_, rest)) => rest.split('"').next()?.to_owned(),
        None => line.split_once("missing ")?.1.split(' ').next()?.to_lowercase(),
    };
    Some(Failure { t, pid, words: program, status: None, line: Some(line), last: Vec::new() })
}

/// go tries https, ssh and more in turn, and says only that none worked (cmd/go/internal/vcs.RepoRootForImportPath).
fn no_protocol<'a>(scene: &Scene<'a>) -> Option<Failure<'a>> {
    let (t, pid, line) = scene.said("protocol found for repository")?;
    let child = newest_child(scene, |p| {
        p.role() == ProcessRole::Git && matches!(p.exit, Some(Exit::Code(1..)))
    });
    let status = child.and_then(|p| match p.exit {
        Some(Exit::Code(code)) => Some(code),
        _ => None,
    });
    Some(Failure {
        t,
        pid: child.map_or(pid, |p| p.pid),
        words: child.map_or("git ls-remote".to_owned(), Process::words),
        status,
        line: Some(line),
        last: child.map(|p| own_words(scene, p.pid)).unwrap_or_default(),
    })
}

/// The newest program that a go command started itself, and that ended so.
fn newest_child<'a>(scene: &Scene<'a>, fits: impl Fn(&Process) -> bool) -> Option<&'a Process> {
    scene
        .session
        .ended
        .iter()
        .rev()
        .filter(|p| p.role() != ProcessRole::Go && !p.is_telemetry() && scene.is_go(p.ppid))
        .find(|p| fits(p))
}

fn told(scene: &Scene<'_>, failure: &Failure<'_>) -> Finding {
    let program = failure.words.split(' ').next().unwrap_or_default();
    let program = program.rsplit('/').next().unwrap_or(program);
    let known = MEANINGS.iter().find(|(text, _, _)| failure.last.iter().any(|l| l.contains(text)));
    let (means, why) = match (known, failure.status) {
        (Some((_, means, why)), _) => ((*means).to_owned(), *why),
        (None, Some(status)) => (format!("ended with status {status}"), Why::Other),
        (None, None) if failure.last.is_empty() && missing(scene).is_some() => {
            ("is not installed, and go needs it".to_owned(), Why::Missing)
        }
        (None, None) => ("has failed".to_owned(), Why::Other),
    };
    let summary = format!("{program} {means}.");
    let sure = if why == Why::Network { Confidence::Likely } else { Confidence::Certain };
    let mut made = Draft::new(scene, "child-failed", failure.pid, failure.t, summary)
        .confidence(sure)
        .fact("ran", [failure.words.clone()])
        .fact("it said", failure.last.iter().copied());
    if matches!(program, "git" | "ssh" | "hg" | "svn" | "fossil") {
        made = made.role(Role::Vcs);
    }
    if let Some(line) = failure.line {
        made = made.seen(line.to_owned(), failure.t, "stderr");
        made = match said::module_in(line) {
            Some(module) => made.modules(vec![module]),
            None => made,
        };
    }
    advised(made, failure, why).done()
}

fn advised<'a, 's>(made: Draft<'a, 's>, failure: &Failure<'_>, why: Why) -> Draft<'a, 's> {
    let url = failure.line.and_then(said::url_in).or_else(|| said::url_in(&failure.last.join(" ")));
    let by_hand = url
        .map(|u| u.to_string())
        .filter(|u| !paste::is_redacted(u))
        .map(|u| format!("git ls-remote {}", paste::word(&u)));
    match why {
        Why::Missing => made.remedy(format!("install {}", failure.words), None),
        Why::Login => made
            .or_else("the repository does not exist")
            .remedy("log in once by hand, so that git remembers it:", by_hand)
            .remedy("in CI: a token in ~/.netrc, or url.<base>.insteadOf in git's settings", None),
        Why::Key => made.remedy("connect once by hand; check the key it shows:", by_hand),
        Why::Network | Why::Other => match by_hand {
            Some(command) => made.remedy("see it fail by hand:", Some(command)),
            None => made,
        },
    }
}
