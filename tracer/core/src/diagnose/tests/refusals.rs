//! Answers that end a request. The texts are those of go 1.21.13, 1.24.11 and 1.27.3, which agree.

use super::{Run, codes, commands};
use crate::report::{Confidence, Role};

const PROXY: &str = "https://proxy.example.com";

/// What go says when `file` of `module@version` was answered with `status`, and the server gave `reason`.
fn refused(module: &str, version: &str, file: &str, status: &str, reason: &str) -> String {
    format!(
        "go: {module}@{version}: reading {PROXY}/{module}/@v/{version}.{file}: {status}\n\t\
         server response: {reason}\n"
    )
}

#[test]
fn every_refusal_names_the_server_the_module_and_the_status() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let found = Run::of("go mod download")
            .default("GOPROXY", PROXY)
            .says(&refused("example.com/lib", "v1.4.2", "mod", status, "busy"))
            .ends(1);
        assert_eq!(codes(&found), ["http-refused"], "{status}");
        let finding = &found[0];
        assert_eq!(finding.confidence, Confidence::Certain);
        assert_eq!(finding.role, Some(Role::ModuleProxy));
        assert_eq!(finding.modules, ["example.com/lib@v1.4.2"]);
        assert_eq!(finding.peer.as_ref().unwrap().host.as_deref(), Some("proxy.example.com"));
        assert!(finding.summary.contains(&status[..3]), "{}", finding.summary);
        assert!(finding.evidence[0].text.contains(status));
        assert!(finding.facts.iter().any(|f| f.lines == ["busy"]), "the server's reason is told");
    }
}

#[test]
fn a_not_found_that_leads_on_is_no_refusal() {
    let found = Run::of("go mod download")
        .default("GOPROXY", "https://proxy.example.com,direct")
        .says("go: example.com/lib@v1.4.2: unrecognized import path \"example.com/lib\": no go-import meta tags ()\n")
        .ends(1);
    assert!(!codes(&found).contains(&"http-refused"), "{:?}", codes(&found));
}

#[test]
fn what_x_prints_on_the_way_is_no_refusal() {
    let found = Run::of("go mod download -x")
        .says("# get https://proxy.example.com/example.com/lib/@v/v1.4.2.mod: 404 Not Found (0.001s)\n")
        .ends(0);
    assert_eq!(codes(&found), [] as [&str; 0]);
}

#[test]
fn many_modules_refused_by_one_server_are_one_finding() {
    let found = Run::of("go mod download")
        .default("GOPROXY", PROXY)
        .says(&refused("example.com/a", "v1.0.0", "zip", "503 Service Unavailable", "busy"))
        .says(&refused(
            "example.com/b",
            "v2.0.0+incompatible",
            "zip",
            "503 Service Unavailable",
            "busy",
        ))
        .ends(1);
    assert_eq!(codes(&found), ["http-refused"]);
    assert_eq!(found[0].modules, ["example.com/a@v1.0.0", "example.com/b@v2.0.0+incompatible"]);
}

#[test]
fn a_list_of_versions_is_refused_too() {
    let found = Run::of("go install example.com/x@latest")
        .default("GOPROXY", PROXY)
        .says("go: example.com/x@latest: module example.com/x: reading https://proxy.example.com/example.com/x/@v/list: 503 Service Unavailable\n\tserver response:\n\tsome reason\n\tsecond line\n")
        .ends(1);
    assert_eq!(codes(&found), ["http-refused"]);
    assert_eq!(found[0].modules, ["example.com/x"]);
    assert!(found[0].facts.iter().any(|f| f.lines == ["some reason second line"]));
}

#[test]
fn a_module_of_ones_own_server_is_taken_for_private() {
    for module in [
        "git.example.com/team/lib",
        "code.corp.internal/x",
        "example.com/team-private/lib",
        "corp.example.net/team/lib",
    ] {
        let found = Run::of("go mod download")
            .default("GOPROXY", PROXY)
            .says(&refused(module, "v0.3.0", "mod", "404 Not Found", "not found"))
            .ends(1);
        assert_eq!(codes(&found), ["private-asked-publicly"], "{module}");
        assert_eq!(found[0].confidence, Confidence::Likely);
        assert!(
            commands(&found[0])[0].starts_with("go env -w GOPRIVATE="),
            "{:?}",
            commands(&found[0])
        );
        assert!(found[0].alternatives.iter().any(|a| a.contains("no such module")));
    }
}

#[test]
fn a_proxy_that_was_asked_for_a_login_speaks_of_a_private_module() {
    // As the default proxy passes git's words on.
    let reason = "not found: example.org/a/b@v1.0.0: invalid version: git ls-remote -q origin in /tmp/x: exit status 128: fatal: could not read Username for 'https://example.org': terminal prompts disabled";
    let found = Run::of("go mod download")
        .default("GOPROXY", PROXY)
        .env("GOPRIVATE", "example.net/c")
        .says(&refused("example.org/a/b", "v1.0.0", "info", "404 Not Found", reason))
        .ends(1);
    assert_eq!(codes(&found), ["private-asked-publicly"]);
    assert_eq!(commands(&found[0])[0], "export GOPRIVATE=example.net/c,example.org/a");
}

#[test]
fn a_module_that_the_checksum_database_does_not_know_is_taken_for_private() {
    let found = Run::of("go mod download")
        .default("GOPROXY", "https://proxy.example.com,direct")
        .default("GOSUMDB", "sum.example.com")
        .says("go: example.org/a/b@v1.0.0: verifying module: example.org/a/b@v1.0.0: reading https://sum.example.com/lookup/example.org/a/b@v1.0.0: 404 Not Found\n\tserver response:\n\tnot found: fetch timed out\n")
        .ends(1);
    assert_eq!(codes(&found), ["private-asked-publicly"]);
    assert_eq!(found[0].role, Some(Role::Sumdb));
    assert_eq!(found[0].modules, ["example.org/a/b@v1.0.0"]);
    assert_eq!(commands(&found[0])[0], "go env -w GOPRIVATE=example.org/a");
}

#[test]
fn a_public_module_or_a_declared_one_is_not_taken_for_private() {
    for (module, private) in
        [("example.com/lib", ""), ("gitlab.com/a/b", ""), ("git.example.com/a", "*.example.com")]
    {
        let found = Run::of("go mod download")
            .default("GOPROXY", PROXY)
            .env("GOPRIVATE", private)
            .says(&refused(module, "v0.3.0", "mod", "404 Not Found", "not found"))
            .ends(1);
        assert_eq!(codes(&found), ["http-refused"], "{module}");
    }
}

#[test]
fn the_module_is_known_where_the_settings_are_not() {
    let found = Run::of("go mod download")
        .says("go: example.com/lib@v1.4.2: reading http://127.0.0.1:8080/athens/example.com/lib/@v/v1.4.2.mod: 503 Service Unavailable\n")
        .ends(1);
    assert_eq!(codes(&found), ["http-refused"]);
    assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
}
