//! S2 to S10 and H5: the system around the command, and settings under which it does nothing.

use std::fs;
use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::cgroup::Controller;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::harness::send;
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, process};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::zoo::{self, Way};
use nix::sys::signal::Signal;

/// Some modules, their proxy, and a project that requires them.
pub struct Place {
    pub proxy: HttpServer<ModuleProxy>,
    pub project: Project,
}

impl Place {
    pub fn new() -> Result<Self> {
        Self::with(Modules::generated(3, 1000))
    }

    fn with(modules: Modules) -> Result<Self> {
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        let project = zoo::go()?.project()?.requires(&modules)?;
        Ok(Self { proxy, project })
    }

    pub fn download(&self) -> GoCommand {
        self.project.go(["mod", "download"]).proxy(&self.proxy.url())
    }
}

scenario!(s2_the_disk_is_full(way, lab), which ends);
fn s2_the_disk_is_full(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::with(Modules::generated(1, 4 << 20))?;
    let cache = place.project.modcache();
    fs::create_dir_all(&cache)?;
    lab.tmpfs(&cache, 2 << 20)?;
    let answer = way.run(place.download())?.fails()?;
    let found = answer.expect("disk-full").state("failed").says("no space left on device");
    found.says(&format!("{} (tmpfs)", cache.display()));
    Ok(())
}

scenario!(s3_go_is_stopped_by_a_signal(way));
fn s3_go_is_stopped_by_a_signal(way: &Way) -> Result<()> {
    let place = Place::new()?;
    place.proxy.faults().on(".zip", Fault::Silent);
    let hang = way.run(place.download())?;
    place.proxy.wait_for(".zip")?;
    let go = hang.command()?.as_raw();
    send(Signal::SIGSTOP, go)?;
    await_that("go is stopped", || process(go).filter(|process| "Tt".contains(process.state)))?;
    let answer = hang.stalls()?;
    let found = answer.expect("stopped").state("stalled").confidence("certain");
    found.by_launch(|found| found.says("SIGSTOP")).says(&format!("kill -CONT {go}"));
    place.proxy.faults().lift();
    send(Signal::SIGCONT, go)?;
    hang.succeeds()?.expect("stopped").state("slow");
    Ok(())
}

scenario!(s4_the_control_group_is_frozen(way));
fn s4_the_control_group_is_frozen(way: &Way) -> Result<()> {
    let Some(group) = way.group(Controller::Freezer)? else { return Ok(()) };
    let place = Place::new()?;
    place.proxy.faults().on(".zip", Fault::Silent);
    let hang = way.run(place.download())?;
    place.proxy.wait_for(".zip")?;
    group.take(hang.command()?)?;
    group.freeze()?;
    let answer = hang.stalls()?;
    answer.expect("frozen").state("stalled").says("gmtrace-test-");
    place.proxy.faults().lift();
    group.thaw()?;
    hang.succeeds()?.expect("frozen").state("slow");
    Ok(())
}

scenario!(s5_the_cpu_quota_is_one_percent(way));
fn s5_the_cpu_quota_is_one_percent(way: &Way) -> Result<()> {
    let Some(group) = way.group(Controller::Cpu)? else { return Ok(()) };
    group.cpu_percent(1)?;
    let project = zoo::go()?.project()?;
    let join = format!("echo $$ > {} && exec go list std", group.procs().display());
    let hang = way.run(project.command("sh".as_ref(), ["-c", &join]))?;
    group.wait_for_throttling(10)?;
    let answer = hang.stalls()?;
    answer.expect("throttled").state("stalled").says("1 %").says("gmtrace-test-");
    group.cpu_unlimited()?;
    hang.succeeds()?.expect("throttled").state("slow");
    Ok(())
}

scenario!(s6_modules_are_switched_off(way), which ends);
fn s6_modules_are_switched_off(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let answer = way.run(project.go(["mod", "download"]).env("GO111MODULE", "off"))?.fails()?;
    answer.expect("modules-off").says("GO111MODULE");
    Ok(())
}

scenario!(s7_there_is_no_go_mod(way), which ends);
fn s7_there_is_no_go_mod(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let empty = project.room().join("empty");
    fs::create_dir(&empty)?;
    let answer = way.run(project.go(["mod", "download"]).directory(&empty))?.fails()?;
    answer.expect("no-go-mod").says(&empty.to_string_lossy());
    Ok(())
}

