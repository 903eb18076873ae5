//! Builds the eBPF programs, and tells whether the object in the repository came from the sources beside it.
//!
//! Rust's own toolchain has no `core` for the target, and building it takes a nightly one with its sources. Debian ships it
//! compiled, with a rustc that fits, beside which rustup's is not disturbed.

use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::debian;
use crate::workspace::{Workspace, find_program, output_of, progress, succeed};

const TARGET: &str = "bpfel-unknown-none";
/// Debian's, whatever is first in PATH.
const RUSTC: &str = "/usr/bin/rustc";
const LLVM: &str = "/usr/lib/llvm-22";
/// What rustc, bpf-linker and the removal of DWARF need.
const PACKAGES: &[&str] = &[
    "g++",
    "rustc-web",
    "libstd-rust-web-dev-bpf",
    "rust-web-llvm",
    "llvm-22",
    "llvm-22-dev",
    "libpolly-22-dev",
    "zlib1g-dev",
    "libzstd-dev",
    "libxml2-dev",
];

#[derive(Args)]
pub(crate) struct Options {
    /// Write the object here, and leave the one in the repository as it is
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds the object, and prints what the running kernel's verifier says of each program, where it may be asked.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let built = build(workspace)?;
    let object = options.output.clone().unwrap_or_else(|| committed(workspace));
    if let Some(folder) = object.parent() {
        fs::create_dir_all(folder)?;
    }
    strip(&built, &object)?;
    if options.output.is_none() {
        fs::write(digest_file(workspace), digest(workspace)? + "\n")?;
    }
    progress(format!("{} is built", object.display()));
    show(workspace, &object)
}

/// Fails where the sources have changed since the object in the repository was built.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let noted = fs::read_to_string(digest_file(workspace)).context("ebpf/gmtrace.bpf.sources")?;
    let stale = "ebpf/gmtrace.bpf.o is older than its sources; run `cargo xtask bpf`";
    ensure!(noted.trim() == digest(workspace)?, stale);
    Ok(())
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("ebpf")
}

fn committed(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("gmtrace.bpf.o")
}

fn digest_file(workspace: &Workspace) -> PathBuf {
    folder(workspace).join("gmtrace.bpf.sources")
}

/// SHA-256 over the names and contents of everything that the object is made of.
fn digest(workspace: &Workspace) -> Result<String> {
    let mut files = vec!["Cargo.toml".into(), "Cargo.lock".into()];
    let root = folder(workspace);
    sources(&root.join("src"), &mut files)?;
    sources(&root.join("abi/src"), &mut files)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let path = root.join(&file);
        let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
        let bytes = fs::read(&path).with_context(|| name.clone())?;
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    }))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, into)?;
        } else {
            into.push(path);
        }
    }
    Ok(())
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    if !Path::new(RUSTC).is_file() || !Path::new(LLVM).is_dir() || !has_core() {
        debian::install(PACKAGES)?;
    }
    let linker = linker(workspace)?;
    let target = workspace.target.join("bpf");
    let root = folder(workspace);
    // Paths of this machine do not belong into the object.
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let registry = home.context("CARGO_HOME")?.join("registry/src");
    let flags = [
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("--remap-path-prefix={}=crates", registry.display()),
        format!("--remap-path-prefix={}=ebpf", root.display()),
    ];
    progress("building the eBPF programs");
    let mut cargo = workspace.cargo(&["build", "--release", "--locked", "--target", TARGET]);
    cargo
        .current_dir(&root)
        .env("RUSTC", RUSTC)
        // aya-ebpf has inline assembly for this target, which is not stable yet.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    succeed(&mut cargo)?;
    Ok(target.join(TARGET).join("release/gmtrace-ebpf"))
}

fn has_core() -> bool {
    Path::new("/usr/lib/rustlib").join(TARGET).is_dir()
}

/// The installed bpf-linker, or one built into target/tools.
fn linker(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(program) = find_program("bpf-linker") {
        return Ok(program);
    }
    let tools = workspace.target.join("tools");
    let program = tools.join("bin/bpf-linker");
    if !program.is_file() {
        progress("building bpf-linker into target/tools (once, a minute)");
        let mut install = workspace.cargo(&["install", "--quiet", "--locked", "bpf-linker"]);
        install.args(["--version", "^0.13", "--no-default-features", "--features", "llvm-22"]);
        succeed(install.env("LLVM_PREFIX", LLVM).arg("--root").arg(&tools))?;
    }
    Ok(program)
}

/// Takes DWARF out: BTF is all that the kernel reads, and the object is a fifth without it.
fn strip(built: &Path, object: &Path) -> Result<()> {
    let mut objcopy = Command::new(Path::new(LLVM).join("bin/llvm-objcopy"));
    succeed(objcopy.arg("--strip-debug").arg(built).arg(object))
}

/// What the verifier of the running kernel says of each program: its instructions, and how many were looked at.
fn show(workspace: &Workspace, object: &Path) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        progress("NOT SHOWN: what the verifier says; only root may load them");
        return Ok(());
    }
    let mut example = workspace.cargo(&["run", "--quiet", "--package", "gmtrace"]);
    example.args(["--example", "ebpf_programs"]).env("GMTRACE_BPF_OBJECT", object);
    print!("{}", output_of(&mut example)?);
    Ok(())
}
