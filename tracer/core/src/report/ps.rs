//! What `gmtrace ps` prints: the go commands that run, and what each of them waits for (`gmtrace.ps/1`).

use super::json::{Layout, encode};
use super::layout::word;
use super::layout::{Look, indented_table, left, plain, right, words};
use super::palette::Palette;
use super::{Confidence, Finding, Peer, message};
use crate::diagnose::attached::name_of_peer;
use crate::event::{ProcessRole, ProcessState, StartedBy};
use crate::text;
use crate::units::{Nanos, Pid};
use crate::watch::Watch;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema name. Removing or changing a key makes `/2`.
pub const PS_SCHEMA: &str = "gmtrace.ps/1";

/// The go commands on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ps {
    /// [`PS_SCHEMA`].
    pub schema: String,
    /// Version.
    pub gmtrace: String,
    /// RFC 3339, nanoseconds: when the list was made.
    pub observed_at: String,
    /// The commands: those that wait first, and of them those that hold up most others.
    pub processes: Vec<PsRow>,
    /// What could not be read, and why.
    pub unseen: Vec<String>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PsRow {
    /// Its id.
    pub pid: Pid,
    /// Its id in its own pid namespace, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_pid: Option<Pid>,
    /// The container it runs in, where its control group names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its parent.
    pub ppid: Pid,
    /// Its user.
    pub uid: Option<u32>,
    /// How long it has run.
    pub age_ns: Nanos,
    /// What it does.
    pub state: PsState,
    /// Its words, redacted.
    pub argv: Vec<String>,
    /// Its working directory; null where it may not be read.
    pub cwd: Option<String>,
    /// Who started it: gopls, make, a CI runner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<StartedBy>,
    /// What it waits for; null where nothing is known.
    pub waiting_for: Option<WaitingFor>,
    /// The other commands of this list that wait for it.
    pub holds_up: Vec<Pid>,
}

/// What a command does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PsState {
    /// Something that it started waits for somebody to type.
    Asking,
    /// It waits, and nothing moves.
    Waiting,
    /// Things move.
    Working,
    /// Nothing is asked of it.
    Idle,
    /// It may not be looked into.
    Hidden,
}

/// What a command waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingFor {
    /// In a few words: a host, a pid, a person.
    pub what: String,
    /// The finding's code; `unknown` where nothing explains the wait.
    pub code: String,
    /// How sure.
    pub confidence: Confidence,
    /// The other end of a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// The processes that hold the lock it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Pid>,
    /// `path@version` of what waits.
    pub modules: Vec<String>,
}

/// What two readings of `watch` say of the commands `pids`.
pub fn ps(watch: &Watch, pids: &[Pid], observed_at: &str) -> Ps {
    let session = &watch.session;
    let findings = watch.findings();
    let states = pids.iter().filter_map(|pid| session.state_of(*pid));
    let mut rows: Vec<PsRow> = states.map(|state| row(watch, state, &findings)).collect();
    let waits: Vec<(Pid, Vec<Pid>)> = rows.iter().map(|row| (row.pid, holders_of(row))).collect();
    for row in &mut rows {
        let behind = waits.iter().filter(|(_, holders)| holders.contains(&row.pid));
        row.holds_up = behind.map(|(pid, _)| *pid).collect();
    }
    rows.sort_by_key(|row| (row.state, std::cmp::Reverse(row.holds_up.len()), row.pid));
    let unseen = session.snapshot.as_ref().map(|(_, s)| s.unseen.clone()).unwrap_or_default();
    Ps {
        schema: PS_SCHEMA.to_owned(),
        gmtrace: session.header.gmtrace.clone(),
        observed_at: observed_at.to_owned(),
        processes: rows,
        unseen,
    }
}

fn holders_of(row: &PsRow) -> Vec<Pid> {
    row.waiting_for.as_ref().map(|w| w.holders.clone()).unwrap_or_default()
}

