//! What go says where `why_nothing` says why: the table of its documentation.

use crate::fixture::{bare_go, empty_dir, write};
use gmtrace_core::event::{GoSettings, MainModule, Setting, SettingOrigin};
use gmtrace_core::settings::why_nothing;

/// Runs `go WORDS` in a directory with this go.mod, and checks what it says and what we say.
fn check(
    line: &str,
    variable: (&str, &str),
    go_mod: Option<&str>,
    code: &str,
    said: &str,
    status: i32,
) {
    let dir = empty_dir();
    let home = dir.path().join("home");
    let place = dir.path().join("module");
    std::fs::create_dir_all(&place).unwrap();
    write(&place.join("m.go"), "package m\n");
    if let Some(text) = go_mod {
        write(&place.join("go.mod"), text);
    }
    let environment = [("HOME", home.to_str().unwrap()), variable];
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let output = bare_go(&place, &environment).args(&words[1..]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(said), "{line}: {error}");
    assert_eq!(output.status.code(), Some(status), "{line}");

    let setting = Setting { value: variable.1.to_owned(), origin: SettingOrigin::Environment };
    let settings = GoSettings {
        env: [(variable.0.to_owned(), setting)].into(),
        module: Some(MainModule {
            go_mod: go_mod.map(|_| "go.mod".to_owned()),
            go: go_mod.map(|_| "1.20".to_owned()),
            requires: go_mod.map_or(0, |text| text.matches("require").count()),
            ..MainModule::default()
        }),
        ..GoSettings::default()
    };
    assert_eq!(why_nothing(&words, &settings), Some(code), "{line}");
}

const EMPTY: &str = "module example.com/m\n\ngo 1.20\n";
const REQUIRING: &str = "module example.com/m\n\ngo 1.20\n\nrequire example.com/a v1.0.0\n";

#[test]
fn modules_off() {
    let off = ("GO111MODULE", "off");
    let said = "modules disabled by GO111MODULE=off";
    check("go mod download", off, Some(REQUIRING), "modules-off", said, 1);
    check("go get example.com/a", off, Some(REQUIRING), "modules-off", said, 1);
}

#[test]
fn no_go_mod() {
    let off = ("GOPROXY", "off");
    check("go mod download", off, None, "no-go-mod", "no modules specified", 1);
    check("go mod tidy", off, None, "no-go-mod", "go.mod file not found", 1);
    check("go build ./...", off, None, "no-go-mod", "does not contain main module", 1);
}

#[test]
fn nothing_to_download() {
    let said = "no module dependencies to download";
    check("go mod download", ("GOPROXY", "off"), Some(EMPTY), "nothing-to-download", said, 0);
}

#[test]
fn goproxy_off() {
    let said = "module lookup disabled by GOPROXY=off";
    check("go mod download", ("GOPROXY", "off"), Some(REQUIRING), "goproxy-off", said, 1);
}

#[test]
fn vendored() {
    check("go list -mod=vendor .", ("GOPROXY", "off"), Some(EMPTY), "vendored", "", 0);
}
