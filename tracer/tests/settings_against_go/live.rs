//! `read` looks into processes that hang.

use crate::fixture::{bare_go, empty_dir, go, goroot, program, write};
use gmtrace::capture::gosettings::read;
use gmtrace_core::event::{GoSettings, SettingOrigin};
use gmtrace_core::units::Pid;
use nix::sys::stat::Mode;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ended when the test is over.
struct Hung(Child);

impl Hung {
    fn settings(&self) -> GoSettings {
        let pid = Pid(i32::try_from(self.0.id()).unwrap());
        read(pid, Duration::from_secs(60)).expect("our own child can be read")
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A go command that waits for an answer of a module proxy that never comes.
fn hung_go(dir: &Path, environment: &[(&str, &str)], words: &[&str]) -> Hung {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}|direct", listener.local_addr().unwrap());
    let child = bare_go(dir, environment)
        .args(words)
        .env("GOPROXY", proxy)
        .env("GOTELEMETRY", "off")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let hung = Hung(child);
    let (connection, _peer) = listener.accept().unwrap();
    // Held open for as long as the test runs.
    std::mem::forget((connection, listener));
    hung
}

fn waiting_program(cgo: bool, environment: &[(&str, &str)]) -> Hung {
    let mut child = Command::new(program(cgo))
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let hung = Hung(child);
    assert_eq!(BufReader::new(stdout).lines().next().unwrap().unwrap(), "ready");
    hung
}

fn value<'a>(settings: &'a GoSettings, name: &str) -> Option<(&'a str, SettingOrigin)> {
    settings.env.get(name).map(|setting| (setting.value.as_str(), setting.origin))
}

#[test]
fn a_hung_go_mod_download() {
    let dir = empty_dir();
    let home = dir.path().canonicalize().unwrap();
    let module = home.join("src/deep/module");
    write(
        &module.join("go.mod"),
        "module example.com/m\n\ngo 1.20\n\nrequire (\n\texample.com/a v1.0.0\n\texample.com/b v1.0.0\n)\n",
    );
    std::fs::create_dir_all(module.join("sub")).unwrap();
    write(&home.join(".config/go/env"), "GOPRIVATE=private.example.com\n");
    let environment = [("HOME", home.to_str().unwrap()), ("SECRET", "x"), ("GOTOOLCHAIN", "local")];
    let hung =
        hung_go(&home, &environment, &["mod", "download", "-C", "src/deep/module/sub", "-x"]);
    let settings = hung.settings();

    let said = bare_go(&home, &environment).args(["env", "GOVERSION", "GOSUMDB"]).output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut said = said.lines();
    assert_eq!(settings.version.as_deref(), said.next());
    let sumdb = value(&settings, "GOSUMDB");
    assert_eq!(sumdb.map(|(value, _)| value), said.next().filter(|value| !value.is_empty()));
    assert_eq!(sumdb.map(|(_, origin)| origin), Some(SettingOrigin::GoEnv));

    assert_eq!(Path::new(&settings.path), go());
    let private = Some(("private.example.com", SettingOrigin::GoenvFile));
    assert_eq!(value(&settings, "GOPRIVATE"), private);
    assert_eq!(
        value(&settings, "GONOSUMDB").unwrap(),
        ("private.example.com", SettingOrigin::Default)
    );
    assert_eq!(value(&settings, "GOPROXY").unwrap().1, SettingOrigin::Environment);
    assert!(!settings.env.contains_key("SECRET") && !settings.env.contains_key("HOME"));
    let found = settings.module.expect("the directory can be read");
    assert_eq!(found.go_mod.as_deref(), module.join("go.mod").to_str());
    assert_eq!((found.path.as_deref(), found.requires), (Some("example.com/m"), 2));
    assert_eq!((found.go.as_deref(), found.vendor, found.go_work), (Some("1.20"), false, None));
}

#[test]
fn a_workspace_with_a_vendor_directory() {
    let dir = empty_dir();
    let home = dir.path().canonicalize().unwrap();
    write(&home.join("w/go.work"), "go 1.26\n\nuse ./a\n");
    write(&home.join("w/vendor/modules.txt"), "## workspace\n");
    write(&home.join("w/a/go.mod"), "module example.com/a\n\ngo 1.20\n");
    let environment = [("HOME", home.to_str().unwrap()), ("PWD", home.to_str().unwrap())];
    let words = ["-C", "w/a", "list", "-m", "-mod=readonly", "example.com/x@v1.0.0"];
    let hung = hung_go(&home, &environment, &words);
    let found = hung.settings().module.unwrap();
    assert_eq!(found.go_work.as_deref(), home.join("w/go.work").to_str());
    assert_eq!(found.go_mod.as_deref(), home.join("w/a/go.mod").to_str());
    assert_eq!((found.go.as_deref(), found.vendor), (Some("1.26"), true));
}

#[test]
fn another_go_mod_by_modfile() {
    let dir = empty_dir();
    let home = dir.path().canonicalize().unwrap();
    write(&home.join("m/go.mod"), "module example.com/m\n\ngo 1.20\n");
    write(
        &home.join("other.mod"),
        "module example.com/m\n\ngo 1.20\n\nrequire example.com/a v1.0.0\n",
    );
    write(&home.join("m/vendor/modules.txt"), "# example.com/a v1.0.0\n");
    let environment = [("HOME", home.to_str().unwrap()), ("GOFLAGS", "-modfile=../other.mod")];
    let hung = hung_go(&home.join("m"), &environment, &["mod", "download"]);
    let found = hung.settings().module.unwrap();
    assert_eq!(
        found.go_mod.as_deref().map(Path::new).unwrap().canonicalize().unwrap(),
        home.join("other.mod")
    );
    assert_eq!((found.requires, found.vendor), (1, true));
}

#[test]
fn a_settings_file_that_never_answers_leaves_out_what_it_could_set() {
    let dir = empty_dir();
    let fifo = dir.path().join("settings");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let environment = [("GOENV", fifo.to_str().unwrap()), ("GOPROXY", "off"), ("HOME", "/h")];
    let hung = Hung(bare_go(dir.path(), &environment).args(["mod", "download"]).spawn().unwrap());
    // Succeeds when go has opened the other end, where it now waits.
    let writer = std::fs::File::options().write(true).open(&fifo).unwrap();
    let settings = hung.settings();
    drop(writer);
    assert_eq!(value(&settings, "GOPROXY"), Some(("off", SettingOrigin::Environment)));
    let known: Vec<&str> = settings.env.keys().map(String::as_str).collect();
    assert_eq!(known, ["GOENV", "GOPROXY"]);
    assert!(settings.version.is_some());
}

#[test]
fn the_resolver_of_a_static_and_of_a_cgo_binary() {
    let root = goroot();
    let environment = [("GODEBUG", "netdns=cgo"), ("GOROOT", root.to_str().unwrap())];
    for (cgo, expected) in [(false, "go"), (true, "cgo")] {
        let settings = waiting_program(cgo, &environment).settings();
        assert_eq!(settings.resolver.unwrap().kind, expected, "cgo: {cgo}");
    }
    let settings = waiting_program(true, &[("GODEBUG", "netdns=go")]).settings();
    assert_eq!(settings.resolver.unwrap().why, "GODEBUG=netdns=go");
}

#[test]
fn a_process_that_is_gone_has_no_settings() {
    let mut child = Command::new(go()).arg("version").stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid(i32::try_from(child.id()).unwrap());
    child.wait().unwrap();
    assert_eq!(read(pid, Duration::from_secs(60)), None);
}
