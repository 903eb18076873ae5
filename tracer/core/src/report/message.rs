//! What is said while a command runs, and once it is over: the block at a stall, and lines of one sentence.

use super::layout::{Look, VALUE_COLUMN, about, fit, labelled, plain, word};
use super::palette::{Palette, paint};
use super::{Confidence, Fact, Finding, ModuleRow, Remedy, Report};
use crate::event::{EndedBy, Exit};
use crate::text::{bytes, count, cut_middle, width};
use crate::units::Nanos;

/// What every line on standard error begins with.
pub const PREFIX: &str = "gmtrace: ";
/// The columns at which the code of a finding may begin, the best first.
const CODE_COLUMNS: [usize; 2] = [49, 34];
/// Names in lines of one sentence are cut to this many columns.
const LONGEST_NAME: usize = 60;
/// A wait shorter than this is not worth a word at the end.
const WORTH_A_WORD: Nanos = Nanos::from_secs(1);

/// Where a block is printed.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Columns of the terminal, 80 where there is none.
    pub width: usize,
    /// Colours.
    pub color: Palette,
    /// What the first line begins with: [`PREFIX`] on standard error, nothing where the block is the product.
    pub prefix: &'a str,
    /// The last line.
    pub closing: Closing,
}

/// The last line of a block, which carries the code.
#[derive(Debug, Clone)]
pub enum Closing {
    /// `more`: the command to type next, see [`hint`].
    More(String),
    /// `unseen`: what could not be seen; nothing, if empty.
    Unseen(Vec<String>),
}

/// Which of gmtrace's words lead anywhere here.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offers {
    /// This run is kept, so `gmtrace report` shows it.
    pub report: bool,
    /// `gmtrace -p` can look into other processes.
    pub attach: bool,
    /// There is a `gmtrace doctor`.
    pub doctor: bool,
}

/// The command that leads on from a finding.
pub fn hint(finding: &Finding, offers: Offers) -> String {
    let holder = finding.lock.iter().flat_map(|lock| &lock.holders).find(|holder| holder.alive);
    match (finding.code.as_str(), holder) {
        ("prompt", _) => format!("gmtrace explain {}", plain(&finding.code)),
        (_, Some(holder)) if offers.attach => format!("gmtrace -p {}", holder.pid),
        (code, _) if offers.doctor && code.starts_with("dns-") => "gmtrace doctor".to_owned(),
        _ if offers.report => "gmtrace report".to_owned(),
        (code, _) => format!("gmtrace explain {}", plain(code)),
    }
}

/// The block at a stall: one sentence, labelled facts, what to do, where to look next.
pub fn stall(finding: &Finding, context: &Context) -> String {
    let mut out = String::new();
    let look = Look { width: context.width, color: context.color };
    headline(&mut out, finding, context.prefix, look);
    facts(&mut out, finding, look);
    prose(&mut out, look, "limit", finding.limit.as_deref());
    prose(&mut out, look, "or else", finding.alternatives.first().map(String::as_str));
    remedies(&mut out, finding, look);
    closing(&mut out, finding, &context.closing, look);
    out
}

/// The same where it is the answer to a question: no `limit`, and other explanations only where the facts
/// leave room for them.
pub fn attached(finding: &Finding, context: &Context) -> String {
    attached_begin(finding, context) + &attached_end(finding, context)
}

/// The part of [`attached`] that one reading gives.
pub fn attached_begin(finding: &Finding, context: &Context) -> String {
    let mut out = String::new();
    let look = Look { width: context.width, color: context.color };
    headline(&mut out, finding, context.prefix, look);
    labelled_facts(&mut out, finding, look, |label| !is_of_second_reading(label));
    out
}

/// The part of [`attached`] that stands behind a second reading.
pub fn attached_end(finding: &Finding, context: &Context) -> String {
    let mut out = String::new();
    let look = Look { width: context.width, color: context.color };
    labelled_facts(&mut out, finding, look, is_of_second_reading);
    if finding.confidence != Confidence::Certain {
        prose(&mut out, look, "or else", finding.alternatives.first().map(String::as_str));
    }
    remedies(&mut out, finding, look);
    closing(&mut out, finding, &context.closing, look);
    out
}

/// What stands in the place of [`attached_end`] where the second reading speaks against the first.
pub fn attached_corrected(what: &str, context: &Context) -> String {
    let mut out = String::new();
    let look = Look { width: context.width, color: context.color };
    prose(&mut out, look, "checked", Some(what));
    out
}

