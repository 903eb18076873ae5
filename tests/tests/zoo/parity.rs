//! The same runs by ptrace and by eBPF give the same facts: connections and what became of them, look-ups, TLS, locks, processes,
//! and verdicts.
//!
//! By design they differ in what only one of them tells at all, [`BY_DESIGN`], and in what is not compared here: ptrace sees the head of
//! the first plain request of a connection, eBPF of each, and so of a web page that came later `not-a-module-proxy` is certain; the
//! ClientHello of git is seen by ptrace only where it comes within 50 ms; ptrace sees what every program writes to standard error, eBPF
//! what go says is wrong; unix sockets that are connected, and locks that a filesystem refuses, are seen by ptrace alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::lab;
use gmtrace_tests::servers::{Fault, GitHost, Modules, Reply, TestCa};
use gmtrace_tests::zoo::{Answer, Watched, watch_by};
use serde_json::Value;

use super::children::Place as GitPlace;
use super::parts::{
    NAME, PLAIN, SECURE, download, one, project, proxy, proxy_in, resolver_in, secure_proxy_in,
};

type Facts = BTreeMap<String, usize>;

/// What one of them tells, and the other never does.
const BY_DESIGN: &[(&str, &str)] = &[
    // Probes on functions of Go: requests, inside TLS too.
    ("ebpf", "go-request"),
    ("ebpf", "go-request-on"),
    ("ebpf", "go-response"),
    // Likewise on functions of the go command; ptrace reads them twice a second.
    ("ebpf", "go-step-start"),
    ("ebpf", "go-step-end"),
    ("ebpf", "go-call-start"),
    ("ebpf", "go-call-end"),
    // A probe on libc; ptrace infers that it is asked, and does not see what it answers.
    ("ebpf", "getaddrinfo-end"),
    // What git, or any program but go, writes to its standard error.
    ("ptrace", "output"),
];

/// What comes by chance, in the time that a run takes, or is read from `/proc` in the same way by both.
const BY_CHANCE: &[&str] =
    &["sample", "snapshot", "go-work", "go-running", "tcp-closed", "note", "lapse"];

/// What ptrace tells in the 50 ms after a connect, and eBPF always.
const NOT_ALWAYS: &[&str] = &["read", "http-request", "http-response"];

/// Runs one after the other, each from the beginning, and compares. Which modules goroutines are found at work for is chance.
pub(super) fn same(run: impl FnMut(&str) -> Result<Answer>) -> Result<()> {
    same_but(&["module "], run)
}

/// Likewise, and leaves out the facts that begin so.
fn same_but(chance: &[&str], mut run: impl FnMut(&str) -> Result<Answer>) -> Result<()> {
    let (ptrace, ebpf) = (run("ptrace")?, run("ebpf")?);
    ensure!(ebpf.timeline["backend"]["name"] == "ebpf", "{ebpf}");
    ensure!(ebpf.timeline["losses"] == serde_json::json!({}), "{:#}", ebpf.timeline["losses"]);
    let of = |answer| -> Result<Facts> {
        let mut facts = facts(answer)?;
        facts.retain(|fact, _| !chance.iter().any(|begin| fact.starts_with(begin)));
        Ok(facts)
    };
    let (by_ptrace, by_ebpf) = (of(&ptrace)?, of(&ebpf)?);
    let more = |one: &Facts, other: &Facts| -> Vec<String> {
        let count = |fact: &String| other.get(fact).copied().unwrap_or(0);
        one.iter()
            .filter(|(fact, times)| count(fact) < **times)
            .map(|(fact, times)| format!("{times}, not {}: {fact}", count(fact)))
            .collect()
    };
    let (only_ptrace, only_ebpf) = (more(&by_ptrace, &by_ebpf), more(&by_ebpf, &by_ptrace));
    ensure!(
        only_ptrace.is_empty() && only_ebpf.is_empty(),
        "by ptrace alone:\n{only_ptrace:#?}\nby eBPF alone:\n{only_ebpf:#?}\n{ebpf}"
    );
    ensure!(!by_ebpf.is_empty());
    only_what_is_meant(&ptrace, &ebpf)
}

