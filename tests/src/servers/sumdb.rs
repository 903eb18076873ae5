//! A checksum database (go.dev/ref/mod#checksum-database) that the real go command accepts.

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::http::{Request, Response};
use super::modules::{Modules, unescape};
use super::note::Signer;
use super::server::Site;
use super::tree::Tree;

/// A checksum database for a fixed set of modules, signed with a key of its own.
pub struct SumDb {
    signer: Signer,
    keys: Vec<String>,
    records: Vec<String>,
    tree: Tree,
}

impl SumDb {
    /// The database of this name, with the right sums of these modules.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str, modules: &Modules) -> Result<Self> {
        let keys =
            modules.iter().map(|module| format!("{}@{}", module.path, module.version)).collect();
        let records: Vec<String> = modules.iter().map(|module| module.go_sum()).collect();
        Ok(Self { signer: Signer::new(name)?, keys, tree: Tree::over(&records), records })
    }

    /// Its name, which is the first part of its key.
    pub fn name(&self) -> &str {
        self.signer.name()
    }

    /// What GOSUMDB must be where module proxies mirror the database: only then does the go command ask them
    /// (`/sumdb/NAME/supported`). When none of them does, it goes to `https://NAME`.
    pub fn key(&self) -> String {
        self.signer.verifier()
    }

    /// What GOSUMDB must be for a database that answers at `url`. No mirror is asked.
    pub fn gosumdb(&self, url: &str) -> String {
        format!("{} {url}", self.signer.verifier())
    }

    /// The answer to a path below the address of the database.
    pub(super) fn answer_path(&self, path: &str, request: &Request) -> Response {
        let answer = match path.trim_start_matches('/').split_once('/') {
            None if path.trim_start_matches('/') == "latest" => {
                Some(self.signed_tree().into_bytes())
            }
            Some(("lookup", module)) => self.lookup(module).map(String::into_bytes),
            Some(("tile", tile)) => self.tile(tile),
            _ => None,
        };
        match answer {
            Some(bytes) => Response::ok("text/plain; charset=utf-8", bytes),
            None => Response::text(404, &format!("not found: {}", request.target)),
        }
    }

    /// The head of the log (tlog.FormatTree), signed.
    fn signed_tree(&self) -> String {
        let (size, root) = (self.tree.size(), BASE64.encode(self.tree.root()));
        self.signer.sign(&format!("go.sum database tree\n{size}\n{root}\n"))
    }

    /// The record of `path@version` (tlog.FormatRecord), followed by the signed head.
    fn lookup(&self, module: &str) -> Option<String> {
        let number = self.keys.iter().position(|key| key == module)?;
        let record = self.records.get(number)?;
        Some(format!("{number}\n{record}\n{}", self.signed_tree()))
    }

    /// A tile by its path `HEIGHT/LEVEL/NUMBER[.p/WIDTH]` (tlog.Tile.Path). Level `data` holds the records themselves.
    fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let (height, rest) = path.split_once('/')?;
        let (level, rest) = rest.split_once('/')?;
        let height: usize = height.parse().ok().filter(|height| (1..=30).contains(height))?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, width.parse().ok()?),
            None => (rest, 1 << height),
        };
        let number = tile_number(number)?;
        if level != "data" {
            return self.tree.tile(height, level.parse().ok()?, number, width);
        }
        let records = self.records.get(number << height..(number << height) + width)?;
        Some(records.join("\n").into_bytes())
    }
}

/// `x001/x234/067` is 1234067.
fn tile_number(path: &str) -> Option<usize> {
    let groups = path.split('/').map(|group| group.trim_start_matches('x').parse::<usize>().ok());
    groups.reduce(|high, low| Some(high? * 1000 + low?)).flatten()
}

impl Site for SumDb {
    fn answer(&self, request: &Request) -> Response {
        self.answer_path(&unescape(request.path()), request)
    }
}
