//! What the scenarios are made of: a module, its proxy, a name for it, and a lab to put them into.

use std::net::IpAddr;

use anyhow::Result;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::lab::Lab;
use gmtrace_tests::servers::{HttpServer, Listen, ModuleProxy, Modules, Resolver, TestCa};
use gmtrace_tests::zoo;

/// The module proxy's name, and what it is called as GOPROXY.
pub(crate) const NAME: &str = "proxy.example.com";
pub(crate) const PLAIN: &str = "http://proxy.example.com";
pub(crate) const SECURE: &str = "https://proxy.example.com";
/// Its address.
pub(crate) const ADDRESS: &str = "192.0.2.1";
/// The name server's address.
pub(crate) const RESOLVER: &str = "192.0.2.53";
/// The one module of [`one`], and the path of its zip.
pub(crate) const MODULE: &str = "example.com/m000@v1.0.0";
pub(crate) const ZIP: &str = "/example.com/m000/@v/v1.0.0.zip";

/// One small module.
pub(crate) fn one() -> Modules {
    Modules::generated(1, 1000)
}

/// A project that requires all of `modules`.
pub(crate) fn project(modules: &Modules) -> Result<Project> {
    zoo::go()?.project()?.requires(modules)
}

/// `go mod download` there.
pub(crate) fn download(project: &Project) -> GoCommand {
    project.go(["mod", "download"])
}

/// A plain module proxy on loopback.
pub(crate) fn proxy(modules: &Modules) -> Result<HttpServer<ModuleProxy>> {
    HttpServer::start(Listen::loopback(), ModuleProxy::new(modules))
}

/// A plain module proxy in the lab: [`PLAIN`], once the name is known.
pub(crate) fn proxy_in(lab: &Lab, modules: &Modules) -> Result<HttpServer<ModuleProxy>> {
    lab.address(ADDRESS)?;
    HttpServer::start(Listen::at(ip(ADDRESS)?, 80), ModuleProxy::new(modules))
}

/// A module proxy inside TLS in the lab: [`SECURE`], once the name is known.
pub(crate) fn secure_proxy_in(
    lab: &Lab,
    ca: &TestCa,
    modules: &Modules,
) -> Result<HttpServer<ModuleProxy>> {
    lab.address(ADDRESS)?;
    let listen = Listen::at(ip(ADDRESS)?, 443).tls(ca.tls(&[NAME])?);
    HttpServer::start(listen, ModuleProxy::new(modules))
}

/// A name server in the lab that knows [`NAME`].
pub(crate) fn resolver_in(lab: &Lab) -> Result<Resolver> {
    lab.address(RESOLVER)?;
    lab.resolvers(&[RESOLVER])?;
    let resolver = Resolver::start(ip(RESOLVER)?, 53)?;
    resolver.knows(NAME, &[ip(ADDRESS)?]);
    Ok(resolver)
}

/// An address.
pub(crate) fn ip(text: &str) -> Result<IpAddr> {
    Ok(text.parse()?)
}
