//! The report for a terminal: what `gmtrace report` prints.

use super::layout::{
    Column, Look, about, exact, fit, labelled, left, plain, right, table, word, words,
};
use super::message::{
    code_line, ended, facts, headline, longest_wait, module_name, prose, remedies, work,
};
use super::palette::{Palette, paint};
use super::ranking::{
    busiest_hosts, end_of, length, longest_steps, module_time, slow_modules, steps,
};
use super::{Evidence, Finding, HostRow, Link, ModuleRow, Report, Span, Stall};
use crate::text::bytes;
use crate::units::Nanos;

/// Rows of a table at most.
const MOST_ROWS: usize = 10;

/// The whole report, for a terminal `width` columns wide.
pub fn report(report: &Report, width: usize, color: Palette) -> String {
    let mut page = Page { out: String::new(), look: Look { width, color } };
    page.losses(report);
    page.verdict(report);
    for finding in &report.findings {
        page.finding(finding);
    }
    page.hosts(report);
    page.modules(report);
    page.spans(report);
    page.notes(report);
    page.limits(report);
    format!("{}\n", page.out.trim_end_matches('\n'))
}

fn go_row(report: &Report) -> String {
    let Some(go) = &report.go else {
        return "none was seen: nothing is said of modules, proxies and settings".to_owned();
    };
    let version = go.version.as_deref().unwrap_or("version unknown");
    format!("{}, {}", plain(version), plain(&go.path))
}

struct Page {
    out: String,
    look: Look,
}

impl Page {
    /// What was not seen comes first: it limits all that follows.
    fn losses(&mut self, report: &Report) {
        if report.losses.is_empty() {
            return;
        }
        let title = paint(self.look.color.warning, "Not everything was seen.");
        self.out.push_str(&format!("{title}\n\n"));
        let lost: Vec<String> = report
            .losses
            .iter()
            .map(|(cause, count)| format!("{count}: {}", plain(cause)))
            .collect();
        self.label("lost", &lost);
        self.unseen(report);
        self.out.push('\n');
    }

    /// What this way of watching never sees: no news, where nothing was lost.
    fn limits(&mut self, report: &Report) {
        if report.losses.is_empty() {
            self.unseen(report);
        }
    }

    fn unseen(&mut self, report: &Report) {
        let unseen: Vec<String> = report.backend.unseen.iter().map(|what| plain(what)).collect();
        self.label("unseen", &unseen);
    }

    fn verdict(&mut self, report: &Report) {
        let command = &report.command;
        for line in fit(&plain(&report.verdict.summary), self.look.columns()) {
            self.out.push_str(&format!("{}\n", paint(self.look.color.summary, &line)));
        }
        self.out.push('\n');
        let downloaded = work(report).map(|work| format!(", {work}")).unwrap_or_default();
        let watched = format!("by {}: {}", report.backend.name, report.backend.why);
        self.label("command", &[format!("{} (pid {})", words(&command.argv), command.pid)]);
        self.label("in", &[plain(&command.cwd)]);
        self.label("started", &[plain(&command.started_at)]);
        self.label("outcome", &[format!("{}{downloaded}", ended(report))]);
        self.label("go", &[go_row(report)]);
        self.label("watched", &[plain(&watched)]);
        let now = end_of(report);
        let stalls = report.stalls.iter().map(|stall| stall_row(stall, report, now));
        self.label("stalls", &stalls.collect::<Vec<_>>());
        self.out.push('\n');
    }

    /// A finding in full: the block of a stall, with all that explains it and all that speaks against it.
    fn finding(&mut self, finding: &Finding) {
        headline(&mut self.out, finding, "", self.look);
        facts(&mut self.out, finding, self.look);
        prose(&mut self.out, self.look, "limit", finding.limit.as_deref());
        self.rows("chain", finding.chain.iter().map(link_row));
        self.rows("behind", finding.waiters.iter().map(link_row));
        self.rows("evidence", finding.evidence.iter().map(evidence_row));
        self.rows("or else", finding.alternatives.iter().map(|other| plain(other)));
        remedies(&mut self.out, finding, self.look);
        let lasted = format!("{}, from {} on", exact(finding.blocked_ns), exact(finding.since_ns));
        self.label("lasted", &[lasted]);
        self.label("code", &[format!("{} ({})", code_line(finding), plain(&finding.id))]);
        self.out.push('\n');
    }

    fn hosts(&mut self, report: &Report) {
        let head = [
            left("HOST"),
            left("FOR"),
            right("CONNECTED"),
            right("FAILED"),
            right("RECEIVED"),
            right("MEDIAN"),
            right("MAX"),
        ];
        let rows = busiest_hosts(report, MOST_ROWS).into_iter().map(host_row).collect();
        self.table("Hosts, and how long connecting took", &head, rows, report.hosts.len());
    }

