//! What stands between go and a module proxy, and what it asks besides.

use anyhow::Result;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::scenario;
use gmtrace_tests::servers::{
    Fault, FullBacklog, HttpServer, Listen, ModuleProxy, SumDb, TestCa, TlsFault, WebProxy,
    wait_for_syn,
};
use gmtrace_tests::zoo::{Hang, Way};

use super::parts::{MODULE, NAME, SECURE, ZIP, download, one, project, proxy};

const TARGET: &str = "proxy.example.com:443";

/// A web proxy before a module proxy.
struct Tunnel {
    ca: TestCa,
    web_proxy: HttpServer<WebProxy>,
    _modules: HttpServer<ModuleProxy>,
    project: Project,
}

impl Tunnel {
    fn new() -> Result<Self> {
        let ca = TestCa::new()?;
        let listen = Listen::loopback().tls(ca.tls(&[NAME])?);
        let modules = HttpServer::start(listen, ModuleProxy::new(&one()))?;
        let site = WebProxy::new().route(TARGET, modules.address());
        let web_proxy = HttpServer::start(Listen::loopback(), site)?;
        Ok(Self { ca, web_proxy, _modules: modules, project: project(&one())? })
    }

    fn command(&self) -> GoCommand {
        download(&self.project).proxy(SECURE).trust(&self.ca)
    }
}

scenario!(n23_a_web_proxy_does_not_answer(way));
fn n23_a_web_proxy_does_not_answer(way: &Way) -> Result<()> {
    let tunnel = Tunnel::new()?;
    tunnel.web_proxy.faults().always(Fault::Silent);
    let hang = way.run(tunnel.command().web_proxy(&tunnel.web_proxy.url()))?;
    tunnel.web_proxy.wait_for(TARGET)?;
    let answer = hang.stalls()?;
    answer.expect("tunnel-silent").state("stalled").role("web-proxy").address("127.0.0.1");
    answer.expect("tunnel-silent").port(tunnel.web_proxy.address().port()).says(TARGET);
    answer.expect("tunnel-silent").says("HTTPS_PROXY").confidence("certain");
    tunnel.web_proxy.faults().lift();
    hang.succeeds()?.expect("tunnel-silent").state("slow").role("web-proxy").says(TARGET);
    Ok(())
}

scenario!(n24_a_web_proxy_wants_credentials(way), which ends);
fn n24_a_web_proxy_wants_credentials(way: &Way) -> Result<()> {
    let tunnel = Tunnel::new()?;
    tunnel.web_proxy.faults().always(Fault::Status(407, "who are you?"));
    let command = tunnel.command().web_proxy(&tunnel.web_proxy.url());
    let answer = way.run(command)?.fails()?;
    answer.expect("tunnel-auth").state("failed").role("web-proxy").address("127.0.0.1");
    answer.expect("tunnel-auth").port(tunnel.web_proxy.address().port()).says("407");
    answer.expect("tunnel-auth").says("HTTPS_PROXY").says("environment").confidence("certain");
    Ok(())
}

scenario!(n25_the_checksum_database_does_not_answer(way));
fn n25_the_checksum_database_does_not_answer(way: &Way) -> Result<()> {
    let proxy = proxy(&one())?;
    let sums = HttpServer::start(Listen::loopback(), SumDb::new("sum.example.com", &one())?)?;
    sums.faults().on("/lookup/", Fault::Silent);
    let project = project(&one())?;
    let gosumdb = sums.site().gosumdb(&sums.url());
    let hang = way.run(download(&project).proxy(&proxy.url()).sumdb(&gosumdb))?;
    sums.wait_for("/lookup/")?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").state("stalled").role("sumdb").address("127.0.0.1");
    answer.expect("http-silent").port(sums.address().port()).says("GONOSUMDB");
    sums.faults().lift();
    hang.succeeds()?.expect("http-silent").state("slow").role("sumdb");
    Ok(())
}

