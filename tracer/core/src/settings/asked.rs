//! What a go command asks of a module proxy or of the checksum database, by the URL.

use super::{ProxyEntry, ProxyKind, ProxyRequestKind, proxy_request, unescape_path};
use url::Url;

/// Where in `entries` the one stands that a URL belongs to: same scheme, host and port, and the longest path.
pub fn entry_of(entries: &[ProxyEntry], url: &Url) -> Option<usize> {
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
pub fn asked_module(entries: &[ProxyEntry], url: &Url) -> Option<(String, &'static str)> {
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
    let request = proxy_request(url.path(), base)?;
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
