//! Everything that is decided, and can be refused, before anything runs.

use crate::cli::{BackendChoice, Format, RunOptions};
use crate::output::{files::Target, screen};
use anyhow::{Context, Result, anyhow, bail};
use gmtrace::capture::ebpf;
use gmtrace::capture::gosettings::Started;
use gmtrace::capture::ptrace::{CaptureMode, Credentials, Plan};
use gmtrace_core::event::{Backend, Header, HeaderTag, Host, Mode, RECORDING_SCHEMA};
use gmtrace_core::redact;
use gmtrace_core::units::{Nanos, Pid};
use nix::unistd::User;
use std::ffi::{CString, OsStr, OsString};
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is to be done.
pub struct Planned {
    /// For the launch.
    pub launch: Plan,
    /// The recording's first line.
    pub header: Header,
    /// The files to write.
    pub targets: Vec<Target>,
    /// The command, for those who read its settings.
    pub started: Started,
    /// What watches it in the kernel.
    pub probes: Option<ebpf::Loaded>,
    /// Why nothing does, where it was to be tried.
    pub without_probes: Option<ebpf::Refusal>,
}

/// What was asked for by name and cannot be had.
fn refused(why: ebpf::Refusal) -> anyhow::Error {
    match why.remedy() {
        Some(remedy) => anyhow!("--backend ebpf: {why}; try: {remedy}"),
        None => anyhow!("--backend ebpf: {why}"),
    }
}

/// What the settings of a go command depend on, before it runs.
fn started(plan: &Plan, cwd: &str) -> Started {
    let ended = |words: Vec<&[u8]>| {
        let mut bytes = words.join(&0);
        bytes.push(0);
        bytes
    };
    let environ: Vec<Vec<u8>> = plan
        .env
        .iter()
        .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    Started {
        exe: String::new(),
        cwd: cwd.to_owned(),
        environ: ended(environ.iter().map(Vec::as_slice).collect()),
        cmdline: ended(plan.argv.iter().map(|w| w.as_bytes()).collect()),
    }
}

/// Plans a run.
///
/// # Errors
/// Usage errors: before anything runs, with the right form.
pub fn plan(options: &RunOptions, argv: Vec<OsString>) -> Result<Planned> {
    let targets = options.output.iter().map(|o| Target::parse(o)).collect::<Result<Vec<_>>>()?;
    if let Some(target) = targets.iter().find(|t| t.is_stdout()) {
        bail!(
            "-o {target}: standard output belongs to the command; write to a file, as in -o run.json"
        );
    }
    for (n, target) in targets.iter().enumerate() {
        if targets.iter().skip(n + 1).any(|other| other.path == target.path) {
            bail!("-o {target}: given twice; each file is written once");
        }
    }
    if let Some(change) =
        options.env.iter().find(|change| change.as_bytes().first().is_none_or(|b| *b == b'='))
    {
        bail!(
            "-E {}: a variable has a name: -E VAR=VALUE, or -E VAR to take it out",
            change.display()
        );
    }
    let mut env: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let credentials = options.user.as_deref().map(|name| user(name, &mut env)).transpose()?;
    for change in &options.env {
        change_variable(&mut env, change);
    }
    let header = header(options, &argv);
    let go = go_command(&argv, &env);
    let (probes, without_probes) = match options.backend {
        BackendChoice::Ebpf if options.exact_reads => {
            bail!(
                "--exact-reads stops at every read, which only ptrace can: leave out --backend ebpf"
            )
        }
        BackendChoice::Ebpf => (Some(ebpf::load_for(go.as_deref()).map_err(refused)?), None),
        // Only ptrace stops at reads.
        BackendChoice::Auto if options.exact_reads => (None, None),
        BackendChoice::Auto => match ebpf::load_for(go.as_deref()) {
            Ok(probes) => (Some(probes), None),
            Err(why) => (None, Some(why)),
        },
        BackendChoice::Ptrace | BackendChoice::Proc => (None, None),
    };
    wait_for_threads();
    let launch = Plan {
        argv,
        env,
        credentials,
        exact_reads: options.exact_reads,
        follow_children: !options.no_children,
        trap_stdout: draws_over_output(options),
        mode: match options.backend {
            BackendChoice::Proc => CaptureMode::No,
            _ if probes.is_some() => CaptureMode::No,
            _ => CaptureMode::Ptrace,
        },
        before_output: (!options.quiet).then_some(screen::clear_live_line as fn()),
        fail_after: fail_after(),
    };
    let started = started(&launch, &header.cwd);
    Ok(Planned { launch, header, targets, started, probes, without_probes })
}

