//! From the model to the report.

use super::requests::Requests;
use super::*;
use super::{gocalls, lookups};
use crate::event::Record;
use crate::session::{Connection, LockWait, Phase, Process, Session};
use crate::watch::Watch;

/// What the model does not know and the report needs.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// The wall clock now, RFC 3339.
    pub observed_at: String,
    /// The monotonic clock now.
    pub now: Nanos,
    /// Stops of a tracee so far.
    pub stops: u64,
}

/// The report of a run, as far as it has come.
pub fn report(watch: &Watch, frame: &Frame) -> Report {
    let session = &watch.session;
    let findings = watch.findings();
    let now = frame.now.max(session.now);
    let verdict = verdict(watch, &findings);
    let requests = Requests::of(session);
    Report {
        schema: TIMELINE_SCHEMA.to_owned(),
        complete: session.is_over(),
        mode: session.header.mode,
        gmtrace: session.header.gmtrace.clone(),
        host: session.header.host.clone(),
        backend: session.header.backend.clone(),
        command: command(session, frame, now),
        go: go(session),
        processes: processes(session),
        spans: spans(session, &requests),
        modules: modules(session, &requests, &findings),
        hosts: hosts(session, &requests),
        stalls: watch.stalls(),
        verdict,
        totals: totals(session, &requests, frame),
        losses: session.losses.clone(),
        notes: session.notes.clone(),
        findings,
    }
}

/// Folds a whole recording; says what it holds, or on which line it cannot be read.
pub fn replay(records: impl Iterator<Item = Result<Record, String>>) -> Result<Watch, String> {
    let mut watch: Option<Watch> = None;
    for (n, record) in records.enumerate() {
        let record = record.map_err(|why| format!("line {}: {why}", n + 1))?;
        match (record, watch.as_mut()) {
            (Record::Header(header), None) => watch = Some(Watch::new(*header)),
            (Record::Event(event), Some(watch)) => {
                watch.observe(&event);
            }
            (Record::End(end), Some(watch)) => watch.finish(end),
            (Record::Header(_), Some(_)) => return Err(format!("line {}: a second header", n + 1)),
            (_, None) => return Err("line 1: no header: not a recording of gmtrace".to_owned()),
        }
    }
    watch.ok_or_else(|| "the recording is empty".to_owned())
}

fn verdict(watch: &Watch, findings: &[Finding]) -> Verdict {
    let failed = matches!(
        watch.session.end.as_ref().and_then(|e| e.exit.as_ref()),
        Some(Exit::Signal(_)) | Some(Exit::Code(1..))
    );
    let first = findings.first();
    let state = match first.map(|f| f.state) {
        Some(FindingState::Stalled) => VerdictState::Stalled,
        _ if failed => VerdictState::Failed,
        Some(FindingState::Slow) => VerdictState::Slow,
        Some(FindingState::Failed | FindingState::Notice) | None => VerdictState::Ok,
    };
    let summary = match first {
        Some(finding) => finding.summary.clone(),
        None if watch.session.is_over() => "It ended well; nothing stalled.".to_owned(),
        None => "It works: things move.".to_owned(),
    };
    Verdict { state, code: first.map(|f| f.code.clone()), summary }
}

fn command(session: &Session, frame: &Frame, now: Nanos) -> Command {
    let end = session.end.as_ref();
    Command {
        argv: session.header.argv.clone(),
        cwd: session.header.cwd.clone(),
        pid: session.header.pid,
        started_at: session.header.started_at.clone(),
        observed_at: frame.observed_at.clone(),
        duration_ns: end.map_or(now, |e| e.t),
        exit: end.and_then(|e| e.exit.clone()),
        ended_by: end.and_then(|e| e.ended_by),
    }
}

fn go(session: &Session) -> Option<GoSection> {
    let settings = session.settings.values().next()?;
    Some(GoSection {
        version: settings.version.clone(),
        path: settings.path.clone(),
        resolver: settings.resolver.clone(),
        env: settings.env.clone(),
    })
}

fn all_processes(session: &Session) -> impl Iterator<Item = &Process> {
    session.ended.iter().chain(session.processes.values())
}

