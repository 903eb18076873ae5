//! Environment, GOENV file, go.env, default: the precedence of cmd/go/internal/cfg.

use crate::event::{Setting, SettingOrigin};
use crate::redact::env_value;
use std::collections::BTreeMap;

/// The variables that are kept; every other one of a process is dropped where it is read.
pub const ALLOWED: [&str; 27] = [
    "GO111MODULE",
    "GOAUTH",
    "GOCACHE",
    "GOCACHEPROG",
    "GODEBUG",
    "GOENV",
    "GOFLAGS",
    "GOINSECURE",
    "GOMODCACHE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOVCS",
    "GOWORK",
    "SSL_CERT_FILE",
    "GIT_SSH_COMMAND",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// The allowed variables that cmd/go takes from its files too (internal/cfg.KnownEnv; GODEBUG and GOENV are read with
/// os.Getenv alone).
const FROM_FILES: [&str; 15] = [
    "GO111MODULE",
    "GOAUTH",
    "GOCACHE",
    "GOCACHEPROG",
    "GOFLAGS",
    "GOINSECURE",
    "GOMODCACHE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOVCS",
    "GOWORK",
];

/// The most of a value that is kept, bytes.
const MAX_VALUE: usize = 4096;

/// A file of settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EnvFile<'a> {
    /// There is none, or go may not read it either: cmd/go goes on without it.
    #[default]
    Absent,
    /// Its text.
    Text(&'a str),
    /// It could not be read in time: what it might set is not known.
    Unknown,
}

/// Where settings come from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The environment of the process. HOME, GOPATH and the XDG directories are looked up here, not kept.
    pub environment: &'a BTreeMap<String, String>,
    /// The GOENV file.
    pub goenv_file: EnvFile<'a>,
    /// GOROOT/go.env.
    pub go_env: EnvFile<'a>,
    /// The GOROOT built into the binary, where there may be one (not with `-trimpath`): `$HOME/go` is no default GOPATH
    /// where it is this (go/build.defaultGOPATH).
    pub built_in_goroot: Option<&'a str>,
    /// As `go1.26.1`: some defaults came with a release.
    pub version: Option<&'a str>,
}

/// The allow-listed settings that have a value, redacted, as `go env` would print them; of GOWORK and GOENV=off the value
/// as set. What cannot be known, because a file could not be read, is left out.
pub fn resolve(sources: &Sources<'_>) -> BTreeMap<String, Setting> {
    let files = Files::read(sources);
    let mut found = BTreeMap::new();
    for name in ALLOWED {
        let set = match FROM_FILES.contains(&name) {
            true => files.get(name),
            false => environment(sources, name),
        };
        let known = match set {
            Lookup::Found(value, origin) => Some((value, origin)),
            Lookup::Unset => default(name, &files).map(|value| (value, SettingOrigin::Default)),
            Lookup::Unknown => None,
        };
        let Some((value, origin)) = known.filter(|(value, _)| !value.is_empty()) else { continue };
        if let Some(kept) = env_value(name, &value) {
            found.insert(name.to_owned(), Setting { value: clipped(kept, MAX_VALUE), origin });
        }
    }
    found
}

enum Lookup {
    Found(String, SettingOrigin),
    Unset,
    Unknown,
}

fn environment(sources: &Sources<'_>, name: &str) -> Lookup {
    match sources.environment.get(name).filter(|value| !value.is_empty()) {
        Some(value) => Lookup::Found(value.clone(), SettingOrigin::Environment),
        None => Lookup::Unset,
    }
}

/// `cfg.Getenv`: the environment where not empty, else the files.
struct Files<'a> {
    sources: &'a Sources<'a>,
    user: Option<BTreeMap<&'a str, &'a str>>,
    goroot: Option<BTreeMap<&'a str, &'a str>>,
}

