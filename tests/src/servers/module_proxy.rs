//! A module proxy (go.dev/ref/mod#goproxy-protocol).

use std::fmt::Write as _;
use std::sync::Arc;

use super::fault::Fault;
use super::http::{Request, Response};
use super::modules::{Module, Modules, unescape};
use super::server::Site;
use super::sumdb::SumDb;

/// Serves [`Modules`] as GOPROXY. Unless it is given one, it says that it mirrors no checksum database.
pub struct ModuleProxy {
    modules: Modules,
    sumdb: Option<Arc<SumDb>>,
}

impl ModuleProxy {
    /// A proxy for these modules.
    pub fn new(modules: &Modules) -> Self {
        Self { modules: modules.clone(), sumdb: None }
    }

    /// Mirrors a checksum database under `/sumdb/NAME/`.
    #[must_use]
    pub fn mirroring(mut self, sumdb: Arc<SumDb>) -> Self {
        self.sumdb = Some(sumdb);
        self
    }

    /// For `.zip`: the content of the module with something added, so that it no longer matches go.sum.
    ///
    /// # Errors
    /// When the zip cannot be made.
    pub fn tampered(module: &Module) -> anyhow::Result<Fault> {
        Ok(Fault::Instead(Response::ok("application/zip", module.tampered().zip()?)))
    }

    fn file(&self, path: &str, file: &str) -> Option<Response> {
        if file == "list" {
            return Some(self.list(path));
        }
        let (version, kind) = file.rsplit_once('.')?;
        let module = self.modules.find(path, version)?;
        match kind {
            "info" => Some(info(module)),
            "mod" => Some(Response::ok("text/plain", module.go_mod().into_bytes())),
            "zip" => Some(match module.zip() {
                Ok(zip) => Response::ok("application/zip", zip),
                Err(error) => Response::text(500, &error.to_string()),
            }),
            _ => None,
        }
    }

    fn list(&self, path: &str) -> Response {
        let versions = self.modules.iter().filter(|module| module.path == path);
        let list = versions.fold(String::new(), |mut list, module| {
            let _ = writeln!(list, "{}", module.version);
            list
        });
        Response::ok("text/plain", list.into_bytes())
    }

    fn latest(&self, path: &str) -> Option<Response> {
        self.modules.iter().filter(|module| module.path == path).last().map(info)
    }

    fn mirror(&self, rest: &str, request: &Request) -> Option<Response> {
        let sumdb = self.sumdb.as_ref()?;
        let path = rest.strip_prefix(sumdb.name())?;
        match path {
            "/supported" => Some(Response::ok("text/plain", b"".as_slice())),
            _ => Some(sumdb.answer_path(path, request)),
        }
    }
}

impl Site for ModuleProxy {
    fn answer(&self, request: &Request) -> Response {
        let path = unescape(request.path().trim_start_matches('/'));
        let answer = if let Some(rest) = path.strip_prefix("sumdb/") {
            self.mirror(rest, request)
        } else if let Some((module, file)) = path.split_once("/@v/") {
            self.file(module, file)
        } else if let Some(module) = path.strip_suffix("/@latest") {
            self.latest(module)
        } else {
            None
        };
        answer.unwrap_or_else(|| Response::text(404, &format!("not found: {path}")))
    }
}

fn info(module: &Module) -> Response {
    let text = format!("{{\"Version\":\"{}\",\"Time\":\"2024-05-06T07:08:09Z\"}}", module.version);
    Response::ok("application/json", text.into_bytes())
}
