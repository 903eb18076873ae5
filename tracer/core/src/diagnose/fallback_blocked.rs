//! # fallback-blocked: the next entry of GOPROXY was not asked
//!
//! GOPROXY lists several places, but after a comma go asks the next one only when the one before answered 404 or 410. A time-out,
//! a refused connection, a certificate, 403 or 503 ends the command there. After `|` any error leads on.
//!
//! **Seen by** the URL in go's error, which belongs to an entry that a comma follows.
//!
//! **What to do** Write `|` in place of the comma: `GOPROXY='https://proxy.example.com|direct'`.

use super::draft::Draft;
use super::paste;
use super::said;
use super::scene::Scene;
use crate::report::{Finding, Role};
use crate::settings::{self, FallsThrough, ProxyEntry, ProxyKind};
use crate::units::{Nanos, Pid};

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let mut found: Vec<(usize, Finding)> = Vec::new();
    for (t, pid, line) in scene.session.output.all().filter(|(_, _, line)| is_an_error(line)) {
        let entries = scene.session.proxies_for(pid);
        let Some(at) = said::url_in(line).and_then(|url| settings::entry_of(&entries, &url)) else {
            continue;
        };
        if found.iter().all(|(known, _)| *known != at) {
            found.extend(blocked(scene, (t, pid, line), &entries, at).map(|f| (at, f)));
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// What `-x` prints of each request begins with `#`; 404 and 410 lead on after a comma too.
fn is_an_error(line: &str) -> bool {
    !line.starts_with('#') && !line.contains(": 404 ") && !line.contains(": 410 ")
}

fn blocked(
    scene: &Scene<'_>,
    (t, pid, line): (Nanos, Pid, &str),
    entries: &[ProxyEntry],
    at: usize,
) -> Option<Finding> {
    let entry = entries.get(at).filter(|e| e.falls_through == FallsThrough::OnNotFound)?;
    let next = entries.get(at + 1).filter(|e| e.kind != ProxyKind::Off)?;
    let summary =
        format!("{} was not asked: only 404 and 410 lead past a comma in GOPROXY.", next.text);
    let open = with_bars(entries);
    let made = Draft::new(scene, "fallback-blocked", pid, t, summary)
        .role(Role::ModuleProxy)
        .fact("failed", [format!("{}, entry {} of GOPROXY", entry.text, entry.index)])
        .seen(line.to_owned(), t, "stderr");
    if paste::is_redacted(&open) {
        return Some(made.remedy("write \"|\" in place of \",\" in GOPROXY", None).done());
    }
    let once = format!("GOPROXY={} {}", paste::word(&open), scene.paste(pid));
    Some(
        made.remedy("let any error lead on, this once:", Some(once))
            .remedy("or for good:", Some(paste::set(scene, pid, "GOPROXY", &open)))
            .done(),
    )
}

/// The list with every comma made a bar.
fn with_bars(entries: &[ProxyEntry]) -> String {
    let listed = entries.iter().filter(|e| e.kind != ProxyKind::NoProxy);
    listed.map(|e| e.text.as_str()).collect::<Vec<_>>().join("|")
}
