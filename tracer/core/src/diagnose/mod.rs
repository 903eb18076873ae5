//! From the model to findings. One rule a file; the doc comment at its head is its page in `gmtrace explain`.
//!
//! A rule says what keeps *one process* waiting, or what made it fail. [`chain`] then follows locks and children from the
//! command to the root, which gives the code.

pub mod attached;
mod chain;
mod dns;
mod dns_said;
mod draft;
mod far;
mod idle;
mod network;
mod other_end;
mod paste;
mod place;
mod refusal;
mod said;
mod scene;
mod silent;
mod sits;
mod target;
#[cfg(test)]
mod tests;
pub mod unpacking;
mod zip_in_flight;

pub use idle::serves;
pub use scene::{Moment, Scene};

use crate::report::{Confidence, Finding, FindingState};
use crate::session::Session;

/// One entry of the catalogue.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its code, stable for ever.
    pub code: &'static str,
    /// Its source, whose leading `//!` lines are its page.
    source: &'static str,
    /// What it finds.
    examine: fn(&Scene<'_>) -> Vec<Finding>,
}

impl Rule {
    /// The page of `gmtrace explain`, as Markdown.
    pub fn page(&self) -> String {
        self.source
            .lines()
            .take_while(|line| line.starts_with("//!"))
            .map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or(""))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The page's first sentence.
    pub fn headline(&self) -> String {
        self.page().lines().next().unwrap_or_default().trim_start_matches("# ").to_owned()
    }
}

macro_rules! rules {
    ($($module:ident = $code:literal),* $(,)?) => {
        $(mod $module;)*
        /// The catalogue, in the order in which findings of equal weight are told.
        pub static RULES: &[Rule] = &[$(Rule {
            code: $code,
            source: include_str!(concat!(stringify!($module), ".rs")),
            examine: $module::examine,
        }),*];
    };
}

rules! {
    checksum_mismatch = "checksum-mismatch",
    disk_full = "disk-full",
    fs_blocked = "fs-blocked",
    killed = "killed",
    stopped = "stopped",
    frozen = "frozen",
    throttled = "throttled",
    dns_silent = "dns-silent",
    dns_failed = "dns-failed",
    dns_unreachable = "dns-unreachable",
    connect_silent = "connect-silent",
    connect_refused = "connect-refused",
    connect_unreachable = "connect-unreachable",
    peer_dead = "peer-dead",
    connection_reset = "connection-reset",
    tls_silent = "tls-silent",
    tls_failed = "tls-failed",
    tunnel_silent = "tunnel-silent",
    tunnel_auth = "tunnel-auth",
    http_silent = "http-silent",
    private_asked_publicly = "private-asked-publicly",
    not_a_module_proxy = "not-a-module-proxy",
    http_refused = "http-refused",
    fallback_blocked = "fallback-blocked",
    toolchain_unavailable = "toolchain-unavailable",
    body_stalled = "body-stalled",
    body_slow = "body-slow",
    lock_held = "lock-held",
    lock_cycle = "lock-cycle",
    lock_orphaned = "lock-orphaned",
    lock_unsupported = "lock-unsupported",
    prompt = "prompt",
    pipe_held = "pipe-held",
    output_blocked = "output-blocked",
    child_failed = "child-failed",
    helper_silent = "helper-silent",
    child_waiting = "child-waiting",
    goroutines_deadlocked = "goroutines-deadlocked",
    spinning = "spinning",
    starved = "starved",
    cache_corrupt = "cache-corrupt",
    modules_off = "modules-off",
    no_go_mod = "no-go-mod",
    nothing_to_download = "nothing-to-download",
    goproxy_off = "goproxy-off",
    vendored = "vendored",
    trace_incomplete = "trace-incomplete",
    not_go = "not-go",
    unknown = "unknown",
}

/// What a connection is for, where the settings say.
pub fn role_of_connection(
    session: &Session,
    connection: &crate::session::Connection,
) -> Option<crate::report::Role> {
    target::Target::of(&Scene::new(session, Moment::Stall), connection).role
}

/// The rule of a code.
pub fn rule(code: &str) -> Option<&'static Rule> {
    RULES.iter().find(|r| r.code == code)
}

/// What is the matter, the verdict first.
pub fn diagnose(session: &Session, moment: Moment) -> Vec<Finding> {
    diagnose_some(session, moment, |_| true)
}

