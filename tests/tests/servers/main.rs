//! Each server and each switch, proved by the real go command.

mod certificates;
mod direct;
mod faults;
mod healthy;
mod http2;
mod network;
mod sums;
mod tunnels;

use anyhow::Result;
use gmtrace_tests::go::{Go, GoCommand, Project};
use gmtrace_tests::servers::{HttpServer, Listen, ModuleProxy, Modules};

/// Three small modules.
fn three() -> Modules {
    Modules::generated(3, 1000)
}

/// A plain module proxy for them.
fn proxy(modules: &Modules) -> Result<HttpServer<ModuleProxy>> {
    HttpServer::start(Listen::loopback(), ModuleProxy::new(modules))
}

/// A project that requires them all.
fn project(modules: &Modules) -> Result<Project> {
    Go::find()?.project()?.requires(modules)
}

/// `go mod download` there.
fn download(project: &Project) -> GoCommand {
    project.go(["mod", "download"])
}
