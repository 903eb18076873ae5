//! The rows: what is run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::columns::Column;
use super::environment::Environment;
use super::server::Server;
use super::work;
use crate::workspace::find_program;

/// How many modules a download row has.
const MODULES: u32 = 200;
/// How many modules the row of the sampler has: 5 s, in which it reads often enough to be measured.
const SAMPLED_MODULES: u32 = 60;
/// How many modules the row of direct fetches has; each costs a dozen runs of git.
const REPOSITORIES: u32 = 10;

/// The rate at which no event may be lost, and for how long.
const EVENTS_PER_SECOND: u64 = 50_000;
const EVENTS_SECONDS: u64 = 4;
/// So many locks and messages take half a second, as do so many of the others.
const HOOKED_ROUNDS: &str = "200000";
const OTHER_ROUNDS: &str = "500000";

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Row {
    /// `true`: what starting up costs
    StartUp,
    /// `go list std` with a warm build cache
    ListStd,
    /// 200 modules over loopback into an empty module cache
    #[value(name = "download-200")]
    Download,
    /// The same with 40 ms before each response
    #[value(name = "download-40ms")]
    DownloadSlow,
    /// 10 modules from git repositories
    GitDirect,
    /// 60 modules, 40 ms before each response, under gmtrace with and without its sampler
    Sampler,
    /// 50,000 locks a second for 4 s: none may be lost
    Events,
    /// A program that is not watched, while another one is
    OtherProcesses,
    /// The same of one that does nothing but what gmtrace's programs in the kernel hang on
    HookedCalls,
    /// `gmtrace -p`: how long its answers take
    Attach,
}

/// Work that is ready to be run, again and again.
pub(super) struct Prepared {
    /// The command.
    pub(super) words: Vec<OsString>,
    /// Where it runs.
    pub(super) folder: OsString,
    /// Variables beside those of the environment.
    pub(super) variables: Vec<(&'static str, String)>,
    /// Whether each run starts from an empty module cache.
    pub(super) fresh_cache: bool,
    /// Over within milliseconds: gmtrace writes no recording, and nobody has time to read how much
    /// memory a tool takes.
    pub(super) brief: bool,
    /// Kept alive while the row is measured.
    pub(super) server: Option<Server>,
}

impl Row {
    pub(super) const ALL: &[Self] = &[
        Self::ListStd,
        Self::Download,
        Self::DownloadSlow,
        Self::GitDirect,
        Self::StartUp,
        Self::Sampler,
        Self::Events,
        Self::OtherProcesses,
        Self::HookedCalls,
        Self::Attach,
    ];

    /// The rows asked for, or all.
    pub(super) fn chosen(asked: &[Self]) -> Vec<Self> {
        if asked.is_empty() { Self::ALL } else { asked }.to_vec()
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::StartUp => "start-up",
            Self::ListStd => "list-std",
            Self::Download => "download-200",
            Self::DownloadSlow => "download-40ms",
            Self::GitDirect => "git-direct",
            Self::Sampler => "sampler",
            Self::Events => "events",
            Self::OtherProcesses => "other-processes",
            Self::HookedCalls => "hooked-calls",
            Self::Attach => "attach",
        }
    }

    /// How many blocks of this row are run when `asked` are asked for: a fifth of them where a run
    /// takes 4 s to 17 s, nearly all of it waiting, which spreads little.
    pub(super) fn blocks(self, asked: u32) -> u32 {
        let waits = matches!(self, Self::DownloadSlow | Self::Sampler | Self::Events);
        if waits { asked.div_ceil(5) } else { asked }
    }

    /// What it is run under; the first is what the others are compared with.
    pub(super) fn columns(self, gmtrace: PathBuf) -> Vec<Column> {
        match self {
            Self::DownloadSlow => Column::few(gmtrace),
            Self::Sampler => Column::sampler(gmtrace),
            Self::Events => Column::of_events(gmtrace),
            Self::OtherProcesses | Self::HookedCalls => Column::beside(gmtrace),
            _ => Column::all(gmtrace),
        }
    }