fn row(watch: &Watch, process: &ProcessState, findings: &[Finding]) -> PsRow {
    let pid = process.pid;
    let session = &watch.session;
    let about = |f: &&Finding| {
        f.code != "unknown"
            && (f.chain.first().is_some_and(|l| l.pid == pid)
                || session.is_below(f.blocked.pid, pid))
    };
    let finding = findings.iter().find(about);
    let waiting_for = finding.map(|f| waiting_for(watch, f));
    let state = match finding {
        _ if is_hidden(process) => PsState::Hidden,
        Some(f) if f.code == "prompt" => PsState::Asking,
        Some(_) => PsState::Waiting,
        None if watch.moved().contains(&pid) => PsState::Working,
        None if process.role == ProcessRole::Go => PsState::Waiting,
        None => PsState::Idle,
    };
    let unexplained = || (state == PsState::Waiting).then(unknown);
    PsRow {
        pid,
        ns_pid: process.ns_pid,
        container: process.cgroup.as_deref().and_then(container),
        ppid: process.ppid,
        uid: process.uid,
        age_ns: process.age_ns,
        state,
        argv: session.argv(pid),
        cwd: process.cwd.clone(),
        started_by: process.started_by.clone(),
        waiting_for: waiting_for.filter(|_| state != PsState::Hidden).or_else(unexplained),
        holds_up: Vec::new(),
    }
}

/// Neither its program nor its counters may be read.
fn is_hidden(process: &ProcessState) -> bool {
    process.exe.is_none() && process.written.is_none()
}

fn waiting_for(watch: &Watch, finding: &Finding) -> WaitingFor {
    let holders: Vec<Pid> =
        finding.lock.iter().flat_map(|lock| &lock.holders).map(|h| h.pid).collect();
    WaitingFor {
        what: in_short(watch, finding, &holders),
        code: finding.code.clone(),
        confidence: finding.confidence,
        peer: finding.peer.clone(),
        holders,
        modules: finding.modules.clone(),
    }
}

fn unknown() -> WaitingFor {
    WaitingFor {
        what: "not known".to_owned(),
        code: "unknown".to_owned(),
        confidence: Confidence::Possible,
        peer: None,
        holders: Vec::new(),
        modules: Vec::new(),
    }
}

/// `proxy.example.com`, `41190 (lock, lib v1.4.2)`, `you: ssh on pts/3`.
fn in_short(watch: &Watch, finding: &Finding, holders: &[Pid]) -> String {
    if finding.code == "prompt" {
        return asked(watch, finding);
    }
    if let Some(holder) = holders.first() {
        let module = finding.modules.first().map(|module| {
            let name = text::module(module);
            format!(", {}", name.rsplit('/').next().unwrap_or(&name))
        });
        return format!("{holder} (lock{})", module.unwrap_or_default());
    }
    if let Some(name) = finding.peer.as_ref().filter(|_| !finding.code.starts_with("dns-")) {
        return name_of_peer(name).unwrap_or_default();
    }
    let child = finding.chain.last().map(|link| link.pid);
    match (message::awaited(finding), child) {
        (Some(whom), _) => whom,
        (None, Some(pid)) if finding.code == "child-waiting" => {
            let words = watch.session.argv(pid);
            format!("{} (pid {pid})", words.first().map_or("a child", |w| file_name(w)))
        }
        _ => finding.code.clone(),
    }
}

fn asked(watch: &Watch, finding: &Finding) -> String {
    let asker = finding.chain.last().map_or(finding.blocked.pid, |link| link.pid);
    let argv = watch.session.argv(asker);
    let program = argv.first().map_or("?", |word| file_name(word));
    match watch.session.state_of(asker).and_then(|p| p.tty.as_ref()) {
        Some(tty) => format!("you: {program} on {tty}"),
        None => format!("you: {program}"),
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The container that a control group belongs to: `docker-ID.scope`, `/docker/ID`, `cri-containerd-ID.scope`, `libpod-ID.scope`,
/// `/lxc/NAME`. Of an id, the first twelve digits, as the container engines print it.
fn container(cgroup: &str) -> Option<String> {
    let parts: Vec<&str> = cgroup.split('/').collect();
    let id = parts.iter().rev().find_map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let id = part.rsplit('-').next().unwrap_or(part);
        let hex = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hex { id.get(..12) } else { None }
    });
    let lxc = parts.iter().find_map(|part| {
        part.strip_prefix("lxc.payload.").or_else(|| part.strip_prefix("lxc.monitor."))
    });
    let below_lxc = parts.windows(2).find_map(|pair| match pair {
        ["lxc", name] => Some(*name),
        _ => None,
    });
    id.or(lxc).or(below_lxc).map(str::to_owned)
}

