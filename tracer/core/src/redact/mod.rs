//! Credentials are removed here, in capture, before anything is stored.
//!
//! Three callers, three functions: [`url`] for what is known to be a URL or a list of them,
//! [`text`] for lines a program wrote, [`argv`] and [`env_value`] for what a command was given.
//! Each replaces what is secret by [`MARK`], leaves other text as it is, and changes nothing when
//! run again. What cannot be told from ordinary text (a password alone on a line) stays: payloads
//! and other programs' arguments are not stored in the first place.

mod command;
mod rules;
#[cfg(test)]
mod tests;
mod url;

use std::borrow::Cow;

pub use command::{Program, argv, argv_for, env_value, program_kind};

/// Stands where a credential was, as in Go's `url.URL.Redacted`.
pub const MARK: &str = "xxxxx";

/// Removes the credentials of a URL: userinfo, secret values of its query, and a fragment that is
/// more than an anchor. The user name goes too, for it is often a token.
///
/// Takes URLs without a scheme (`user:password@proxy.example.com:3128`), lists as in GOPROXY, git's
/// `user@host:path` (whose user stays), and URLs inside longer text.
#[must_use]
pub fn url(text: &str) -> Cow<'_, str> {
    settle(text, |text| url::clean(&url::without_scheme(&rules::tokens(text))))
}

/// Removes credentials from free text, a line or several: those of URLs, of headers
/// (`Authorization: ...`), `Bearer x`, `--token x`, `password=x`, netrc entries, and tokens that
/// can be told by their form.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    settle(text, |text| rules::prose(&url::clean(&rules::headers(&rules::tokens(text)))))
}

/// Passes over the text until nothing changes: what one removal leaves can be what another rule
/// looks for. Ordinary text takes one pass, a secret two; the bound is for text made to take more.
fn settle(text: &str, pass: fn(&str) -> String) -> Cow<'_, str> {
    const PASSES: usize = 8;
    let mut settled = Cow::Borrowed(text);
    for _ in 0..PASSES {
        let next = pass(&settled);
        if next == settled {
            break;
        }
        settled = Cow::Owned(next);
    }
    settled
}
