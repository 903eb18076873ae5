//! Requests of Go programs, from the calls of net/http that make them.

use super::calls::Values;
use gmtrace_core::decode::http;
use gmtrace_core::event::What;
use gmtrace_core::golang::probes::What as Meaning;
use gmtrace_core::units::Fd;

/// What could not be read.
const UNKNOWN: &str = "?";

/// A request begins: `(*Transport).roundTrip`. None where its URL could not be read.
pub(super) fn request(goid: u64, values: &Values) -> Option<What> {
    let part = |what| values.text(what);
    let cut = if values.is_cut(Meaning::Path) { "..." } else { "" };
    let url = http::url_of(
        &part(Meaning::Scheme)?,
        &part(Meaning::UrlHost)?,
        &format!("{}{cut}", part(Meaning::Path)?),
    )?;
    let method = part(Meaning::Method).map_or_else(|| UNKNOWN.to_owned(), |m| m.into_owned());
    let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = match method.as_str() {
        "" => "GET".to_owned(),
        _ if is_method => method,
        _ => UNKNOWN.to_owned(),
    };
    Some(What::GoRequest { goid, method, url })
}

/// The descriptor of the connection that a request goes to, and whether it is inside TLS.
pub(super) fn connection(values: &Values) -> (Option<Fd>, bool) {
    let plain = || values.descriptor(Meaning::Descriptor, Meaning::DescriptorAgain);
    let inside = || values.descriptor(Meaning::TlsDescriptor, Meaning::TlsDescriptorAgain);
    match values.number(Meaning::Tls) {
        Some(0) => (plain(), false),
        Some(_) => (inside(), true),
        None => (plain().or_else(inside), false),
    }
}

/// Whether a request was not answered.
pub(super) fn has_failed(values: &Values) -> bool {
    values.number(Meaning::Error) != Some(0)
}

/// A request is answered, or has failed, by this error.
pub(super) fn response(goid: u64, values: &Values, error: Option<String>) -> What {
    let has_failed = has_failed(values);
    let status = values.number(Meaning::Status).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|_| !has_failed);
    // -1 where it is not known.
    let length = values.number(Meaning::ContentLength).filter(|length| length.cast_signed() >= 0);
    let content_length = length.filter(|_| status.is_some());
    What::GoResponse { goid, status, content_length, error: error.filter(|_| has_failed) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmtrace_abi::golang::{Got, TEXT, UNREADABLE};
    use gmtrace_core::golang::probes::Kind;

    /// What a probe read: texts, and numbers.
    fn values(read: &[(Meaning, Result<&str, u64>)]) -> Values {
        let known: Vec<_> = read
            .iter()
            .map(|(what, value)| (*what, if value.is_ok() { Kind::Text } else { Kind::Word }))
            .collect();
        let mut texts = vec![[0; TEXT]; read.len()];
        let mut got = Vec::new();
        for ((_, value), text) in read.iter().zip(&mut texts) {
            got.push(match value {
                Ok(words) => {
                    let kept = words.len().min(TEXT);
                    text[..kept].copy_from_slice(&words.as_bytes()[..kept]);
                    Got { word: words.len() as u64, second: kept as u64 }
                }
                Err(number) => Got { word: *number, second: 0 },
            });
        }
        Values::read(&known, &got, &texts)
    }

    fn of(method: &str, path: &str) -> Option<What> {
        let parts = [
            (Meaning::Method, Ok(method)),
            (Meaning::Scheme, Ok("https")),
            (Meaning::UrlHost, Ok("proxy.example.com")),
            (Meaning::Path, Ok(path)),
        ];
        request(7, &values(&parts))
    }

    fn told(method: &str, url: &str) -> Option<What> {
        Some(What::GoRequest { goid: 7, method: method.into(), url: url.into() })
    }

    #[test]
    fn an_empty_method_is_get_and_what_is_none_is_not_told() {
        assert_eq!(of("", "/x"), told("GET", "https://proxy.example.com/x"));
        assert_eq!(of("HEAD", "/x"), told("HEAD", "https://proxy.example.com/x"));
        assert_eq!(of("GE\nT", "/x"), told("?", "https://proxy.example.com/x"));
        assert_eq!(request(7, &values(&[(Meaning::Scheme, Ok("https"))])), None);
    }

    #[test]
    fn a_path_that_is_longer_than_is_kept_says_so() {
        let long = format!("/{}", "x".repeat(TEXT));
        let kept = format!("https://proxy.example.com/{}...", "x".repeat(TEXT - 1));
        assert_eq!(of("GET", &long), told("GET", &kept));
    }

    #[test]
    fn a_descriptor_is_one_where_both_ways_lead_to_it() {
        let ways = |tls, descriptor, again| {
            connection(&values(&[
                (Meaning::Tls, Err(tls)),
                (Meaning::Descriptor, Err(descriptor)),
                (Meaning::DescriptorAgain, Err(again)),
                (Meaning::TlsDescriptor, Err(9)),
                (Meaning::TlsDescriptorAgain, Err(9)),
            ]))
        };
        assert_eq!(ways(0, 5, 5), (Some(Fd(5)), false));
        assert_eq!(ways(0, 5, 6), (None, false));
        assert_eq!(ways(0xc000_1000, 5, 5), (Some(Fd(9)), true));
    }

    #[test]
    fn an_answer_has_a_status_and_a_failure_has_none() {
        let answer = |error, status, length| {
            response(
                7,
                &values(&[
                    (Meaning::Error, Err(error)),
                    (Meaning::Status, Err(status)),
                    (Meaning::ContentLength, Err(length)),
                ]),
                Some("errors.errorString EOF".to_owned()),
            )
        };
        let is = |status: Option<u16>, content_length| {
            let error = status.is_none().then(|| "errors.errorString EOF".to_owned());
            What::GoResponse { goid: 7, status, content_length, error }
        };
        assert_eq!(answer(0, 200, 12), is(Some(200), Some(12)));
        assert_eq!(answer(0, 200, u64::MAX), is(Some(200), None));
        assert_eq!(answer(0x1234, 200, 12), is(None, None));
        let got = [Got { word: 0, second: UNREADABLE }];
        let unread = Values::read(&[(Meaning::Status, Kind::Word)], &got, &[]);
        let error = Some("errors.errorString EOF".to_owned());
        assert_eq!(response(7, &unread, error), is(None, None));
    }
}
