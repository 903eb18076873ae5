//! Runs that stalled or failed are kept: nobody asks for a recording before the hang.

use super::files::give_to_invoker;
use super::recording::{Reader, fold};
use anyhow::{Context, Result};
use gmtrace::bounded::run_bounded;
use gmtrace_core::text::Escaped;
use gmtrace_core::units::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// How many runs are kept.
const RUNS: usize = 10;
/// How much they may take in all, and so one alone.
pub const BYTES: u64 = 64 << 20;
/// A state directory on a dead disk is done without.
const BOUND: Duration = Duration::from_secs(1);

/// `$XDG_STATE_HOME/gmtrace`, made where it is missing; none in CI, with `GMTRACE_STATE=off`, and where it cannot be written.
pub fn dir() -> Option<PathBuf> {
    static DIR: OnceLock<Option<PathBuf>> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = place(&variable)?;
        run_bounded(BOUND, move || make(&dir).ok().map(|()| dir)).flatten()
    })
    .clone()
}

/// An environment variable that has a value.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|v| !v.is_empty())
}

/// Where runs are to be kept, if they are.
fn place(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let state = variable("GMTRACE_STATE");
    match state.as_deref().and_then(OsStr::to_str) {
        Some("off") => None,
        Some("on") => home(variable),
        _ if variable("CI").is_some_and(|v| v != "false") => None,
        _ => home(variable),
    }
}

/// Where runs are kept, or were before GMTRACE_STATE or CI said otherwise. Relative paths do not count (XDG Base Directory
/// Specification).
fn home(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |p: &PathBuf| p.is_absolute();
    let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(absolute);
    let default = || Some(PathBuf::from(variable("HOME")?).join(".local/state")).filter(absolute);
    Some(state.or_else(default)?.join("gmtrace"))
}

fn make(dir: &Path) -> Result<()> {
    // Each of them that is missing belongs to the user, not the last alone.
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    for dir in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o700).create(dir) {
            // Another gmtrace was first.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            created => created?,
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        give_to_invoker(&OpenOptions::new().read(true).custom_flags(flags).open(dir)?)?;
    }
    nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK)?;
    Ok(())
}

/// A new file for a run, mode 0600, that follows no link.
///
/// # Errors
/// What the system said.
pub fn create(dir: &Path, pid: Pid) -> Result<(PathBuf, File)> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let path = dir.join(format!("run-{now}-{pid}.jsonl"));
    let file = create_at(&path)?;
    give_to_invoker(&file)?;
    Ok((path, file))
}

fn create_at(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path)
}

/// The kept runs, the newest first.
fn runs(dir: &Path) -> Vec<(PathBuf, SystemTime, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut runs: Vec<_> = entries
        .filter(|e| {
            let name = e.file_name();
            let name = name.to_string_lossy();
            name.starts_with("run-") && name.ends_with(".jsonl")
        })
        .filter_map(|e| {
            let data = e.metadata().ok().filter(|m| m.is_file())?;
            Some((e.path(), data.modified().ok()?, data.len()))
        })
        .collect();
    runs.sort_by_key(|(path, when, _)| std::cmp::Reverse((*when, path.clone())));
    runs
}

/// Removes what is more than the last ten, or than 64 MiB in all.
pub fn prune(dir: &Path) {
    let mut total = 0;
    for (n, (path, _, bytes)) in runs(dir).into_iter().enumerate() {
        total += bytes;
        if n >= RUNS || n > 0 && total > BYTES {
            let _raced = fs::remove_file(path);
        }
    }
}

/// The last kept run.
///
/// # Errors
/// Where runs are not kept here, or their directory does not answer.
pub fn last() -> Result<Option<PathBuf>> {
    Ok(known_runs()?.into_iter().next())
}

fn known_runs() -> Result<Vec<PathBuf>> {
    let dir =
        home(&variable).context("no run is kept here: HOME and XDG_STATE_HOME are not set")?;
    let name = dir.display().to_string();
    let found = run_bounded(BOUND, move || runs(&dir));
    let found = found.with_context(|| format!("{} does not answer", Escaped(&name)))?;
    Ok(found.into_iter().map(|(path, ..)| path).collect())
}