fn is_of_second_reading(label: &str) -> bool {
    matches!(label, "checked" | "behind")
}

/// The first line, and an empty one.
pub(super) fn headline(out: &mut String, finding: &Finding, prefix: &str, look: Look) {
    let indent = width(prefix);
    let mut lead = prefix.to_owned();
    for line in fit(&plain(&finding.summary), look.columns().saturating_sub(indent)) {
        out.push_str(&format!("{lead}{}\n", paint(look.color.summary, &line)));
        lead = " ".repeat(indent);
    }
    out.push('\n');
}

/// The labelled lines that the rule filled; the second of two with the same label continues the first.
pub(super) fn facts(out: &mut String, finding: &Finding, look: Look) {
    labelled_facts(out, finding, look, |_| true);
}

fn labelled_facts(out: &mut String, finding: &Finding, look: Look, wanted: impl Fn(&str) -> bool) {
    let facts: Vec<&Fact> = finding.facts.iter().filter(|fact| wanted(&fact.label)).collect();
    for same in facts.chunk_by(|one, next| one.label == next.label) {
        let lines = same.iter().flat_map(|fact| &fact.lines);
        let rows = lines.flat_map(|line| fit(&plain(line), look.value_columns()));
        let label = same.first().map_or("", |fact| &fact.label);
        labelled(out, look, label, &rows.collect::<Vec<_>>());
    }
}

/// One labelled sentence, where there is one.
pub(super) fn prose(out: &mut String, look: Look, label: &str, text: Option<&str>) {
    if let Some(text) = text {
        labelled(out, look, label, &fit(&plain(text), look.value_columns()));
    }
}

/// `try` for what helps; `risky` for a command that could harm, `never` for what is only named to warn of it.
pub(super) fn remedies(out: &mut String, finding: &Finding, look: Look) {
    let label_of = |remedy: &Remedy| match (remedy.safe, &remedy.command) {
        (true, _) => "try",
        (false, Some(_)) => "risky",
        (false, None) => "never",
    };
    for label in ["try", "risky", "never"] {
        let remedies = finding.remedies.iter().filter(|remedy| label_of(remedy) == label);
        let rows: Vec<String> = remedies.flat_map(|remedy| remedy_rows(remedy, look)).collect();
        labelled(out, look, label, &rows);
    }
}

/// A command stands behind its text where both fit, else on a line of its own; it is never cut.
fn remedy_rows(remedy: &Remedy, look: Look) -> Vec<String> {
    let cols = look.value_columns();
    let text = plain(&remedy.text);
    let mut rows = if text.is_empty() { Vec::new() } else { fit(&text, cols) };
    if let Some(command) = remedy.command.as_deref().map(plain) {
        let painted = paint(look.color.command, &command);
        match rows.last_mut() {
            Some(last) if width(last) + 1 + width(&command) <= cols => {
                *last = format!("{last} {painted}");
            }
            _ => rows.push(painted),
        }
    }
    rows
}

fn closing(out: &mut String, finding: &Finding, closing: &Closing, look: Look) {
    let (label, text, style) = match closing {
        Closing::More(command) => ("more", plain(command), look.color.command),
        Closing::Unseen(what) if what.is_empty() => {
            ("unseen", "nothing".to_owned(), look.color.label)
        }
        Closing::Unseen(what) => ("unseen", plain(&what.join("; ")), look.color.warning),
    };
    let code = code_line(finding);
    let mut rows = fit(&text, look.value_columns());
    let used = VALUE_COLUMN + rows.last().map_or(0, |row| width(row));
    let gap = code_gap(used, width(&code), look.columns());
    for row in &mut rows {
        *row = paint(style, row);
    }
    match (gap, rows.last_mut()) {
        (Some(gap), Some(last)) => {
            last.push_str(&format!("{}{}", " ".repeat(gap), paint(look.color.code, &code)));
        }
        _ => {
            let codes = fit(&code, look.value_columns());
            rows.extend(codes.iter().map(|line| paint(look.color.code, line)));
        }
    }
    labelled(out, look, label, &rows);
}

/// `http-silent, certain; seen as lock-held`.
pub(super) fn code_line(finding: &Finding) -> String {
    let sure = word(finding.confidence);
    let mut line = format!("{}, {sure}", plain(&finding.code));
    if finding.symptom != finding.code && !finding.symptom.is_empty() {
        line.push_str(&format!("; seen as {}", plain(&finding.symptom)));
    }
    line
}

