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

/// A request is answered, or has failed.
pub(super) fn response(goid: u64, values: &Values) -> What {
    let has_failed = values.number(Meaning::Error) != Some(0);
    let status = values.number(Meaning::Status).and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|_| !has_failed);
    // -1 where it is not known.
    let length = values.number(Meaning::ContentLength).filter(|length| length.cast_signed() >= 0);
    What::GoResponse { goid, status, content_length: length.filter(|_| status.is_some()) }
}