scenario!(s8_go_mod_requires_nothing(way), which ends);
fn s8_go_mod_requires_nothing(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let answer = way.run(project.go(["mod", "download"]))?.succeeds()?;
    answer.expect("nothing-to-download").state("notice");
    Ok(())
}

scenario!(s9_goproxy_is_off(way), which ends);
fn s9_goproxy_is_off(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let answer = way.run(place.project.go(["mod", "download"]).proxy("off"))?.fails()?;
    answer.expect("goproxy-off").state("failed").module("example.com/m000@v1.0.0");
    Ok(())
}

scenario!(s10_the_vendor_directory_is_used(way), which ends);
fn s10_the_vendor_directory_is_used(way: &Way) -> Result<()> {
    let place = Place::new()?;
    fs::create_dir(place.project.directory().join("vendor"))?;
    let vendor = |command: GoCommand| command.env("GOFLAGS", "-mod=vendor -modcacherw");
    let answer = way.run(vendor(place.project.go(["list", "./..."])))?.fails()?;
    answer.expect("vendored").says("vendor");
    Ok(())
}

scenario!(s11_a_zip_in_the_cache_was_changed(way), which ends);
fn s11_a_zip_in_the_cache_was_changed(way: &Way) -> Result<()> {
    let place = Place::new()?;
    let verify = || place.project.go(["mod", "verify"]).proxy(&place.proxy.url());
    place.download().spawn()?.wait()?.succeeded()?;
    verify().spawn()?.wait()?.succeeded()?;
    let zip = place.project.modcache().join("cache/download/example.com/m001/@v/v1.0.0.zip");
    let other = place.project.modcache().join("cache/download/example.com/m002/@v/v1.0.0.zip");
    fs::copy(other, &zip)?;
    let answer = way.run(verify())?.fails()?;
    let found = answer.expect("cache-corrupt").state("failed").module("example.com/m001@v1.0.0");
    found.path(&zip).says("zip has been modified");
    Ok(())
}

scenario!(s11_a_zip_in_the_cache_is_cut_off(way), which ends);
fn s11_a_zip_in_the_cache_is_cut_off(way: &Way) -> Result<()> {
    let place = Place::new()?;
    place.download().spawn()?.wait()?.succeeded()?;
    let cache = place.project.modcache();
    let zip = cache.join("cache/download/example.com/m001/@v/v1.0.0.zip");
    fs::write(&zip, "PK")?;
    fs::remove_dir_all(cache.join("example.com/m001@v1.0.0"))?;
    let answer = way.run(place.download())?.fails()?;
    answer.expect("cache-corrupt").state("failed").module("example.com/m001@v1.0.0");
    Ok(())
}

scenario!(s11_a_module_in_the_cache_was_not_unpacked_to_its_end(way, lab), which ends);
/// As after an unpacking that was cut off (cmd/go's own test `mod_download_partial.txt`). go repairs it without a word where it may write.
fn s11_a_module_in_the_cache_was_not_unpacked_to_its_end(way: &Way, lab: &Lab) -> Result<()> {
    let place = Place::new()?;
    place.download().spawn()?.wait()?.succeeded()?;
    let cache = place.project.modcache();
    let note = cache.join("cache/download/example.com/m001/@v/v1.0.0.partial");
    fs::write(&note, "")?;
    fs::remove_file(cache.join("example.com/m001@v1.0.0/go.mod"))?;
    {
        let _read_only = lab.read_only(&cache)?;
        let answer = way.run(place.download())?.fails()?;
        let found = answer.expect("cache-corrupt").state("failed").path(&note);
        found.module("example.com/m001@v1.0.0").says("v1.0.0.lock: read-only file system");
    }
    place.download().spawn()?.wait()?.succeeded()?;
    assert!(!note.exists());
    Ok(())
}

scenario!(h5_twenty_go_commands_share_one_cache(way));
/// Each waits for the locks of the others again and again, and never for long.
fn h5_twenty_go_commands_share_one_cache(way: &Way) -> Result<()> {
    let place = Place::with(Modules::generated(40, 20_000))?;
    place.proxy.faults().always(Fault::Delay(Duration::from_millis(100)));
    let download = |_| way.run_with(place.download(), ["--stall-after", "5s"]);
    let mut running = (0..20).map(download).collect::<Result<Vec<_>>>()?;
    running.remove(0).works()?.no_finding();
    for one in running {
        one.succeeds()?.no_stall().no_finding();
    }
    Ok(())
}