    fn modules(&mut self, report: &Report) {
        let now = end_of(report);
        let head = [
            left("MODULE"),
            right("TIME"),
            right("RECEIVED"),
            left("RESULT"),
            left("LONGEST WAIT"),
        ];
        let rows = slow_modules(report, MOST_ROWS).into_iter().map(|row| module_row(row, now));
        self.table("Slowest modules", &head, rows.collect(), report.modules.len());
    }

    fn spans(&mut self, report: &Report) {
        let now = end_of(report);
        let head =
            [left("WHAT"), left("NAME"), right("FROM"), right("TIME"), left("END"), right("PID")];
        let rows = longest_steps(report, MOST_ROWS).into_iter().map(|span| span_row(span, now));
        self.table("Longest steps", &head, rows.collect(), steps(report).count());
    }

    fn notes(&mut self, report: &Report) {
        for note in &report.notes {
            for line in fit(&plain(note), self.look.columns()) {
                self.out.push_str(&format!("{line}\n"));
            }
        }
    }

    fn heading(&mut self, title: &str) {
        self.out.push_str(&format!("{}\n\n", paint(self.look.color.summary, title)));
    }

    fn rows(&mut self, label: &str, rows: impl Iterator<Item = String>) {
        self.label(label, &rows.collect::<Vec<_>>());
    }

    /// Rows are escaped already, and fitted here; a label without rows is left out.
    fn label(&mut self, label: &str, rows: &[String]) {
        let cols = self.look.value_columns();
        let rows: Vec<String> = rows.iter().flat_map(|row| fit(row, cols)).collect();
        labelled(&mut self.out, self.look, label, &rows);
    }

    fn table(&mut self, title: &str, head: &[Column], rows: Vec<Vec<String>>, total: usize) {
        if rows.is_empty() {
            return;
        }
        match rows.len() < total {
            true => self.heading(&format!("{title} ({} of {total})", rows.len())),
            false => self.heading(title),
        }
        table(&mut self.out, self.look, head, &rows);
        self.out.push('\n');
    }
}

fn stall_row(stall: &Stall, report: &Report, now: Nanos) -> String {
    let time = exact(stall.end_ns.unwrap_or(now).since(stall.start_ns));
    let open = if stall.end_ns.is_none() { ", and still" } else { "" };
    let finding =
        report.findings.iter().find(|finding| Some(&finding.id) == stall.finding.as_ref());
    let code = finding.map_or_else(|| "unexplained".to_owned(), |finding| plain(&finding.code));
    format!("nothing moved for {time}, from {} on{open}: {code}", exact(stall.start_ns))
}

fn link_row(link: &Link) -> String {
    let because = match link.because.as_str() {
        "" => String::new(),
        why => format!(" ({})", plain(why)),
    };
    let whom = plain(&link.waits_for);
    format!("{} (pid {}): {whom}{because}", words(&link.argv), link.pid)
}

fn evidence_row(fact: &Evidence) -> String {
    format!("{} ({}, at {})", plain(&fact.text), plain(&fact.source), exact(fact.t))
}

/// The cells of a host, in the order of the table's columns; the page for a CI summary has the same.
pub(super) fn host_row(host: &HostRow) -> Vec<String> {
    let time = |ns: Option<u64>| ns.map_or_else(dash, |ns| exact(Nanos(ns)));
    vec![
        plain(&host.host),
        host.role.map_or_else(dash, word),
        host.connections.to_string(),
        host.failures.to_string(),
        bytes(host.bytes),
        time(host.connect_median_ns),
        time(host.connect_max_ns),
    ]
}

/// The cells of a module.
pub(super) fn module_row(module: &ModuleRow, now: Nanos) -> Vec<String> {
    let wait =
        longest_wait(module).map(|(kind, waited)| format!("{} {}", about(waited), in_short(kind)));
    vec![
        plain(&module_name(module)),
        exact(module_time(module, now)),
        module.bytes.map_or_else(dash, bytes),
        plain(&module.result),
        wait.unwrap_or_else(dash),
    ]
}

/// The kinds of `wait_ns`, after a time.
fn in_short(kind: &str) -> &'static str {
    match kind {
        "dns" => "looking up the name",
        "connect" => "connecting",
        "tls" => "in the TLS handshake",
        "first_byte" => "for the first byte",
        "body" => "receiving",
        "lock" => "for a lock",
        "exec" => "in programs it ran",
        _ => "",
    }
}

fn span_row(span: &Span, now: Nanos) -> Vec<String> {
    vec![
        word(span.r#type),
        plain(&span.name),
        exact(span.start_ns),
        exact(length(span, now)),
        word(span.status),
        span.pid.to_string(),
    ]
}

fn dash() -> String {
    "-".to_owned()
}
