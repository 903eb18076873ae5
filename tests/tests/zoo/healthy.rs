//! Runs in which nothing hangs: no stall may be told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::processes::{await_that, below, descendants};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, Module, Modules};
use gmtrace_tests::zoo::{self, Way};

use super::children::Place;
use super::other_programs::{all_asleep, cpu_ticks};
use super::parts::{ZIP, download, one, project, proxy};

scenario!(h2_a_warm_cache(way));
fn h2_a_warm_cache(way: &Way) -> Result<()> {
    let modules = Modules::generated(40, 20_000).gathered_by("example.com/all");
    let proxy = proxy(&modules)?;
    let project = project(&modules)?;
    download(&project).proxy(&proxy.url()).run()?.succeeded()?;
    let asked = proxy.log().all().len();
    // One is over in a moment.
    let go = zoo::go()?.program();
    let again = format!("for n in $(seq 200); do {} mod download || exit; done", go.display());
    way.run(project.command("sh".as_ref(), ["-c", &again]).proxy(&proxy.url()))?.works()?;
    assert_eq!(proxy.log().all().len(), asked);
    Ok(())
}

scenario!(h3_every_response_is_late(way));
fn h3_every_response_is_late(way: &Way) -> Result<()> {
    let modules = Modules::generated(40, 20_000);
    works(way, &modules, Fault::Delay(Duration::from_millis(200)))
}

scenario!(h4_every_response_is_slow(way));
fn h4_every_response_is_slow(way: &Way) -> Result<()> {
    let modules = Modules::generated(4, 300_000);
    works(way, &modules, Fault::Throttle(100_000))
}

/// A download that goes on, slowly, works.
fn works(way: &Way, modules: &Modules, fault: Fault) -> Result<()> {
    let proxy = proxy(modules)?;
    proxy.faults().always(fault);
    let project = project(modules)?;
    let goes_on = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for("/@v/")?;
    goes_on.works()?;
    Ok(())
}

scenario!(h6_go_compiles_for_long(way));
/// What compiles is not taken for what spins.
fn h6_go_compiles_for_long(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?;
    let cold = project.room().join("cold");
    let build = project.go(["build", "-a", "encoding/json"]).env("GOCACHE", cold);
    way.run(build)?.works()?;
    Ok(())
}

scenario!(h7_a_server_with_kept_connections_is_idle(way));
/// A language server in small: it listens, and keeps connections to whom it asked before and to who asked it.
fn h7_a_server_with_kept_connections_is_idle(way: &Way) -> Result<()> {
    let upstream = proxy(&one())?;
    let project = project(&one())?;
    let server = project.command(&fixture("reverse_proxy.go")?, [upstream.url()]);
    let idle = way.run_for("5s", server)?;
    let address = idle.wait_for_line()?;
    download(&project).proxy(&format!("http://{address}")).run()?.succeeded()?;
    let answer = idle.works_on()?;
    assert!(way.launches() || answer.stderr.contains(" is idle: "), "{answer}");
    Ok(())
}

scenario!(h8_one_large_zip_over_a_steady_slow_link(way));
fn h8_one_large_zip_over_a_steady_slow_link(way: &Way) -> Result<()> {
    const FILES: usize = 200;
    const BYTES: usize = 1_000_000;
    /// Made once for all ways of looking.
    static LARGE: LazyLock<Modules> = LazyLock::new(|| {
        Modules::new([Module::new("example.com/m000", "v1.0.0").fillers(FILES, BYTES)])
    });
    let proxy = proxy(&LARGE)?;
    proxy.faults().on(ZIP, Fault::Throttle(20_000_000));
    let project = project(&LARGE)?;
    let goes_on = way.run(download(&project).proxy(&proxy.url()))?;
    proxy.wait_for_body(ZIP, 1)?;
    goes_on.works()?;
    proxy.wait_for_body(ZIP, FILES * BYTES)?;
    Ok(())
}

scenario!(h9_git_computes_for_long_without_traffic(way, lab));
/// What takes little room on the wire is large when it is unpacked: git has to look at all of it. Nothing of it belongs to the module, so
/// that go is done with it soon.
fn h9_git_computes_for_long_without_traffic(way: &Way, lab: &Lab) -> Result<()> {
    let nested = "module git.example.com/lib/data\n";
    let module = Module::new("git.example.com/lib", "v1.2.3");
    let module =
        module.file("data/go.mod", nested.as_bytes()).file("data/zeros", vec![0; 300 << 20]);
    let place = Place::publishing(lab, &module)?;
    // However few objects there are, they are indexed and not unpacked one by one.
    fs::write(place.project.home().join(".gitconfig"), "[fetch]\n\tunpackLimit = 1\n")?;
    let goes_on = way.run(place.download())?;
    // It does so for a second and more; who asks may be without a CPU for the better half of that.
    let index_pack = await_that("git indexes the pack", || {
        let mut below = descendants(goes_on.command().ok()?.as_raw()).into_iter();
        below.find(|pid| has_word(*pid, "index-pack") && cpu_ticks(*pid) >= Some(30))
    })?;
    // All that git will ever get has come.
    let packs = place.git.log().all().into_iter().filter(|access| access.sent > 100_000);
    assert_eq!(packs.count(), 1, "index-pack {index_pack}");
    goes_on.works()?;
    Ok(())
}

