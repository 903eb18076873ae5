//! What the tests are made of: a hung go command, and gmtrace's words about it.

use std::process::Output;

use anyhow::{Result, ensure};
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
use gmtrace_tests::zoo::{self, Hung};

/// A module proxy that is silent about the zip of its one module, and a project that requires it.
pub(crate) struct Silent {
    pub(crate) proxy: HttpServer<ModuleProxy>,
    pub(crate) project: Project,
}

pub(crate) const ZIP: &str = "/m000/@v/v1.0.0.zip";

impl Silent {
    pub(crate) fn new() -> Result<Self> {
        let modules = Modules::generated(1, 1000);
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        proxy.faults().on(ZIP, Fault::Silent);
        let project = zoo::go()?.project()?.requires(&modules)?;
        Ok(Self { proxy, project })
    }

    pub(crate) fn download(&self) -> GoCommand {
        self.project.go(["mod", "download"]).proxy(&self.proxy.url())
    }

    /// `go mod download`, once it hangs.
    pub(crate) fn hang(&self) -> Result<Hung> {
        let hang = zoo::hang(self.download())?;
        self.proxy.wait_for(ZIP)?;
        Ok(hang)
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard error of a gmtrace that ends with `status` and prints nothing else.
pub(crate) fn refused(words: &[&str], status: i32) -> Result<String> {
    let output = zoo::gmtrace(words)?;
    ensure!(
        output.status.code() == Some(status),
        "{words:?}: {}{}",
        output.status,
        stderr(&output)
    );
    ensure!(output.stdout.is_empty(), "{words:?}: {}", stdout(&output));
    Ok(stderr(&output))
}
