//! `go mod download` that hangs: at a silent proxy, at a lock.

use anyhow::{Context, Result, bail, ensure};
use gmtrace_core::event::{Direction, GoRuntime, Status};
use gmtrace_tests::go::{Go, GoCommand, Project, Running};
use gmtrace_tests::holder::{Holder, wait_for_queue};
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use nix::sys::signal::Signal;

use crate::RELEASES;
use crate::look::{equal, hanging, open, record};

const MODULE: &str = "example.com/m000";
const VERSION: &str = "v1.0.0";

/// One module, its proxy, and a project that requires it.
struct Place {
    proxy: HttpServer<ModuleProxy>,
    project: Project,
}

impl Place {
    fn new(go: &Go) -> Result<Self> {
        let modules = Modules::generated(1, 1000);
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        Ok(Self { proxy, project: go.project()?.requires(&modules)? })
    }

    fn download(&self) -> GoCommand {
        let command = self.project.go(["mod", "download"]).proxy(&self.proxy.url());
        // The garbage collector would move goroutines between the reading and the dump.
        let command = command.env("GOTRACEBACK", "system").env("GOGC", "off");
        // Nothing of this machine in a recording.
        command.env("PATH", "/usr/bin:/bin")
    }

    fn lock(&self) -> std::path::PathBuf {
        self.project.modcache().join(format!("cache/download/{MODULE}/@v/{VERSION}.lock"))
    }
}

/// The reading, once it hangs, which is what the process says of itself.
fn truth(what: &str, hung: Running) -> Result<GoRuntime> {
    let pid = hung.pid().as_raw();
    let read = hanging(pid).context(what.to_owned())?;
    record(what, || Ok(open(pid)?.record()))?;
    hung.signal(Signal::SIGQUIT)?;
    equal(what, &read, &hung.wait()?.stderr)?;
    Ok(read)
}

/// The proxy reads the request for this file and never answers.
fn silent_at(go: &Go, file: &str) -> Result<()> {
    let place = Place::new(go)?;
    let path = format!("/{MODULE}/@v/{VERSION}.{file}");
    place.proxy.faults().on(&path, Fault::Silent);
    let hung = place.download().spawn()?;
    place.proxy.wait_for(&path)?;
    let links = format!("/proc/{}/fd", hung.pid());
    let what = format!("{}-{file}-silent", go.says()?);
    let sockets = |runtime: &GoRuntime| -> Vec<_> {
        let waits = runtime.goroutines.iter().filter_map(|goroutine| goroutine.waits_for);
        waits.map(|w| (w.direction, std::fs::read_link(format!("{links}/{}", w.fd)))).collect()
    };
    let before = sockets(&hanging(hung.pid().as_raw())?);
    let read = truth(&what, hung)?;
    let [(Direction::Read, Ok(link))] = before.as_slice() else { bail!("{what}: {before:?}") };
    assert!(link.to_string_lossy().starts_with("socket:["), "{what}: {link:?}");
    let url = format!("{}{path}", place.proxy.url());
    let asks = read.goroutines.iter().find(|goroutine| goroutine.text("url") == Some(&url));
    let asks = asks.with_context(|| format!("{what}: nobody asks for {url}: {read:?}"))?;
    assert_eq!(asks.module(), Some((MODULE, Some(VERSION))), "{what}: {:?}", asks.calls);
    Ok(())
}

/// Another process holds the lock of the version.
fn locked_out(go: &Go) -> Result<()> {
    let place = Place::new(go)?;
    let _holder = Holder::of(&place.lock())?;
    let hung = place.download().spawn()?;
    wait_for_queue(&place.lock())?;
    let pid = hung.pid().as_raw();
    let what = format!("{}-lock-held", go.says()?);
    let waiting = |runtime: &GoRuntime| {
        let mut all = runtime.goroutines.iter();
        all.find(|goroutine| goroutine.is_in("cmd/go/internal/modfetch.lockVersion")).cloned()
    };
    let before = waiting(&hanging(pid)?).with_context(|| format!("{what}: nobody locks"))?;
    let tid = before.tid.with_context(|| format!("{what}: no thread: {before:?}"))?;
    let syscall = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?;
    ensure!(syscall.starts_with("73 "), "{what}: thread {tid} is in {syscall}");
    truth(&what, hung)?;
    assert_eq!(before.status, Status::Syscall);
    assert_eq!(before.module(), Some((MODULE, Some(VERSION))), "{what}: {:?}", before.calls);
    let file = place.lock();
    assert_eq!(before.text("file"), file.to_str(), "{what}: {:?}", before.calls);
    Ok(())
}

fn all(go: &Go) -> Result<()> {
    silent_at(go, "mod")?;
    silent_at(go, "zip")?;
    locked_out(go)
}

#[test]
fn of_every_release() -> Result<()> {
    RELEASES.iter().try_for_each(|release| all(&Go::version(release)?))
}

#[test]
fn of_the_go_in_path() -> Result<()> {
    all(&Go::find()?)
}

#[test]
fn of_debian_stripped_and_linked_with_libc() -> Result<()> {
    all(&Go::linked_with_libc()?)
}
