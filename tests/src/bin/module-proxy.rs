//! A module proxy for benchmarks: modules `bench.example.com/m0`, `m1`, ... made up in memory.
//!
//! It speaks the GOPROXY protocol (go.dev/ref/mod, "GOPROXY protocol") over plain HTTP/1.1 with
//! connections kept alive. Each response leaves in one write: header and body apart would make
//! delayed acknowledgements, 40 ms each, the thing that is measured.

use std::io::{BufRead, BufReader, Cursor, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use zip::write::{SimpleFileOptions, ZipWriter};

const PREFIX: &str = "bench.example.com/m";
const VERSION: &str = "v1.0.0";

/// Source files in a module, and lines in each: about 30 files of 4 KiB, an ordinary small module.
const FILES: u32 = 30;
const LINES: u32 = 64;

/// Serves made-up modules on a free port of the loopback address until it is killed.
#[derive(Parser)]
struct Options {
    /// How many modules there are
    #[arg(long, default_value_t = 200)]
    modules: u32,
    /// Wait this long before each response
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Print ADDRESS:PORT and a newline once connections are accepted
    #[arg(long)]
    print_address: bool,
}

/// What the proxy has for one module.
struct Module {
    path: String,
    zip: Vec<u8>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let modules = (0..options.modules).map(make_module).collect::<Result<Vec<_>>>()?;
    let modules = Arc::new(modules);
    let delay = Duration::from_millis(options.delay_ms);
    let listener = TcpListener::bind("127.0.0.1:0").context("no port on loopback")?;
    if options.print_address {
        println!("{}", listener.local_addr()?);
    }
    loop {
        let (connection, _) = listener.accept()?;
        let modules = Arc::clone(&modules);
        // A client that goes away in the middle ends its own connection and nothing else.
        thread::spawn(move || serve(connection, &modules, delay));
    }
}

fn make_module(number: u32) -> Result<Module> {
    let path = format!("{PREFIX}{number}");
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let folder = format!("{path}@{VERSION}");
    zip.start_file(format!("{folder}/go.mod"), SimpleFileOptions::default())?;
    zip.write_all(go_mod(&path).as_bytes())?;
    for file in 0..FILES {
        zip.start_file(format!("{folder}/file{file}.go"), SimpleFileOptions::default())?;
        zip.write_all(source(file).as_bytes())?;
    }
    Ok(Module { zip: zip.finish()?.into_inner(), path })
}

fn go_mod(path: &str) -> String {
    format!("module {path}\n\ngo 1.21\n")
}

fn source(file: u32) -> String {
    let line =
        |n| format!("\n// Value{file}x{n} stands for itself.\nconst Value{file}x{n} = {n}\n");
    format!("package lib\n{}", (0..LINES).map(line).collect::<String>())
}

/// Answers request after request until the client closes.
fn serve(mut connection: TcpStream, modules: &[Module], delay: Duration) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut requests = BufReader::new(connection.try_clone()?);
    while let Some(path) = next_request(&mut requests)? {
        thread::sleep(delay);
        connection.write_all(&response(answer(modules, &path)))?;
    }
    Ok(())
}

/// The path of the next request; requests have no body here.
fn next_request(requests: &mut impl BufRead) -> Result<Option<String>> {
    let mut first = String::new();
    if requests.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut header = String::new();
    while requests.read_line(&mut header)? > 2 {
        header.clear();
    }
    Ok(first.split(' ').nth(1).map(str::to_owned))
}

/// `/MODULE/@v/VERSION.{info,mod,zip}` and `/MODULE/@v/list`; `None` is 404.
fn answer(modules: &[Module], path: &str) -> Option<Vec<u8>> {
    let (name, file) = path.strip_prefix('/')?.split_once("/@v/")?;
    let number: usize = name.strip_prefix(PREFIX)?.parse().ok()?;
    let module = modules.get(number)?;
    if file == "list" {
        return Some(format!("{VERSION}\n").into_bytes());
    }
    match file.strip_prefix(VERSION)? {
        ".info" => Some(format!("{{\"Version\":\"{VERSION}\"}}").into_bytes()),
        ".mod" => Some(go_mod(&module.path).into_bytes()),
        ".zip" => Some(module.zip.clone()),
        _ => None,
    }
}

fn response(body: Option<Vec<u8>>) -> Vec<u8> {
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(modules: &[Module], path: &str) -> String {
        String::from_utf8(response(answer(modules, path))).unwrap()
    }

    #[test]
    fn answers_what_go_asks_and_404_otherwise() {
        let modules = [make_module(0).unwrap()];
        let info = text(&modules, "/bench.example.com/m0/@v/v1.0.0.info");
        assert_eq!(info, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Version\":\"v1.0.0\"}");
        assert!(text(&modules, "/bench.example.com/m0/@v/v1.0.0.mod").ends_with("go 1.21\n"));
        for absent in ["/bench.example.com/m1/@v/v1.0.0.mod", "/", "/m0/@v/list", "/sumdb/x"] {
            assert!(text(&modules, absent).starts_with("HTTP/1.1 404 "), "{absent}");
        }
    }

    #[test]
    fn reads_requests_one_after_the_other() {
        let mut two: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        assert_eq!(next_request(&mut two).unwrap().as_deref(), Some("/a"));
        assert_eq!(next_request(&mut two).unwrap().as_deref(), Some("/b"));
        assert_eq!(next_request(&mut two).unwrap(), None);
    }
}