fn processes(session: &Session) -> Vec<ProcessRow> {
    let mut rows: Vec<ProcessRow> = all_processes(session)
        .map(|p| ProcessRow {
            pid: p.pid,
            ns_pid: p.ns_pid,
            ppid: p.ppid,
            argv: p.exec.as_ref().map(|e| e.argv.clone()).unwrap_or_default(),
            exe: p.exec.as_ref().map(|e| e.exe.clone()).unwrap_or_default(),
            started_ns: p.started,
            ended_ns: p.ended,
            exit: p.exit.clone(),
            role: p.role(),
        })
        .collect();
    rows.sort_by_key(|p| (p.started_ns, p.pid));
    rows
}

/// Spans in the order of their beginning, each below the process it happened in.
fn spans(session: &Session, requests: &Requests<'_>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    spans.extend(all_processes(session).map(process_span));
    let asked = session.lookups.iter().chain(found(session, &session.found_lookups));
    spans.extend(asked.flat_map(lookups::of_questions));
    spans.extend(session.getaddrinfos.iter().map(lookups::of_call));
    let own = session.connections.iter().filter(|c| !c.is_dns());
    spans.extend(own.flat_map(|c| connection_spans(session, requests, c)));
    spans.extend(requests.spans(session));
    spans.extend(found(session, &session.found_connections).iter().map(|c| found_span(session, c)));
    let locks = session.locks.iter().chain(found(session, &session.found_locks));
    spans.extend(locks.map(lock_span));
    spans.extend(work::spans(session));
    spans.extend(gocalls::spans(session));
    spans.sort_by_key(|s| (s.start_ns, s.r#type));
    for (n, span) in spans.iter_mut().enumerate() {
        span.id = format!("{:016x}", n + 1);
    }
    let mut parents: std::collections::HashMap<Pid, Vec<(String, Nanos, Option<Nanos>)>> =
        std::collections::HashMap::new();
    for s in spans.iter().filter(|s| s.r#type == SpanType::Process) {
        parents.entry(s.pid).or_default().push((s.id.clone(), s.start_ns, s.end_ns));
    }
    let modules = work::modules(&spans);
    for span in spans.iter_mut().filter(|s| s.r#type != SpanType::Process) {
        if let Some(id) = work::module_of(&modules, span) {
            span.parent = Some(id);
            continue;
        }
        let lives = parents.get(&span.pid).map_or(&[][..], Vec::as_slice);
        span.parent = lives
            .iter()
            .rev()
            .find(|(_, start, end)| {
                *start <= span.start_ns && end.is_none_or(|e| e >= span.start_ns)
            })
            .map(|(id, ..)| id.clone());
    }
    spans
}

/// Of what was found running, what the snapshots show is all there is.
fn found<'s, T>(session: &Session, found: &'s [T]) -> &'s [T] {
    if session.is_attached() { found } else { &[] }
}

/// A connection whose beginning was not seen: from the last data that was sent on it.
fn found_span(session: &Session, c: &Connection) -> Span {
    let name = session.names_of(c.peer.ip()).last().cloned();
    let name = name.unwrap_or_else(|| c.peer.ip().to_string());
    let (kind, word) = match c.phase() {
        Phase::Connecting => (SpanType::Connect, "connect"),
        _ => (SpanType::Read, "read"),
    };
    span(kind, format!("{word} {name}"), c.since, None, c.pid, c.tid)
        .attr("server.address", name)
        .attr("server.port", c.peer.port())
        .attr("network.peer.address", c.peer.ip().to_string())
        .attr("network.peer.port", c.peer.port())
        .attr("gmtrace.bytes_received", c.bytes_received())
}

pub(super) fn span(
    r#type: SpanType,
    name: String,
    start: Nanos,
    end: Option<Nanos>,
    pid: Pid,
    tid: Tid,
) -> Span {
    Span {
        id: String::new(),
        parent: None,
        r#type,
        name,
        start_ns: start,
        end_ns: end,
        status: if end.is_some() { SpanStatus::Ok } else { SpanStatus::Open },
        pid,
        tid,
        goid: None,
        module: None,
        attrs: Map::new(),
    }
}

