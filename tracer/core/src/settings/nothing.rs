//! Why a go command had nothing to do, known before it ran.

use super::{GoCommand, ProxyKind, minor_version, proxies, value};
use crate::event::{GoSettings, MainModule};

/// The code that says why `argv` downloads nothing under these settings; none where nothing speaks against
/// a download, or where the settings could not be read.
///
/// What go 1.26 prints and how it ends:
///
/// | code | command | standard error | status |
/// |---|---|---|---|
/// | `modules-off` | `go mod download`, `go get` | `go: modules disabled by GO111MODULE=off; see 'go help modules'` | 1 |
/// | `no-go-mod` | `go mod download` | `go: no modules specified (see 'go help mod download')` | 1 |
/// | | `go mod tidy`, `graph`, `verify` | `go: go.mod file not found in current directory or any parent directory; ...` | 1 |
/// | | `go get M` | `go: go.mod file not found in current directory or any parent directory.` | 1 |
/// | | `go list -m all` | `go: cannot match "all": go.mod file not found ...` | 1 |
/// | | `go build ./...` | `pattern ./...: directory prefix . does not contain main module or its selected dependencies` | 1 |
/// | `nothing-to-download` | `go mod download` | `go: no module dependencies to download` | 0 |
/// | `goproxy-off` | `go mod download` | `go: M@V: module lookup disabled by GOPROXY=off` | 1, 0 when all is in the cache |
/// | `vendored` | `go build`, `go list` | nothing | 0 |
///
/// `go mod download` takes no notice of a vendor directory (GOFLAGS=-mod=vendor is ignored, `-mod=vendor` is a usage error
/// with status 2), so `vendored` is for commands that load packages.
pub fn why_nothing(argv: &[String], settings: &GoSettings) -> Option<&'static str> {
    let command = GoCommand::parse(argv)?;
    if modules_off(&command, settings) {
        return Some("modules-off");
    }
    let module = settings.module.as_ref()?;
    if no_go_mod(&command, module) {
        return Some("no-go-mod");
    }
    if nothing_to_download(&command, module) {
        return Some("nothing-to-download");
    }
    if vendored(&command, settings, module) {
        return Some("vendored");
    }
    proxy_off(&command, settings).then_some("goproxy-off")
}

/// Commands that end with an error where modules are off (modload.State.ForceUseModules).
fn modules_off(command: &GoCommand, settings: &GoSettings) -> bool {
    let needs_modules = match command.name.as_str() {
        "mod init" | "mod edit" | "mod" => false,
        "get" => true,
        "list" => command.has("m"),
        name => name.starts_with("mod ") || name.starts_with("work "),
    };
    needs_modules && value(&settings.env, "GO111MODULE") == Some("off")
}

/// Commands that need a main module, in a place that has none.
fn no_go_mod(command: &GoCommand, module: &MainModule) -> bool {
    if module.go_mod.is_some() || module.go_work.is_some() {
        return false;
    }
    match command.name.as_str() {
        "mod download" => command.args.is_empty(),
        "mod tidy" | "mod graph" | "mod verify" | "mod why" | "mod vendor" | "get" => true,
        "list" if command.has("m") => command.args.iter().any(|arg| arg == "all"),
        name if loads_packages(name) => {
            command.args.is_empty() || command.args.iter().any(|arg| is_local_directory(arg))
        }
        _ => false,
    }
}

fn is_local_directory(arg: &str) -> bool {
    matches!(arg, "." | "./..." | "all") || (arg.starts_with("./") && !arg.ends_with(".go"))
}

/// In a workspace `go mod download` means `all` (modcmd/download.go), so only a lone go.mod can be empty.
fn nothing_to_download(command: &GoCommand, module: &MainModule) -> bool {
    command.name == "mod download"
        && command.args.is_empty()
        && module.go_mod.is_some()
        && module.go_work.is_none()
        && module.requires == 0
}

/// `-mod=vendor` by flag, by GOFLAGS, or because a vendor directory exists and go.mod says go 1.14 or newer
/// (modload.setDefaultBuildMod).
fn vendored(command: &GoCommand, settings: &GoSettings, module: &MainModule) -> bool {
    let package_command = loads_packages(&command.name) && !command.has("m");
    if !package_command || command.args.iter().any(|arg| arg.contains('@')) {
        return false;
    }
    match command.flag(&settings.env, "mod") {
        Some(mode) => mode == "vendor",
        None => {
            let new_enough = match (&module.go_work, &module.go) {
                (Some(_), _) => true,
                (None, Some(version)) => minor_version(version).is_some_and(|minor| minor >= 14),
                (None, None) => false,
            };
            module.vendor && new_enough
        }
    }
}

