//! A go command, a Go program, and directories for them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The go command on PATH, links followed.
pub(crate) fn go() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("go")).find(|go| go.is_file());
    found.expect("these tests need a go command on PATH").canonicalize().unwrap()
}

/// Its GOROOT.
pub(crate) fn goroot() -> PathBuf {
    go().parent().unwrap().parent().unwrap().to_owned()
}

/// A directory outside of any module.
pub(crate) fn empty_dir() -> TempDir {
    TempDir::new().unwrap()
}

pub(crate) fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The go command with nothing in its environment but what is given.
pub(crate) fn bare_go(dir: &Path, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(go());
    command.current_dir(dir).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    command
}

/// `main.go`, built with and without cgo, once for all tests of this file.
pub(crate) fn program(cgo: bool) -> PathBuf {
    static BUILT: [OnceLock<(TempDir, PathBuf)>; 2] = [OnceLock::new(), OnceLock::new()];
    let (_dir, path) = BUILT[usize::from(cgo)].get_or_init(|| {
        let dir = empty_dir();
        write(&dir.path().join("main.go"), include_str!("main.go"));
        write(&dir.path().join("go.mod"), "module example.com/program\n\ngo 1.20\n");
        let path = dir.path().join("program");
        let built = Command::new(go())
            .args(["build", "-o", "program", "."])
            .current_dir(dir.path())
            .env("CGO_ENABLED", if cgo { "1" } else { "0" })
            .envs([("GOFLAGS", "-buildvcs=false"), ("GOPROXY", "off"), ("GOWORK", "off")])
            .envs([("GOTOOLCHAIN", "local"), ("GOENV", "off"), ("GO111MODULE", "on")])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        (dir, path)
    });
    path.clone()
}
