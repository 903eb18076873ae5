//! Servers that the real go command talks to, each with its faults as switches.
//!
//! A scenario starts a server, switches a fault on, starts the go command, and then **waits for the server's log** to show
//! that the hang is the one it claims to be. Nothing here sleeps to synchronise.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use gmtrace_tests::go::Go;
//! use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, Modules};
//!
//! let modules = Modules::generated(3, 1000);
//! let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
//! proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::Silent);
//! let project = Go::find()?.project()?.requires(&modules)?;
//! let running = project.go(["mod", "download"]).proxy(&proxy.url()).spawn()?;
//! proxy.wait_for("/m001/@v/v1.0.0.zip")?; // the request is there, and will not be answered
//! running.kill()?;
//! # Ok(())
//! # }
//! ```
//!
//! [`HttpServer`] speaks HTTP/1.1, plain or inside TLS, and HTTP/2 inside TLS, and has every fault from TCP up to the response. What it serves is
//! a [`Site`]: [`ModuleProxy`], [`SumDb`], [`WebProxy`] or [`GitHost`]. [`Resolver`] speaks DNS. A server stops when it is dropped.

mod backlog;
mod fault;
mod gate;
mod git;
mod http;
mod http2;
mod log;
mod module_proxy;
mod modules;
mod note;
mod resolver;
mod send;
mod server;
mod ssh;
mod sumdb;
mod tls;
mod tree;
mod tunnel;
mod web_proxy;
mod wire;

pub use backlog::{FullBacklog, wait_for_syn};
pub use fault::{Fault, Faults, TlsFault};
pub use git::GitHost;
pub use http::{Body, Request, Response};
pub use log::{Log, PATIENCE};
pub use module_proxy::ModuleProxy;
pub use modules::{Module, Modules};
pub use resolver::{Question, RecordType, Reply, Resolver, Transport};
pub use server::{Access, Connection, HttpServer, Listen, Site};
pub use ssh::SshHost;
pub use sumdb::SumDb;
pub use tls::{Certificate, Hello, TestCa, Tls};
pub use web_proxy::WebProxy;
