//! # private-asked-publicly: a private module asked of a public proxy or checksum database
//!
//! Public module proxies and the checksum database cannot see private repositories, and answer 404 or 410 for them. go must be
//! told which modules are private: then it fetches them from their own host and does not look them up.
//!
//! **Seen by** 404 or 410 as the last word of a proxy or of the checksum database, together with a sign that the module is private:
//! the proxy itself was asked for a login by the repository, the checksum database does not know a module that could be
//! fetched, the path shares host and owner with the module one works on, or its host looks like a company's own.
//!
//! Whether a module is private cannot be seen from outside: this is never more than likely.
//!
//! **What to do** `go env -w GOPRIVATE=HOST/OWNER`, and a login for that host in git.

use super::draft::Draft;
use super::paste;
use super::refusal::{Refusal, refusals};
use super::scene::Scene;
use crate::report::{Confidence, Finding, Role};
use crate::settings::matches_prefix_patterns;
use crate::text;
use crate::units::Pid;

/// What a proxy passes on of git's complaint when a repository is not public.
const ASKED_FOR_A_LOGIN: &[&str] = &[
    "terminal prompts disabled",
    "could not read Username",
    "Authentication failed",
    "Permission denied (publickey",
    "If this is a private repository",
];

/// Top-level names that never lead out of a company or a home (RFC 6762 appendix G, RFC 8375; ICANN reserved `.internal`).
const INNER_DOMAINS: &[&str] =
    &["internal", "intranet", "local", "localdomain", "lan", "corp", "home", "private", "arpa"];

/// First labels that people give to their own code servers.
const OWN_SERVERS: &[&str] = &[
    "git",
    "gitlab",
    "gitea",
    "forgejo",
    "gogs",
    "gerrit",
    "github",
    "ghe",
    "bitbucket",
    "stash",
    "svn",
    "scm",
    "vcs",
    "code",
    "source",
    "src",
    "repo",
    "repos",
    "dev",
    "internal",
    "intranet",
    "corp",
    "private",
    "priv",
];

/// Why a module is taken for private.
pub(super) struct Suspicion {
    /// What GOPRIVATE should match: a host, or host and owner.
    glob: String,
    /// The sign, for the reader.
    because: String,
}

pub(super) fn examine(scene: &Scene<'_>) -> Vec<Finding> {
    let mut found: Vec<(String, Finding)> = Vec::new();
    for refusal in refusals(scene) {
        let Some(suspicion) = suspicion(scene, &refusal) else { continue };
        if found.iter().all(|(glob, _)| *glob != suspicion.glob) {
            found.push((suspicion.glob.clone(), told(scene, &refusal, &suspicion)));
        }
    }
    found.into_iter().map(|(_, finding)| finding).collect()
}

/// Whether this refusal is about a module that looks private, asked of somebody who cannot know it.
pub(super) fn suspicion(scene: &Scene<'_>, refusal: &Refusal) -> Option<Suspicion> {
    if !matches!(refusal.status, 404 | 410) || is_inner(&refusal.asked.host()) {
        return None;
    }
    let module = refusal.asked.module.as_deref()?;
    let path = module.split('@').next().unwrap_or(module);
    match refusal.asked.role? {
        Role::Sumdb if !is_declared(scene, refusal.pid, "GONOSUMDB", path) => Some(Suspicion {
            glob: owner_of(path),
            because: "it could be fetched, and the checksum database does not know it".to_owned(),
        }),
        Role::ModuleProxy if !is_declared(scene, refusal.pid, "GOPRIVATE", path) => {
            looks_private(scene, refusal, path)
        }
        _ => None,
    }
}

