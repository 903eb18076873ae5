//! The module, or workspace, around the working directory of a go command.

use super::files::{Content, Files};
use gmtrace_core::event::{MainModule, Setting};
use gmtrace_core::settings::{GoCommand, go_mod, go_work, modules_txt_is_for_workspace};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest go.mod or go.work that is read, bytes.
const MAX_GO_MOD: usize = 4 << 20;
/// The most directories that are looked into on the way to the root.
const MAX_LEVELS: usize = 64;

/// Where a go command stands, and what it was told.
pub(super) struct Place<'a> {
    pub(super) files: &'a Files,
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) command: Option<GoCommand>,
    pub(super) settings: &'a BTreeMap<String, Setting>,
    pub(super) goroot: Option<&'a str>,
}

impl Place<'_> {
    /// The main module; its fields are empty where there is none. None where a directory could not be read, so that it is
    /// not known.
    pub(super) fn main_module(&self) -> Option<MainModule> {
        let cwd = self.working_directory()?;
        let mut module = MainModule::default();
        if let Some(path) = self.go_work(&cwd)? {
            self.add_go_work(path, &mut module)?;
        }
        let root = self.go_mod_directory(&cwd)?;
        if let Some(root) = &root {
            self.add_go_mod(&cwd, root, &mut module)?;
        }
        module.vendor = match module.go_work.as_deref().map(parent) {
            Some(dir) => self.has_vendor(dir, true)?,
            None => match root {
                Some(root) => self.has_vendor(&root, false)?,
                None => false,
            },
        };
        Some(module)
    }

    /// The directory go works in: $PWD where that is the working directory (os.Getwd), after `-C DIR` where go has not yet
    /// gone there (cmd/go/main.go, handleChdirFlag: it leaves $PWD as it was).
    fn working_directory(&self) -> Option<String> {
        let cwd = self.files.link("cwd")?;
        let pwd = self.environment.get("PWD").filter(|pwd| pwd.starts_with('/'));
        let in_pwd = pwd.filter(|pwd| self.files.is_cwd(pwd) == Some(true));
        let chdir = self.command.as_ref().and_then(|command| command.chdir.as_deref());
        let Some(dir) = chdir else { return Some(in_pwd.unwrap_or(&cwd).clone()) };
        if let Some(pwd) = in_pwd {
            return Some(joined(pwd, dir));
        }
        let gone = pwd.is_some_and(|pwd| self.files.is_cwd(&joined(pwd, dir)) == Some(true))
            || Path::new(&cwd).ends_with(dir);
        let target = joined(&cwd, dir);
        match !gone && self.files.is_dir(&target)? {
            true => Some(target),
            false => Some(cwd),
        }
    }

    /// GOWORK, or the nearest go.work (modload.FindGoWork). GOROOT is not left upwards.
    fn go_work(&self, cwd: &str) -> Option<Option<String>> {
        match self.settings.get("GOWORK").map(|setting| setting.value.as_str()) {
            Some("off") => Some(None),
            Some(path) => Some(Some(path.to_owned())),
            None => {
                let found = self.nearest(cwd, "go.work")?;
                Some(found.map(|dir| joined(&dir, "go.work")))
            }
        }
    }

    /// The nearest directory with a go.mod; one in the temporary directory itself is ignored (modload.Init).
    fn go_mod_directory(&self, cwd: &str) -> Option<Option<String>> {
        let temporary = self.environment.get("TMPDIR").filter(|dir| !dir.is_empty());
        let temporary = temporary.map_or("/tmp", |dir| dir.trim_end_matches('/'));
        Some(self.nearest(cwd, "go.mod")?.filter(|dir| dir != temporary))
    }

    /// The nearest directory upwards that has the file.
    fn nearest(&self, cwd: &str, name: &str) -> Option<Option<String>> {
        for dir in Path::new(cwd).ancestors().take(MAX_LEVELS) {
            let dir = dir.to_str()?;
            if self.files.is_file(&joined(dir, name))? {
                return Some(Some(dir.to_owned()));
            }
            let above = Path::new(dir).parent().and_then(Path::to_str);
            if name == "go.work" && above.is_some() && above == self.goroot {
                break;
            }
        }
        Some(None)
    }

    fn add_go_work(&self, path: String, module: &mut MainModule) -> Option<()> {
        let file = go_work(&self.text(&path)?);
        module.go = file.go;
        module.toolchain = file.toolchain;
        module.go_work = Some(path);
        Some(())
    }

    /// What go.mod says; `-modfile` takes the place of the file, not of the directory.
    fn add_go_mod(&self, cwd: &str, root: &str, module: &mut MainModule) -> Option<()> {
        let modfile =
            self.command.as_ref().and_then(|command| command.flag(self.settings, "modfile"));
        let path = match modfile.filter(|path| !path.is_empty() && module.go_work.is_none()) {
            Some(path) => joined(cwd, &path),
            None => joined(root, "go.mod"),
        };
        let file = go_mod(&self.text(&path)?);
        module.path = file.module;
        // In a workspace its own lines decide.
        if module.go_work.is_none() {
            module.go = file.go;
            module.toolchain = file.toolchain;
        }
        module.requires = file.requires.len();
        module.go_mod = Some(path);
        Some(())
    }

    /// A vendor directory of the kind that go would use here (modload.setDefaultBuildMod).
    fn has_vendor(&self, dir: &str, in_workspace: bool) -> Option<bool> {
        match self.files.read(&joined(dir, "vendor/modules.txt"), MAX_GO_MOD) {
            Content::Absent => Some(false),
            Content::Unknown => None,
            content => {
                let text = content.text().unwrap_or_default();
                Some(modules_txt_is_for_workspace(&text) == in_workspace)
            }
        }
    }

    fn text(&self, path: &str) -> Option<String> {
        self.files.read(path, MAX_GO_MOD).text()
    }
}

fn parent(path: &str) -> &str {
    Path::new(path).parent().and_then(Path::to_str).unwrap_or("/")
}

/// `path` seen from `dir`.
fn joined(dir: &str, path: &str) -> String {
    Path::new(dir).join(path).to_string_lossy().into_owned()
}
