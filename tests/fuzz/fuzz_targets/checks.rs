//! What must hold for any bytes. Shared by the fuzz targets and by `tests/corpus.rs` of
//! gmtrace-core, which replays the corpus with the stable compiler.

use gmtrace_core::decode::{dns, http, sockaddr, tls};
use gmtrace_core::{redact, text};

/// Every decoder ends, and stays within its bounds.
pub(crate) fn decode(bytes: &[u8]) {
    if let Some(address) = sockaddr::decode(bytes) {
        let shown = address.to_string();
        let back: sockaddr::Address = shown.parse().expect("an address reads its own form");
        assert_eq!(back.to_string(), shown);
    }
    for answer in [dns::answer(bytes), dns::tcp_answer(bytes)].into_iter().flatten() {
        assert!(answer.addresses.len() <= 16 && answer.cnames.len() <= 16);
    }
    for question in [dns::question(bytes), dns::tcp_question(bytes)].into_iter().flatten() {
        assert!(question.name.is_ascii() && question.name.len() <= 4 * 255);
    }
    if let Some(hello) = tls::client_hello(bytes) {
        assert!(hello.alpn.len() <= 16 && hello.sni.is_none_or(|name| name.len() <= 253));
    }
    let _ = tls::first_record(bytes);
    if let Some(request) = http::request(bytes) {
        assert!(request.target.len() <= 1 << 17);
    }
    let _ = http::response(bytes);
}

/// Nothing that acts on a terminal survives, and redaction is done at once.
pub(crate) fn text(bytes: &[u8]) {
    let shown = text::escape_bytes(bytes);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert!(text::width(&text::cut_middle(&shown, 20)) <= 20, "{shown:?}");
    let raw = text::lossy(bytes);
    let once = redact::url(&raw);
    assert_eq!(redact::url(&once), once, "url of {raw:?}");
    let once = redact::text(&raw);
    assert_eq!(redact::text(&once), once, "text of {raw:?}");
    let words: Vec<String> = raw.split('\0').map(str::to_owned).collect();
    let once = redact::argv(&words);
    assert_eq!(redact::argv(&once), once, "argv of {words:?}");
}
