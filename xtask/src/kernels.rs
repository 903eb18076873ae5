//! Tries gmtrace's eBPF on other kernels than this machine's: those of Debian's releases, in an emulated machine that has the files of
//! this one.
//!
//! Emulated, a command takes some twenty times as long; so this takes some minutes for each kernel, and is no part of `cargo xtask test`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};
use cargo_metadata::Message;
use clap::Args;

use crate::debian::{self, FOR_KERNELS};
use crate::toolchains;
use crate::workspace::{Workspace, find_program, output_of, progress, succeed};

#[derive(Args)]
#[command(after_help = "\
Each kernel is fetched by apt from Debian's archive into target/kernels, and booted by qemu with the files of this machine, read-only \
below a layer in memory. There, hangs of the zoo run by eBPF, and one line is printed for each. Without KVM, which is not used, that \
takes five minutes for a kernel on a machine that has nothing else to do.")]
pub(crate) struct Options {
    /// Releases of Linux: 5.10, 6.1 or 6.12
    #[arg(value_name = "VERSION", default_values = ["5.10", "6.1", "6.12"], value_parser = ["5.10", "6.1", "6.12"])]
    versions: Vec<String>,
}

/// The release of Debian that has a kernel, and the package that needs the newest of it.
fn package(version: &str) -> (&'static str, &'static str) {
    match version {
        "5.10" => ("bullseye", "linux-image-amd64"),
        "6.1" => ("bookworm", "linux-image-amd64"),
        _ => ("bookworm", "linux-image-6.12-amd64"),
    }
}

/// A test, by the program that has it.
struct Check {
    of: &'static str,
    test: &'static str,
    /// The first kernel on which it holds.
    since: (u32, u32),
}

const fn zoo(test: &'static str) -> Check {
    Check { of: "zoo", test, since: (5, 8) }
}

const CHECKS: &[Check] = &[
    zoo("names::n2_the_resolver_of_libc_is_silent::ebpf"),
    zoo("connections::n8_nobody_accepts::ebpf"),
    zoo("connections::n8_packets_are_dropped::ebpf"),
    zoo("tls::n13_a_large_client_hello_is_not_answered::ebpf"),
    zoo("http::n16_a_request_is_not_answered::ebpf"),
    zoo("locks::l1_another_process_holds_the_lock_of_a_version::ebpf"),
    zoo("locks::l4_the_lock_of_the_whole_cache::ebpf"),
    // What a run failed by is told where go's own words are seen: by a probe on a function of it.
    Check { of: "zoo", test: "names::n5_the_resolver_fails::ebpf", since: (5, 15) },
    Check { of: "zoo", test: "connections::n9_the_connection_is_refused::ebpf", since: (5, 15) },
    // Probes on functions of libc; and on Go's, which the kernel tells apart since 5.15.
    Check { of: "ebpf", test: "maps::threads_that_look_up_names", since: (5, 8) },
    Check { of: "ebpf", test: "maps::the_same_by_one_probe_at_a_time", since: (5, 15) },
];