/// The table of `gmtrace report --list`.
///
/// # Errors
/// Where runs are not kept here.
pub fn list() -> Result<String> {
    let runs = known_runs()?;
    if runs.is_empty() {
        return Ok("No run was kept yet: gmtrace keeps those that stalled or failed.\n".to_owned());
    }
    Ok(runs.iter().map(|path| row(path)).collect())
}

fn row(path: &Path) -> String {
    let name = path.display().to_string();
    let name = Escaped(&name);
    let Ok(file) = File::open(path) else { return format!("{name}  unreadable\n") };
    match fold(&mut Reader::new(BufReader::new(file))) {
        Ok(watch) => {
            let header = &watch.session.header;
            let code = watch.findings().first().map_or("-".to_owned(), |f| f.code.clone());
            let when = header.started_at.get(..19).unwrap_or(&header.started_at).replace('T', " ");
            let command = header.argv.join(" ");
            format!(
                "{}  {code:<20}  {}\n                     {name}\n",
                Escaped(&when),
                Escaped(&command)
            )
        }
        Err(error) => format!("{name}  {}\n", Escaped(&format!("{error:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

    fn with(set: &[(&str, &str)], ask: fn(Variable<'_>) -> Option<PathBuf>) -> Option<String> {
        let found =
            ask(&|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v)));
        found.map(|p| p.display().to_string())
    }

    #[test]
    fn runs_are_kept_where_the_user_has_state_and_not_in_ci() {
        let home = ("HOME", "/h");
        let kept = Some("/h/.local/state/gmtrace".to_owned());
        for (set, expected) in [
            (vec![home], kept.clone()),
            (vec![home, ("XDG_STATE_HOME", "/s")], Some("/s/gmtrace".to_owned())),
            (vec![home, ("XDG_STATE_HOME", "s")], kept.clone()),
            (vec![home, ("CI", "true")], None),
            (vec![home, ("CI", "false")], kept.clone()),
            (vec![home, ("CI", "1"), ("GMTRACE_STATE", "on")], kept.clone()),
            (vec![home, ("GMTRACE_STATE", "off")], None),
            (vec![("HOME", "h")], None),
            (vec![], None),
        ] {
            assert_eq!(with(&set, place), expected, "{set:?}");
        }
        assert_eq!(with(&[home, ("CI", "1"), ("GMTRACE_STATE", "off")], super::home), kept);
    }

    #[test]
    fn the_last_ten_stay_and_64_mib_in_all() {
        let dir = tempfile::tempdir().unwrap();
        let time = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n);
        let make = |n: u64, bytes: u64| {
            let file = File::create(dir.path().join(format!("run-{n}-1.jsonl"))).unwrap();
            file.set_len(bytes).unwrap();
            file.set_modified(time(n)).unwrap();
        };
        fs::write(dir.path().join("other"), "mine").unwrap();
        (0..15).for_each(|n| make(n, 10));
        prune(dir.path());
        let names = || -> Vec<String> {
            let name = |(path, ..): (PathBuf, SystemTime, u64)| {
                path.file_name().unwrap().to_string_lossy().into_owned()
            };
            runs(dir.path()).into_iter().map(name).collect()
        };
        assert_eq!(names(), (5..15).rev().map(|n| format!("run-{n}-1.jsonl")).collect::<Vec<_>>());
        make(20, 30 << 20);
        make(21, 40 << 20);
        prune(dir.path());
        assert_eq!(names(), ["run-21-1.jsonl"]);
        assert!(dir.path().join("other").exists());
    }

    #[test]
    fn a_run_never_takes_the_place_of_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, file) = create(dir.path(), Pid(1)).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert!(create_at(&path).is_err());
        let victim = dir.path().join("victim");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(create_at(&path).is_err());
        assert!(!victim.exists());
    }

    #[test]
    fn a_hostile_recording_does_not_reach_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run-\u{1b}[2J-1.jsonl");
        fs::write(&path, "{\"type\":\"\u{1b}[2J\"}\n").unwrap();
        assert!(!row(&path).contains('\u{1b}'), "{:?}", row(&path));
    }
}