scenario!(h10_a_test_sleeps(way));
fn h10_a_test_sleeps(way: &Way) -> Result<()> {
    let test = "package project\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\n\
        func TestSleeps(t *testing.T) {\n\ttime.Sleep(4 * time.Second)\n}\n";
    let project = zoo::go()?.project()?.file("sleeps_test.go", test)?;
    // What the test is made of is compiled already: here it is about the sleep.
    let cache = Command::new(zoo::go()?.program()).args(["env", "GOCACHE"]).output()?.stdout;
    let cache = String::from_utf8(cache)?.trim().to_owned();
    let tested = |words: &[&str]| {
        project.go([&["test", "-count=1"], words, &["./..."]].concat()).env("GOCACHE", &cache)
    };
    tested(&["-run=^$"]).run()?.succeeded()?;
    let goes_on = way.run(tested(&[]))?;
    let sleeper = below(goes_on.command()?, "project.test")?;
    await_that("the test sleeps", || all_asleep(sleeper).then_some(()))?;
    goes_on.works()?;
    Ok(())
}

scenario!(h1_the_graph_of_a_real_module(way));
/// The one scenario that leaves the machine: everything below a module of the world, by the machine's own GOPROXY.
fn h1_the_graph_of_a_real_module(way: &Way) -> Result<()> {
    let project = zoo::go()?.project()?.require("github.com/spf13/viper", "v1.19.0")?;
    let reached = ours(project.go(["mod", "download", "github.com/spf13/pflag@v1.0.5"]))?.run()?;
    if !reached.status.success() {
        return way.skip(&format!("GOPROXY cannot be reached: {}", reached.stderr));
    }
    let graph = ours(project.go(["mod", "download", "all"]))?;
    let ended = way.run_with(graph, ["--stall-after", "5s"])?.works()?;
    if let Some(answer) = ended.answer() {
        let modules = answer.timeline["totals"]["modules"].as_u64();
        assert!(modules > Some(50), "modules: {modules:?}\n{answer:#}");
    }
    Ok(())
}

/// With the module proxy, checksum database and web proxy of this machine.
fn ours(command: GoCommand) -> Result<GoCommand> {
    let go = zoo::go()?.program();
    let output = Command::new(go).args(["env", "GOPROXY", "GOSUMDB", "GONOSUMDB"]).output()?;
    let values = String::from_utf8(output.stdout)?;
    let settings = ["GOPROXY", "GOSUMDB", "GONOSUMDB"].into_iter().zip(values.lines());
    let command = settings.fold(command, |command, (name, value)| command.env(name, value));
    let passed = ["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let passed = passed.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()]);
    let set = passed.filter_map(|name| Some((std::env::var_os(&name)?, name)));
    Ok(set.fold(command, |command, (value, name)| command.env(name, value)))
}

/// With gmtrace in front of it, go writes and says what it does alone: names, modes and bytes of the whole module cache, and both streams.
#[test]
fn the_module_cache_is_that_of_the_bare_command() -> Result<()> {
    let modules = Modules::generated(20, 20_000);
    let proxy = proxy(&modules)?;
    let (alone, watched) = (project(&modules)?, project(&modules)?);
    let json = |project: &Project| project.go(["mod", "download", "-json"]).proxy(&proxy.url());
    let bare = json(&alone).run()?.succeeded()?;
    let traced = json(&watched).traced(["-q"]).run()?.succeeded()?;
    let cache = |project: &Project| project.modcache().display().to_string();
    assert_eq!(
        bare.stdout.replace(&cache(&alone), "CACHE"),
        traced.stdout.replace(&cache(&watched), "CACHE")
    );
    assert_eq!(bare.stderr, traced.stderr);
    let (left, right) = (tree(&alone.modcache())?, tree(&watched.modcache())?);
    assert!(left.len() > 100, "{}", left.len());
    assert!(left == right, "{:?}\n{:?}", left.keys(), right.keys());
    Ok(())
}

/// Whether a word of its command line is this one.
fn has_word(pid: i32, word: &str) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|one| one == word.as_bytes())
}

/// Every file and folder below a folder: its mode, and the bytes of a file.
fn tree(root: &Path) -> Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let about = path.symlink_metadata()?;
            let bytes = if about.is_file() { std::fs::read(&path)? } else { Vec::new() };
            found.insert(path.strip_prefix(root)?.to_owned(), (about.mode(), bytes));
            folders.extend(about.is_dir().then_some(path));
        }
    }
    Ok(found)
}
