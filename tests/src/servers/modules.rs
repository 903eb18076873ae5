//! Go modules that exist in memory alone.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::sync::{Arc, LazyLock, OnceLock};

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// What fills a module: 64 KiB of noise, twice what zlib looks back, so that a pack of git does not shrink it.
static NOISE: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..2048_u32).flat_map(|n| Sha256::digest(n.to_le_bytes())).collect());

/// A module at one version.
#[derive(Debug, Clone)]
pub struct Module {
    /// The module path.
    pub path: String,
    /// The version, with its `v`.
    pub version: String,
    requires: Vec<(String, String)>,
    go: String,
    files: Vec<(String, Arc<[u8]>)>,
    zip: OnceLock<Arc<[u8]>>,
}

impl Module {
    /// A module with a go.mod file and one package.
    pub fn new(path: &str, version: &str) -> Self {
        let package = b"// Package fake is served by a test.\npackage fake\n".as_slice();
        Self {
            path: path.to_owned(),
            version: version.to_owned(),
            requires: Vec::new(),
            go: "1.21".to_owned(),
            files: vec![("fake.go".to_owned(), package.into())],
            zip: OnceLock::new(),
        }
    }

    /// With a requirement in its go.mod.
    #[must_use]
    pub fn require(mut self, path: &str, version: &str) -> Self {
        self.requires.push((path.to_owned(), version.to_owned()));
        self
    }

    /// With another `go` line than 1.21.
    #[must_use]
    pub fn go(mut self, version: &str) -> Self {
        version.clone_into(&mut self.go);
        self
    }

    /// With one more file.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Arc<[u8]>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// With a file of this many bytes, so that the zip becomes that large (the go command takes zips up to 500 MB).
    #[must_use]
    pub fn filler(self, bytes: usize) -> Self {
        self.file("filler.bin", noise(bytes))
    }

    /// With so many files of the same noise, which are `bytes` large each. The zip of such a module is made faster than that of one that
    /// differs everywhere.
    #[must_use]
    pub fn fillers(self, count: usize, bytes: usize) -> Self {
        let content: Arc<[u8]> = noise(bytes).into();
        (0..count)
            .fold(self, |module, n| module.file(&format!("filler{n}.bin"), Arc::clone(&content)))
    }

    /// The go.mod file.
    pub fn go_mod(&self) -> String {
        let mut text = format!("module {}\n\ngo {}\n", self.path, self.go);
        for (path, version) in &self.requires {
            let _ = writeln!(text, "\nrequire {path} {version}");
        }
        text
    }

    /// The zip file, as a module proxy serves it (go.dev/ref/mod#zip-files): each name starts with `path@version/`.
    /// Files are stored, not compressed, so that sizes are what was asked for. It is made once.
    ///
    /// # Errors
    /// When a name cannot stand in a zip file.
    pub fn zip(&self) -> Result<Arc<[u8]>> {
        if let Some(zip) = self.zip.get() {
            return Ok(Arc::clone(zip));
        }
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        let mut written: Vec<(String, Arc<[u8]>)> = Vec::new();
        for (name, content) in self.contents() {
            match written.iter().find(|(_, before)| Arc::ptr_eq(before, &content)) {
                // Its checksum is known.
                Some((same, _)) => writer.deep_copy_file(same, &name)?,
                None => {
                    writer.start_file(&*name, options)?;
                    writer.write_all(&content)?;
                    written.push((name, content));
                }
            }
        }
        let zip: Arc<[u8]> = writer.finish()?.into_inner().into();
        Ok(Arc::clone(self.zip.get_or_init(|| zip)))
    }

    /// The same module with one byte more in it: a valid zip that no longer matches go.sum.
    #[must_use]
    pub fn tampered(&self) -> Self {
        let mut module = self.clone();
        module.zip = OnceLock::new();
        module.file("tampered.txt", b"!".as_slice())
    }

    /// The two lines of the module in go.sum.
    pub fn go_sum(&self) -> String {
        let (path, version) = (&self.path, &self.version);
        let go_mod: Arc<[u8]> = self.go_mod().into_bytes().into();
        let content = hash1(self.contents());
        let go_mod = hash1(vec![("go.mod".to_owned(), go_mod)]);
        format!("{path} {version} {content}\n{path} {version}/go.mod {go_mod}\n")
    }

    /// Its files by their names, go.mod among them.
    pub fn files(&self) -> impl Iterator<Item = (String, Arc<[u8]>)> {
        let go_mod: Arc<[u8]> = self.go_mod().into_bytes().into();
        std::iter::once(("go.mod".to_owned(), go_mod)).chain(self.files.iter().cloned())
    }

    fn contents(&self) -> Vec<(String, Arc<[u8]>)> {
        let prefix = format!("{}@{}", self.path, self.version);
        self.files().map(|(name, content)| (format!("{prefix}/{name}"), content)).collect()
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut content = NOISE.repeat(bytes.div_ceil(NOISE.len()));
    content.truncate(bytes);
    content
}

/// The `h1:` hash (golang.org/x/mod/sumdb/dirhash, Hash1): SHA-256 over one line for each file, sorted by name.
fn hash1(mut files: Vec<(String, Arc<[u8]>)>) -> String {
    files.sort();
    let mut summary = Sha256::new();
    for (name, content) in files {
        summary.update(format!("{}  {name}\n", hex(&Sha256::digest(&content))));
    }
    format!("h1:{}", BASE64.encode(summary.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A set of modules.
#[derive(Debug, Clone, Default)]
pub struct Modules(Vec<Arc<Module>>);

impl Modules {
    /// These modules.
    pub fn new(modules: impl IntoIterator<Item = Module>) -> Self {
        Self(modules.into_iter().map(Arc::new).collect())
    }

    /// `example.com/m000` to `example.com/m{count-1}` at v1.0.0, with `bytes` of content each.
    pub fn generated(count: usize, bytes: usize) -> Self {
        let module = |n| Module::new(&format!("example.com/m{n:03}"), "v1.0.0").filler(bytes);
        Self::new((0..count).map(module))
    }

    /// The set with one more module: `path` at v1.0.0, which requires all the others.
    #[must_use]
    pub fn gathered_by(&self, path: &str) -> Self {
        let all = self
            .iter()
            .fold(Module::new(path, "v1.0.0"), |all, m| all.require(&m.path, &m.version));
        self.with(all)
    }

    /// The set with one more module.
    #[must_use]
    pub fn with(&self, module: Module) -> Self {
        Self(self.0.iter().cloned().chain([Arc::new(module)]).collect())
    }

    /// The modules, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Module> {
        self.0.iter().map(Arc::as_ref)
    }

    /// The module of this path and version.
    pub fn find(&self, path: &str, version: &str) -> Option<&Module> {
        self.iter().find(|module| module.path == path && module.version == version)
    }

    /// A go.sum file for all of them.
    pub fn go_sum(&self) -> String {
        self.iter().map(Module::go_sum).collect()
    }
}

/// A path of a request, without the percent signs of URLs and the `!a` that stands for `A` (golang.org/x/mod/module, "Escaped
/// Paths"). The go command sends `%21a`.
pub(super) fn unescape(path: &str) -> String {
    let path = percent_decode_str(path).decode_utf8_lossy();
    let mut letters = path.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        match letter {
            '!' => plain.extend(letters.next().map(|letter| letter.to_ascii_uppercase())),
            _ => plain.push(letter),
        }
    }
    plain
}
