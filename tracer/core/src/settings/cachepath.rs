//! Paths in the module cache and on a module proxy, and what they are about.

/// A lock or a locked file of the go command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePath {
    /// What it protects.
    pub kind: CachePathKind,
    /// The module's path, unescaped.
    pub module: Option<String>,
    /// Its version, unescaped.
    pub version: Option<String>,
}

/// What a lock of the go command protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CachePathKind {
    /// `cache/download/MODULE/@v/VERSION.lock`: held for a whole download, network included (modfetch.lockVersion).
    VersionLock,
    /// `VERSION.ziphash`, `VERSION.info`, `list`, ... beside it: held shortly.
    VersionFile,
    /// `cache/lock`: held while go.mod and go.sum are written (modfetch.SideLock).
    CacheLock,
    /// `cache/vcs/HASH.lock`: held through every git fetch of one repository (codehost.WorkDir).
    VcsLock,
    /// A tile or look-up of the checksum database, or its `latest`.
    SumDbFile,
    /// go.mod, or a `.mod` file beside it.
    GoMod,
    /// go.sum or go.work.sum.
    GoSum,
    /// go.work.
    GoWork,
    /// GOCACHE/trim.txt or testexpire.txt.
    BuildCacheFile,
    /// Something else in GOMODCACHE.
    Other,
}

/// What a locked file is about, by its place; none where it is no file of the go command.
pub fn module_of_lock_path(path: &str, gomodcache: Option<&str>) -> Option<CachePath> {
    let inside = gomodcache
        .filter(|dir| !dir.is_empty())
        .and_then(|dir| path.strip_prefix(dir.trim_end_matches('/'))?.strip_prefix('/'));
    let bare = |kind| Some(CachePath { kind, module: None, version: None });
    if let Some(versioned) = version_file(path) {
        return Some(versioned);
    }
    if path.contains("/cache/download/sumdb/") || is_sumdb_config(path) {
        return bare(CachePathKind::SumDbFile);
    }
    if is_vcs_lock(path) {
        return bare(CachePathKind::VcsLock);
    }
    if inside == Some("cache/lock") || path.ends_with("/pkg/mod/cache/lock") {
        return bare(CachePathKind::CacheLock);
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "go.mod" => bare(CachePathKind::GoMod),
        "go.sum" | "go.work.sum" => bare(CachePathKind::GoSum),
        "go.work" => bare(CachePathKind::GoWork),
        "trim.txt" | "testexpire.txt" => bare(CachePathKind::BuildCacheFile),
        _ if inside.is_some() => bare(CachePathKind::Other),
        _ => None,
    }
}

/// `.../cache/download/MODULE/@v/FILE`.
fn version_file(path: &str) -> Option<CachePath> {
    let (_, download) = path.split_once("/cache/download/")?;
    let (module, file) = download.rsplit_once("/@v/")?;
    let module = Some(unescape_path(module)?);
    if file == "list" || file == "list.lock" {
        return Some(CachePath { kind: CachePathKind::VersionFile, module, version: None });
    }
    let (version, ending) = file.rsplit_once('.')?;
    let kind = match ending {
        "lock" => CachePathKind::VersionLock,
        "info" | "mod" | "zip" | "ziphash" | "partial" => CachePathKind::VersionFile,
        _ => return None,
    };
    Some(CachePath { kind, module, version: Some(unescape_path(version)?) })
}

/// The note that a module is not unpacked to its end, `cache/download/MODULE/@v/VERSION.partial` (modfetch.unzip), and the module, as
/// `path@version`: for a file of its directory in this GOMODCACHE, for its lock, and for the note itself.
pub fn partial_note(path: &str, gomodcache: &str) -> Option<(String, String)> {
    let cache = gomodcache.trim_end_matches('/');
    let inside = path.strip_prefix(cache).filter(|_| !cache.is_empty())?.strip_prefix('/')?;
    let (module, version) = match inside.strip_prefix("cache/download/") {
        Some(download) => {
            let (module, file) = download.rsplit_once("/@v/")?;
            (module, file.strip_suffix(".lock").or_else(|| file.strip_suffix(".partial"))?)
        }
        None => {
            let (module, rest) = inside.split_once('@')?;
            (module, rest.split('/').next()?)
        }
    };
    let named = format!("{}@{}", unescape_path(module)?, unescape_path(version)?);
    Some((format!("{cache}/cache/download/{module}/@v/{version}.partial"), named))
}