/// The go command that is to be run, if it is one: its functions are probed before it begins. Another one, which it or a script
/// becomes, is probed when it has begun.
fn go_command(argv: &[OsString], env: &[(OsString, OsString)]) -> Option<PathBuf> {
    let name = Path::new(argv.first()?);
    if !name.file_name()?.as_bytes().starts_with(b"go") {
        return None;
    }
    if name.components().count() > 1 {
        return Some(name.to_owned());
    }
    let (_, path) = env.iter().find(|(variable, _)| variable == "PATH")?;
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The threads that looked at the targets, and those that loaded the programs, are over, but the kernel may still list them, and a process of several threads is not
/// forked. Ends without them after a second: the launch then says so.
pub fn wait_for_threads() {
    let began = std::time::Instant::now();
    let threads = || std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    while threads() > 1 && began.elapsed() < std::time::Duration::from_secs(1) {
        std::thread::yield_now();
    }
}

/// Writes to descriptor 1 stop only where a live line can stand in their way: standard output and error are one terminal.
fn draws_over_output(options: &RunOptions) -> bool {
    !options.quiet && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
}

/// Tests let the tracer fail; a gmtrace that is in use does not.
fn fail_after() -> Option<u64> {
    let variable = cfg!(debug_assertions).then(|| std::env::var("GMTRACE_TEST_FAIL_AFTER").ok());
    variable.flatten()?.parse().ok()
}

/// The words of the command as they may be kept.
fn words(argv: &[OsString]) -> Vec<String> {
    let words: Vec<String> = argv.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let program = words.first().cloned().unwrap_or_default();
    redact::argv_for(&program, &words)
}

/// This machine.
pub fn host() -> Host {
    let uname = nix::sys::utsname::uname().ok();
    let text = |s: Option<&OsStr>| s.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Host {
        kernel: text(uname.as_ref().map(|u| u.release())),
        arch: text(uname.as_ref().map(|u| u.machine())),
        cpus: std::thread::available_parallelism()
            .map_or(0, |n| u32::try_from(n.get()).unwrap_or(0)),
    }
}

fn header(options: &RunOptions, argv: &[OsString]) -> Header {
    // getcwd(2) asks no filesystem.
    let cwd = nix::unistd::getcwd().map(|d| d.to_string_lossy().into_owned()).unwrap_or_default();
    Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.to_owned(),
        gmtrace: env!("CARGO_PKG_VERSION").to_owned(),
        mode: Mode::Launch,
        argv: words(argv),
        cwd,
        pid: Pid(0),
        started_at: jiff::Timestamp::now().to_string(),
        host: host(),
        backend: Backend::default(),
        stall_after_ns: nanos(options.stall_after.0),
    }
}

/// A duration in the unit of events.
pub fn nanos(duration: std::time::Duration) -> Nanos {
    Nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// `-E VAR=VAL` sets, `-E VAR` takes out, as strace's.
fn change_variable(env: &mut Vec<(OsString, OsString)>, change: &OsStr) {
    let bytes = change.as_bytes();
    let (name, value) = match bytes.iter().position(|b| *b == b'=') {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..)),
        None => (bytes, None),
    };
    env.retain(|(known, _)| known.as_bytes() != name);
    if let Some(value) = value {
        env.push((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value).to_owned()));
    }
}

/// The ids of a user, and its HOME, USER and LOGNAME in the environment, as strace -u does.
fn user(name: &str, env: &mut Vec<(OsString, OsString)>) -> Result<Credentials> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "-u {name}: only root can run a command as another user; try: sudo gmtrace -u {name} ..."
        );
    }
    let user = User::from_name(name)
        .ok()
        .flatten()
        .with_context(|| format!("-u {name}: there is no such user"))?;
    let login = CString::new(name).with_context(|| format!("-u {name}: no name of a user"))?;
    let groups = nix::unistd::getgrouplist(&login, user.gid)
        .with_context(|| format!("-u {name}: cannot read its groups"))?;
    change_variable(env, &variable("HOME", user.dir.as_os_str()));
    change_variable(env, &variable("USER", OsStr::new(name)));
    change_variable(env, &variable("LOGNAME", OsStr::new(name)));
    Ok(Credentials {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(|g| g.as_raw()).collect(),
    })
}

fn variable(name: &str, value: &OsStr) -> OsString {
    let mut variable = OsString::from(name);
    variable.push("=");
    variable.push(value);
    variable
}

/// The target in which a recording is written while it runs.
pub fn is_recording(target: &Target) -> bool {
    target.format == Format::Jsonl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_set_and_taken_out() {
        let mut env = vec![("A".into(), "1".into()), ("B".into(), "2".into())];
        change_variable(&mut env, OsStr::new("A=3=4"));
        change_variable(&mut env, OsStr::new("B"));
        assert_eq!(env, [(OsString::from("A"), OsString::from("3=4"))]);
    }
}