/// Commands that load packages, and that take `-mod` (work.AddBuildFlags).
fn loads_packages(name: &str) -> bool {
    matches!(name, "build" | "install" | "run" | "test" | "vet" | "list" | "generate" | "fix")
}

/// `off` stands before anything that could be asked; GONOPROXY opens a way round it (modfetch.proxyList).
fn proxy_off(command: &GoCommand, settings: &GoSettings) -> bool {
    let fetches = loads_packages(&command.name)
        || matches!(
            command.name.as_str(),
            "get"
                | "mod download"
                | "mod tidy"
                | "mod vendor"
                | "mod graph"
                | "mod why"
                | "work sync"
                | "work vendor"
        );
    let first = proxies(value(&settings.env, "GOPROXY").unwrap_or_default()).into_iter().next();
    let detour = value(&settings.env, "GONOPROXY").is_some_and(|globs| !globs.is_empty());
    fetches && !detour && first.is_some_and(|entry| entry.kind == ProxyKind::Off)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Setting, SettingOrigin};

    fn why(line: &str, env: &[(&str, &str)], module: MainModule) -> Option<&'static str> {
        let setting =
            |value: &str| Setting { value: value.into(), origin: SettingOrigin::Environment };
        let settings = GoSettings {
            env: env.iter().map(|(name, value)| ((*name).into(), setting(value))).collect(),
            module: Some(module),
            ..GoSettings::default()
        };
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        why_nothing(&argv, &settings)
    }

    fn with_requires(requires: usize) -> MainModule {
        MainModule {
            go_mod: Some("/m/go.mod".into()),
            go: Some("1.26".into()),
            requires,
            ..MainModule::default()
        }
    }

    #[test]
    fn modules_are_off() {
        let off = [("GO111MODULE", "off")];
        assert_eq!(why("go mod download", &off, with_requires(1)), Some("modules-off"));
        assert_eq!(why("go get a", &off, with_requires(1)), Some("modules-off"));
        assert_eq!(why("go mod edit -go=1.2", &off, with_requires(1)), None);
        assert_eq!(why("go build", &off, with_requires(1)), None);
        assert_eq!(why("go mod download", &[("GO111MODULE", "auto")], with_requires(1)), None);
    }

    #[test]
    fn there_is_no_go_mod() {
        let none = MainModule::default;
        for line in
            ["go mod download -x", "go mod tidy", "go get a", "go list -m all", "go build ./..."]
        {
            assert_eq!(why(line, &[], none()), Some("no-go-mod"), "{line}");
        }
        for line in [
            "go mod download a@v1",
            "go install a@v1",
            "go build main.go",
            "go vet std",
            "go version",
        ] {
            assert_eq!(why(line, &[], none()), None, "{line}");
        }
    }

    #[test]
    fn there_is_nothing_to_download() {
        assert_eq!(why("go mod download", &[], with_requires(0)), Some("nothing-to-download"));
        assert_eq!(why("go mod download a@v1", &[], with_requires(0)), None);
        assert_eq!(why("go mod download", &[], with_requires(1)), None);
        let workspace = MainModule { go_work: Some("/m/go.work".into()), ..with_requires(0) };
        assert_eq!(why("go mod download", &[], workspace), None);
    }

    #[test]
    fn the_proxy_is_off() {
        let off = [("GOPROXY", "off")];
        assert_eq!(why("go mod download", &off, with_requires(1)), Some("goproxy-off"));
        assert_eq!(why("go build", &off, with_requires(1)), Some("goproxy-off"));
        assert_eq!(why("go mod edit", &off, with_requires(1)), None);
        let detour = [("GOPROXY", "off"), ("GONOPROXY", "example.com")];
        assert_eq!(why("go mod download", &detour, with_requires(1)), None);
        let second = [("GOPROXY", "https://a.example.com,off")];
        assert_eq!(why("go mod download", &second, with_requires(1)), None);
    }

    #[test]
    fn everything_is_vendored() {
        let vendor = || MainModule { vendor: true, ..with_requires(1) };
        assert_eq!(why("go build ./...", &[], vendor()), Some("vendored"));
        assert_eq!(why("go build -mod=mod", &[], vendor()), None);
        assert_eq!(why("go build -mod vendor", &[], with_requires(1)), Some("vendored"));
        assert_eq!(
            why("go test", &[("GOFLAGS", "-mod=vendor")], with_requires(1)),
            Some("vendored")
        );
        assert_eq!(why("go list -m all", &[], vendor()), None);
        assert_eq!(why("go mod download", &[], vendor()), None);
        let old = MainModule { go: Some("1.13".into()), ..vendor() };
        assert_eq!(why("go build", &[], old), None);
    }
}