scenario!(n25_the_checksum_database_is_not_there(way));
fn n25_the_checksum_database_is_not_there(way: &Way) -> Result<()> {
    let (proxy, nobody) = (proxy(&one())?, FullBacklog::start([127, 0, 0, 1], 0)?);
    let project = project(&one())?;
    let sums = SumDb::new("sum.example.com", &one())?;
    let gosumdb = sums.gosumdb(&format!("http://{}", nobody.address()));
    let hang = way.run(download(&project).proxy(&proxy.url()).sumdb(&gosumdb))?;
    wait_for_syn(nobody.address())?;
    let answer = hang.stalls()?;
    answer.expect("connect-silent").state("stalled").role("sumdb").address("127.0.0.1");
    answer.expect("connect-silent").port(nobody.address().port());
    hang.stop()?.expect("connect-silent").role("sumdb").port(nobody.address().port());
    Ok(())
}

scenario!(n26_a_toolchain_does_not_come(way));
fn n26_a_toolchain_does_not_come(way: &Way) -> Result<()> {
    let Some(go) = way.go_with("the download of toolchains", 21)? else { return Ok(()) };
    let proxy = proxy(&one())?;
    proxy.faults().on("/golang.org/toolchain/", Fault::Silent);
    let project = go.project()?.requires(&one())?;
    let project = project.file("go.mod", "module example.com/project\n\ngo 1.99.0\n")?;
    let gosumdb = SumDb::new("sum.example.com", &one())?.gosumdb(&proxy.url());
    let command = download(&project).proxy(&proxy.url()).sumdb(&gosumdb);
    let hang = way.run(command.env("GOTOOLCHAIN", "auto"))?;
    proxy.wait_for("/golang.org/toolchain/")?;
    let answer = hang.stalls()?;
    answer.expect("http-silent").state("stalled").role("toolchain").address("127.0.0.1");
    answer.expect("http-silent").says("1.99.0").says("GOTOOLCHAIN=local");
    hang.stop()?.expect("http-silent").role("toolchain").says("1.99.0");
    Ok(())
}

/// A module proxy that is silent in TLS, and another one for what it does not give.
struct Fallback {
    ca: TestCa,
    silent: HttpServer<ModuleProxy>,
    next: HttpServer<ModuleProxy>,
    project: Project,
}

impl Fallback {
    fn new() -> Result<Self> {
        let ca = TestCa::new()?;
        let listen = Listen::loopback().tls(ca.tls(&[NAME])?);
        let silent = HttpServer::start(listen, ModuleProxy::new(&one()))?;
        silent.faults().in_handshake(TlsFault::Silent);
        Ok(Self { ca, silent, next: proxy(&one())?, project: project(&one())? })
    }

    /// `separator` stands between the two in GOPROXY.
    fn hangs(&self, way: &Way, separator: char) -> Result<Hang> {
        let list = format!("{}{separator}{}", self.silent.url(), self.next.url());
        let hang = way.run(download(&self.project).proxy(&list).trust(&self.ca))?;
        self.silent.wait_for_hello()?;
        let answer = hang.stalls()?;
        let found = answer.expect("tls-silent").state("stalled").role("module-proxy");
        found.address("127.0.0.1").port(self.silent.address().port()).module(MODULE);
        Ok(hang)
    }
}

scenario!(n27_a_comma_leads_nowhere_after_a_timeout(way));
fn n27_a_comma_leads_nowhere_after_a_timeout(way: &Way) -> Result<()> {
    let fallback = Fallback::new()?;
    let ended = fallback.hangs(way, ',')?.fails()?;
    ended.expect("tls-silent").state("failed").role("module-proxy").address("127.0.0.1");
    ended.expect("tls-silent").port(fallback.silent.address().port());
    ended.also("fallback-blocked").says(&fallback.next.url());
    assert_eq!(fallback.next.log().all().len(), 0);
    Ok(())
}

scenario!(n28_a_bar_leads_on_after_a_timeout(way));
fn n28_a_bar_leads_on_after_a_timeout(way: &Way) -> Result<()> {
    let fallback = Fallback::new()?;
    let ended = fallback.hangs(way, '|')?.succeeds()?;
    ended.expect("tls-silent").state("slow").port(fallback.silent.address().port());
    ended.never("fallback-blocked");
    fallback.next.wait_for(ZIP)?;
    Ok(())
}
