//! Chooses the object with the eBPF programs: the one in the repository, or the one that `GMTRACE_BPF_OBJECT` names.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=GMTRACE_BPF_OBJECT");
    let folder = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let committed = folder.join("../ebpf/gmtrace.bpf.o");
    let object = env::var_os("GMTRACE_BPF_OBJECT").map_or(committed, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    if let Err(error) = fs::copy(&object, Path::new(&out).join("gmtrace.bpf.o")) {
        println!("cargo::error={}: {error}", object.display());
    }
}