    /// Lays out the work; `None` for a row that launches nothing ([`super::attach`]).
    pub(super) fn prepare(
        self,
        environment: &Environment,
        built: &Path,
    ) -> Result<Option<Prepared>> {
        let (proxy, calls) = (&built.join("module-proxy"), built.join("kernel-calls"));
        let prepared = match self {
            Self::StartUp => {
                // bpftrace takes a name that it finds twice for none.
                let program = find_program("true").context("there is no true(1)")?;
                let prepared = Prepared::new(vec![program.into()], environment.folder());
                Ok(Prepared { brief: true, ..prepared })
            }
            Self::ListStd => {
                let words = vec![environment.go.clone().into(), "list".into(), "std".into()];
                Ok(Prepared::new(words, environment.folder()))
            }
            Self::Download => download(environment, proxy, MODULES, 0),
            Self::DownloadSlow => download(environment, proxy, MODULES, 40),
            Self::GitDirect => git_direct(environment),
            Self::Sampler => download(environment, proxy, SAMPLED_MODULES, 40),
            Self::Events => {
                let rounds = EVENTS_PER_SECOND * EVENTS_SECONDS;
                let rate = ["--rounds", &rounds.to_string()].map(OsString::from);
                let rate = rate.into_iter().chain(["--per-second".into()]);
                let rate = rate.chain([EVENTS_PER_SECOND.to_string().into()]);
                Ok(Prepared::new(
                    [calls.into()].into_iter().chain(rate).collect(),
                    environment.folder(),
                ))
            }
            Self::OtherProcesses => Ok(beside(environment, calls, "--others", OTHER_ROUNDS)),
            Self::HookedCalls => Ok(beside(environment, calls, "--messages", HOOKED_ROUNDS)),
            Self::Attach => return Ok(None),
        };
        prepared.map(Some).with_context(|| format!("cannot prepare {}", self.name()))
    }
}

impl Prepared {
    fn new(words: Vec<OsString>, folder: &Path) -> Self {
        let folder = folder.as_os_str().to_owned();
        Self {
            words,
            folder,
            variables: Vec::new(),
            fresh_cache: false,
            brief: false,
            server: None,
        }
    }

    /// `go mod download` in a module that requires what is in the folder's go.mod.
    fn mod_download(environment: &Environment, folder: &Path, goproxy: String) -> Self {
        let words = vec![environment.go.clone().into(), "mod".into(), "download".into()];
        let variables = vec![("GOPROXY", goproxy)];
        Self { variables, fresh_cache: true, ..Self::new(words, folder) }
    }
}

fn beside(environment: &Environment, calls: PathBuf, kind: &str, rounds: &str) -> Prepared {
    let words = [kind, "--rounds", rounds].map(OsString::from);
    Prepared::new([calls.into()].into_iter().chain(words).collect(), environment.folder())
}

fn download(
    environment: &Environment,
    proxy: &Path,
    modules: u32,
    delay_ms: u32,
) -> Result<Prepared> {
    let server = Server::start(proxy, modules, delay_ms)?;
    let modules = (0..modules).map(|n| format!("bench.example.com/m{n}"));
    let folder = work::module_that_requires(environment.folder(), "download", modules)?;
    let prepared = Prepared::mod_download(environment, &folder, server.url.clone());
    Ok(Prepared { server: Some(server), ..prepared })
}

fn git_direct(environment: &Environment) -> Result<Prepared> {
    let names: Vec<_> = (0..REPOSITORIES).map(|n| format!("git.example.com/r{n}.git")).collect();
    work::repositories(environment, &names)?;
    let folder = work::module_that_requires(environment.folder(), "direct", names.into_iter())?;
    Ok(Prepared::mod_download(environment, &folder, "direct".into()))
}
