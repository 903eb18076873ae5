//! What is secret in free text: headers, options, netrc entries, tokens that show by their form.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::MARK;
use super::url::{is_host, is_secret_name};

/// What a secret looks like.
struct Pattern {
    /// Letters of which every match has some, in lower case. To compile a pattern takes longer than a command may wait, and most
    /// texts hold no secret.
    hints: &'static [&'static str],
    regex: LazyLock<Regex>,
}

impl Pattern {
    const fn new(hints: &'static [&'static str], regex: fn() -> Regex) -> Pattern {
        Pattern { hints, regex: LazyLock::new(regex) }
    }

    /// The pattern, if the text may have a match.
    fn within(&self, text: &str) -> Option<&Regex> {
        let text = text.to_ascii_lowercase();
        self.hints.iter().any(|hint| text.contains(hint)).then(|| &*self.regex)
    }
}

/// Headers that carry credentials, and git's setting that holds a whole one.
static HEADER: Pattern = Pattern::new(
    &["authorization", "cookie", "-token", "x-", "extraheader"],
    || {
        pattern(
            r#"(?i-u:\b(?:(?:proxy-)?authorization|(?:set-)?cookie|[a-z]+-token|x-[a-z-]*(?:token|key|auth|secret|api)|extraheader))["']?[ \t]*[:=][ \t]*["']?"#,
        )
    },
);

/// The name of a secret, in an option or a field.
const NAME: &str = r"(?i-u:[a-z_-]*(?:token|passw(?:or)?d|passphrase|secret|(?:api|access|private|signing)[_-]?key|signature)[a-z_-]*)";

/// Parts of [`NAME`], of which each has one.
const NAMES: &[&str] = &["token", "passw", "passphrase", "secret", "key", "signature"];

/// A value: in quotes, or a word that is no option.
const VALUE: &str = r#"("[^"\n]*|'[^'\n]*|[^ \t\r\n"'-][^ \t\r\n"']*)"#;

/// `--token x`: what the next word is decides.
static OPTION: Pattern = Pattern::new(NAMES, || pattern(&format!(r"(-{NAME}[ \t]+){VALUE}")));