impl Span {
    pub(super) fn attr(mut self, key: &str, value: impl Into<Value>) -> Span {
        self.attrs.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn failed(mut self, error: &str) -> Span {
        self.status = SpanStatus::Error;
        self.attr("error.type", error)
    }
}

fn process_span(p: &Process) -> Span {
    let name = match p.words() {
        words if words.is_empty() => format!("process {}", p.pid),
        words => words,
    };
    let made = span(SpanType::Process, name, p.started, p.ended, p.pid, p.pid.into())
        .attr("process.pid", p.pid.0);
    match &p.exit {
        Some(Exit::Code(0)) | None => made,
        Some(Exit::Code(code)) => made.attr("process.exit.code", *code).failed("exit"),
        Some(Exit::Signal(signal)) => made.failed(signal),
    }
}

fn connection_spans(session: &Session, requests: &Requests<'_>, c: &Connection) -> Vec<Span> {
    let host = c.asked_host().or_else(|| session.names_of(c.peer.ip()).last().cloned());
    let name = host.unwrap_or_else(|| c.peer.ip().to_string());
    let describe = |made: Span| {
        made.attr("server.address", name.clone())
            .attr("server.port", c.peer.port())
            .attr("network.peer.address", c.peer.ip().to_string())
            .attr("network.peer.port", c.peer.port())
    };
    let decided = c.decided.as_ref().map(|(t, _)| *t).or(c.closed);
    let connect = describe(span(
        SpanType::Connect,
        format!("connect {name}"),
        c.since,
        decided,
        c.pid,
        c.tid,
    ));
    let connect = match (c.failure(), &c.decided) {
        (Some(error), _) => connect.failed(error),
        (None, None) if c.closed.is_some() => connect.failed("timeout"),
        _ => connect,
    };
    let mut spans = vec![connect];
    if let Some(hello) = &c.hello {
        let end = c.tls_reply.as_ref().map(|(t, _)| *t).or(c.closed);
        let mut tls =
            describe(span(SpanType::Tls, format!("tls {name}"), hello.t, end, c.pid, c.tid))
                .attr("gmtrace.tls.client_hello_bytes", hello.size);
        if let Some(sni) = &hello.sni {
            tls = tls.attr("gmtrace.tls.sni", sni.clone());
        }
        spans.push(match &c.tls_reply {
            Some((_, crate::event::TlsReply::ServerHello)) => tls,
            Some((
                _,
                crate::event::TlsReply::Alert(what)
                | crate::event::TlsReply::NotTls(what)
                | crate::event::TlsReply::Closed(what),
            )) => tls.failed(what),
            None if end.is_some() && c.bytes_received() == 0 => tls.failed("timeout"),
            None => tls,
        });
    }
    if let Some(request) = c.request.as_ref().filter(|_| !requests.tell_of(c)) {
        let end = c.response.as_ref().map(|r| r.t).or(c.closed);
        let mut http = describe(span(
            SpanType::Http,
            format!("{} {}", request.method, request.url),
            request.t,
            end,
            c.pid,
            c.tid,
        ))
        .attr("http.request.method", request.method.clone())
        .attr("url.full", request.url.clone());
        if let Some(response) = &c.response {
            http = http.attr("http.response.status_code", response.status);
        }
        let unanswered = c.response.is_none() && end.is_some();
        spans.push(if unanswered { http.failed("no response was seen") } else { http });
    }
    if c.bytes_received() > 0 || c.received_at.is_some() {
        let start = decided.unwrap_or(c.since);
        let known = if c.exact { "exact" } else { "sampled" };
        spans.push(
            describe(span(SpanType::Read, format!("read {name}"), start, c.closed, c.pid, c.tid))
                .attr("gmtrace.bytes_received", c.bytes_received())
                .attr("gmtrace.bytes_known", known),
        );
    }
    spans
}

fn lock_span(lock: &LockWait) -> Span {
    let name = lock.path.rsplit('/').next().unwrap_or(&lock.path).to_owned();
    let made =
        span(SpanType::Lock, format!("lock {name}"), lock.since, lock.ended, lock.pid, lock.tid)
            .attr("gmtrace.lock.path", lock.path.clone());
    match lock.failed() {
        Some(error) => made.failed(error),
        None => made,
    }
}

/// Modules whose locks were asked for, that goroutines worked on, that were requested, or that a finding names.
fn modules(session: &Session, requests: &Requests<'_>, findings: &[Finding]) -> Vec<ModuleRow> {
    let mut rows: Vec<ModuleRow> = Vec::new();
    for lock in &session.locks {
        let cache = session.settings_for(lock.pid).and_then(|s| s.env.get("GOMODCACHE"));
        let place =
            crate::settings::module_of_lock_path(&lock.path, cache.map(|s| s.value.as_str()));
        let Some((path, version)) = place.and_then(|p| Some((p.module?, p.version?))) else {
            continue;
        };
        add_module(&mut rows, path, version, lock, work::result(session, lock.pid, None));
    }
    for work in &session.work {
        let Some((path, version)) = work.module.split_once('@') else { continue };
        let result = work::result(session, work.pid, Some(work));
        let known = rows.iter_mut().find(|r| r.path == path && r.version == version);
        match known {
            Some(row) => {
                row.start_ns = row.start_ns.min(work.since);
                result.clone_into(&mut row.result);
                row.end_ns = row.end_ns.map(|end| end.max(work.until));
            }
            None => rows.push(ModuleRow {
                path: path.to_owned(),
                version: version.to_owned(),
                result: result.to_owned(),
                start_ns: work.since,
                end_ns: (!work.open).then_some(work.until),
                ..ModuleRow::default()
            }),
        }
    }
    requests.in_modules(session, &mut rows);
    for module in findings.iter().flat_map(|f| &f.modules) {
        let Some((path, version)) = module.split_once('@') else { continue };
        if !rows.iter().any(|r| r.path == path && r.version == version) {
            rows.push(ModuleRow {
                path: path.to_owned(),
                version: version.to_owned(),
                result: "open".to_owned(),
                ..ModuleRow::default()
            });
        }
    }
    rows
}

fn add_module(
    rows: &mut Vec<ModuleRow>,
    path: String,
    version: String,
    lock: &LockWait,
    result: &str,
) {
    let waited = lock.ended.map_or(0, |end| end.since(lock.since).0);
    let at = rows.iter().position(|r| r.path == path && r.version == version);
    let index = at.unwrap_or_else(|| {
        rows.push(ModuleRow {
            path,
            version,
            result: result.to_owned(),
            start_ns: lock.since,
            ..ModuleRow::default()
        });
        rows.len() - 1
    });
    if let Some(row) = rows.get_mut(index) {
        *row.wait_ns.entry("lock".to_owned()).or_default() += waited;
        row.end_ns = lock.ended;
    }
}

fn hosts(session: &Session, requests: &Requests<'_>) -> Vec<HostRow> {
    let mut judged = std::collections::HashSet::new();
    let mut rows: Vec<HostRow> = Vec::new();
    let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let all = session.connections.iter().chain(found(session, &session.found_connections));
    for c in all.filter(|c| !c.is_dns()) {
        let host = c
            .asked_host()
            .or_else(|| session.names_of(c.peer.ip()).last().cloned())
            .unwrap_or_else(|| c.peer.ip().to_string());
        let at = rows.iter().position(|r| r.host == host).unwrap_or_else(|| {
            rows.push(HostRow { host: host.clone(), ..HostRow::default() });
            rows.len() - 1
        });
        let Some(row) = rows.get_mut(at) else { continue };
        let address = c.peer.ip().to_string();
        if !row.addresses.contains(&address) {
            row.addresses.push(address);
        }
        row.connections += 1;
        row.bytes += c.bytes_received();
        row.failures += u64::from(c.failure().is_some() || c.phase() == Phase::DeadPath);
        if requests.over(c) > 0 {
            *row.requests.get_or_insert(0) += requests.over(c);
        }
        // Once a host: to judge is dear, and there may be thousands of connections.
        if judged.insert(at) {
            row.role = row.role.or_else(|| crate::diagnose::role_of_connection(session, c));
        }
        // How long it took is not known of a connection that was found.
        let decided = c.decided.as_ref().filter(|(t, _)| c.failure().is_none() && *t > c.since);
        if let Some((t, _)) = decided {
            times.entry(host).or_default().push(t.since(c.since).0);
        }
    }
    for host in requests.without_connection() {
        if let Some(row) = rows.iter_mut().find(|row| row.host == host) {
            *row.requests.get_or_insert(0) += 1;
        }
    }
    for row in &mut rows {
        if let Some(times) = times.get_mut(&row.host) {
            times.sort_unstable();
            row.connect_median_ns = times.get(times.len() / 2).copied();
            row.connect_max_ns = times.last().copied();
        }
    }
    rows
}

fn totals(session: &Session, requests: &Requests<'_>, frame: &Frame) -> Totals {
    let open: u64 =
        session.connections.iter().filter(|c| !c.exact).map(Connection::bytes_received).sum();
    Totals {
        modules: session.modules_locked.len() as u64,
        requests: requests.total(session),
        bytes: session.bytes_closed + open,
        lookups: session.lookups.len() as u64,
        locks: session.locks_taken,
        connections: session.connections.iter().filter(|c| !c.is_dns()).count() as u64,
        processes: all_processes(session).count() as u64,
        events: session.events,
        stops: frame.stops,
    }
}
