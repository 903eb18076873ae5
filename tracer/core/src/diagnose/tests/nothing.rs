//! Commands that do nothing, and toolchains that are not there. Texts of go 1.21.13, 1.24.11 and 1.27.3.

use super::{Run, codes, commands};
use crate::event::MainModule;
use crate::report::{FindingState, Role};

#[test]
fn each_reason_to_do_nothing_is_told_as_the_failure_it_is() {
    for (said, code) in [
        ("go: modules disabled by GO111MODULE=off; see 'go help modules'\n", "modules-off"),
        ("go: no modules specified (see 'go help mod download')\n", "no-go-mod"),
        (
            "go: go.mod file not found in current directory or any parent directory; see 'go help modules'\n",
            "no-go-mod",
        ),
        ("go: example.com/lib@v1.4.2: module lookup disabled by GOPROXY=off\n", "goproxy-off"),
    ] {
        let found = Run::of("go mod download").says(said).ends(1);
        assert_eq!(codes(&found), [code]);
        assert_eq!(found[0].state, FindingState::Failed);
    }
}

#[test]
fn an_empty_go_mod_is_a_notice() {
    let empty = || MainModule { go_mod: Some("/m/go.mod".into()), ..MainModule::default() };
    let said = "go: no module dependencies to download\n";
    // By both, and by each alone: a command may end before its settings are read.
    for run in [
        Run::of("go mod download").module(empty()).says(said),
        Run::of("go mod download").module(empty()),
        Run::of("go mod download").says(said),
    ] {
        let found = run.ends(0);
        assert_eq!(codes(&found), ["nothing-to-download"]);
        assert_eq!(found[0].state, FindingState::Notice);
    }
}

#[test]
fn a_vendor_directory_is_a_notice_and_never_the_reason_of_a_compile_error() {
    let module = || MainModule {
        go_mod: Some("/m/go.mod".into()),
        go: Some("1.26".into()),
        vendor: true,
        requires: 1,
        ..MainModule::default()
    };
    let found = Run::of("go build ./...").module(module()).ends(0);
    assert_eq!(codes(&found), ["vendored"]);
    assert_eq!(found[0].state, FindingState::Notice);
    let found =
        Run::of("go build ./...").module(module()).says("./a.go:3:1: syntax error\n").ends(1);
    assert_eq!(codes(&found), ["unknown"]);
}

#[test]
fn a_warm_download_that_worked_is_no_matter() {
    assert_eq!(codes(&Run::of("go mod download").ends(0)), [] as [&str; 0]);
}

#[test]
fn the_setting_and_where_it_is_set_are_named() {
    let found = Run::of("go mod download")
        .env("GO111MODULE", "off")
        .says("go: modules disabled by GO111MODULE=off; see 'go help modules'\n")
        .ends(1);
    assert!(found[0].facts.iter().any(|f| f.lines == ["GO111MODULE=off, from the environment"]));
    assert_eq!(commands(&found[0]), ["unset GO111MODULE"]);
}

#[test]
fn a_newer_go_that_may_not_be_fetched_names_both_versions() {
    let found = Run::of("go mod download")
        .env("GOTOOLCHAIN", "local")
        .says("go: go.mod requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)\n")
        .ends(1);
    assert_eq!(codes(&found), ["toolchain-unavailable"]);
    assert_eq!(found[0].role, Some(Role::Toolchain));
    assert_eq!(found[0].summary, "Go 1.99 is wanted, and cannot be used here.");
    assert!(found[0].facts.iter().any(|f| f.lines == ["Go 1.27.3"]));
    assert_eq!(commands(&found[0]), ["GOTOOLCHAIN=auto go mod download"]);
}

#[test]
fn a_toolchain_that_no_proxy_has_or_that_is_not_in_path_is_named() {
    for (said, version) in [
        (
            "go: downloading go1.99.0 (linux/amd64)\ngo: download go1.99.0 for linux/amd64: toolchain not available\n",
            "1.99.0",
        ),
        ("go: cannot find \"go1.99.0\" in PATH\n", "1.99.0"),
        (
            "go: download go1.99.0: golang.org/toolchain@v0.0.1-go1.99.0.linux-amd64: verifying module: checksum database disabled by GOSUMDB=off\n",
            "1.99.0",
        ),
    ] {
        let found = Run::of("go mod download").says(said).ends(1);
        assert_eq!(codes(&found), ["toolchain-unavailable"], "{said}");
        assert!(found[0].summary.contains(version));
    }
}

#[test]
fn what_the_network_did_to_a_toolchain_comes_first() {
    let found = Run::of("go mod download")
        .default("GOPROXY", "https://proxy.example.com")
        .says("go: download go1.99.0: golang.org/toolchain@v0.0.1-go1.99.0.linux-amd64: reading https://proxy.example.com/golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.zip: 503 Service Unavailable\n\tserver response: busy\n")
        .ends(1);
    assert_eq!(codes(&found), ["http-refused", "toolchain-unavailable"]);
    assert_eq!(found[0].role, Some(Role::Toolchain));
}

#[test]
fn a_toolchain_that_came_is_no_matter() {
    let found = Run::of("go mod download").says("go: downloading go1.99.0 (linux/amd64)\n").ends(0);
    assert_eq!(codes(&found), [] as [&str; 0]);
}
