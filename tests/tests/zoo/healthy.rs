//! Runs in which nothing hangs: no stall may be told.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::servers::{Fault, Modules};
use gmtrace_tests::zoo;

use super::other_programs::go_program;
use super::parts::{download, project, proxy};

#[test]
fn h2_a_warm_cache() -> Result<()> {
    let modules = Modules::generated(40, 20_000).gathered_by("example.com/all");
    let proxy = proxy(&modules)?;
    let project = project(&modules)?;
    zoo::watch(download(&project).proxy(&proxy.url()))?.succeeds()?.no_stall();
    let asked = proxy.log().all().len();
    zoo::watch(download(&project).proxy(&proxy.url()))?.succeeds()?.no_stall();
    assert_eq!(proxy.log().all().len(), asked);
    Ok(())
}

#[test]
fn h3_every_response_is_late() -> Result<()> {
    let modules = Modules::generated(40, 20_000);
    let proxy = proxy(&modules)?;
    proxy.faults().always(Fault::Delay(Duration::from_millis(200)));
    let project = project(&modules)?;
    zoo::watch(download(&project).proxy(&proxy.url()))?.succeeds()?.no_stall();
    Ok(())
}

#[test]
fn h4_every_response_is_slow() -> Result<()> {
    let modules = Modules::generated(4, 300_000);
    let proxy = proxy(&modules)?;
    proxy.faults().always(Fault::Throttle(100_000));
    let project = project(&modules)?;
    zoo::watch(download(&project).proxy(&proxy.url()))?.succeeds()?.no_stall();
    Ok(())
}

/// What computes for long is not taken for what spins, and what compiles least of all.
#[test]
fn a_program_computes() -> Result<()> {
    let project = zoo::go()?.project()?;
    for words in [&[][..], &["prints"]] {
        let command = project.command(&go_program("computes")?, words.iter().copied());
        zoo::watch(command)?.succeeds()?.no_stall();
    }
    Ok(())
}

#[test]
fn go_compiles_for_long() -> Result<()> {
    let project = zoo::go()?.project()?;
    let cold = project.room().join("cold");
    let build = project.go(["build", "encoding/json"]).env("GOCACHE", cold);
    zoo::watch(build)?.succeeds()?.no_stall();
    Ok(())
}

/// The one scenario that leaves the machine: everything below a module of the world, by the machine's own GOPROXY.
#[test]
fn h1_the_graph_of_a_real_module() -> Result<()> {
    let project = zoo::go()?.project()?.require("github.com/spf13/viper", "v1.19.0")?;
    let reached = ours(project.go(["mod", "download", "github.com/spf13/pflag@v1.0.5"]))?.run()?;
    if !reached.status.success() {
        println!("H1 skipped: GOPROXY cannot be reached: {}", reached.stderr);
        return Ok(());
    }
    let graph = ours(project.go(["mod", "download", "all"]))?;
    let answer = zoo::watch_with(graph, ["--stall-after", "5s"])?.succeeds()?;
    answer.no_stall();
    let modules = answer.timeline["totals"]["modules"].as_u64();
    assert!(modules > Some(50), "modules: {modules:?}\n{answer:#}");
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