/// `GOPATH/pkg/sumdb/NAME/latest`.
fn is_sumdb_config(path: &str) -> bool {
    path.contains("/pkg/sumdb/") && path.ends_with("/latest")
}

/// `cache/vcs/` and the 64 hex digits of a SHA-256 (codehost.WorkDir).
fn is_vcs_lock(path: &str) -> bool {
    let name = path.rsplit_once("/cache/vcs/").and_then(|(_, name)| name.strip_suffix(".lock"));
    name.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `!azure` to `Azure` (golang.org/x/mod/module, UnescapePath). None where it is no escaped path.
pub fn unescape_path(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        match c {
            '!' => plain.push(chars.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            'A'..='Z' => return None,
            _ => plain.push(c),
        }
    }
    (!plain.is_empty()).then_some(plain)
}

/// `Azure` to `!azure` (golang.org/x/mod/module, EscapePath).
pub fn escape_path(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len() + 8);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(c.to_ascii_lowercase());
    }
    escaped
}

/// A request to a module proxy (go.dev/ref/mod#goproxy-protocol).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyRequest {
    /// The module's path, unescaped.
    pub module: String,
    /// The version asked for, unescaped; none for a list or the latest.
    pub version: Option<String>,
    /// What is asked for.
    pub kind: ProxyRequestKind,
}

/// What is asked of a module proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyRequestKind {
    /// `@v/VERSION.info`.
    Info,
    /// `@v/VERSION.mod`.
    Mod,
    /// `@v/VERSION.zip`.
    Zip,
    /// `@v/list`.
    List,
    /// `@latest`.
    Latest,
}

/// What the path of a URL asks of the module proxy whose entry in GOPROXY has the path `base` (`""` for a bare host).
pub fn proxy_request(url_path: &str, base: &str) -> Option<ProxyRequest> {
    let path = url_path.split(['?', '#']).next().unwrap_or_default();
    let path = path.strip_prefix(base.trim_end_matches('/')).unwrap_or(path);
    let path = percent_decoded(path.trim_start_matches('/'))?;
    if let Some(module) = path.strip_suffix("/@latest") {
        let module = unescape_path(module)?;
        return Some(ProxyRequest { module, version: None, kind: ProxyRequestKind::Latest });
    }
    let (module, file) = path.rsplit_once("/@v/")?;
    let module = unescape_path(module)?;
    if file == "list" {
        return Some(ProxyRequest { module, version: None, kind: ProxyRequestKind::List });
    }
    let (version, ending) = file.rsplit_once('.')?;
    let kind = match ending {
        "info" => ProxyRequestKind::Info,
        "mod" => ProxyRequestKind::Mod,
        "zip" => ProxyRequestKind::Zip,
        _ => return None,
    };
    Some(ProxyRequest { module, version: Some(unescape_path(version)?), kind })
}

