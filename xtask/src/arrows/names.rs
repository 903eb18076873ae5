//! The names that a Rust source uses: in `use`, in paths, and inside macros.

use anyhow::Result;
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, Path, UseTree};

/// What one source file names.
#[derive(Default)]
pub(super) struct Names {
    /// The paths used outside of tests.
    pub(super) used: Vec<Name>,
    /// The modules in files of their own that are declared under `#[cfg(test)]`.
    pub(super) test_modules: Vec<String>,
}

/// One use of one path.
pub(super) struct Name {
    pub(super) path: Vec<String>,
    /// From 1.
    pub(super) line: usize,
}

/// Parses a file and collects what it names.
pub(super) fn names_in(source: &str) -> Result<Names> {
    let mut names = Names::default();
    names.visit_file(&syn::parse_file(source)?);
    Ok(names)
}

impl Names {
    fn add(&mut self, path: Vec<String>, span: Span) {
        self.used.push(Name { path, line: span.start().line });
    }

    /// Adds a path met in code. A single word is left out: there it is a name of the code's own.
    fn add_in_code(&mut self, path: Vec<String>, span: Span) {
        if path.len() > 1 {
            self.add(path, span);
        }
    }

    /// Adds each leaf of `use a::{b, c::*}` with its whole path.
    fn add_use(&mut self, prefix: &[String], tree: &UseTree, span: Span) {
        let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&with(&path.ident), &path.tree, path.ident.span()),
            UseTree::Name(name) if name.ident == "self" => self.add(prefix.to_vec(), span),
            UseTree::Name(name) => self.add(with(&name.ident), name.ident.span()),
            UseTree::Rename(rename) if rename.ident == "self" => self.add(prefix.to_vec(), span),
            UseTree::Rename(rename) => self.add(with(&rename.ident), rename.ident.span()),
            UseTree::Glob(_) => self.add(prefix.to_vec(), span),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_use(prefix, tree, span));
            }
        }
    }

    /// Adds every `a::b::c` of a token stream: syn does not look into macros.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut start = Span::call_site();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => {
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Ident(ident) => {
                    self.add_in_code(std::mem::replace(&mut path, vec![ident.to_string()]), start);
                    start = ident.span();
                    colons = 0;
                }
                other => {
                    self.add_in_code(std::mem::take(&mut path), start);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_in_code(path, start);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_test_only) {
            visit::visit_item(self, item);
        } else if let Item::Mod(ItemMod { ident, content: None, .. }) = item {
            self.test_modules.push(ident.to_string());
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&[], &item.tree, item.use_token.span);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string());
            self.add_in_code(segments.collect(), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }
}

fn is_test_only(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Path>().is_ok_and(|condition| condition.is_ident("test"))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str) -> Vec<String> {
        let names = names_in(source).unwrap();
        names.used.iter().map(|name| name.path.join("::")).collect()
    }

    #[test]
    fn spells_out_a_use_tree() {
        assert_eq!(
            paths("use std::{fs::{self, File as F}, io::*}; use ::libc::pid_t;"),
            ["std::fs", "std::fs::File", "std::io", "libc::pid_t"]
        );
    }

    #[test]
    fn sees_paths_in_code_types_and_macros() {
        let source = "fn f(a: std::net::TcpStream) {
                          std::fs::read(\"x\");
                          println!(\"{}\", g(std::env::args(), crate::x));
                      }";
        assert_eq!(
            paths(source),
            ["std::net::TcpStream", "std::fs::read", "std::env::args", "crate::x"]
        );
    }

    #[test]
    fn a_single_word_counts_only_in_use() {
        assert_eq!(paths("use libc; fn f() { let nix = 1; g(nix); assert!(nix == 1); }"), ["libc"]);
    }

    #[test]
    fn leaves_out_what_is_for_tests_only() {
        let source = "#[cfg(test)] mod inner { use std::fs; }
                      #[cfg(test)] mod outer;
                      #[cfg(unix)] mod real { use std::env; }";
        assert_eq!(paths(source), ["std::env"]);
        assert_eq!(names_in(source).unwrap().test_modules, ["outer"]);
    }

    #[test]
    fn knows_the_line() {
        let names = names_in("\n\nuse std::{\n  env,\n};").unwrap();
        assert_eq!(names.used.first().map(|name| name.line), Some(4));
    }
}