/// The list for programs.
///
/// # Errors
/// If a value cannot be JSON, which no type of the list can cause.
pub fn json(ps: &Ps) -> Result<String, std::fmt::Error> {
    encode(ps, Layout::Pretty).map(|json| json + "\n")
}

/// The list for a terminal; `home` is shown as `~`.
pub fn text(ps: &Ps, width: usize, color: Palette, home: Option<&str>) -> String {
    if ps.processes.is_empty() {
        return "No go command runs here.\n".to_owned();
    }
    let contained = ps.processes.iter().any(|row| row.container.is_some() || row.ns_pid.is_some());
    let mut head = vec![right("PID"), left("AGE"), left("STATE"), left("COMMAND"), left("DIR")];
    if contained {
        head.push(left("CONTAINER"));
    }
    head.push(left("WAITING FOR"));
    let rows: Vec<Vec<String>> =
        ps.processes.iter().map(|row| cells(row, contained, home)).collect();
    let mut out = String::new();
    indented_table(&mut out, Look { width, color }, &head, &rows, "");
    if let Some(line) = last_line(ps) {
        out.push_str(&format!("\n{line}\n"));
    }
    out
}

fn cells(row: &PsRow, contained: bool, home: Option<&str>) -> Vec<String> {
    let dash = || "-".to_owned();
    let mut cells = vec![
        row.pid.to_string(),
        age(row.age_ns),
        word(row.state),
        command(row),
        row.cwd.as_deref().map_or_else(|| "?".to_owned(), |cwd| plain(&with_tilde(cwd, home))),
    ];
    if contained {
        let pid = row.ns_pid.map(|pid| format!("pid {pid}"));
        let parts: Vec<String> = row.container.iter().cloned().chain(pid).collect();
        cells.push(if parts.is_empty() { dash() } else { plain(&parts.join(", ")) });
    }
    cells.push(match (row.state, &row.waiting_for) {
        (PsState::Hidden, _) => "other user: sudo gmtrace ps".to_owned(),
        (_, Some(waiting)) => plain(&waiting.what),
        (_, None) => dash(),
    });
    cells
}

fn command(row: &PsRow) -> String {
    let Some((program, rest)) = row.argv.split_first() else { return "?".to_owned() };
    let argv: Vec<String> =
        std::iter::once(file_name(program).to_owned()).chain(rest.iter().cloned()).collect();
    words(&argv)
}

/// `~/app` for what lies in `home`.
fn with_tilde(path: &str, home: Option<&str>) -> String {
    let home = home.map(|home| home.trim_end_matches('/')).filter(|home| !home.is_empty());
    match home.and_then(|home| path.strip_prefix(home)) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

/// `6m12s`, `34s`, `3d`: the two largest units below an hour, one above.
fn age(age: Nanos) -> String {
    let seconds = age.0 / 1_000_000_000;
    match (seconds / 86_400, seconds / 3600, seconds / 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, 0) => format!("{m}m"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, ..) => format!("{h}h"),
        (d, ..) => format!("{d}d"),
    }
}