/// Spaces between what stands on the last line already and the code; none where it does not fit.
fn code_gap(used: usize, code: usize, columns: usize) -> Option<usize> {
    let closest = used + 2;
    CODE_COLUMNS
        .into_iter()
        .chain([closest])
        .find(|column| *column >= closest && column + code <= columns)
        .map(|column| column - used)
}

/// `gmtrace: moving again after 34 s (proxy.example.com answered).`
pub fn moving_again(finding: &Finding, after: Nanos) -> String {
    let time = about(after);
    match resolution(finding) {
        Some(why) => format!("{PREFIX}moving again after {time} ({why})."),
        None => format!("{PREFIX}moving again after {time}."),
    }
}

/// The same, where the reason is not known.
pub fn moves_again(after: Nanos) -> String {
    format!("{PREFIX}moving again after {}.", about(after))
}

fn resolution(finding: &Finding) -> Option<String> {
    let who = || awaited(finding);
    match finding.code.as_str() {
        "dns-silent" | "connect-silent" | "tls-silent" | "tunnel-silent" | "http-silent"
        | "helper-silent" => Some(format!("{} answered", who()?)),
        "body-stalled" | "body-slow" | "peer-dead" => Some(format!("{} sends again", who()?)),
        "lock-held" | "lock-orphaned" => Some("the lock is free".to_owned()),
        "prompt" => Some("someone typed an answer".to_owned()),
        "pipe-held" => Some("the pipe is closed".to_owned()),
        _ => None,
    }
}

/// `gmtrace: still waiting for proxy.example.com, 3 min.`
pub fn still_waiting(finding: &Finding, since: Nanos) -> String {
    let time = about(since);
    match awaited(finding) {
        Some(whom) => format!("{PREFIX}still waiting for {whom}, {time}."),
        None => format!("{PREFIX}still waiting, {time} ({}).", plain(&finding.code)),
    }
}

/// What a finding waits for, in a few words: a host, a name server, a holder, a person.
pub fn awaited(finding: &Finding) -> Option<String> {
    if finding.code == "prompt" {
        return Some("you to type an answer".to_owned());
    }
    let peer = finding.peer.as_ref().and_then(|peer| peer.host.as_ref().or(peer.address.as_ref()));
    if let Some(name) = peer {
        let kind = if finding.code.starts_with("dns-") { "name server " } else { "" };
        return Some(format!("{kind}{}", name_of(name)));
    }
    if let Some(holder) = finding.lock.iter().flat_map(|lock| &lock.holders).next() {
        return Some(format!("{} (pid {})", name_of(&holder.argv.join(" ")), holder.pid));
    }
    finding.blocked.path.as_deref().map(name_of)
}

fn name_of(text: &str) -> String {
    cut_middle(&plain(text), LONGEST_NAME).into_owned()
}

/// What the end of a run left behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outputs<'a> {
    /// The files written.
    pub files: &'a [String],
    /// The command that renders the kept run; none where it was not kept.
    pub kept: Option<&'a str>,
}

/// `gmtrace: 212 modules, 48 MB in 31 s; slowest: example.com/big v2.0.1, 19 s waiting for proxy.example.com.`
pub fn end_line(report: &Report, outputs: Outputs) -> String {
    let mut parts = vec![outcome(report)];
    parts.extend(slowest(report));
    if !outputs.files.is_empty() {
        let names: Vec<String> = outputs.files.iter().map(|file| plain(file)).collect();
        parts.push(format!("wrote {}", names.join(", ")));
    }
    parts.extend(outputs.kept.map(|command| format!("kept: {}", plain(command))));
    let lost: u64 = report.losses.values().fold(0, |sum, count| sum.saturating_add(*count));
    if lost > 0 {
        parts.push(format!("{lost} events or values not seen"));
    }
    format!("{PREFIX}{}.", parts.join("; "))
}

fn outcome(report: &Report) -> String {
    let ended = ended(report);
    match (&report.command.exit, work(report)) {
        (Some(Exit::Code(0)), None) if downloads(report) => format!("{ended}, nothing downloaded"),
        (Some(Exit::Code(0)), None) => ended,
        (Some(Exit::Code(0)), Some(work)) => {
            format!("{work} in {}", about(report.command.duration_ns))
        }
        (_, work) => {
            let work = work.map_or_else(String::new, |work| format!(", {work}"));
            match cut_off(report) {
                Some(waited) => format!("{ended}, {waited}{work}"),
                None => format!("{ended}{work}{}", because(report)),
            }
        }
    }
}