fn looks_private(scene: &Scene<'_>, refusal: &Refusal, path: &str) -> Option<Suspicion> {
    let host = path.split('/').next().unwrap_or(path);
    let owner = owner_of(path);
    let reason = refusal.reason.as_deref().unwrap_or_default();
    if ASKED_FOR_A_LOGIN.iter().any(|sign| reason.contains(sign)) {
        let because = "the proxy was asked for a login by the repository".to_owned();
        return Some(Suspicion { glob: owner, because });
    }
    if is_inner(host) {
        let because = format!("{host} is no name of the public internet");
        return Some(Suspicion { glob: host.to_owned(), because });
    }
    if path.split('/').count() > 2 && same_owner(scene, refusal.pid, &owner) {
        let because = format!("it has the owner of the module you work on, {owner}");
        return Some(Suspicion { glob: owner, because });
    }
    if is_own_server(host) {
        let because = format!("{host} looks like a company's own code server");
        return Some(Suspicion { glob: host.to_owned(), because });
    }
    if path.split('/').skip(1).any(|element| element == "private" || element.ends_with("-private"))
    {
        return Some(Suspicion { glob: owner, because: "its path says so".to_owned() });
    }
    None
}

/// Whether GOPRIVATE (the default of the other two) or `also` names the path.
fn is_declared(scene: &Scene<'_>, pid: Pid, also: &str, path: &str) -> bool {
    ["GOPRIVATE", also]
        .iter()
        .filter_map(|name| paste::value(scene, pid, name))
        .any(|globs| matches_prefix_patterns(globs, path))
}

fn same_owner(scene: &Scene<'_>, pid: Pid, owner: &str) -> bool {
    let module = scene.session.settings_for(pid).and_then(|s| s.module.as_ref());
    let main = module.and_then(|m| m.path.as_deref()).unwrap_or_default();
    main.split('/').count() > 2 && owner_of(main) == owner
}

/// Host and first element: on shared hosts that is the owner.
fn owner_of(path: &str) -> String {
    path.split('/').take(2).collect::<Vec<_>>().join("/")
}

/// A host that cannot be reached from the internet. Loopback is left out: what listens there may stand for anything.
fn is_inner(host: &str) -> bool {
    if let Ok(ip) = host.parse::<std::net::Ipv4Addr>() {
        return ip.is_private() || ip.is_link_local();
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    host.contains('.') && INNER_DOMAINS.contains(&last)
}

/// `git.example.com`, but not `gitlab.com`: a forge for everybody has its name right before the top-level domain.
fn is_own_server(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let own = labels.len().saturating_sub(2);
    labels.iter().take(own).any(|label| OWN_SERVERS.contains(label))
}

fn told(scene: &Scene<'_>, refusal: &Refusal, suspicion: &Suspicion) -> Finding {
    let pid = refusal.pid;
    let host = refusal.asked.host();
    let module = refusal.asked.module.clone().unwrap_or_default();
    let who = match refusal.asked.role {
        Some(Role::Sumdb) => "checksum database",
        _ => "module proxy",
    };
    let summary =
        format!("{who} {host} cannot know {}, which looks private.", text::module(&module));
    let known = paste::value(scene, pid, "GOPRIVATE").map(|v| format!("{v},")).unwrap_or_default();
    let line = paste::set(scene, pid, "GOPRIVATE", &format!("{known}{}", suspicion.glob));
    let made = Draft::new(scene, "private-asked-publicly", pid, refusal.t, summary)
        .confidence(Confidence::Likely)
        .modules(vec![module])
        .peer(refusal.asked.peer())
        .fact("server", [refusal.asked.server_line()])
        .fact("private?", [suspicion.because.clone()]);
    let made = match refusal.asked.role {
        Some(role) => made.role(role),
        None => made,
    };
    let made = match &refusal.line {
        Some(line) => made.seen(line.clone(), refusal.t, "stderr"),
        None => made.seen(refusal.said.clone(), refusal.t, "http-response"),
    };
    made.or_else("there is no such module or version, or it is mistyped")
        .or_else("the proxy is your company's own, and does not have it")
        .remedy("tell go that it is private:", Some(line))
        .remedy(
            "then git must be able to log in; try it:",
            Some(try_git(&suspicion.glob, &refusal.asked.module)),
        )
        .done()
}

/// The question go will ask of git.
fn try_git(glob: &str, module: &Option<String>) -> String {
    let path = module.as_deref().and_then(|m| m.split('@').next()).unwrap_or(glob);
    let repository: Vec<&str> = path.split('/').take(3).collect();
    format!("git ls-remote {}", paste::word(&format!("https://{}", repository.join("/"))))
}
