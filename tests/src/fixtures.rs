//! The tracees in `tests/fixtures`: built when a test first asks for one, kept by a hash of their source.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsStr;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::go::Go;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");

/// The program built from `tests/fixtures/NAME.c`, or from `NAME.go` when asked for by that name.
///
/// # Errors
/// Says which Debian package to install where there is no compiler, and what the compiler said where it refused.
pub fn fixture(name: &str) -> Result<PathBuf> {
    let source = Path::new(SOURCES).join(if name.ends_with(".go") {
        name.to_owned()
    } else {
        format!("{name}.c")
    });
    let text = fs::read(&source).with_context(|| format!("no fixture {}", source.display()))?;
    let header = fs::read(Path::new(SOURCES).join("fixture.h"))?;
    let mut hash = DefaultHasher::new();
    (text, header, flags(name)).hash(&mut hash);
    let built = rooms()?.join(format!("{}-{:016x}", name.replace('.', "-"), hash.finish()));
    if !built.exists() {
        build(name, &source, &built)?;
    }
    Ok(built)
}

/// How a Go program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoBuild {
    /// As `go build` does without a C compiler: with symbols, at a fixed address.
    Plain,
    /// Without symbols.
    Stripped,
    /// Without symbols, to be loaded anywhere.
    Pie,
    /// The same, linked with C by the system's linker, as distributions do.
    PieWithC,
    /// Plain, for arm64.
    Arm64,
}

impl GoBuild {
    /// Every one that this machine runs.
    pub const ALL: [GoBuild; 4] =
        [GoBuild::Plain, GoBuild::Stripped, GoBuild::Pie, GoBuild::PieWithC];

    fn arguments(self) -> &'static [&'static str] {
        match self {
            GoBuild::Plain | GoBuild::Arm64 => &[],
            GoBuild::Stripped => &["-ldflags=-s -w"],
            GoBuild::Pie | GoBuild::PieWithC => &["-ldflags=-s -w", "-buildmode=pie"],
        }
    }
}

/// The program built from `tests/fixtures/NAME.go` by this toolchain.
///
/// # Errors
/// What the compiler said where it refused.
pub fn go_fixture(go: &Go, name: &str, how: GoBuild) -> Result<PathBuf> {
    let source = Path::new(SOURCES).join(format!("{name}.go"));
    let mut hash = DefaultHasher::new();
    (fs::read(&source)?, go.says()?, how).hash(&mut hash);
    let built = rooms()?.join(format!("{name}-{}-{how:?}-{:016x}", go.says()?, hash.finish()));
    if !built.exists() {
        let new = beside(&built);
        let mut build = Command::new(go.program());
        build.arg("build").args(how.arguments()).arg("-o").arg(&new).arg(&source);
        build.env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
        build.env_remove("GOROOT");
        if how == GoBuild::Arm64 {
            build.env("GOARCH", "arm64");
        }
        build.env("CGO_ENABLED", if how == GoBuild::PieWithC { "1" } else { "0" });
        let compiled = build.output()?;
        if !compiled.status.success() {
            bail!("building {}: {}", source.display(), String::from_utf8_lossy(&compiled.stderr));
        }
        settle(&new, &built)?;
    }
    Ok(built)
}

/// Which libc a program is linked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Libc {
    /// glibc, which it loads.
    Glibc,
    /// musl, which it loads.
    Musl,
}

/// The program built from `tests/fixtures/NAME.c` with this libc.
///
/// # Errors
/// As [`fixture`].
pub fn linked_with(libc: Libc, name: &str) -> Result<PathBuf> {
    if libc == Libc::Glibc {
        return fixture(name);
    }
    let source = Path::new(SOURCES).join(format!("{name}.c"));
    let mut hash = DefaultHasher::new();
    (fs::read(&source)?, libc).hash(&mut hash);
    let built = rooms()?.join(format!("{name}-{libc:?}-{:016x}", hash.finish()));
    if !built.exists() {
        let new = beside(&built);
        let mut cc = Command::new("musl-gcc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror"]);
        run_compiler(cc.arg("-o").arg(&new).arg(&source), &source, "musl-tools")?;
        settle(&new, &built)?;
    }
    Ok(built)
}

/// Builds beside its place, because two tests may want the same fixture at once.
fn build(name: &str, source: &Path, built: &Path) -> Result<()> {
    let new = beside(built);
    let (mut compiler, package) = if name.ends_with(".go") {
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(&new).arg(source);
        go.env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
        (go, "golang-go")
    } else {
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror"]).args(flags(name));
        cc.arg("-o").arg(&new).arg(source);
        (cc, "gcc and libc6-dev")
    };
    run_compiler(&mut compiler, source, package)?;
    settle(&new, built)
}

/// Puts what was built into its place. If somebody else was first, his stays: it may run already, and what runs a file that was
/// replaced is no longer known by its name.
fn settle(new: &Path, built: &Path) -> Result<()> {
    let settled = fs::hard_link(new, built);
    fs::remove_file(new)?;
    match settled {
        Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => Err(why.into()),
        _ => Ok(()),
    }
}

fn run_compiler(compiler: &mut Command, source: &Path, package: &str) -> Result<()> {
    let compiled = compiler.output().with_context(|| {
        let program = compiler.get_program();
        format!("{program:?} is needed for the fixtures: apt-get install {package}")
    })?;
    if !compiled.status.success() {
        bail!("building {}: {}", source.display(), String::from_utf8_lossy(&compiled.stderr));
    }
    Ok(())
}

/// A name that nobody else builds at.
fn beside(built: &Path) -> PathBuf {
    static ATTEMPT: AtomicU32 = AtomicU32::new(0);
    let attempt = ATTEMPT.fetch_add(1, Ordering::Relaxed);
    built.with_extension(format!("{}-{attempt}", std::process::id()))
}

/// A 32-bit program needs no 32-bit libc when it uses none.
fn flags(name: &str) -> &'static [&'static str] {
    match name {
        "i386_binary" => &[
            "-m32",
            "-nostdlib",
            "-static",
            "-ffreestanding",
            "-fno-pic",
            "-no-pie",
            "-fno-stack-protector",
        ],
        _ => &["-pthread"],
    }
}

/// Where built fixtures are kept: beside the programs of this build.
fn rooms() -> Result<PathBuf> {
    let room = build_directory()?.join("fixtures");
    fs::create_dir_all(&room)?;
    Ok(room)
}

/// `target/debug` or `target/release`: where the running test was built.
fn build_directory() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let directory = test.ancestors().find(|path| path.file_name() == Some(OsStr::new("deps")));
    Ok(directory.and_then(Path::parent).context("the test is not in a cargo target")?.to_owned())
}

/// The gmtrace under test: `GMTRACE_BIN`, or the one of this workspace, built to be sure that it is current.
///
/// # Errors
/// Says what cargo said where it does not build.
pub fn gmtrace() -> Result<PathBuf> {
    static BUILT: std::sync::OnceLock<Result<PathBuf, String>> = std::sync::OnceLock::new();
    if let Some(given) = std::env::var_os("GMTRACE_BIN") {
        return Ok(given.into());
    }
    BUILT
        .get_or_init(|| build_gmtrace().map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

fn build_gmtrace() -> Result<PathBuf> {
    let directory = build_directory()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "gmtrace"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if directory.file_name() == Some(OsStr::new("release")) {
        build.arg("--release");
    }
    let built = build.output()?;
    ensure!(built.status.success(), "gmtrace: {}", String::from_utf8_lossy(&built.stderr));
    Ok(directory.join("gmtrace"))
}
