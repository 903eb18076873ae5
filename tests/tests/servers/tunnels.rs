//! A web proxy between go and the module proxy.

use anyhow::Result;
use gmtrace_tests::go::{GoCommand, Project};
use gmtrace_tests::servers::{Fault, HttpServer, Listen, ModuleProxy, TestCa, WebProxy};

use super::{download, project, three};

const TARGET: &str = "proxy.example.com:443";

struct Path {
    ca: TestCa,
    web_proxy: HttpServer<WebProxy>,
    modules: HttpServer<ModuleProxy>,
    project: Project,
}

impl Path {
    fn new() -> Result<Self> {
        let ca = TestCa::new()?;
        let listen = Listen::loopback().tls(ca.tls(&["proxy.example.com"])?);
        let modules = HttpServer::start(listen, ModuleProxy::new(&three()))?;
        let site = WebProxy::new().route(TARGET, modules.address());
        let web_proxy = HttpServer::start(Listen::loopback(), site)?;
        Ok(Self { ca, web_proxy, modules, project: project(&three())? })
    }

    fn command(&self) -> GoCommand {
        let command = download(&self.project).proxy("https://proxy.example.com").trust(&self.ca);
        command.web_proxy(&self.web_proxy.url())
    }
}

#[test]
fn a_tunnel_carries_a_download() -> Result<()> {
    let path = Path::new()?;
    path.command().run()?.succeeded()?;
    assert_eq!(path.web_proxy.wait_for(TARGET)?.method, "CONNECT");
    assert_eq!(
        path.modules.wait_for("/m001/@v/v1.0.0.zip")?.sni.as_deref(),
        Some("proxy.example.com")
    );
    Ok(())
}

#[test]
fn connect_is_never_answered() -> Result<()> {
    let path = Path::new()?;
    path.web_proxy.faults().always(Fault::Silent);
    let running = path.command().spawn()?;
    assert_eq!(path.web_proxy.wait_for(TARGET)?.status, None);
    running.kill()?;
    Ok(())
}

#[test]
fn connect_wants_credentials() -> Result<()> {
    let path = Path::new()?;
    path.web_proxy.faults().always(Fault::Status(407, "who are you?"));
    path.command().run()?.failed_saying("Proxy Authentication Required")?;
    Ok(())
}

#[test]
fn a_tunnel_stalls_and_goes_on() -> Result<()> {
    let path = Path::new()?;
    path.web_proxy.faults().always(Fault::BodyThenSilence(100));
    let running = path.command().spawn()?;
    assert_eq!(path.web_proxy.wait_for_body(TARGET, 100)?.sent, 100);
    path.web_proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}
