//! The module proxy of the benchmark: a process of its own, so that its work is not measured.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A running module proxy; dropping it ends it.
pub(super) struct Server {
    child: Child,
    /// What to put into GOPROXY.
    pub(super) url: String,
}

impl Server {
    /// Starts `program` and waits until it tells its address.
    pub(super) fn start(program: &Path, modules: u32, delay_ms: u32) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--print-address", "--modules", &modules.to_string()]);
        command.args(["--delay-ms", &delay_ms.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("cannot run {}", program.display()))?;
        let mut server = Self { child, url: String::new() };
        let stdout = server.child.stdout.take().context("the module proxy has no output")?;
        let mut address = String::new();
        BufReader::new(stdout).read_line(&mut address)?;
        ensure!(!address.trim().is_empty(), "the module proxy ended without an address");
        server.url = format!("http://{}", address.trim());
        Ok(server)
    }

    /// The process, which is no part of a run.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