/// `%21` to `!`. None where the bytes are no UTF-8 or an escape is malformed: module paths have no `%`.
fn percent_decoded(text: &str) -> Option<String> {
    let plain = percent_encoding::percent_decode_str(text).decode_utf8().ok()?;
    (!plain.contains('%')).then(|| plain.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use CachePathKind::*;

    fn of(path: &str) -> Option<(CachePathKind, Option<String>, Option<String>)> {
        module_of_lock_path(path, Some("/c")).map(|found| (found.kind, found.module, found.version))
    }

    #[test]
    fn every_lock_of_the_go_command_is_known_by_its_place() {
        let module = Some("example.com/Big/m".to_owned());
        let at =
            |dir: &str, file: &str| format!("{dir}/cache/download/example.com/!big/m/@v/{file}");
        for dir in ["/c", "/home/u/go/pkg/mod"] {
            assert_eq!(
                of(&at(dir, "v1.2.0-!r!c1.lock")),
                Some((VersionLock, module.clone(), Some("v1.2.0-RC1".to_owned())))
            );
            assert_eq!(
                of(&at(dir, "v1.0.0+incompatible.ziphash")),
                Some((VersionFile, module.clone(), Some("v1.0.0+incompatible".to_owned())))
            );
            assert_eq!(of(&at(dir, "list")), Some((VersionFile, module.clone(), None)));
        }
        let vcs = format!("/x/cache/vcs/{}.lock", "0a".repeat(32));
        for (path, kind) in [
            ("/c/cache/lock", CacheLock),
            ("/home/u/go/pkg/mod/cache/lock", CacheLock),
            (vcs.as_str(), VcsLock),
            ("/c/cache/download/sumdb/sum.example.com/tile/8/0/001", SumDbFile),
            ("/home/u/go/pkg/sumdb/sum.example.com/latest", SumDbFile),
            ("/src/go.mod", GoMod),
            ("/src/go.sum", GoSum),
            ("/src/go.work.sum", GoSum),
            ("/src/go.work", GoWork),
            ("/cache/go-build/trim.txt", BuildCacheFile),
            ("/c/cache/else", Other),
        ] {
            assert_eq!(of(path), Some((kind, None, None)), "{path}");
        }
    }

    #[test]
    fn other_files_are_not_taken_for_locks() {
        for path in [
            "",
            "/",
            "/var/lib/dpkg/lock",
            "/x/cache/lock",
            "/x/cache/vcs/short.lock",
            "/x/cache/download/Example.com/@v/v1.lock",
            "/x/cache/download//@v/.lock",
            "/x/cache/download/a!/@v/v1.lock",
            "/x/cache/download/a/@v/v1.exe",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn the_note_of_a_module_is_found_from_its_lock_and_from_its_directory() {
        let note = "/c/cache/download/example.com/!big/m/@v/v1.0.0-!r!c1.partial";
        let named = "example.com/Big/m@v1.0.0-RC1";
        for path in [
            note,
            "/c/cache/download/example.com/!big/m/@v/v1.0.0-!r!c1.lock",
            "/c/example.com/!big/m@v1.0.0-!r!c1",
            "/c/example.com/!big/m@v1.0.0-!r!c1/a/b@c.go",
        ] {
            let found = partial_note(path, "/c/");
            assert_eq!(found, Some((note.to_owned(), named.to_owned())), "{path}");
        }
        for path in ["/c/cache/lock", "/c/cache/download/a/@v/list", "/d/a@v1/b", "/c", "", "/c/@"]
        {
            assert_eq!(partial_note(path, "/c"), None, "{path}");
        }
        assert_eq!(partial_note("/a@v1/b", ""), None);
    }

    #[test]
    fn requests_to_a_module_proxy_are_understood() {
        let ask = |path, base| {
            proxy_request(path, base).map(|asked| (asked.module, asked.version, asked.kind))
        };
        let m = || "example.com/Big".to_owned();
        assert_eq!(
            ask("/example.com/%21big/@v/v1.0.0.zip", ""),
            Some((m(), Some("v1.0.0".into()), ProxyRequestKind::Zip))
        );
        assert_eq!(
            ask("/go/example.com/!big/@v/v1.0.0.info?x", "/go/"),
            Some((m(), Some("v1.0.0".into()), ProxyRequestKind::Info))
        );
        assert_eq!(ask("/example.com/!big/@v/list", ""), Some((m(), None, ProxyRequestKind::List)));
        assert_eq!(
            ask("/example.com/!big/@latest", ""),
            Some((m(), None, ProxyRequestKind::Latest))
        );
        for path in
            ["", "/", "/@v/", "/a/@v/x.exe", "/%", "/%ff/@v/list", "/a%2", "/A/@v/list", "/@latest"]
        {
            assert_eq!(ask(path, ""), None, "{path}");
        }
    }

    #[test]
    fn escaping_is_undone_by_unescaping() {
        assert_eq!(escape_path("example.com/AbC"), "example.com/!ab!c");
        assert_eq!(unescape_path("example.com/!ab!c").as_deref(), Some("example.com/AbC"));
    }
}
