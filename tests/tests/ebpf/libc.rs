//! Look-ups by libc's getaddrinfo: of the libc that each process has mapped, wherever that file is.

use std::fs::{self, read_to_string};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::{Libc, linked_with};
use gmtrace_tests::harness::{How, Launch};
use gmtrace_tests::processes::await_that;
use gmtrace_tests::recording::Recording;
use serde_json::{Value, json};

use super::kernel;

/// A program that asks, below the command that is watched.
struct Asker {
    launch: Launch,
    timeline: PathBuf,
}

impl Asker {
    /// In a shell that is the command.
    fn in_shell(script: &str) -> Result<Asker> {
        let launch = Launch::command(["sh", "-c", &format!("{script}\ntrue")])?;
        let timeline = launch.room().join("run.json");
        let launch = launch.option("--backend=ebpf").option("-v");
        let launch = launch.option("-o").option(timeline.display().to_string());
        Ok(Asker { launch, timeline })
    }

    fn room(&self) -> &Path {
        self.launch.room()
    }

    /// Two questions, of which the first has an answer, asked once the libc is watched; gives what was told of them.
    fn asks(self) -> Result<Told> {
        let mut running = self.launch.start(How::Traced)?;
        let ready = running.line()?;
        let log = self.room().join("stderr");
        let pid = ready.strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        let pid: i64 = pid.with_context(|| format!("{ready:?}: {:?}", read_to_string(&log)))?;
        let inode = libc_of(pid)?;
        await_that("its libc is watched", || {
            let said = read_to_string(&log).unwrap_or_default();
            said.contains(&format!("(inode {inode}) are watched")).then_some(())
        })
        .with_context(|| read_to_string(&log).unwrap_or_default())?;
        running.write(b"127.0.0.1 80\nproxy.example.com 443\n")?;
        assert_eq!(
            (running.line()?, running.line()?),
            ("found".to_owned(), "not found".to_owned())
        );
        running.close_input();
        ensure!(running.end()?.success(), "{}", read_to_string(&log)?);
        let timeline = serde_json::from_str(&read_to_string(&self.timeline)?)?;
        Ok(Told { recording: self.launch.recording()?, timeline, pid })
    }
}

/// The inode of the libc that a process has mapped.
fn libc_of(pid: i64) -> Result<String> {
    let maps = read_to_string(format!("/proc/{pid}/maps"))?;
    let line = maps.lines().find(|line| line.contains("/libc.so") || line.contains("/ld-musl-"));
    let line = line.with_context(|| format!("no libc: {maps}"))?;
    Ok(line.split_whitespace().nth(4).context("no inode")?.to_owned())
}

struct Told {
    recording: Recording,
    timeline: Value,
    pid: i64,
}

impl Told {
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Value> {
        self.recording.of(kind).filter(|event| event["pid"] == self.pid)
    }

    /// Each question once: as it begins, as it ends, and in the timeline with its milliseconds.
    fn is_whole(&self) -> Result<()> {
        let asked = [("127.0.0.1", "80", "ok"), ("proxy.example.com", "443", "EAI_NONAME")];
        let begun: Vec<_> = self.of("getaddrinfo-start").collect();
        let ended: Vec<_> = self.of("getaddrinfo-end").collect();
        let spans = self.timeline["spans"].as_array().context("no spans")?;
        let own = |span: &&Value| span["pid"] == self.pid && span["type"] == "dns";
        let spans: Vec<_> = spans.iter().filter(own).collect();
        let numbers = (begun.len(), ended.len(), spans.len());
        ensure!(numbers == (2, 2, 2), "{numbers:?}: {:#?}", self.recording.events);
        for (n, (name, service, result)) in asked.into_iter().enumerate() {
            assert_eq!((&begun[n]["name"], &begun[n]["service"]), (&json!(name), &json!(service)));
            let end = ended[n];
            assert_eq!((&end["name"], &end["service"]), (&json!(name), &json!(service)));
            assert_eq!(end["result"], result, "{end}");
            let span = spans[n];
            assert_eq!(span["name"], format!("getaddrinfo {name} {service}"));
            assert_eq!(span["attrs"]["gmtrace.getaddrinfo.result"], result, "{span}");
            assert_eq!(span["status"], if result == "ok" { "ok" } else { "error" }, "{span}");
            let times = (&span["start_ns"], &span["end_ns"]);
            assert_eq!(times, (&begun[n]["t"], &ended[n]["t"]), "{span}");
            ensure!(times.0.as_u64() < times.1.as_u64(), "{span}");
        }
        Ok(())
    }
}

