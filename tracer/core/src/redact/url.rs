//! What is secret in a URL: userinfo, query values, fragments.

use percent_encoding::percent_decode_str;

use super::MARK;

/// Bytes of one URL that are searched for the end of its userinfo; bounds the work on text that
/// is nothing but `://`.
const REACH: usize = 4096;

/// Removes the credentials of every URL (with scheme) in the text, and of what looks like a query.
pub(super) fn clean(text: &str) -> String {
    fragments(&assignments(&userinfo(text)))
}

/// Where a URL ends in text.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

/// The text up to the first character of a kind.
fn up_to(text: &str, end: impl Fn(char) -> bool) -> &str {
    text.split(end).next().unwrap_or(text)
}

/// The text up to `at`, or to the character boundary before.
fn cut(text: &str, at: usize) -> &str {
    (0..=at.min(text.len())).rev().find_map(|at| text.get(..at)).unwrap_or_default()
}

fn after(text: &str, at: usize) -> &str {
    text.get(at..).unwrap_or_default()
}

/// The part of the first `len` bytes that is one entry of a list such as GOPROXY: up to a `,` or `|`
/// that another entry follows. A `,` alone may be part of a password.
fn entry(text: &str, len: usize) -> &str {
    let within = cut(text, len);
    let mut ends = within.match_indices([',', '|']).map(|(at, _)| at);
    ends.find(|at| starts_entry(after(text, at + 1))).map_or(within, |at| cut(text, at))
}

fn starts_entry(text: &str) -> bool {
    let word = up_to(text, |c| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '.' | '-'));
    let rest = after(text, word.len());
    let alone = rest.is_empty() || rest.starts_with([',', '|']);
    rest.starts_with("://") && !word.is_empty() || alone && matches!(word, "direct" | "off")
}

/// Replaces what stands between `://` and the host.
fn userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, url)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let (kept, secret) = secret_of_authority(url, before);
        if secret > 0 {
            out.push_str(cut(url, kept));
            out.push_str(MARK);
        }
        rest = after(url, if secret > 0 { kept + secret } else { 0 });
    }
    out.push_str(rest);
    out
}

/// Where in `url`, which follows its `://`, the secret begins, and its length in bytes.
fn secret_of_authority(url: &str, scheme: &str) -> (usize, usize) {
    let ends_authority = |c| ends_url(c) || matches!(c, '/' | '?' | '#' | '\\');
    let authority = entry(url, up_to(cut(url, REACH), ends_authority).len());
    if let Some(at) = authority.rfind('@') {
        let user = cut(authority, at);
        let login = ["ssh", "sftp"].iter().any(|name| scheme.ends_with(name));
        let harmless = user == "git" || login && !user.contains(':');
        return (0, if harmless { 0 } else { at });
    }
    let Some(colon) = odd_port(authority) else { return (0, 0) };
    let reach = up_to(cut(url, REACH), char::is_whitespace);
    // A password with a `/` in it, not encoded: Go, git and curl call it an invalid port.
    match reach.rmatch_indices('@').find(|(at, _)| !cut(reach, *at).ends_with('/')) {
        Some((at, _)) => (0, at),
        None => (colon + 1, authority.len() - colon - 1),
    }
}

/// The `:` of an authority without `@`, if what follows it cannot be a port: then the `@` was cut
/// off, or comes later.
fn odd_port(authority: &str) -> Option<usize> {
    let skip = if authority.starts_with('[') { authority.find(']')? } else { 0 };
    let colon = skip + after(authority, skip).find(':')?;
    let end = after(authority, colon + 1).trim_start_matches(|c: char| c.is_ascii_digit());
    let port = end.chars().next().is_none_or(|c| ",|;:.)]}".contains(c));
    (!port).then_some(colon)
}

/// Userinfo before a host that has no scheme before it, in each entry of a list.
pub(super) fn without_scheme(text: &str) -> String {
    if text.contains("://") || text.contains(char::is_whitespace) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive('|') {
        let secret = schemeless_secret(part);
        if secret > 0 {
            out.push_str(MARK);
        }
        out.push_str(after(part, secret));
    }
    out
}

fn schemeless_secret(text: &str) -> usize {
    let Some((user, rest)) = text.split_once('@') else { return 0 };
    match user.split_once(':') {
        _ if up_to(user, |c| matches!(c, ':' | '?')).contains('/') => 0,
        // host:8080/path@version
        Some((_, port)) if port.contains('/') && odd_port(up_to(user, |c| c == '/')).is_none() => 0,
        Some(_) => text
            .rmatch_indices('@')
            .find(|(at, _)| !cut(text, *at).ends_with('/'))
            .map_or(0, |(at, _)| at),
        None if user != "git" && is_host(rest) => user.len(),
        None => 0,
    }
}