/// `Bearer x`, as in a header whose name is not there.
static BEARER: Pattern =
    Pattern::new(&["bearer"], || pattern(r#"((?i-u:\bbearer)[ \t]+)([^ \t\r\n"',;]+)"#));

/// The same of schemes whose names are also ordinary words.
static BASIC: Pattern = Pattern::new(&["basic", "negotiate", "ntlm"], || {
    pattern(r#"((?i-u:\b(?:basic|negotiate|ntlm))[ \t]+)([^ \t\r\n"',;]+)"#)
});

/// `"token": "x"` and `password: x`.
static FIELD: Pattern =
    Pattern::new(NAMES, || pattern(&format!(r#"({NAME}["']?[ \t]*:[ \t]*){VALUE}"#)));

/// `login u password x` on one line or several: netrc(5).
static NETRC: Pattern = Pattern::new(&["password"], || {
    pattern(r"((?-u:\b(?:machine|login))[ \t]+[^ \t\r\n]+[ \t\r\n]+password[ \t]+)([^ \t\r\n]+)")
});

/// `password x` alone on its line.
static NETRC_LINE: Pattern =
    Pattern::new(&["password"], || pattern(r"(?m)(^[ \t]*password[ \t]+)([^ \t\r\n]+)[ \t]*\r?$"));

/// `user:password@host` without a scheme.
static USERINFO: Pattern = Pattern::new(&["@"], || {
    pattern(
        r#"(^|[ \t\r\n"'=,|(<])([^ \t\r\n/@"'=,|<>():]+:[^ \t\r\n/"'<>]+)@([A-Za-z0-9.-]+(?::[0-9]+)?)"#,
    )
});

/// Go quotes the password itself when it takes it for a port: `invalid port ":x" after host`.
static PORT: Pattern = Pattern::new(&["invalid port"], || pattern(r#"(invalid port ":)([^"\n]+)"#));

/// Tokens with a prefix that their makers gave them so that they can be found: GitHub, GitLab, AWS
/// key ids, Slack, npm, Google, Atlassian, Vault, Artifactory; and JSON web tokens.
static TOKEN: Pattern = Pattern::new(PREFIXES, || {
    pattern(concat!(
        r"(?-u:\b)(?:gh[opsur]_[A-Za-z0-9]{6,}|github_pat_[A-Za-z0-9_]{6,}",
        r"|gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[A-Za-z0-9_.-]{6,}",
        r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}|xox[abeprs]-[A-Za-z0-9-]{10,}",
        r"|npm_[A-Za-z0-9]{36}|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{10,}",
        r"|ATATT3[A-Za-z0-9_=-]{20,}|hv[bsr]\.[A-Za-z0-9_-]{20,}",
        r"|AKCp[A-Za-z0-9]{40,}|cmVmdGtu[A-Za-z0-9]{20,}",
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
    ))
});

/// How the alternatives of [`TOKEN`] begin.
const PREFIXES: &[&str] = &[
    "gho_",
    "ghp_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "gl",
    "akia",
    "asia",
    "abia",
    "acca",
    "xox",
    "npm_",
    "aiza",
    "ya29.",
    "atatt3",
    "hvb.",
    "hvs.",
    "hvr.",
    "akcp",
    "cmvmdgtu",
    "eyj",
];

#[expect(clippy::expect_used, reason = "the patterns are constant, and a test compiles each")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// Replaces tokens that can be told by their form alone.
pub(super) fn tokens(text: &str) -> String {
    TOKEN.within(text).map_or(text.into(), |regex| regex.replace_all(text, MARK)).into_owned()
}

/// Replaces header values: up to the quote that closes them, or the end of the line.
pub(super) fn headers(text: &str) -> String {
    text.split_inclusive(['\n', '\r']).map(headers_of_line).collect()
}

fn headers_of_line(line: &str) -> String {
    let Some(header) = HEADER.within(line) else { return line.to_owned() };
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    while let Some(name) = header.find_at(line, done) {
        let head = line.get(..name.end()).unwrap_or_default();
        let value = line.get(name.end()..).unwrap_or_default().trim_end_matches(['\n', '\r']);
        let length = open_quote(head).and_then(|quote| value.find(quote)).unwrap_or(value.len());
        out.push_str(line.get(done..name.end()).unwrap_or_default());
        out.push_str(if length == 0 { "" } else { MARK });
        done = name.end() + length;
    }
    out.push_str(line.get(done..).unwrap_or_default());
    out
}

/// The quote that is open at the end of the text.
fn open_quote(text: &str) -> Option<char> {
    let mut open = None;
    let mut before = ' ';
    for c in text.chars() {
        // The apostrophe of "don't" opens nothing.
        let opens = c == '"' || c == '\'' && !before.is_alphanumeric();
        match open {
            Some(quote) if quote == c => open = None,
            None if opens => open = Some(c),
            _ => {}
        }
        before = c;
    }
    open
}

/// Replaces what prose gives away.
pub(super) fn prose(text: &str) -> String {
    let named = |name: &str, value: &str| is_secret_name(name) && !is_word(value);
    let field = |name: &str, value: &str| {
        is_secret_name(name) && (value.starts_with(['"', '\'']) || is_random(value))
    };
    let unless_word = |_: &str, value: &str| !is_word(value);
    let text = replace(&OPTION, text, named);
    let text = replace(&BEARER, &text, unless_word);
    let text = replace(&BASIC, &text, |_, value| is_random(value));
    let text = replace(&FIELD, &text, field);
    let text = replace(&NETRC, &text, unless_word);
    let text = replace(&NETRC_LINE, &text, unless_word);
    let text = replace(&PORT, &text, |_, _| true);
    USERINFO
        .within(&text)
        .map_or(text.as_str().into(), |regex| regex.replace_all(&text, userinfo))
        .into_owned()
}

fn userinfo(found: &Captures<'_>) -> String {
    let [whole, before, host] =
        [0, 1, 3].map(|group| found.get(group).map_or("", |part| part.as_str()));
    if is_host(host) { format!("{before}{MARK}@{host}") } else { whole.to_owned() }
}

/// Replaces the second group of each match, but for a quote it begins with, where `is_secret` says
/// so of the first and the second. What is not replaced may hold the next match.
fn replace(pattern: &Pattern, text: &str, is_secret: impl Fn(&str, &str) -> bool) -> String {
    let Some(pattern) = pattern.within(text) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    let (mut copied, mut from) = (0, 0);
    while let Some(found) = pattern.captures_at(text, from) {
        let (Some(name), Some(value)) = (found.get(1), found.get(2)) else { break };
        from = name.end();
        let start = value.start() + usize::from(value.as_str().starts_with(['"', '\'']));
        if start < value.end() && is_secret(name.as_str(), value.as_str()) {
            out.push_str(text.get(copied..start).unwrap_or_default());
            out.push_str(MARK);
            (copied, from) = (value.end(), value.end());
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// Words that follow `--token`, `bearer` or `password` in prose.
fn is_word(value: &str) -> bool {
    const WORDS: [&str; 42] = [
        "a",
        "and",
        "are",
        "as",
        "auth",
        "authentication",
        "authorization",
        "cannot",
        "challenge",
        "credentials",
        "error",
        "expired",
        "flag",
        "for",
        "format",
        "from",
        "has",
        "in",
        "incorrect",
        "invalid",
        "is",
        "must",
        "not",
        "of",
        "on",
        "option",
        "or",
        "prompt",
        "realm",
        "required",
        "requires",
        "scheme",
        "the",
        "to",
        "token",
        "tokens",
        "type",
        "was",
        "when",
        "with",
        "without",
        "you",
    ];
    let word = value.trim_end_matches(|c: char| c.is_ascii_punctuation());
    WORDS.contains(&word)
}

/// Whether a value is no word: digits, symbols or capitals inside it.
fn is_random(value: &str) -> bool {
    let value = value.trim_end_matches(|c: char| ".,;:!?)]}".contains(c));
    let inside = value.chars().skip(1);
    let odd = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase() || "+/=_$#%&*~^@".contains(c);
    value.len() >= 6 && inside.clone().any(odd) && !value.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    #[test]
    fn every_match_has_one_of_its_hints() {
        let all = [
            &HEADER,
            &OPTION,
            &BEARER,
            &BASIC,
            &FIELD,
            &NETRC,
            &NETRC_LINE,
            &USERINFO,
            &PORT,
            &TOKEN,
        ];
        for pattern in all {
            let places = [r"\b", "(?m)", "^|", "^", r"\r?$"];
            let text =
                places.iter().fold(pattern.regex.as_str().to_owned(), |t, p| t.replace(p, ""));
            let matches = proptest::string::string_regex(&text).unwrap();
            let run = TestRunner::default().run(&matches, |text| {
                prop_assert!(pattern.within(&text).is_some(), "{text:?}");
                Ok(())
            });
            run.unwrap();
        }
    }
}
