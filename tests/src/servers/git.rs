//! Git repositories over smart HTTP, served by the real `git http-backend`, with the page that leads the go command to them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::fault::{Fault, Faults};
use super::http::{Request, Response};
use super::modules::Module;
use super::server::Site;

/// Repositories below one host name: `HOST/NAME` for the go command, `https://HOST/NAME.git` for git.
///
/// Both need HTTPS on port 443 of that name: in a [`crate::lab`] with a hosts file, or through a [`super::WebProxy`] with a route.
pub struct GitHost {
    name: String,
    root: TempDir,
}

impl GitHost {
    /// A host without repositories.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self { name: name.to_owned(), root: tempfile::tempdir()? })
    }

    /// Adds the repository of a module named `HOST/NAME`, with its version as a tag.
    ///
    /// # Errors
    /// When the module belongs elsewhere, or git fails.
    pub fn publish(&self, module: &Module) -> Result<()> {
        let prefix = format!("{}/", self.name);
        let name = module
            .path
            .strip_prefix(&prefix)
            .with_context(|| format!("{} is not here", module.path))?;
        let repository = self.root.path().join(format!("{name}.git"));
        let work = tempfile::tempdir()?;
        for (file, content) in module.files() {
            let file = work.path().join(file);
            std::fs::create_dir_all(file.parent().context("a file without a directory")?)?;
            std::fs::write(file, content)?;
        }
        let git = |arguments: &[&str]| git(&repository, work.path(), arguments);
        std::fs::create_dir(&repository)?;
        git(&["init", "-q", "--initial-branch=main"])?;
        git(&["config", "core.bare", "false"])?;
        // What is large goes into a pack at once, which is sent as it lies there.
        git(&["config", "core.bigFileThreshold", "16m"])?;
        git(&["add", "."])?;
        git(&["commit", "-q", "-m", "A module"])?;
        git(&["tag", &module.version])
    }

    /// `fault` for the request in which git asks what there is.
    pub fn on_info_refs(faults: &Faults, fault: Fault) {
        faults.on("/info/refs", fault);
    }

    /// `fault` for the request that fetches a pack. Under protocol version 2 the list of references is a POST to the same
    /// address, so the command in its body tells them apart (gitprotocol-v2(5)).
    pub fn on_pack(faults: &Faults, fault: Fault) {
        let fetch = b"command=fetch";
        let is_fetch = move |request: &Request| {
            request.path().ends_with("/git-upload-pack")
                && request.body.windows(fetch.len()).any(|part| part == fetch)
        };
        faults.when(is_fetch, fault);
    }

    /// The page that tells the go command where the repository is (go.dev/ref/mod#vcs-find).
    fn discovery(&self, path: &str) -> Response {
        let name = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let host = &self.name;
        let page = format!(
            "<!DOCTYPE html><html><head><meta name=\"go-import\" \
             content=\"{host}/{name} git https://{host}/{name}.git\"></head></html>\n"
        );
        Response::ok("text/html", page.into_bytes())
    }

    /// Runs `git http-backend` as RFC 3875 says.
    fn backend(&self, request: &Request) -> Result<Response> {
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", self.root.path())
            .env("GIT_HTTP_EXPORT_ALL", "1");
        command.env("REQUEST_METHOD", &request.method).env("PATH_INFO", request.path());
        command
            .env("QUERY_STRING", request.query())
            .env("CONTENT_LENGTH", request.body.len().to_string());
        let variables = [
            ("Content-Type", "CONTENT_TYPE"),
            ("Content-Encoding", "HTTP_CONTENT_ENCODING"),
            ("Git-Protocol", "GIT_PROTOCOL"),
        ];
        for (field, variable) in variables {
            if let Some(value) = request.header(field) {
                command.env(variable, value);
            }
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run git")?;
        child.stdin.take().context("no way to git")?.write_all(&request.body)?;
        from_cgi(&child.wait_with_output()?.stdout)
    }
}

impl Site for GitHost {
    fn answer(&self, request: &Request) -> Response {
        if request.query() == "go-get=1" {
            return self.discovery(request.path());
        }
        self.backend(request).unwrap_or_else(|error| Response::text(500, &format!("{error:#}")))
    }
}

/// Turns the output of a CGI program into a response.
fn from_cgi(output: &[u8]) -> Result<Response> {
    let end =
        output.windows(4).position(|part| part == b"\r\n\r\n").context("git sent no header")?;
    let (head, body) = output.split_at(end);
    let mut response = Response::new(200, "", body.get(4..).unwrap_or_default());
    response.headers.clear();
    for line in String::from_utf8_lossy(head).lines() {
        let (name, value) = line.split_once(':').context("a header line without a colon")?;
        match name {
            "Status" => response.status = value.trim().get(..3).unwrap_or_default().parse()?,
            _ => response = response.header(name, value.trim()),
        }
    }
    Ok(response)
}

fn git(repository: &Path, work: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(work)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name == "PATH"))
        .envs([("GIT_DIR", repository), ("GIT_WORK_TREE", work), ("HOME", work)])
        .envs(["AUTHOR", "COMMITTER"].map(|role| (format!("GIT_{role}_NAME"), "Test")))
        .envs(["AUTHOR", "COMMITTER"].map(|role| (format!("GIT_{role}_EMAIL"), "test@example.com")))
        .envs(
            ["AUTHOR", "COMMITTER"]
                .map(|role| (format!("GIT_{role}_DATE"), "2024-05-06T07:08:09Z")),
        )
        .output()
        .context("cannot run git: install the package git")?;
    if !output.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