/// Whether what follows an `@` is a host, rather than a version (`lib@v1.4.2`) or git's
/// `host:path`.
pub(super) fn is_host(text: &str) -> bool {
    let host = up_to(text, |c| matches!(c, '/' | '?' | '#' | ',' | '|'));
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    let version =
        name.strip_prefix('v').is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
    let named = name.contains('.') || name == "localhost" || !port.is_empty();
    named && !version && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Replaces the value of every `key=value` whose key says it is secret: in queries, in options
/// (`--password=x`), in settings (`_authToken=x`).
fn assignments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, value)) = rest.split_once('=') {
        out.push_str(before);
        out.push('=');
        rest = value;
        if is_secret_key(before) || hides_url(value) {
            let (quote, secret) = unquoted(cut(value, value_len(value)));
            out.push_str(quote);
            out.push_str(if secret.is_empty() { "" } else { MARK });
            rest = after(value, quote.len() + secret.len());
        }
    }
    out.push_str(rest);
    out
}

/// Bytes of the value at the start of the text, with its quotes.
fn value_len(text: &str) -> usize {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = after(text, 1);
            1 + inner.find([quote, '\n']).map_or(inner.len(), |at| at + 1)
        }
        _ => {
            let end = |c| ends_url(c) || matches!(c, '&' | '#');
            entry(text, up_to(cut(text, REACH), end).len()).len()
        }
    }
}

fn unquoted(value: &str) -> (&str, &str) {
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (open, inner) = value.split_at_checked(1).unwrap_or(("", value));
            (open, inner.strip_suffix([quote, '\n']).unwrap_or(inner))
        }
        _ => ("", value),
    }
}

/// A URL with userinfo, percent-encoded into the value at the start of the text.
fn hides_url(text: &str) -> bool {
    let scheme = up_to(cut(text, 32), |c: char| !c.is_ascii_alphanumeric() && c != '+');
    let url = after(text, scheme.len());
    let encoded = ["%3A%2F%2F", "%3a%2f%2f", ":%2F%2F", ":%2f%2f"];
    encoded.iter().any(|separator| url.starts_with(separator))
        && cut(url, value_len(url)).contains("%40")
}

/// Whether the last word of the text, which a `=` follows, names a secret.
fn is_secret_key(before: &str) -> bool {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "_-.%[]".contains(c);
    let start = before.trim_end_matches(is_key);
    let key = after(before, start.len());
    // In a query or an option these are secrets; in prose `code=404` is not.
    let pointed = start.ends_with(['?', '&', ';', '#']) || key.starts_with(['-', '_']);
    is_secret_name(key) || pointed && is_short_secret_name(key)
}

/// Whether a name of any place (query, option, setting, header) names a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    const PARTS: [&str; 10] = [
        "token",
        "password",
        "passwd",
        "passphrase",
        "secret",
        "apikey",
        "accesskey",
        "privatekey",
        "signature",
        "signingkey",
    ];
    // --password-stdin and token_file=PATH say where the secret is.
    const PLACES: [&str; 4] = ["file", "path", "stdin", "prompt"];
    let plain = plain(name);
    let place = PLACES.iter().any(|place| plain.ends_with(place));
    PARTS.iter().any(|part| plain.contains(part)) && !place
        || plain.starts_with("xamz")
        || plain.starts_with("xgoog")
}

/// Names that are secret where a value is sure to follow.
pub(super) fn is_short_secret_name(name: &str) -> bool {
    const NAMES: [&str; 14] = [
        "key",
        "sig",
        "auth",
        "code",
        "pass",
        "pwd",
        "pat",
        "jwt",
        "sas",
        "credential",
        "credentials",
        "awsaccesskeyid",
        "googleaccessid",
        "keypairid",
    ];
    NAMES.contains(&&*plain(name))
}

/// The letters and digits of a name, in lower case. Servers decode `%74oken`, so this does too.
fn plain(name: &str) -> String {
    let letters = percent_decode_str(name).filter(u8::is_ascii_alphanumeric);
    letters.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

/// Replaces the fragment of each URL, unless it is an anchor such as `#git_https`.
fn fragments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_url) {
        let url = word.trim_end_matches(ends_url);
        let Some((before, _)) = url.split_once('#').filter(|(before, _)| before.contains("://"))
        else {
            out.push_str(word);
            continue;
        };
        let fragment = after(url, before.len() + 1);
        let fragment = entry(fragment, fragment.len());
        out.push_str(before);
        out.push('#');
        out.push_str(if is_anchor(fragment) { fragment } else { MARK });
        out.push_str(after(word, before.len() + 1 + fragment.len()));
    }
    out
}

/// A heading or name on a page: letters and a few digits. A token has more of them.
fn is_anchor(fragment: &str) -> bool {
    let digits = fragment.bytes().filter(u8::is_ascii_digit).count();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:,;)]}!?/".contains(c);
    fragment.len() <= 48 && digits <= 4 && fragment.chars().all(plain)
}