/// What is the matter with what `concerns` the question, the verdict first.
pub fn diagnose_some(
    session: &Session,
    moment: Moment,
    concerns: impl Fn(&Finding) -> bool,
) -> Vec<Finding> {
    let scene = Scene::new(session, moment);
    let mut found: Vec<Finding> = RULES.iter().flat_map(|rule| (rule.examine)(&scene)).collect();
    if moment == Moment::Stall {
        found = chain::follow(&scene, found);
    }
    trace_incomplete::weaken(&scene, &mut found);
    found.sort_by_key(order);
    found.retain(concerns);
    drop_unknown(&scene, &mut found);
    found.dedup_by(|b, a| a.code == b.code && a.blocked == b.blocked && a.peer == b.peer);
    for (n, finding) in found.iter_mut().enumerate() {
        finding.id = format!("f{}", n + 1);
    }
    found
}

/// The verdict first: what is so now, what explains everything else, what is surest, what is oldest.
fn order(f: &Finding) -> (u8, u8, std::cmp::Reverse<Confidence>, crate::units::Nanos) {
    (weight(f.state), class(f), std::cmp::Reverse(f.confidence), f.since_ns)
}

/// What explains the others comes before them, what follows from another after it.
fn class(f: &Finding) -> u8 {
    match f.code.as_str() {
        // It is about safety, and what else went wrong may come from it.
        "checksum-mismatch" => 0,
        "stopped" | "frozen" | "throttled" | "starved" | "fs-blocked" | "disk-full" | "killed"
            if f.confidence > Confidence::Possible =>
        {
            1
        }
        "killed" | "fallback-blocked" | "child-waiting" | "not-go" | "starved" => 3,
        _ if idle::is_guess(f) => 4,
        _ => 2,
    }
}

/// Whether a finding says no more than that nothing moves.
fn is_last_resort(f: &Finding) -> bool {
    matches!(f.code.as_str(), "unknown" | "not-go")
}

/// `unknown` is said only where no rule explains a stall or a failure, `child-waiting` only of a child that no other rule is
/// about.
fn drop_unknown(scene: &Scene<'_>, found: &mut Vec<Finding>) {
    let explains = |f: &Finding| {
        !matches!(f.code.as_str(), "unknown" | "child-waiting" | "not-go")
            && !idle::is_guess(f)
            && matches!(f.state, FindingState::Stalled | FindingState::Failed)
    };
    // A quiet connection may be idle: where something else explains the wait, it is.
    let is_sure = |f: &&Finding| explains(f) && f.confidence > Confidence::Possible;
    let sure: Vec<_> = found.iter().filter(is_sure).map(|f| f.blocked.pid).collect();
    found.retain(|f| !idle::is_guess(f) || !sure.contains(&f.blocked.pid));
    // A thread that is runnable in one reading may only answer a PING: its process waits for what is known.
    let waiting: Vec<_> =
        found.iter().filter(is_sure).flat_map(|f| &f.chain).map(|link| link.pid).collect();
    let is_glimpse = |f: &Finding| f.code == "starved" && f.confidence == Confidence::Possible;
    found.retain(|f| !is_glimpse(f) || !waiting.contains(&f.blocked.pid));
    let about: Vec<_> = found.iter().filter(|f| explains(f)).map(|f| f.blocked.pid).collect();
    found.retain(|f| f.code != "child-waiting" || !about.contains(&f.blocked.pid));
    // A helper that waits for something itself is explained by that.
    let better: Vec<_> = found
        .iter()
        .filter(|f| explains(f) && f.code != "helper-silent" && f.confidence > Confidence::Possible)
        .map(|f| f.blocked.pid)
        .collect();
    let below = |pid| better.iter().any(|other| scene.session.is_below(*other, pid));
    found.retain(|f| f.code != "helper-silent" || !below(f.blocked.pid));
    let of_helpers: Vec<_> =
        found.iter().filter(|f| f.code == "helper-silent").map(|f| f.blocked.pid).collect();
    let of_helper = |pid| of_helpers.iter().any(|helper| scene.session.is_below(pid, *helper));
    found.retain(|f| f.code != "child-waiting" || !of_helper(f.blocked.pid));
    if found.iter().any(explains) {
        found.retain(|f| f.code != "not-go");
    }
    let explained =
        |f: &Finding| matches!(f.code.as_str(), "child-waiting" | "not-go") || explains(f);
    if found.iter().any(explained) {
        found.retain(|f| f.code != "unknown");
    }
    idle::fold(scene, found);
}

/// What is so now comes before what was, and what ended the command before what slowed it.
fn weight(state: FindingState) -> u8 {
    match state {
        FindingState::Stalled => 0,
        FindingState::Failed => 1,
        FindingState::Slow => 2,
        FindingState::Notice => 3,
    }
}

/// The lower of two confidences: a chain is as sure as its weakest link.
fn weaker(a: Confidence, b: Confidence) -> Confidence {
    a.min(b)
}