#[test]
fn glibc_and_musl_are_watched_alike() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for libc in [Libc::Glibc, Libc::Musl] {
        let program = linked_with(libc, "asks_libc")?;
        let asker = Asker::in_shell(&program.display().to_string())?;
        asker.asks()?.is_whole().with_context(|| format!("{libc:?}"))?;
    }
    Ok(())
}

/// The libraries of a program and its loader: musl's is one file, and glibc's ldd(1) lists `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6`.
fn libraries(libc: Libc, program: &Path) -> Result<Vec<PathBuf>> {
    if libc == Libc::Musl {
        return Ok(vec![format!("/lib/ld-musl-{}.so.1", std::env::consts::ARCH).into()]);
    }
    let listed = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(PathBuf::from).collect())
}

/// Makes what a container's image has: the program, its loader and its libc, which are other files than the machine's.
fn image(at: &Path, libc: Libc, program: &Path) -> Result<()> {
    for file in libraries(libc, program)? {
        copy(&file, &at.join(file.strip_prefix("/")?))?;
    }
    copy(program, &at.join("asks"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a directory")?)?;
    // By cp(1): a file that is open for writing in this process cannot be executed (ETXTBSY).
    let copied = Command::new("cp").arg("-L").arg(from).arg(to).status()?;
    ensure!(copied.success(), "cp {}", from.display());
    Ok(())
}

/// In a mount namespace of its own, whose root nobody else can see.
const HIDDEN: &str = r#"unshare --mount sh -c 'mount -t tmpfs none "$0" && cp -a "$0.image/." "$0" && exec chroot "$0" /asks' "$0""#;
/// Below a directory that chroot(2) made the root.
const BELOW: &str = r#"cp -a "$0.image/." "$0"; chroot "$0" /asks"#;

#[test]
fn so_is_that_of_another_root() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    for libc in [Libc::Glibc, Libc::Musl] {
        let program = linked_with(libc, "asks_libc")?;
        for script in [HIDDEN, BELOW] {
            let asker = Asker::in_shell(script)?;
            let root = asker.room().join("root");
            fs::create_dir(&root)?;
            image(&root.with_extension("image"), libc, &program)?;
            let asker = Asker { launch: asker.launch.arg(root), ..asker };
            let told = asker.asks().and_then(|told| told.is_whole());
            told.with_context(|| format!("{libc:?}: {script}"))?;
        }
    }
    Ok(())
}

/// What is at the name of the machine's libc is another file in a mount namespace.
#[test]
fn so_is_another_one_of_the_same_name() -> Result<()> {
    if kernel::refuses()? {
        return Ok(());
    }
    let program = linked_with(Libc::Glibc, "asks_libc")?;
    let libraries = libraries(Libc::Glibc, &program)?;
    let libc = libraries.iter().find(|path| path.ends_with("libc.so.6")).context("no libc")?;
    let asker = Asker::in_shell(
        r#"unshare --mount sh -c 'mount --bind "$0" "$1" && exec "$2"' "$0" "$1" "$2""#,
    )?;
    let other = asker.room().join("libc.so.6");
    copy(libc, &other)?;
    let launch = asker.launch.arg(other).arg(libc).arg(program);
    Asker { launch, ..asker }.asks()?.is_whole()
}
