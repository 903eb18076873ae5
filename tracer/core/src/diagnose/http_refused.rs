//! # http-refused: a status that ends the request
//!
//! The server answered, and the answer was no: 401 and 403 (not without a login, or not you), 404 and 410 (there is no such module
//! or version here), 429 (too many requests), 5xx (the server itself has failed). go tries no request a second time.
//!
//! **Seen by** the status in what go said, in a plain HTTP answer, or by eBPF inside TLS too. A 404 or 410 that leads to the next
//! entry of GOPROXY is no failure and is not told.
//!
//! **What to do** 401, 403: credentials for the host in `~/.netrc`, or GOAUTH. 404, 410: check path and version. 429: later, or
//! with fewer requests at once (`GOMAXPROCS=1`). 5xx: later, or another way to the same modules.

use super::draft::Draft;
use super::network::way_round_role;
use super::paste;
use super::private_asked_publicly;
use super::refusal::{Refusal, refusals};
use super::scene::Scene;
use crate::report::{Confidence, Finding, Role};
use crate::text;

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let mut groups: Vec<Vec<Refusal>> = Vec::new();
    for refusal in refusals(scene) {
        if private_asked_publicly::suspicion(scene, &refusal).is_some() {
            continue;
        }
        let key = |r: &Refusal| (r.pid, r.asked.host(), r.asked.port(), r.status);
        match groups.iter_mut().find(|g| g.first().map(key) == Some(key(&refusal))) {
            Some(group) => group.push(refusal),
            None => groups.push(vec![refusal]),
        }
    }
    groups.iter().filter_map(|group| refused(scene, group)).collect()
}

fn refused(scene: &Scene<'_>, group: &[Refusal]) -> Option<Finding> {
    let first = group.first()?;
    let mut modules: Vec<String> = group.iter().filter_map(|r| r.asked.module.clone()).collect();
    modules.sort();
    modules.dedup();
    let made = Draft::new(scene, "http-refused", first.pid, first.t, summary(first))
        .modules(modules)
        .peer(first.asked.peer())
        .fact("asked", first.asked.question())
        .fact("server", [first.asked.server_line()]);
    let made = match first.asked.role {
        Some(role) => made.role(role),
        None => made,
    };
    let made = match &first.reason {
        Some(reason) => made.fact("says", [reason.clone()]),
        None => made,
    };
    let made = match &first.line {
        Some(line) => made.seen(line.clone(), first.t, "stderr").confidence(Confidence::Certain),
        None => made
            .seen(
                format!("{} in answer to {}", first.said, first.asked.url),
                first.t,
                "http-response",
            )
            .confidence(Confidence::Likely),
    };
    Some(with_advice(made, scene, first).done())
}

fn summary(refusal: &Refusal) -> String {
    let host = refusal.asked.host();
    let status = refusal.status;
    let module = refusal.asked.module.as_deref().map(text::module);
    let what = module.unwrap_or_else(|| "a request".to_owned());
    match refusal.status {
        401 => format!("{host} wants a login for {what} ({status})."),
        403 => format!("{host} does not give out {what} ({status})."),
        404 | 410 => format!("{host} has no {what} ({status})."),
        429 => format!("{host} was asked too often ({status})."),
        500.. => format!("{host} failed to answer for {what} ({status})."),
        _ => format!("{host} did not accept the request for {what} ({status})."),
    }
}

fn with_advice<'a, 's>(made: Draft<'a, 's>, scene: &Scene<'_>, refusal: &Refusal) -> Draft<'a, 's> {
    let words = scene.paste(refusal.pid);
    let made = match refusal.status {
        401 | 403 => made
            .or_else("the module is private, or a company's proxy wants a login")
            .remedy(format!("put a login for {} into ~/.netrc", refusal.asked.host()), None),
        404 | 410 => made
            .or_else("the module is private, or its path or version is mistyped")
            .remedy("see which versions there are:", versions(refusal)),
        429 => made.remedy(
            "wait a while, then with fewer requests at once:",
            Some(format!("GOMAXPROCS=1 {words}")),
        ),
        500.. => made
            .or_else("the proxy could not fetch the module from where it lives")
            .remedy("try again later:", Some(words)),
        _ => made.or_else("the address is that of a web proxy, which belongs into HTTPS_PROXY"),
    };
    let made = match refusal.asked.role.filter(|role| *role != Role::Toolchain) {
        Some(role) => match way_round_role(scene, refusal.pid, role) {
            Some((_, command)) => made.remedy("or another way:", Some(command)),
            None => made,
        },
        None => made,
    };
    let url = refusal.asked.url.as_str();
    match paste::is_redacted(url) {
        true => made,
        false => {
            made.remedy("see the whole answer:", Some(format!("curl -sSi {}", paste::word(url))))
        }
    }
}

fn versions(refusal: &Refusal) -> Option<String> {
    let module = refusal.asked.module.as_deref()?;
    let path = module.split('@').next().unwrap_or(module);
    Some(format!("go list -m -versions {}", paste::word(path)))
}