impl<'a> Files<'a> {
    fn read(sources: &'a Sources<'a>) -> Files<'a> {
        Files { sources, user: lines(sources.goenv_file), goroot: lines(sources.go_env) }
    }

    fn get(&self, name: &str) -> Lookup {
        if let found @ Lookup::Found(..) = environment(self.sources, name) {
            return found;
        }
        let Some(user) = &self.user else { return Lookup::Unknown };
        // A line without a value in the GOENV file hides that of go.env (cfg.readEnvFile).
        if let Some(value) = user.get(name) {
            return match value.is_empty() {
                true => Lookup::Unset,
                false => Lookup::Found((*value).to_owned(), SettingOrigin::GoenvFile),
            };
        }
        let Some(goroot) = &self.goroot else { return Lookup::Unknown };
        match goroot.get(name).filter(|value| !value.is_empty()) {
            Some(value) => Lookup::Found((*value).to_owned(), SettingOrigin::GoEnv),
            None => Lookup::Unset,
        }
    }

    fn value(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Lookup::Found(value, _) => Some(value),
            _ => None,
        }
    }

    fn in_environment(&self, name: &str) -> Option<&str> {
        self.sources.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// `NAME=value` lines (cfg.readEnvFile): the last one counts, what starts with no capital letter is skipped, nothing is
/// trimmed. None where the file could not be read.
fn lines(file: EnvFile<'_>) -> Option<BTreeMap<&str, &str>> {
    match file {
        EnvFile::Absent => Some(BTreeMap::new()),
        EnvFile::Unknown => None,
        EnvFile::Text(text) => Some(
            text.split('\n')
                .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
                .filter_map(|line| line.split_once('='))
                .collect(),
        ),
    }
}

fn default(name: &str, files: &Files<'_>) -> Option<String> {
    match name {
        "GONOPROXY" | "GONOSUMDB" => files.value("GOPRIVATE"),
        "GOMODCACHE" => {
            let gopath = gopath(files)?;
            let first = gopath.split(':').next().filter(|first| !first.is_empty())?;
            Some(join(first, "pkg/mod"))
        }
        "GOCACHE" => xdg(files, "XDG_CACHE_HOME", ".cache").map(|dir| join(&dir, "go-build")),
        "GOENV" => default_goenv(files.sources.environment),
        // GOAUTH came with Go 1.24.
        "GOAUTH" if minor_version(files.sources.version?)? >= 24 => Some("netrc".to_owned()),
        _ => None,
    }
}

/// GOPATH, or `$HOME/go` (go/build.defaultGOPATH).
fn gopath(files: &Files<'_>) -> Option<String> {
    match files.get("GOPATH") {
        Lookup::Found(value, _) => Some(value),
        Lookup::Unknown => None,
        Lookup::Unset => {
            let default = join(files.in_environment("HOME")?, "go");
            // runtime.GOROOT: the environment before what is built in.
            let goroot = files.in_environment("GOROOT").or(files.sources.built_in_goroot);
            let is_goroot = goroot.is_some_and(|goroot| clean(goroot) == default);
            (!is_goroot).then_some(default)
        }
    }
}

/// `os.UserCacheDir`, `os.UserConfigDir`: a relative XDG directory is an error, not ignored.
fn xdg(files: &Files<'_>, variable: &str, under_home: &str) -> Option<String> {
    xdg_in(files.sources.environment, variable, under_home)
}

fn xdg_in(
    environment: &BTreeMap<String, String>,
    variable: &str,
    under_home: &str,
) -> Option<String> {
    let get = |name| environment.get(name).filter(|value: &&String| !value.is_empty());
    match get(variable) {
        Some(dir) => dir.starts_with('/').then(|| dir.clone()),
        None => get("HOME").map(|home| format!("{home}/{under_home}")),
    }
}

/// The GOENV file where GOENV is not set: `go/env` in the user's configuration directory (cfg.EnvFile).
pub fn default_goenv(environment: &BTreeMap<String, String>) -> Option<String> {
    xdg_in(environment, "XDG_CONFIG_HOME", ".config").map(|dir| join(&dir, "go/env"))
}

/// GOROOT where it was set by hand, for finding go.env: the GOENV file is asked before the environment (cfg.findGOROOT).
pub fn goroot_override(
    environment: &BTreeMap<String, String>,
    goenv: EnvFile<'_>,
) -> Option<String> {
    let from_file = lines(goenv).and_then(|lines| lines.get("GOROOT").map(|dir| (*dir).to_owned()));
    from_file
        .or_else(|| environment.get("GOROOT").cloned())
        .filter(|dir| !dir.is_empty())
        .map(|dir| clean(&dir))
}

/// The second number of `go1.26.1`.
pub fn minor_version(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go").unwrap_or(version).strip_prefix("1.")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

/// The variables of `/proc/PID/environ`. Of a name given twice the first counts, as for os.Getenv (syscall.copyenv).
pub fn parse_environ(bytes: &[u8]) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(entry);
        if let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) {
            variables.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    variables
}

/// `filepath.Join`.
fn join(dir: &str, rest: &str) -> String {
    clean(&format!("{dir}/{rest}"))
}

/// `filepath.Clean`.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/').filter(|element| !matches!(*element, "" | ".")) {
        match (element, kept.last()) {
            ("..", Some(last)) if *last != ".." => drop(kept.pop()),
            ("..", None) if rooted => {}
            _ => kept.push(element),
        }
    }
    match (rooted, kept.join("/")) {
        (true, rest) => format!("/{rest}"),
        (false, rest) if rest.is_empty() => ".".to_owned(),
        (false, rest) => rest,
    }
}

