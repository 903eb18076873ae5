//! The programs that tests need, and the Debian packages that bring them.

use std::process::Command;

use anyhow::{Result, bail};
use nix::unistd::geteuid;

use crate::workspace::{find_program, output_of, progress};

/// A program and the Debian package it comes from.
pub(crate) struct Piece {
    program: &'static str,
    package: &'static str,
}

const fn piece(program: &'static str, package: &'static str) -> Piece {
    Piece { program, package }
}

/// Everything the test suite runs besides Rust and Go.
pub(crate) const FOR_TESTS: &[Piece] = &[
    piece("gcc", "gcc"),
    piece("gcc", "libc6-dev"),
    // Programs with another libc.
    piece("musl-gcc", "musl-tools"),
    piece("git", "git"),
    piece("ssh", "openssh-client"),
    piece("nft", "nftables"),
    piece("ip", "iproute2"),
    piece("strace", "strace"),
    piece("ps", "procps"),
    piece("python3", "python3"),
    piece("unzip", "unzip"),
    piece("fusermount3", "fuse3"),
    piece("bash", "bash"),
    piece("unshare", "util-linux"),
    piece("/usr/sbin/setcap", "libcap2-bin"),
    // A go command that is stripped and linked with libc.
    piece("/usr/lib/go-1.19/bin/go", "golang-1.19-go"),
    piece("qemu-aarch64", "qemu-user"),
];

/// What boots other kernels.
pub(crate) const FOR_KERNELS: &[Piece] =
    &[piece("qemu-system-x86_64", "qemu-system-x86"), piece("busybox", "busybox-static")];

/// What the benchmark runs besides Rust and Go.
pub(crate) const FOR_BENCH: &[Piece] = &[piece("git", "git"), piece("strace", "strace")];

/// Installs what is missing when that is allowed here (root), and otherwise says how.
pub(crate) fn provide(pieces: &[Piece]) -> Result<()> {
    let packages = missing(pieces, |program| find_program(program).is_some());
    install(&packages)
}

/// Installs packages when that is allowed here (root), and otherwise says how.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!("missing: {names} (Debian's names; this system has no apt-get). Install them first");
    }
    if !geteuid().is_root() {
        bail!("missing packages. Install them with:\n\n  {}\n", by_hand(packages));
    }
    progress(format!("installing {names}"));
    apt_get(&["update", "--quiet=2"])?;
    apt_get(&[&["install", "--quiet=2", "--yes", "--no-install-recommends"], packages].concat())
}

/// The packages whose programs `present` does not know, each once, in the order of `pieces`.
fn missing(pieces: &[Piece], present: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for piece in pieces.iter().filter(|piece| !present(piece.program)) {
        if !packages.contains(&piece.package) {
            packages.push(piece.package);
        }
    }
    packages
}

/// The one command that a person without root's rights needs.
fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-install-recommends {}", packages.join(" "))
}

/// What apt says is of interest only when it fails.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    output_of(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_the_packages_that_are_missing() {
        let present = |program: &str| !["nft", "fusermount3"].contains(&program);
        assert_eq!(missing(FOR_TESTS, present), ["nftables", "fuse3"]);
        // Without recommended packages Debian's gcc comes without the headers and crt1.o.
        assert_eq!(missing(FOR_TESTS, |program| program != "gcc"), ["gcc", "libc6-dev"]);
    }

    #[test]
    fn names_a_package_of_two_missing_programs_once() {
        let pieces = [piece("unshare", "util-linux"), piece("nsenter", "util-linux")];
        assert_eq!(missing(&pieces, |_| false), ["util-linux"]);
    }

    #[test]
    fn gives_one_command_to_paste() {
        assert_eq!(
            by_hand(&["git", "fuse3"]),
            "sudo apt-get install --no-install-recommends git fuse3"
        );
    }
}
