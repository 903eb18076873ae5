//! # toolchain-unavailable: a newer Go is wanted than may be used or fetched
//!
//! go.mod (or a module it requires, or GOTOOLCHAIN) asks for a newer Go than the one that runs, and that one may not be fetched
//! (GOTOOLCHAIN=local or path), is not offered by any entry of GOPROXY, or cannot be verified (GOSUMDB=off).
//!
//! **Seen by** what go says before it does anything else.
//!
//! **What to do** Install that Go, or allow go to fetch it: GOTOOLCHAIN=auto. A proxy that carries modules only needs
//! golang.org/toolchain as well.

use super::draft::Draft;
use super::paste;
use super::scene::Scene;
use crate::report::{Confidence, Finding, Role};
use crate::units::{Nanos, Pid};

/// What go said, taken apart.
struct Wanted<'a> {
    /// The version wanted: `1.99`, `go1.99.0`.
    version: &'a str,
    /// The version that runs, where go names it.
    running: Option<&'a str>,
    /// Why that one cannot be had.
    because: String,
    sure: Confidence,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.has_failed() {
        return Vec::new();
    }
    let mut lines = scene.session.output.all().rev();
    let found = lines.find_map(|(t, pid, line)| Some((t, pid, line, wanted(line)?)));
    found.map(|(t, pid, line, wanted)| told(scene, (t, pid, line), &wanted)).into_iter().collect()
}

fn wanted(line: &str) -> Option<Wanted<'_>> {
    too_new(line)
        .or_else(|| not_found(line))
        .or_else(|| not_fetched(line))
        .or_else(|| too_old(line))
}

/// `go: go.mod requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)` (cmd/go/internal/gover.TooNewError).
fn too_new(line: &str) -> Option<Wanted<'_>> {
    let (what, rest) = line.split_once(" requires go >= ")?;
    let (version, rest) = rest.split_once(" (running go ")?;
    let running = rest.split([';', ')']).next()?;
    let what = what.trim_start_matches("go: ");
    let because = match rest.split_once("GOTOOLCHAIN=") {
        Some((_, value)) => {
            let value = value.split([';', ')']).next().unwrap_or_default();
            format!("{what} asks for it, and GOTOOLCHAIN={value} allows no other than {running}")
        }
        None => format!("{what} asks for it"),
    };
    Some(Wanted { version, running: Some(running), because, sure: Confidence::Certain })
}

/// `go: cannot find "go1.99.0" in PATH`, with GOTOOLCHAIN=path.
fn not_found(line: &str) -> Option<Wanted<'_>> {
    let (_, rest) = line.split_once("go: cannot find \"go")?;
    let (version, _) = rest.split_once("\" in PATH")?;
    let because = "GOTOOLCHAIN allows only what is in PATH, and there it is not".to_owned();
    Some(Wanted { version, running: None, because, sure: Confidence::Certain })
}

/// `go: download go1.99.0 for linux/amd64: toolchain not available`, or `go: download go1.99.0: ERROR`.
fn not_fetched(line: &str) -> Option<Wanted<'_>> {
    let (_, rest) = line.split_once("go: download go")?;
    let (named, error) = rest.split_once(": ")?;
    let version = named.split(' ').next()?;
    let (because, sure) = if error.contains("toolchain not available") {
        ("no entry of GOPROXY has it for this machine", Confidence::Certain)
    } else if error.contains("checksum database disabled") {
        ("a toolchain must be verified, and GOSUMDB is off", Confidence::Certain)
    } else {
        // The rule of the network says why.
        ("it could not be fetched", Confidence::Possible)
    };
    Some(Wanted { version, running: None, because: because.to_owned(), sure })
}

/// Go 1.20 and older know neither `go 1.21.0` nor toolchains: `go.mod:3: invalid go version '1.21.0': must match format 1.23`.
fn too_old(line: &str) -> Option<Wanted<'_>> {
    let (_, rest) = line.split_once("invalid go version '")?;
    let (version, rest) = rest.split_once('\'')?;
    let because = "this go is older than 1.21 and cannot read such a version".to_owned();
    rest.contains("must match format").then_some(Wanted {
        version,
        running: None,
        because,
        sure: Confidence::Likely,
    })
}

fn told(scene: &Scene<'_>, (t, pid, line): (Nanos, Pid, &str), wanted: &Wanted<'_>) -> Finding {
    let version = wanted.version;
    let mut made = {
        let summary = format!("Go {version} is wanted, and cannot be used here.");
        Draft::new(scene, "toolchain-unavailable", pid, t, summary)
    };
    let known = scene.session.settings_for(pid).and_then(|s| s.version.as_deref());
    let running = wanted.running.or_else(|| known.map(|v| v.trim_start_matches("go")));
    made = made
        .confidence(wanted.sure)
        .role(Role::Toolchain)
        .fact("wanted", [format!("Go {version}")])
        .fact("running", running.map(|v| format!("Go {v}")))
        .fact("why", [wanted.because.clone()])
        .seen(line.to_owned(), t, "stderr");
    let setting = paste::value(scene, pid, "GOTOOLCHAIN");
    if line.contains("GOTOOLCHAIN=") || line.contains("in PATH") || setting == Some("local") {
        let command = format!("GOTOOLCHAIN=auto {}", scene.paste(pid));
        made = made.remedy("let go fetch it:", Some(command));
    }
    if line.contains("toolchain not available") {
        made = made.or_else("there is no such version of Go");
    }
    made.remedy(format!("or install Go {version} or newer"), None).done()
}
