//! Runs in which nothing hangs: no stall may be told.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::fixtures::fixture;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{Fault, Modules};
use gmtrace_tests::zoo::{self, Way};

use super::parts::{download, one, project, proxy};

scenario!(h2_a_warm_cache(way));
fn h2_a_warm_cache(way: &Way) -> Result<()> {
    let modules = Modules::generated(40, 20_000).gathered_by("example.com/all");
    let proxy = proxy(&modules)?;
    let project = project(&modules)?;
    way.run(download(&project).proxy(&proxy.url()))?.succeeds()?.no_stall();
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

scenario!(h7_a_server_with_kept_connections_is_idle(way), missed by launch: "a stall is told: not-go");
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
