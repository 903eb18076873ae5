//! `resolve` gives what `go env` prints.

use crate::fixture::{bare_go, empty_dir, goroot, write};
use gmtrace_core::settings::{EnvFile, Sources, default_goenv, resolve};
use std::collections::BTreeMap;

/// The variables that `go env` prints as they are. GOWORK it prints as found, GOENV=off as nothing.
const COMPARED: [&str; 16] = [
    "GO111MODULE",
    "GOAUTH",
    "GOCACHE",
    "GOCACHEPROG",
    "GODEBUG",
    "GOENV",
    "GOFLAGS",
    "GOINSECURE",
    "GOMODCACHE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOVCS",
];

fn same_as_go(environment: &[(&str, &str)], goenv_text: Option<&str>) {
    let dir = empty_dir();
    let home = dir.path().to_str().unwrap();
    let environment: Vec<(&str, String)> =
        environment.iter().map(|(name, value)| (*name, value.replace("HOMEDIR", home))).collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let map: BTreeMap<String, String> =
        environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();

    let goenv_text = goenv_text.map(|text| text.replace("HOMEDIR", home));
    let goenv_path = map.get("GOENV").filter(|path| !path.is_empty()).cloned();
    let goenv_path = goenv_path.or_else(|| default_goenv(&map));
    if let (Some(text), Some(path)) = (&goenv_text, &goenv_path) {
        write(std::path::Path::new(path), text);
    }
    let output = bare_go(dir.path(), &environment).args(["env", "-json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: BTreeMap<String, String> = serde_json::from_slice(&output.stdout).unwrap();

    let go_env = std::fs::read_to_string(goroot().join("go.env")).unwrap();
    let ours = resolve(&Sources {
        environment: &map,
        goenv_file: goenv_text.as_deref().map_or(EnvFile::Absent, EnvFile::Text),
        go_env: EnvFile::Text(&go_env),
        // The official go command is built with -trimpath.
        built_in_goroot: None,
        version: theirs.get("GOVERSION").map(String::as_str),
    });
    for name in COMPARED {
        let ours = ours.get(name).map_or("", |setting| setting.value.as_str());
        let theirs = theirs.get(name).map_or("", String::as_str);
        // Without a home there is no build cache, which `go env` calls off.
        let no_cache = name == "GOCACHE" && ours.is_empty() && theirs == "off";
        assert!(ours == theirs || no_cache, "{name}: ours {ours:?}, go {theirs:?}");
    }
}

#[test]
fn with_a_home_and_nothing_else() {
    same_as_go(&[("HOME", "HOMEDIR")], None);
}

#[test]
fn with_nothing_at_all() {
    same_as_go(&[], None);
}

#[test]
fn with_a_goenv_file_in_the_home() {
    same_as_go(
        &[("HOME", "HOMEDIR"), ("GOSUMDB", "sum.example.com")],
        Some(
            "GOPROXY=https://proxy.example.com,direct\nGOSUMDB=off\nGOPRIVATE=example.com\n GOVCS=x\ngoflags=-x\n",
        ),
    );
}

#[test]
fn with_a_goenv_file_under_xdg_config_home() {
    same_as_go(
        &[
            ("HOME", "HOMEDIR"),
            ("XDG_CONFIG_HOME", "HOMEDIR/xdg"),
            ("XDG_CACHE_HOME", "HOMEDIR/cache"),
        ],
        Some("GOFLAGS=-mod=mod -x\nGOPATH=HOMEDIR/p:/q\nGOAUTH=off\n"),
    );
}

#[test]
fn with_a_goenv_file_named_by_goenv() {
    same_as_go(
        &[("HOME", "HOMEDIR"), ("GOENV", "HOMEDIR/settings")],
        Some(
            "GOPROXY=\nGOTOOLCHAIN=\nGOPRIVATE=a.example.com\nGOPRIVATE=b.example.com\r\nGOCACHE=/x\nGODEBUG=x=1\n",
        ),
    );
}

#[test]
fn with_goprivate_and_its_exceptions() {
    same_as_go(
        &[("HOME", "HOMEDIR"), ("GOPRIVATE", "*.example.com,example.org/x"), ("GONOPROXY", "none")],
        None,
    );
}

#[test]
fn with_empty_values() {
    same_as_go(
        &[("HOME", "HOMEDIR"), ("GOPROXY", ""), ("GOSUMDB", ""), ("GOFLAGS", ""), ("GOENV", "")],
        Some("GOFLAGS=-v\nGOPROXY=off\n"),
    );
}

#[test]
fn with_a_gopath_of_two_and_no_home() {
    same_as_go(
        &[("GOPATH", "/a//b/../c:/d"), ("GO111MODULE", "auto"), ("GODEBUG", "netdns=go")],
        None,
    );
}

#[test]
fn with_a_relative_xdg_config_home() {
    same_as_go(&[("HOME", "HOMEDIR"), ("XDG_CONFIG_HOME", "x"), ("XDG_CACHE_HOME", "y")], None);
}

#[test]
fn with_everything_set() {
    same_as_go(
        &[
            ("HOME", "HOMEDIR/"),
            ("GOMODCACHE", "/mc"),
            ("GOCACHE", "/gc"),
            ("GOCACHEPROG", "prog"),
            ("GOVCS", "private:all,public:off"),
            ("GOINSECURE", "example.com"),
            ("GONOSUMDB", "example.com"),
            ("GOAUTH", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOFLAGS", "'-ldflags=-s -w' -x"),
        ],
        None,
    );
}

#[test]
fn with_a_goroot_that_would_be_the_default_gopath() {
    let dir = empty_dir();
    let home = dir.path().to_str().unwrap();
    let inside = dir.path().join("go");
    std::os::unix::fs::symlink(goroot(), &inside).unwrap();
    same_as_go(&[("HOME", home), ("GOROOT", inside.to_str().unwrap())], None);
}