/// At most `max` bytes, ending at a character.
fn clipped(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn resolved(
        pairs: &[(&str, &str)],
        goenv_file: EnvFile<'_>,
        go_env: EnvFile<'_>,
    ) -> BTreeMap<String, (String, SettingOrigin)> {
        let environment = variables(pairs);
        resolve(&Sources {
            environment: &environment,
            goenv_file,
            go_env,
            built_in_goroot: Some("/opt/go"),
            version: Some("go1.26.1"),
        })
        .into_iter()
        .map(|(name, setting)| (name, (setting.value, setting.origin)))
        .collect()
    }

    #[test]
    fn the_stronger_origin_wins() {
        let got = resolved(
            &[("GOPROXY", "https://env.example.com"), ("GOVCS", ""), ("HOME", "/h")],
            EnvFile::Text(
                "GOPROXY=https://file.example.com\nGOVCS=*:git\nGOSUMDB=\nbad\n=x\nlower=1\n",
            ),
            EnvFile::Text("# comment=1\nGOPROXY=x\nGOSUMDB=sum.example.com\nGOTOOLCHAIN=auto"),
        );
        let get = |name: &str| got.get(name).map(|(value, origin)| (value.as_str(), *origin));
        assert_eq!(get("GOPROXY"), Some(("https://env.example.com", SettingOrigin::Environment)));
        assert_eq!(get("GOVCS"), Some(("*:git", SettingOrigin::GoenvFile)));
        assert_eq!(get("GOTOOLCHAIN"), Some(("auto", SettingOrigin::GoEnv)));
        assert_eq!(get("GOSUMDB"), None, "an empty line in the GOENV file hides go.env");
        assert_eq!(get("GOMODCACHE"), Some(("/h/go/pkg/mod", SettingOrigin::Default)));
        assert_eq!(get("GOCACHE"), Some(("/h/.cache/go-build", SettingOrigin::Default)));
        assert_eq!(get("GOENV"), Some(("/h/.config/go/env", SettingOrigin::Default)));
        assert_eq!(get("GOAUTH"), Some(("netrc", SettingOrigin::Default)));
    }

    #[test]
    fn what_an_unreadable_file_could_set_is_left_out() {
        let got = resolved(
            &[("GOPROXY", "off"), ("HOME", "/h"), ("GODEBUG", "netdns=go")],
            EnvFile::Unknown,
            EnvFile::Text("GOSUMDB=sum.example.com"),
        );
        let names: Vec<_> = got.keys().map(String::as_str).collect();
        assert_eq!(names, ["GODEBUG", "GOENV", "GOPROXY"]);
    }

    #[test]
    fn only_allowed_variables_are_kept_and_values_are_bounded() {
        let long = "a".repeat(1 << 20);
        let got = resolved(
            &[("SECRET_TOKEN", "x"), ("GOFLAGS", &long), ("HOME", "/h")],
            EnvFile::Text("SECRET_TOKEN=y"),
            EnvFile::Absent,
        );
        assert!(!got.contains_key("SECRET_TOKEN"));
        assert!(got.get("GOFLAGS").unwrap().0.len() <= MAX_VALUE);
    }

    #[test]
    fn credentials_are_gone_and_what_remains_still_says_where_it_leads() {
        let got = resolved(
            &[
                ("GOPROXY", "https://user:secret@proxy.example.com/go,direct"),
                (
                    "GOSUMDB",
                    "sum.example.com+0123abcd+AbCdEfGhIjKl https://user:secret@db.example.com",
                ),
                ("HTTPS_PROXY", "user:secret@squid.example.com:3128"),
                ("GOAUTH", "helper --token secret"),
            ],
            EnvFile::Absent,
            EnvFile::Absent,
        );
        assert!(got.values().all(|(value, _)| !value.contains("secret")), "{got:?}");
        let value = |name: &str| got.get(name).unwrap().0.clone();
        let entries = crate::settings::proxies(&value("GOPROXY"));
        assert!(matches!(
            &entries.first().unwrap().kind,
            crate::settings::ProxyKind::Url { host, port: 443, path, .. }
                if host == "proxy.example.com" && path == "/go"
        ));
        let db = crate::settings::sumdb(&value("GOSUMDB"), "").unwrap();
        assert_eq!((db.name.as_str(), db.host.as_str()), ("sum.example.com", "db.example.com"));
        let setting = Setting { value: value("HTTPS_PROXY"), origin: SettingOrigin::Environment };
        let env = BTreeMap::from([("HTTPS_PROXY".to_owned(), setting)]);
        let proxy = crate::settings::web_proxy_for("https://m.example.com", &env).unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("squid.example.com", 3128));
    }

    #[test]
    fn every_allowed_variable_is_kept_by_the_redaction_too() {
        assert!(ALLOWED.iter().all(|name| env_value(name, "x").is_some()));
    }

    #[test]
    fn the_environment_of_a_process_is_split_at_nuls_and_the_first_of_two_counts() {
        let got = parse_environ(b"A=1\0A=2\0=x\0novalue\0B=a=b\0\xff=\xfe\0");
        assert_eq!(got.get("A").map(String::as_str), Some("1"));
        assert_eq!(got.get("B").map(String::as_str), Some("a=b"));
        assert_eq!(got.len(), 3);
    }

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, expected) in
            [("/a//b/./c/..", "/a/b"), ("/../a", "/a"), ("a/../..", ".."), ("", "."), ("/", "/")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn versions_have_a_second_number() {
        assert_eq!(minor_version("go1.26.1"), Some(26));
        assert_eq!(minor_version("1.14"), Some(14));
        assert_eq!(minor_version("go1.27rc1"), Some(27));
        assert_eq!(minor_version("devel +abc"), None);
    }
}
