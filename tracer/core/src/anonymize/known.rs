//! What says nothing about anyone, and so stays.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::LazyLock;

/// What go, git, ssh and libc say to everybody, and gmtrace itself.
static WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("words.txt").split_ascii_whitespace().collect());

/// Directories, files and programs that every machine has.
static PLACES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "bin boot cache cgroup config data db dev download env etc fd git go gocache home info init \
     lib lib64 libexec local lock log mnt mod mode mount net null opt pkg proc pts root run sbin \
     self share snap socket src srv ssh state sys sysroot task telemetry tile tmp tool tools tty urandom usr \
     var vcs vendor work zero @v list latest lookup supported sumdb trim testexpire toolchain x \
     go.mod go.sum go.work go.work.sum go.env modules resolv.conf nsswitch.conf hosts passwd \
     known_hosts nscd netrc gitconfig gitmodules gitignore build cmd internal test telemetry \
     docker kubepods burstable besteffort pod guaranteed system user app session scope slice \
     service machine containerd crio podman libpod conmon actions runner \
     bash sh dash zsh fish make gmake cmake ninja bazel gopls golangci lint node python python3 \
     curl wget sudo su env timeout strace gmtrace remote http https ftp upload receive pack \
     credential cache store helper netrc askpass main master HEAD heads refs tags objects \
     sshd tmux screen systemd cron code vim nvim emacs goland idea java perl ruby flock sleep cat \
     compile link asm cgo vet cover memfd core site packages dist x86_64 amd64 linux aarch64 arm64 gnu"
        .split_ascii_whitespace()
        .collect()
});

/// Hosts that everybody uses.
const PUBLIC: [&str; 12] = [
    "localhost",
    "golang.org",
    "google.golang.org",
    "go.dev",
    "dl.google.com",
    "storage.googleapis.com",
    "github.com",
    "codeload.github.com",
    "raw.githubusercontent.com",
    "gitlab.com",
    "bitbucket.org",
    "gopkg.in",
];

/// Endings of file names that say what a file is.
const ENDINGS: [&str; 38] = [
    "lock", "info", "mod", "zip", "ziphash", "partial", "tmp", "list", "go", "sum", "work", "env",
    "txt", "json", "jsonl", "html", "md", "pem", "crt", "key", "sock", "log", "git", "tar", "gz",
    "so", "a", "c", "h", "s", "slice", "scope", "service", "conf", "sh", "py", "pid", "yaml",
];

/// Whether a program may say this word to anybody.
pub(super) fn is_word(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    let whole =
        word.chars().count() == 1 || WORDS.contains(lower.as_str()) || PLACES.contains(word);
    whole || is_number(word) || is_version(word)
}

/// Whether this part of a path is on every machine.
pub(super) fn is_place(part: &str) -> bool {
    let stem = part.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.is_empty() || PLACES.contains(part) || PLACES.contains(stem) || is_version(part)
}

/// The ending of a file's name, with what stands before it: `v1.0.0` and `lock`. `zip123`, as go names its temporary
/// files, is one.
pub(super) fn ending(name: &str) -> Option<(&str, &str)> {
    let (stem, ending) = name.rsplit_once('.')?;
    let known = ending.trim_end_matches(|c: char| c.is_ascii_digit());
    (!stem.is_empty() && ENDINGS.contains(&known)).then_some((stem, ending))
}

/// A public host that `name` is.
pub(super) fn is_public(name: &str) -> bool {
    PUBLIC.contains(&name)
}

/// A public host that `name` begins with, and the rest: a look-up with a domain of the search list.
pub(super) fn public_prefix(name: &str) -> Option<(&'static str, &str)> {
    PUBLIC.iter().find_map(|p| Some((*p, name.strip_prefix(p)?.strip_prefix('.')?)))
}

/// `v1.2.3-rc.1`, `v2`, `go1.24.1`, `1.24`.
pub(super) fn is_version(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return false;
    }
    let rest = text.strip_prefix('v').or_else(|| text.strip_prefix("go")).unwrap_or(text);
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (numbers, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let numbered = numbers.starts_with(|c: char| c.is_ascii_digit()) && !numbers.ends_with('.');
    let dotted = numbers.contains('.');
    let release = |c: char| c.is_ascii_alphanumeric() || "-+.!".contains(c);
    numbered
        && (after.is_empty()
            || dotted && after.starts_with(['-', '+']) && after.chars().all(release)
            || dotted && (after.starts_with("rc") || after.starts_with("beta")) && after.len() <= 6)
}

/// `42`, `1.5s`, `34.2KiB`, `0x1f`, `85%`.
fn is_number(text: &str) -> bool {
    if let Some(hex) = text.strip_prefix("0x") {
        return !hex.is_empty() && hex.len() <= 16 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    }
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    unit.len() < text.len()
        && unit.len() <= 3
        && unit.chars().all(|c| c.is_ascii_alphabetic() || c == '%')
}

/// Whether every part of a joined word is one of everybody's, and the numbers in it are no address (`ip-192-0-2-1`).
pub(super) fn is_joined(text: &str, by: fn(char) -> bool, may_be: fn(&str) -> bool) -> bool {
    let numbers = text.split(by).filter(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    numbers.count() < 4 && text.split(by).all(|part| part.is_empty() || may_be(part))
}

/// Digits of a hash.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
