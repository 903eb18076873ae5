//! What the go command says on standard error about something that failed, taken apart.

use super::scene::Scene;
use crate::settings::{self, ProxyEntry, ProxyKind, ProxyRequestKind, unescape_path};
use crate::units::{Nanos, Pid};
use url::Url;

/// How many lines are kept of what follows a line: go's security warnings are nine.
const FOLLOWING: usize = 10;

/// A line on standard error, and what the same process said next.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    /// When it was written.
    pub(super) t: Nanos,
    /// Who wrote it.
    pub(super) pid: Pid,
    /// The line.
    pub(super) text: &'a str,
    /// The lines after it.
    pub(super) after: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// The continuation of the message: go indents it by a tab.
    pub(super) fn indented(&self) -> impl Iterator<Item = &'a str> {
        self.after.iter().take_while(|l| l.starts_with('\t')).map(|l| l.trim())
    }

    /// What the server gave as its reason: `server response: busy`, or indented lines after `server response:`.
    pub(super) fn server_response(&self) -> Option<String> {
        let mut lines = self.indented().skip_while(|l| !l.starts_with("server response:"));
        let first = lines.next()?.trim_start_matches("server response:").trim();
        let words: Vec<&str> =
            std::iter::once(first).chain(lines).filter(|l| !l.is_empty()).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

/// The lines that contain `what`, oldest first.
pub(super) fn lines<'a>(scene: &Scene<'a>, what: &str) -> Vec<Line<'a>> {
    let all: Vec<(Nanos, Pid, &'a str)> = scene.session.output.all().collect();
    let following = |at: usize, pid: Pid| {
        let rest = all.iter().skip(at + 1).filter(|(_, p, _)| *p == pid);
        rest.map(|(_, _, text)| *text).take(FOLLOWING).collect()
    };
    all.iter()
        .enumerate()
        .filter(|(_, (_, _, text))| text.contains(what))
        .map(|(at, (t, pid, text))| Line { t: *t, pid: *pid, text, after: following(at, *pid) })
        .collect()
}

/// The first URL in a line. Go 1.23 and older print `"http:/HOST/..."` for a broken body (path.Join on a URL), which parses too.
pub(super) fn url_in(text: &str) -> Option<Url> {
    let start = ["https:/", "http:/"].iter().filter_map(|scheme| text.find(scheme)).min()?;
    let rest = text.get(start..)?;
    let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>'));
    let word = rest.get(..end.unwrap_or(rest.len()))?;
    Url::parse(word.trim_end_matches([':', ',', ';', ')'])).ok()
}

/// The first `path@version` in a line, without the ending `/go.mod`.
pub(super) fn module_in(text: &str) -> Option<String> {
    text.split_whitespace().map(|word| word.trim_matches(['"', ':', ',', '(', ')'])).find_map(
        |word| {
            let word = word.strip_suffix("/go.mod").unwrap_or(word);
            let (path, version) = word.split_once('@')?;
            let is_path =
                path.contains('.') && !path.contains("://") && !path.starts_with("http:/");
            (is_path && !version.is_empty()).then(|| word.to_owned())
        },
    )
}

/// The entries of GOPROXY as `pid` has them.
pub(super) fn entries(scene: &Scene<'_>, pid: Pid) -> Vec<ProxyEntry> {
    let settings = scene.session.settings_for(pid);
    settings.map(|s| settings::proxies_in_order(&s.env)).unwrap_or_default()
}

/// Where in `entries` the one stands that a URL belongs to: same scheme, host and port, and the longest path.
pub(super) fn entry_of(entries: &[ProxyEntry], url: &Url) -> Option<usize> {
    let matching = entries.iter().enumerate().filter_map(|(n, entry)| {
        let ProxyKind::Url { scheme, host, port, path } = &entry.kind else { return None };
        let same = *scheme == url.scheme()
            && url.host_str().is_some_and(|h| h.trim_matches(['[', ']']) == host)
            && url.port_or_known_default() == Some(*port)
            && url
                .path()
                .strip_prefix(path.as_str())
                .is_some_and(|r| r.is_empty() || r.starts_with('/'));
        same.then_some((path.len(), n))
    });
    matching.max_by_key(|(length, n)| (*length, std::cmp::Reverse(*n))).map(|(_, n)| n)
}

/// Where the settings do not say where a proxy's own path ends: module paths that can be fetched begin with an element with a dot
/// (cmd/go/internal/modload, "missing dot in first path element").
fn unknown_base(path: &str) -> &str {
    let mut end = 0;
    for element in path.split_inclusive('/') {
        if element.contains('.') {
            break;
        }
        end += element.len();
    }
    path.get(..end.saturating_sub(1)).unwrap_or_default()
}

/// The module that a URL asks about, as `path@version` or `path`, and which file of it.
pub(super) fn asked_module(entries: &[ProxyEntry], url: &Url) -> Option<(String, &'static str)> {
    if let Some((_, looked_up)) = url.path().rsplit_once("/lookup/") {
        let (path, version) = looked_up.split_once('@')?;
        let module = format!("{}@{}", unescape_path(path)?, unescape_path(version)?);
        return Some((module, "its checksum"));
    }
    let entry = entry_of(entries, url).and_then(|n| entries.get(n));
    let base = match entry.map(|e| &e.kind) {
        Some(ProxyKind::Url { path, .. }) => path.as_str(),
        _ => unknown_base(url.path()),
    };
    let request = settings::proxy_request(url.path(), base)?;
    let file = match request.kind {
        ProxyRequestKind::Info => "its .info file",
        ProxyRequestKind::Mod => "its .mod file",
        ProxyRequestKind::Zip => "its zip file",
        ProxyRequestKind::List => "its list of versions",
        ProxyRequestKind::Latest => "its latest version",
    };
    let module = match request.version {
        Some(version) => format!("{}@{version}", request.module),
        None => request.module,
    };
    Some((module, file))
}