/// `41190 holds up 1 other. Look closer: gmtrace -p 41190`
fn last_line(ps: &Ps) -> Option<String> {
    let waits = |row: &&PsRow| matches!(row.state, PsState::Waiting | PsState::Asking);
    let worst = ps.processes.iter().filter(waits).max_by_key(|row| row.holds_up.len())?;
    let pid = worst.pid;
    Some(match worst.holds_up.len() {
        0 => format!("Look closer: gmtrace -p {pid}"),
        1 => format!("{pid} holds up 1 other. Look closer: gmtrace -p {pid}"),
        n => format!("{pid} holds up {n} others. Look closer: gmtrace -p {pid}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: i32, seconds: u64, state: PsState, argv: &[&str], cwd: &str) -> PsRow {
        PsRow {
            pid: Pid(pid),
            ns_pid: None,
            container: None,
            ppid: Pid(1),
            uid: Some(1000),
            age_ns: Nanos::from_secs(seconds),
            state,
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            cwd: (!cwd.is_empty()).then(|| cwd.to_owned()),
            started_by: None,
            waiting_for: None,
            holds_up: Vec::new(),
        }
    }

    fn waits(row: PsRow, what: &str) -> PsRow {
        PsRow { waiting_for: Some(WaitingFor { what: what.to_owned(), ..unknown() }), ..row }
    }

    fn list(processes: Vec<PsRow>) -> String {
        let ps = Ps {
            schema: PS_SCHEMA.to_owned(),
            gmtrace: String::new(),
            observed_at: String::new(),
            processes,
            unseen: Vec::new(),
        };
        text(&ps, 80, Palette::PLAIN, Some("/home/u"))
    }

    #[test]
    fn the_list_of_the_voice() {
        use PsState::{Asking, Hidden, Idle, Waiting, Working};
        let holder = row(41190, 372, Waiting, &["go", "list", "./..."], "/home/u/app");
        let holder = PsRow { holds_up: vec![Pid(41207)], ..waits(holder, "proxy.example.com") };
        let behind = row(41207, 34, Waiting, &["/opt/go/bin/go", "mod", "download"], "/home/u/app");
        let asking = row(41401, 9, Asking, &["go", "get", "-u"], "/home/u/tools");
        let rows = vec![
            holder,
            waits(behind, "41190 (lock, lib v1.4.2)"),
            waits(asking, "you: ssh on pts/3"),
            row(41388, 120, Working, &["go", "build", "./..."], "/home/u/svc"),
            row(812, 259_200, Idle, &["gopls"], "/home/u/app"),
            row(41455, 60, Hidden, &["go", "test"], ""),
        ];
        assert_eq!(
            list(rows),
            "  PID  AGE    STATE    COMMAND          DIR      WAITING FOR
41190  6m12s  waiting  go list ./...    ~/app    proxy.example.com
41207  34s    waiting  go mod download  ~/app    41190 (lock, lib v1.4.2)
41401  9s     asking   go get -u        ~/tools  you: ssh on pts/3
41388  2m     working  go build ./...   ~/svc    -
  812  3d     idle     gopls            ~/app    -
41455  1m     hidden   go test          ?        other user: sudo gmtrace ps

41190 holds up 1 other. Look closer: gmtrace -p 41190
"
        );
    }

    #[test]
    fn containers_get_a_column_with_both_pids() {
        let inside = PsRow {
            ns_pid: Some(Pid(7)),
            container: Some("0123456789ab".to_owned()),
            ..row(812, 3, PsState::Working, &["go", "vet"], "/app")
        };
        let listed = list(vec![inside, row(9, 3, PsState::Working, &["go", "vet"], "/app")]);
        assert!(listed.contains("CONTAINER            WAITING FOR"), "{listed}");
        assert!(listed.contains("0123456789ab, pid 7  -"), "{listed}");
        assert_eq!(list(Vec::new()), "No go command runs here.\n");
    }

    #[test]
    fn names_of_containers() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"),
            format!("/machine.slice/libpod-{id}.scope/container"),
        ] {
            assert_eq!(container(&path).as_deref(), Some("0123456789ab"), "{path}");
        }
        assert_eq!(container("/lxc/web/init.scope").as_deref(), Some("web"));
        assert_eq!(container("/lxc.payload.web").as_deref(), Some("web"));
        assert_eq!(container("/user.slice/user-0.slice/session-1.scope"), None);
        assert_eq!(container(""), None);
    }
}
