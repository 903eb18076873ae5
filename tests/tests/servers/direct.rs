//! GOPROXY=direct: git, over a host of ours that only a web proxy knows the way to.

use anyhow::Result;
use gmtrace_tests::go::{Go, GoCommand, Project};
use gmtrace_tests::servers::{Fault, GitHost, HttpServer, Listen, Module, TestCa, WebProxy};

const PACK: &str = "/lib.git/git-upload-pack";

struct Path {
    ca: TestCa,
    git: HttpServer<GitHost>,
    web_proxy: HttpServer<WebProxy>,
    project: Project,
}

impl Path {
    fn new() -> Result<Self> {
        let ca = TestCa::new()?;
        let host = GitHost::new("git.example.com")?;
        host.publish(&Module::new("git.example.com/lib", "v1.2.3").filler(10_000))?;
        let git = HttpServer::start(Listen::loopback().tls(ca.tls(&["git.example.com"])?), host)?;
        let site = WebProxy::new().route("git.example.com:443", git.address());
        let web_proxy = HttpServer::start(Listen::loopback(), site)?;
        let project = Go::find()?.project()?.require("git.example.com/lib", "v1.2.3")?;
        Ok(Self { ca, git, web_proxy, project })
    }

    fn command(&self) -> GoCommand {
        let command = self.project.go(["mod", "download", "-x"]).proxy("direct").trust(&self.ca);
        command.web_proxy(&self.web_proxy.url())
    }
}

#[test]
fn a_module_comes_from_git() -> Result<()> {
    let path = Path::new()?;
    path.command().run()?.succeeded()?;
    assert_eq!(path.git.wait_for("?go-get=1")?.status, Some(200));
    assert!(path.git.wait_for(PACK)?.sent > 0);
    Ok(())
}

#[test]
fn git_gets_no_answer_to_its_first_question() -> Result<()> {
    let path = Path::new()?;
    GitHost::on_info_refs(path.git.faults(), Fault::Silent);
    let running = path.command().spawn()?;
    assert_eq!(path.git.wait_for("/lib.git/info/refs")?.status, None);
    running.kill()?;
    Ok(())
}

#[test]
fn git_is_asked_who_it_is() -> Result<()> {
    let path = Path::new()?;
    GitHost::on_info_refs(path.git.faults(), Fault::Status(401, "who are you?"));
    path.command().run()?.failed_saying("could not read Username")?;
    Ok(())
}

#[test]
fn a_pack_stops_half_way() -> Result<()> {
    let path = Path::new()?;
    GitHost::on_pack(path.git.faults(), Fault::BodyThenSilence(5000));
    let running = path.command().spawn()?;
    path.git.wait_for_body(PACK, 5000)?;
    path.git.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}
