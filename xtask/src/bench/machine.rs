//! What the numbers were measured on and with.

use std::fs;
use std::thread::available_parallelism;

use anyhow::{Context, Result};

use super::columns::Column;
use super::environment::Environment;

/// The machine and the versions.
pub(super) struct Machine {
    pub(super) cpus: usize,
    pub(super) architecture: &'static str,
    pub(super) kernel: String,
    /// Of the tools and of go, as they tell it.
    pub(super) versions: Vec<String>,
}

impl Machine {
    pub(super) fn describe(columns: &[Column], environment: &Environment) -> Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
        let mut versions = vec![environment.go_version()?];
        for column in columns {
            versions.extend(column.version()?);
        }
        versions.dedup();
        Ok(Self {
            cpus: available_parallelism()?.get(),
            architecture: std::env::consts::ARCH,
            kernel: kernel.trim().to_owned(),
            versions,
        })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let Self { cpus, architecture, kernel, versions } = self;
        format!("{cpus} CPUs, {architecture}, Linux {kernel}; {}", versions.join("; "))
    }
}