/// Each kind of event is told by both, or it is known that it is not.
fn only_what_is_meant(ptrace: &Answer, ebpf: &Answer) -> Result<()> {
    let kinds = |answer: &Answer| -> Result<BTreeSet<String>> {
        let events = answer.events()?.into_iter();
        Ok(events.filter_map(|event| event["type"].as_str().map(str::to_owned)).collect())
    };
    let (by_ptrace, by_ebpf) = (kinds(ptrace)?, kinds(ebpf)?);
    for (backend, own, other) in [("ptrace", &by_ptrace, &by_ebpf), ("ebpf", &by_ebpf, &by_ptrace)]
    {
        let known = |kind: &&String| {
            let kind = kind.as_str();
            let by_chance = BY_CHANCE.iter().chain(NOT_ALWAYS).any(|other| *other == kind);
            by_chance || BY_DESIGN.contains(&(backend, kind))
        };
        let alone: Vec<_> = own.difference(other).filter(|kind| !known(kind)).collect();
        ensure!(alone.is_empty(), "by {backend} alone: {alone:?}\n{ebpf}");
    }
    Ok(())
}

/// What happened, without what differs from run to run.
fn facts(answer: &Answer) -> Result<Facts> {
    let mut facts = Facts::new();
    let mut add = |fact: String| {
        let times = facts.entry(fact.clone()).or_default();
        // How often go connects, and so asks for a name, is chance: it dials for each request that waits.
        let once = ["connect", "question", "answer", "hello", "reply"];
        *times = if once.iter().any(|what| fact.starts_with(what)) { 1 } else { *times + 1 };
    };
    let (mut attempts, mut go) = (BTreeMap::new(), BTreeSet::new());
    for event in answer.events()? {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let socket = (event["pid"].to_string(), event["fd"].to_string());
        if event["role"] == "go" {
            go.insert(event["pid"].to_string());
        }
        let is_go = go.contains(&event["pid"].to_string());
        match event["type"].as_str().unwrap_or_default() {
            "connect" if event["transport"] == "tcp" => {
                attempts.insert(socket, text("peer"));
            }
            "connect-end" if event["result"] != "EINPROGRESS" => {
                if let Some(peer) = attempts.remove(&socket) {
                    add(format!("connect {peer}: {}", text("result")));
                }
            }
            "dns-question" => {
                add(format!("question {} {} {}", text("name"), text("qtype"), text("via")));
            }
            "dns-answer" => add(format!("answer {} {}", text("name"), text("rcode"))),
            "tls-client-hello" if is_go => add(format!("hello {} {}", text("sni"), event["size"])),
            "tls-reply" if is_go => add(format!("reply {}", event["reply"])),
            "lock-request" => {
                let path = text("path");
                // What is above the module cache is another directory in each run.
                let place = path.find("/pkg/mod/").or_else(|| path.rfind('/')).unwrap_or(0);
                let file = path.get(place..).unwrap_or_default();
                add(format!("lock {file} {} {}", text("kind"), text("mode")));
            }
            "exec" => add(format!("program {}", words(&event["argv"]))),
            "process-exit" => add(format!("exit {}", event["exit"])),
            _ => {}
        }
    }
    for finding in answer.timeline["findings"].as_array().into_iter().flatten() {
        let key = |key: &str| finding[key].as_str().unwrap_or_default();
        let how = format!("{} {}", key("state"), key("confidence"));
        add(format!("finding {} {} {how}", key("code"), key("role")));
    }
    for span in answer.timeline["spans"].as_array().into_iter().flatten() {
        if span["type"] == "module" {
            add(format!("module {}", span["name"]));
        }
    }
    Ok(facts)
}