/// Whether the command is one whose purpose is to download.
fn downloads(report: &Report) -> bool {
    report.go.is_some() && report.command.argv.iter().any(|word| word == "download")
}

/// `failed with status 1 after 31 s`.
pub(super) fn ended(report: &Report) -> String {
    let how = match (&report.command.exit, report.command.ended_by) {
        (_, Some(EndedBy::Timeout)) => "ended by --timeout".to_owned(),
        (_, Some(EndedBy::StallTimeout)) => "ended by --stall-timeout".to_owned(),
        (_, Some(EndedBy::Interrupt)) => "interrupted".to_owned(),
        (Some(Exit::Code(0)), _) => "ended well".to_owned(),
        (Some(Exit::Code(status)), _) => format!("failed with status {status}"),
        (Some(Exit::Signal(signal)), _) => format!("killed by {}", plain(signal)),
        (None, _) => "still running".to_owned(),
    };
    format!("{how} after {}", about(report.command.duration_ns))
}

/// The verdict, for a run that did not end well.
fn because(report: &Report) -> String {
    let summary = plain(&report.verdict.summary);
    match summary.trim_end_matches('.') {
        known if !known.is_empty() && !report.findings.is_empty() => format!(": {known}"),
        _ => String::new(),
    }
}

/// `5 s of it waiting for proxy.example.com (http-silent)`, where that is how it was when the run was ended: the sentence of its
/// stall has the time of the moment at which it was said.
fn cut_off(report: &Report) -> Option<String> {
    let (verdict, stall) = (report.findings.first()?, report.stalls.last()?);
    let cut = stall.finding.as_ref() == Some(&verdict.id) && verdict.end_ns == stall.end_ns;
    let whom = awaited(verdict).filter(|_| cut && verdict.end_ns.is_some())?;
    let waited = about(verdict.blocked_ns);
    Some(format!("{waited} of it waiting for {whom} ({})", plain(&verdict.code)))
}

/// `212 modules, 48 MB`; none where neither was seen.
pub(super) fn work(report: &Report) -> Option<String> {
    let totals = &report.totals;
    let size = (totals.bytes > 0).then(|| bytes(totals.bytes));
    let modules = (totals.modules > 0).then(|| count(totals.modules, "module", "modules"));
    let parts: Vec<String> = modules.into_iter().chain(size).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn slowest(report: &Report) -> Option<String> {
    let (module, kind, waited) = report
        .modules
        .iter()
        .filter_map(|module| longest_wait(module).map(|(kind, waited)| (module, kind, waited)))
        .max_by_key(|(_, _, waited)| *waited)
        .filter(|(_, _, waited)| *waited >= WORTH_A_WORD)?;
    let time = about(waited);
    let doing = waiting_words(module, kind);
    Some(format!("slowest: {}, {time} {doing}", name_of(&module_name(module))))
}

/// What a module waited for longest: the kind, as in `wait_ns`, and the time.
pub(super) fn longest_wait(module: &ModuleRow) -> Option<(&str, Nanos)> {
    let longest = module.wait_ns.iter().max_by_key(|(_, waited)| **waited);
    longest.map(|(kind, waited)| (kind.as_str(), Nanos(*waited)))
}

/// `example.com/lib v1.4.2`.
pub(super) fn module_name(module: &ModuleRow) -> String {
    format!("{} {}", module.path, module.version).trim_end().to_owned()
}

/// `waiting for proxy.example.com`, by the kind of wait.
fn waiting_words(module: &ModuleRow, kind: &str) -> String {
    let host = module.attempts.iter().rev().map(|attempt| attempt.host.as_str());
    let host = host.filter(|host| !host.is_empty()).map(name_of).next();
    let host = host.unwrap_or_else(|| "the server".to_owned());
    match kind {
        "dns" => format!("looking up {host}"),
        "connect" => format!("connecting to {host}"),
        "tls" => format!("in the TLS handshake with {host}"),
        "body" => format!("receiving from {host}"),
        "lock" => "waiting for a lock".to_owned(),
        "exec" => "in a program it ran".to_owned(),
        _ => format!("waiting for {host}"),
    }
}
