//! What of a command's arguments and environment is kept.

use super::url::{is_secret_name, is_short_secret_name};
use super::{MARK, text, url};

/// Programs whose arguments are kept, redacted. Of others only the name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The go command.
    Go,
    /// git, or a part of it that speaks to a remote.
    Git,
    /// ssh.
    Ssh,
    /// Anything else.
    Other,
}

/// Tells the program by its executable's path, or the first word of its arguments.
#[must_use]
pub fn program_kind(exe: &str) -> Program {
    let name = exe.rsplit('/').next().unwrap_or(exe);
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    match name {
        "go" => Program::Go,
        // golang.org/dl: go1.26.1
        _ if name.strip_prefix("go1.").is_some_and(is_version) => Program::Go,
        "git" | "git-upload-pack" => Program::Git,
        _ if name.starts_with("git-remote-") => Program::Git,
        "ssh" => Program::Ssh,
        _ => Program::Other,
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.' || "rcbeta".contains(c))
}

/// What git asks a credential helper for (gitcredentials(7)).
const VERBS: &[&str] = &["get", "store", "erase"];

/// The arguments of the program `exe`: redacted for go, git and ssh, of others only the first, and a last one that says what a credential
/// helper is to do.
#[must_use]
pub fn argv_for(exe: &str, argv: &[String]) -> Vec<String> {
    match program_kind(exe) {
        Program::Other => {
            let name = argv.first().map(|name| text(name).into_owned());
            let verb = argv.iter().skip(1).last().filter(|word| VERBS.contains(&word.as_str()));
            name.into_iter().chain(verb.cloned()).collect()
        }
        Program::Go | Program::Git | Program::Ssh => self::argv(argv),
    }
}

/// Removes credentials from the arguments of go, git or ssh.
#[must_use]
pub fn argv(argv: &[String]) -> Vec<String> {
    let mut value_is_secret = false;
    let mut clean = Vec::with_capacity(argv.len());
    for argument in argv {
        let secret = value_is_secret && !argument.starts_with('-') && !argument.is_empty();
        let kept = if secret { MARK.to_owned() } else { self::argument(argument) };
        value_is_secret = asks_for_secret(argument) || asks_for_secret(&kept);
        clean.push(kept);
    }
    clean
}

fn argument(argument: &str) -> String {
    // go env -w GOAUTH=...
    let setting = argument
        .split_once('=')
        .and_then(|(name, value)| env_value(name, value).map(|value| format!("{name}={value}")));
    setting.unwrap_or_else(|| text(argument).into_owned())
}

/// `--token` and `http.extraHeader`, whose value is the next argument.
fn asks_for_secret(argument: &str) -> bool {
    let name = argument.trim_start_matches('-');
    let option = name.len() < argument.len() && !name.contains('=');
    option && (is_secret_name(name) || is_short_secret_name(name))
        || name.to_ascii_lowercase().ends_with(".extraheader")
}

/// The value of an environment variable or `go env` setting as it is kept, or `None` for one that
/// is not kept at all. The names are those of `go.env` in the timeline.
#[must_use]
pub fn env_value(name: &str, value: &str) -> Option<String> {
    let kept = match name {
        "GOPROXY" | "GOSUMDB" | "HTTP_PROXY" | "http_proxy" | "HTTPS_PROXY" | "https_proxy"
        | "ALL_PROXY" | "all_proxy" => url_words(value),
        "GOAUTH" => auth_commands(value),
        "GIT_SSH_COMMAND" | "GOCACHEPROG" => shell_command(value),
        "GOFLAGS" => argv_words(value),
        "GONOSUMDB" | "GOPRIVATE" | "GONOPROXY" | "GOINSECURE" | "GOTOOLCHAIN" | "GO111MODULE"
        | "GOVCS" | "GOMODCACHE" | "GOCACHE" | "GOENV" | "GOWORK" | "GODEBUG" | "SSL_CERT_FILE"
        | "NO_PROXY" | "no_proxy" => text(value).into_owned(),
        _ => return None,
    };
    Some(kept)
}

/// GOSUMDB holds a name, a public key and a URL, apart by spaces (`go help environment`).
fn url_words(value: &str) -> String {
    let words: Vec<_> = value.split(' ').map(url).collect();
    words.join(" ")
}

/// The command word of each entry: `netrc; git DIR; COMMAND ARGS` (`go help goauth`).
fn auth_commands(value: &str) -> String {
    let words = value.split(';').filter_map(|entry| entry.split_whitespace().next());
    let words: Vec<_> = words.map(text).collect();
    words.join("; ")
}

fn argv_words(value: &str) -> String {
    let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
    argv(&words).join(" ")
}

/// A line that a shell (`GIT_SSH_COMMAND`) or go (`GOCACHEPROG`) runs: settings before the program
/// lose their values, the program decides what is kept of its arguments.
fn shell_command(value: &str) -> String {
    let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    let settings = words.iter().take_while(|word| is_setting(word)).count();
    let (settings, command) = words.split_at_checked(settings).unwrap_or((&[], &words));
    let names = settings.iter().filter_map(|word| word.split_once('=')).map(|(name, _)| name);
    let mut kept: Vec<String> = names.map(|name| format!("{name}={MARK}")).collect();
    let program = command.first().map_or("", |word| word.trim_matches(['"', '\'']));
    kept.extend(argv_for(program, command));
    kept.join(" ")
}

fn is_setting(word: &str) -> bool {
    let name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    word.split_once('=').is_some_and(|(left, _)| !left.is_empty() && name(left))
}
