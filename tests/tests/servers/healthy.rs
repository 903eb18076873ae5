//! Without a fault, go is content.

use std::fs;

use anyhow::Result;
use gmtrace_tests::go::Go;
use gmtrace_tests::servers::{
    Fault, HttpServer, Listen, Module, ModuleProxy, Modules, Response, TestCa,
};

use super::{download, project, proxy};

#[test]
fn a_graph_of_modules_is_downloaded_and_its_sums_agree() -> Result<()> {
    let modules = Modules::generated(40, 1000).gathered_by("example.com/all");
    let proxy = proxy(&modules)?;
    let project = Go::find()?.project()?.require("example.com/all", "v1.0.0")?;
    project.go(["mod", "download", "all"]).proxy(&proxy.url()).run()?.succeeded()?;
    let written = fs::read_to_string(project.directory().join("go.sum"))?;
    for line in modules.go_sum().lines() {
        assert!(written.contains(line), "{line} is not in {written}");
    }
    Ok(())
}

#[test]
fn a_go_sum_written_ahead_is_accepted() -> Result<()> {
    let modules = Modules::generated(3, 1000);
    let proxy = proxy(&modules)?;
    let project = project(&modules)?.file("go.sum", &modules.go_sum())?;
    download(&project).proxy(&proxy.url()).run()?.succeeded()?;
    assert_eq!(fs::read_to_string(project.directory().join("go.sum"))?, modules.go_sum());
    Ok(())
}

#[test]
fn versions_are_listed_and_the_latest_is_found() -> Result<()> {
    let modules =
        Modules::new(["v1.0.0", "v1.2.0"].map(|version| Module::new("example.com/Upper", version)));
    let proxy = proxy(&modules)?;
    let project = Go::find()?.project()?;
    let list = project
        .go(["list", "-m", "-versions", "example.com/Upper@latest"])
        .proxy(&proxy.url())
        .run()?;
    assert_eq!(list.succeeded()?.stdout, "example.com/Upper v1.0.0 v1.2.0\n");
    proxy.wait_for("/example.com/%21upper/@v/list")?;
    Ok(())
}

#[test]
fn at_latest_is_answered_where_the_list_is_empty() -> Result<()> {
    let modules = Modules::new([Module::new("example.com/m", "v1.5.0")]);
    let proxy = proxy(&modules)?;
    proxy.faults().on("/@v/list", Fault::Instead(Response::ok("text/plain", b"".as_slice())));
    let project = Go::find()?.project()?;
    let list = project.go(["list", "-m", "example.com/m@latest"]).proxy(&proxy.url()).run()?;
    assert_eq!(list.succeeded()?.stdout, "example.com/m v1.5.0\n");
    assert_eq!(proxy.wait_for("/example.com/m/@latest")?.status, Some(200));
    Ok(())
}

#[test]
fn a_zip_is_as_large_as_was_asked_for() -> Result<()> {
    let size = 20 << 20;
    let modules = Modules::generated(1, size);
    let proxy = proxy(&modules)?;
    download(&project(&modules)?).proxy(&proxy.url()).run()?.succeeded()?;
    let sent = proxy.wait_for("/m000/@v/v1.0.0.zip")?.sent;
    assert!((size..size + 2000).contains(&sent), "{sent} bytes for {size}");
    Ok(())
}

#[test]
fn the_log_tells_who_asked_for_what() -> Result<()> {
    let modules = Modules::generated(1, 10);
    let ca = TestCa::new()?;
    let listen = Listen::loopback().tls(ca.tls(&["proxy.example.com"])?);
    let proxy = HttpServer::start(listen, ModuleProxy::new(&modules))?;
    download(&project(&modules)?).proxy(&proxy.url()).trust(&ca).run()?.succeeded()?;
    let access = proxy.wait_for("/m000/@v/v1.0.0.mod")?;
    assert_eq!((access.method.as_str(), access.status), ("GET", Some(200)));
    assert_eq!(access.host, proxy.address().to_string());
    assert_eq!(access.sni, None, "go sends no server name for an address");
    Ok(())
}