/// A command line, without the directories that differ from run to run.
fn words(argv: &Value) -> String {
    let last = |word: &Value| {
        let word = word.as_str().unwrap_or_default();
        word.rsplit('/').next().unwrap_or(word).to_owned()
    };
    argv.as_array().into_iter().flatten().map(last).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_download_of_many_modules() -> Result<()> {
    let modules = Modules::generated(20, 20_000);
    let proxy = proxy(&modules)?;
    same(|backend| {
        let project = project(&modules)?;
        watch_by(backend, download(&project).proxy(&proxy.url()))?.succeeds()
    })
}

#[test]
fn a_download_over_tls_from_a_name() -> Result<()> {
    lab::isolated(|lab| {
        let (ca, modules) = (TestCa::new()?, Modules::generated(3, 20_000));
        let (_resolver, _proxy) = (resolver_in(lab)?, secure_proxy_in(lab, &ca, &modules)?);
        same(|backend| {
            let project = project(&modules)?;
            let command = download(&project).proxy(SECURE).trust(&ca);
            watch_by(backend, command)?.succeeds()
        })
    })
}

#[test]
fn a_download_by_git() -> Result<()> {
    lab::isolated(|lab| {
        let mut place = GitPlace::new(lab)?;
        // Which module git works for is read from goroutines, twice a second.
        GitHost::on_info_refs(place.git.faults(), Fault::Delay(Duration::from_millis(700)));
        let mut projects = vec![place.another_project()?, place.another_project()?];
        same_but(&[], move |backend| {
            let project = projects.pop().context("two runs")?;
            place.project = project;
            let answer = watch_by(backend, place.download())?.succeeds()?;
            if backend == "ebpf" {
                each_program_is_run_by_a_goroutine(&answer)?;
            }
            Ok(answer)
        })
    })
}

/// What go says that it runs is what the kernel saw begin: `git fetch`.
fn each_program_is_run_by_a_goroutine(answer: &Answer) -> Result<()> {
    let events = answer.events()?;
    let begins = |call: &str| -> Vec<String> {
        let made = |event: &&Value| event["type"] == "go-call-start" && event["call"] == call;
        let about = |event: &Value| event["about"].as_str().map(str::to_owned);
        events.iter().filter(made).filter_map(about).collect()
    };
    let git = events.iter().filter(|event| event["type"] == "exec").filter_map(|event| {
        let word = |n: usize| event["argv"][n].as_str();
        let words = format!("git {}", word(1)?);
        word(0)?.ends_with("git").then_some(words)
    });
    let programs: BTreeSet<String> = git.collect();
    let run = begins("run");
    ensure!(!run.is_empty() && run.iter().all(|words| programs.contains(words)), "{run:?}");
    ensure!(begins("start").len() >= run.len(), "{answer}");
    let ends = |event: &&Value| event["type"] == "go-call-end" && event["call"] == "run";
    ensure!(events.iter().filter(ends).count() == run.len(), "{answer}");
    Ok(())
}

#[test]
fn a_name_that_is_not_there() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        resolver.on(NAME, Reply::NxDomain);
        let project = project(&one())?;
        same(|backend| watch_by(backend, download(&project).proxy(PLAIN))?.fails())
    })
}

#[test]
fn a_connection_that_is_refused() -> Result<()> {
    lab::isolated(|lab| {
        let _resolver = resolver_in(lab)?;
        drop(proxy_in(lab, &one())?);
        let project = project(&one())?;
        same(|backend| watch_by(backend, download(&project).proxy(PLAIN))?.fails())
    })
}

#[test]
fn a_warm_cache() -> Result<()> {
    let modules = Modules::generated(20, 2_000);
    let (proxy, project) = (proxy(&modules)?, project(&modules)?);
    let command = || download(&project).proxy(&proxy.url());
    watch_by("ptrace", command())?.succeeds()?;
    same(|backend| watch_by(backend, command()).and_then(Watched::succeeds))
}
