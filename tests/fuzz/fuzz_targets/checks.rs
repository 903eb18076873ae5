//! What must hold for any bytes. Shared by the fuzz targets and by `tests/corpus.rs` of
//! gmtrace-core, which replays the corpus with the stable compiler.

use gmtrace_core::decode::{dns, http, sockaddr, tls};
use gmtrace_core::event::{GoRuntime, GoValue, Goroutine};
use gmtrace_core::golang::probes::{self, Function};
use gmtrace_core::golang::{self, Binary, Recorded};
use gmtrace_core::units::Tid;
use gmtrace_core::{redact, text};
use std::io::Cursor;

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

/// A program's file, or the recorded memory of a process, yields goroutines or a reason why not, and stays within its bounds.
pub(crate) fn golang(bytes: &[u8]) {
    if let Ok(Some(binary)) = Binary::read(Cursor::new(bytes)) {
        assert!(binary.build.settings.len() <= 64);
    }
    if let Ok(Some(found)) = probes::points(bytes) {
        assert_eq!(found.points.len() + found.left.len(), Function::ALL.len());
        let within = |at: &u64| usize::try_from(*at).is_ok_and(|at| at < bytes.len());
        assert!(found.points.iter().all(|placed| within(&placed.entry_offset)));
        assert!(found.points.iter().all(|placed| placed.returns.iter().all(within)));
    }
    if let Some(recorded) = Recorded::from_bytes(bytes) {
        goroutines(&recorded);
    }
}

/// The goroutines in a recording.
pub(crate) fn goroutines(recorded: &Recorded) -> GoRuntime {
    let tids = recorded.extras().threads.iter().map(|tid| (*tid, Tid(*tid))).collect();
    let reading = golang::read(recorded, recorded.binary(), recorded.extras());
    let runtime = GoRuntime::of(reading, &tids);
    assert!(runtime.goroutines.len() <= 10_000 && runtime.threads.len() <= 20_000);
    assert!(runtime.unreadable.is_none() || runtime.goroutines.is_empty());
    runtime.goroutines.iter().for_each(goroutine);
    runtime
}

fn goroutine(goroutine: &Goroutine) {
    assert!(goroutine.functions.len() <= 200 && goroutine.calls.len() <= 200);
    // A byte that is no text is shown by three.
    assert!(goroutine.functions.iter().all(|name| name.len() <= 3 * 512 + 5));
    for argument in goroutine.calls.iter().flat_map(|call| &call.arguments) {
        match &argument.value {
            GoValue::Text(text) => assert!(text.len() <= 4 * 4096, "{argument:?}"),
            GoValue::Words(words) => assert!(words.len() <= 32),
            GoValue::Number(_) | GoValue::Object(_) => {}
        }
    }
}