/// Runs the checks on each kernel, and fails if one fails.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the kernels are those of x86_64, as this machine is not"
    );
    debian::provide(FOR_KERNELS)?;
    let programs = Programs::build(workspace)?;
    let mut failed = Vec::new();
    for version in &options.versions {
        let kernel = Kernel::provide(workspace, version)?;
        println!("Linux {} (Debian)", kernel.release);
        failed.extend(kernel.check(version, &programs)?);
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// What runs in the emulated machine.
struct Programs {
    /// Those that have the tests.
    tests: Vec<(String, PathBuf)>,
    /// For their environment.
    environment: Vec<(&'static str, String)>,
    root: PathBuf,
}

impl Programs {
    fn build(workspace: &Workspace) -> Result<Programs> {
        progress("building gmtrace and the tests");
        let gmtrace = workspace.build_gmtrace()?;
        let mut cargo = workspace.cargo(&["test", "--workspace", "--no-run"]);
        cargo.args(["--message-format=json", "--test", "zoo", "--test", "ebpf"]);
        let messages = output_of(&mut cargo)?;
        let built =
            Message::parse_stream(messages.as_bytes()).filter_map(|message| match message {
                Ok(Message::CompilerArtifact(made)) => {
                    Some((made.target.name, made.executable?.into()))
                }
                _ => None,
            });
        let wanted = |name: &str| CHECKS.iter().any(|check| check.of == name);
        let tests = built.filter(|(name, _): &(String, PathBuf)| wanted(name)).collect();
        let path = toolchains::path_with(&toolchains::any_go(workspace)?)?;
        let text = |path: &Path| path.display().to_string();
        let environment = vec![
            ("GMTRACE_BIN", text(&gmtrace)),
            ("GMTRACE_TOOLCHAINS", text(&toolchains::folder(workspace))),
            // A healthy go command may stand still for a second in there; a silent name server is asked again after five.
            ("GMTRACE_ZOO_STALL_AFTER", "3s".to_owned()),
            ("GMTRACE_STRESS", "0".to_owned()),
            ("HOME", std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())),
            ("PATH", path.to_string_lossy().into_owned()),
        ];
        Ok(Programs { tests, environment, root: workspace.root.clone() })
    }

    /// The script that runs the checks: a line for each, and what those said that failed.
    fn script(&self, version: (u32, u32)) -> Result<String> {
        let mut script = format!("cd {}\n", quoted(&self.root.display().to_string()));
        for (name, value) in &self.environment {
            script += &format!("export {name}={}\n", quoted(value));
        }
        script += include_str!("kernels/check.sh");
        for check in CHECKS.iter().filter(|check| check.since <= version) {
            let program = self.tests.iter().find(|(name, _)| name == check.of);
            let (_, program) = program.with_context(|| format!("no tests {}", check.of))?;
            script += &format!("check {} {}\n", quoted(&program.display().to_string()), check.test);
        }
        Ok(script + "echo the end\n/run/busybox poweroff -f\n")
    }
}

/// As a word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A kernel of Debian, unpacked, with its modules in order.
struct Kernel {
    folder: PathBuf,
    /// As `uname -r` gives it.
    release: String,
}

impl Kernel {
    fn provide(workspace: &Workspace, version: &str) -> Result<Kernel> {
        let kernels = workspace.target.join("kernels");
        let folder = kernels.join(version);
        if !folder.is_dir() {
            fs::create_dir_all(&kernels)?;
            // Unpacked beside its place and renamed: an interrupted run leaves nothing that looks whole.
            let staging = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&kernels)?;
            let (suite, newest) = package(version);
            progress(format!("fetching Linux {version} of Debian {suite}"));
            fetch(suite, newest, staging.path())?;
            let unpacked = staging.path().join("unpacked");
            let mut depmod = Command::new(busybox()?);
            depmod.args(["depmod", "-b"]).arg(&unpacked).arg(release(&unpacked)?);
            succeed(depmod.current_dir(&unpacked))?;
            fs::rename(&unpacked, &folder)?;
        }
        Ok(Kernel { release: release(&folder)?, folder })
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }

    /// Boots it, prints what the checks say, and gives those that failed.
    fn check(&self, version: &str, programs: &Programs) -> Result<Vec<String>> {
        let numbers = version.split_once('.').context("a version has two numbers")?;
        let script = programs.script((numbers.0.parse()?, numbers.1.parse()?))?;
        let initramfs = self.initramfs(&script)?;
        let mut machine = self.machine(initramfs.path()).stdout(Stdio::piped()).spawn()?;
        let said = machine.stdout.take().context("qemu has no standard output")?;
        let (mut failed, mut whole) = (Vec::new(), false);
        for line in BufReader::new(said).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).trim_end().to_owned();
            whole |= line == "the end";
            failed.extend(line.strip_prefix("FAILED ").map(|test| format!("{version}: {test}")));
            println!("  {line}");
        }
        machine.wait()?;
        ensure!(whole, "the machine ended before its checks; see {}", self.console().display());
        Ok(failed)
    }

    /// What the kernel says.
    fn console(&self) -> PathBuf {
        self.folder.join("console")
    }

    /// An archive with busybox, the modules that reach the files of this machine, and the checks.
    fn initramfs(&self, checks: &str) -> Result<tempfile::NamedTempFile> {
        let root = tempfile::tempdir()?;
        for folder in ["proc", "sys", "dev", "lower", "layer", "new"] {
            fs::create_dir(root.path().join(folder))?;
        }
        let busybox = busybox()?;
        fs::copy(&busybox, root.path().join("busybox"))?;
        fs::write(root.path().join("init"), include_str!("kernels/init.sh"))?;
        fs::set_permissions(root.path().join("init"), fs::Permissions::from_mode(0o755))?;
        fs::write(root.path().join("checks"), checks)?;
        fs::write(root.path().join("modules"), self.modules().display().to_string())?;
        self.copy_modules(&root.path().join("lib/modules").join(&self.release))?;
        let archive = tempfile::NamedTempFile::new()?;
        let pack = "find . | \"$0\" cpio -o -H newc";
        let mut shell = Command::new("sh");
        shell.args(["-c", pack]).arg(&busybox).current_dir(root.path());
        succeed(shell.stdout(archive.reopen()?).stderr(Stdio::null()))?;
        Ok(archive)
    }

    /// Those for the files of this machine, and what they need; one that is part of the kernel has no file.
    fn copy_modules(&self, into: &Path) -> Result<()> {
        let names = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];
        let table = fs::read_to_string(self.modules().join("modules.dep"))?;
        let wanted = table.lines().filter(|line| {
            let name = line.split(':').next().and_then(|path| path.rsplit('/').next());
            name.is_some_and(|file| names.iter().any(|name| file.split('.').next() == Some(name)))
        });
        for file in wanted.flat_map(|line| line.split([' ', ':']).filter(|file| !file.is_empty())) {
            let place = into.join(file);
            fs::create_dir_all(place.parent().context("a module is in a folder")?)?;
            fs::copy(self.modules().join(file), place)?;
        }
        fs::copy(self.modules().join("modules.dep"), into.join("modules.dep"))?;
        Ok(())
    }

    fn machine(&self, initramfs: &Path) -> Command {
        // Ended after an hour, whatever the kernel does.
        let mut qemu = Command::new("timeout");
        qemu.args(["3600", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-smp", "2", "-m", "3G", "-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-append", "console=ttyS0 panic=-1"])
            .arg("-kernel")
            .arg(self.folder.join("boot").join(format!("vmlinuz-{}", self.release)))
            .arg("-initrd")
            .arg(initramfs)
            .arg("-virtfs")
            .arg("local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap")
            .arg("-serial")
            .arg(format!("file:{}", self.console().display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::null());
        qemu
    }
}

/// Of the one kernel that is unpacked here.
fn release(folder: &Path) -> Result<String> {
    let modules = folder.join("lib/modules");
    let mut entries = fs::read_dir(&modules).with_context(|| modules.display().to_string())?;
    let entry = entries.next().context("no modules")??;
    entry.file_name().into_string().map_err(|name| anyhow!("{} is no release", name.display()))
}

fn busybox() -> Result<PathBuf> {
    find_program("busybox").context("busybox is not there")
}

/// The archives that this machine's apt knows, with another release: downloads its kernel into `folder`/unpacked. Nothing that apt knows
/// of this machine is changed.
fn fetch(suite: &str, newest: &str, folder: &Path) -> Result<()> {
    for place in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(folder.join(place))?;
    }
    let mut sources = fs::File::create(folder.join("sources.list"))?;
    for (label, suite) in
        [("Debian", suite.to_owned()), ("Debian-Security", format!("{suite}-security"))]
    {
        writeln!(sources, "deb {} {suite} main", archive(label)?)?;
    }
    let apt = |program: &str, arguments: &[&str]| {
        let mut apt = Command::new(program);
        for (option, value) in [
            ("Dir::State::Lists", folder.join("lists")),
            ("Dir::Cache", folder.join("cache")),
            ("Dir::Etc::SourceList", folder.join("sources.list")),
            ("Dir::Etc::SourceParts", PathBuf::from("/dev/null")),
            ("Acquire::Languages", PathBuf::from("none")),
            ("APT::Sandbox::User", PathBuf::from("root")),
        ] {
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        }
        output_of(apt.args(arguments).current_dir(folder))
    };
    apt("apt-get", &["update"])?;
    let depends = apt("apt-cache", &["depends", newest])?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.with_context(|| format!("Debian {suite} has no {newest}"))?;
    apt("apt-get", &["download", package])?;
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|end| end == "deb") {
            return succeed(Command::new("dpkg").arg("-x").arg(&file).arg(folder.join("unpacked")));
        }
    }
    bail!("apt-get left no package in {}", folder.display())
}

/// Where this machine's apt has an archive from.
fn archive(label: &str) -> Result<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"]);
    let known = output_of(&mut apt)?;
    let found = known.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
    Ok(found.with_context(|| format!("this machine's apt knows no archive of {label}"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_shell_is_what_it_was() {
        assert_eq!(quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
