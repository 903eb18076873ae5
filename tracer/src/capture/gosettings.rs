//! Reads the settings a go command has, from the places it reads them from. `go env` is never run: it can download a
//! toolchain, and hang as the command does.

mod binary;
mod files;
mod module;

use binary::Binary;
pub use files::Started;
use files::{Content, Files};
use gmtrace_core::event::GoSettings;
use gmtrace_core::settings::{
    EnvFile, GoCommand, ResolverFacts, Sources, choose_resolver, default_goenv, goroot_override,
    minor_version, parse_environ, resolv_conf, resolve,
};
use gmtrace_core::units::Pid;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that is read of `/proc/PID/environ`, bytes.
const MAX_ENVIRON: usize = 256 << 10;
/// The most that is read of `/proc/PID/cmdline`, bytes.
const MAX_CMDLINE: usize = 64 << 10;
/// The largest settings file that is read, bytes; a larger one counts as unreadable.
const MAX_SETTINGS: usize = 1 << 20;

/// The settings of the go command `pid`, as far as they can be read. None where there is no such process, or it may not be
/// looked into.
///
/// Each access to a file is given up after `bound`, all of them together after three times that, and what could not be
/// read is left out. Files are looked up under the root directory of the process, so those of a container are its own.
pub fn read(pid: Pid, bound: Duration) -> Option<GoSettings> {
    let files = Files::of(pid, bound)?;
    let reader = Reader::new(files)?;
    Some(reader.settings())
}

/// The settings of a go command that gmtrace has just started: it may be over before `/proc` can be read. As [`read`].
pub fn read_started(started: Started, bound: Duration) -> Option<GoSettings> {
    let reader = Reader::new(Files::of_started(started, bound)?)?;
    Some(reader.settings())
}

/// What the process itself says.
struct Reader {
    files: Files,
    exe: String,
    /// None where it could not be read whole: then no setting is known.
    environment: Option<BTreeMap<String, String>>,
    argv: Vec<String>,
}

impl Reader {
    fn new(files: Files) -> Option<Reader> {
        let exe = files.link("exe")?;
        let exe = exe.strip_suffix(" (deleted)").unwrap_or(&exe).to_owned();
        let environment = files.proc("environ", MAX_ENVIRON).map(|bytes| parse_environ(&bytes));
        let argv =
            files.proc("cmdline", MAX_CMDLINE).map(|bytes| words(&bytes)).unwrap_or_default();
        Some(Reader { files, exe, environment, argv })
    }

    /// Files that cannot hang come first, so that a dead home or project directory takes nothing else along.
    fn settings(&self) -> GoSettings {
        let binary = binary::probe(&self.files);
        let resolv_conf_file = self.files.read("/etc/resolv.conf", MAX_SETTINGS);
        let nsswitch = self.files.read("/etc/nsswitch.conf", MAX_SETTINGS);
        let conf = resolv_conf_file.text().map(|text| resolv_conf(&text)).unwrap_or_default();
        let mut settings = GoSettings {
            version: binary.version.clone(),
            path: self.exe.clone(),
            nameservers: conf.nameservers,
            search: conf.search,
            ..GoSettings::default()
        };
        let Some(environment) = &self.environment else { return settings };
        let (resolv_conf_text, nsswitch_text) = (resolv_conf_file.text(), nsswitch.text());
        settings.resolver = choose_resolver(&ResolverFacts {
            has_getaddrinfo: binary.has_getaddrinfo,
            environment,
            resolv_conf: resolv_conf_file.as_env_file(resolv_conf_text.as_deref()),
            nsswitch: nsswitch.as_env_file(nsswitch_text.as_deref()),
        });
        self.add_variables(environment, &binary, &mut settings);
        settings
    }

    fn add_variables(
        &self,
        environment: &BTreeMap<String, String>,
        binary: &Binary,
        settings: &mut GoSettings,
    ) {
        let goenv = self.goenv(environment);
        let goenv_text = goenv.text();
        let goenv_file = goenv.as_env_file(goenv_text.as_deref());
        let goroot = self.goroot(environment, goenv_file);
        let go_env = self.go_env(goroot.as_deref(), settings.version.as_deref());
        let go_env_text = go_env.text();
        if settings.version.is_none() {
            settings.version = goroot.as_deref().and_then(|goroot| self.version_file(goroot));
        }
        settings.env = resolve(&Sources {
            environment,
            goenv_file,
            go_env: go_env.as_env_file(go_env_text.as_deref()),
            built_in_goroot: goroot.as_deref().filter(|_| !binary.trimmed),
            version: settings.version.as_deref(),
        });
        let place = module::Place {
            files: &self.files,
            environment,
            command: GoCommand::parse(&self.argv),
            settings: &settings.env,
            goroot: goroot.as_deref(),
        };
        settings.module = place.main_module();
    }

    /// The GOENV file (cfg.EnvFile). A relative one is relative to the directory of the command.
    fn goenv(&self, environment: &BTreeMap<String, String>) -> Content {
        let path = match environment.get("GOENV").filter(|path| !path.is_empty()) {
            Some(off) if off == "off" => return Content::Absent,
            Some(path) => path.clone(),
            None => match default_goenv(environment) {
                Some(path) => path,
                None => return Content::Absent,
            },
        };
        match path.starts_with('/') {
            true => self.files.read(&path, MAX_SETTINGS),
            false => match self.files.link("cwd") {
                Some(cwd) => self.files.read(&format!("{cwd}/{path}"), MAX_SETTINGS),
                None => Content::Unknown,
            },
        }
    }

    /// GOROOT: set by hand, or the directory above the binary that has `pkg/tool` (cfg.findGOROOT). What is built into the
    /// binary is not known.
    fn goroot(&self, environment: &BTreeMap<String, String>, goenv: EnvFile<'_>) -> Option<String> {
        if goenv == EnvFile::Unknown {
            return None;
        }
        if let Some(goroot) = goroot_override(environment, goenv) {
            return Some(goroot);
        }
        let bin = Path::new(&self.exe).parent()?;
        [bin.parent(), bin.parent().and_then(Path::parent)]
            .into_iter()
            .flatten()
            .filter_map(Path::to_str)
            .find(|dir| self.files.is_dir(&format!("{dir}/pkg/tool")) == Some(true))
            .map(str::to_owned)
    }

    /// go.env came with Go 1.21; before, GOPROXY and GOSUMDB have defaults in the binary, which are not known here.
    fn go_env(&self, goroot: Option<&str>, version: Option<&str>) -> Content {
        if version.and_then(minor_version).is_some_and(|minor| minor < 21) {
            return Content::Absent;
        }
        match goroot {
            Some(goroot) => self.files.read(&format!("{goroot}/go.env"), MAX_SETTINGS),
            None => Content::Unknown,
        }
    }

    /// The first word of GOROOT/VERSION.
    fn version_file(&self, goroot: &str) -> Option<String> {
        let text = self.files.read(&format!("{goroot}/VERSION"), 4096).text()?;
        let first = text.split_ascii_whitespace().next().filter(|word| word.starts_with("go1."))?;
        Some(first.to_owned())
    }
}

/// The words of `/proc/PID/cmdline`, each ended by a NUL.
fn words(cmdline: &[u8]) -> Vec<String> {
    let ended = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    ended.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// `/proc/PID` of a process.
fn proc_dir(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}
