//! The lab: networks, names and losses of packets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use gmtrace_tests::lab::{self, Lab, Privilege};
use gmtrace_tests::servers::{
    Fault, HttpServer, Listen, ModuleProxy, Question, RecordType, Reply, Resolver, Transport,
    wait_for_syn,
};

use super::{download, project, three};

const NAME: &str = "proxy.example.com";
const URL: &str = "http://proxy.example.com";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

fn proxy_in(lab: &Lab) -> Result<HttpServer<ModuleProxy>> {
    lab.address(&ADDRESS.to_string())?;
    HttpServer::start(Listen::at(ADDRESS, 80), ModuleProxy::new(&three()))
}

fn resolver_in(lab: &Lab) -> Result<Resolver> {
    lab.address(&RESOLVER.to_string())?;
    lab.resolvers(&[&RESOLVER.to_string()])?;
    let resolver = Resolver::start(RESOLVER, 53)?;
    resolver.knows(NAME, &[IpAddr::V4(ADDRESS)]);
    Ok(resolver)
}

#[test]
fn names_come_from_the_hosts_file() -> Result<()> {
    lab::isolated(|lab| {
        lab.host(NAME, &ADDRESS.to_string())?;
        let _proxy = proxy_in(lab)?;
        download(&project(&three())?).proxy(URL).run()?.succeeded()?;
        Ok(())
    })
}

#[test]
fn a_user_namespace_is_enough() -> Result<()> {
    lab::isolated_as(Privilege::UserNamespace, |lab| {
        let _resolver = resolver_in(lab)?;
        let proxy = proxy_in(lab)?;
        proxy.faults().on("/m001/@v/v1.0.0.zip", Fault::BodyThenSilence(500));
        let project = project(&three())?;
        let running = download(&project).proxy(URL).spawn()?;
        proxy.wait_for_body("/m001/@v/v1.0.0.zip", 500)?;
        lab.drop_port(80)?;
        proxy.faults().lift();
        lab.heal()?;
        running.wait()?.succeeded()?;
        lab.tmpfs(&project.directory(), 1 << 20)
    })
}

#[test]
fn names_come_from_the_resolver() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        let _proxy = proxy_in(lab)?;
        resolver.always(Reply::Delay(Duration::from_millis(50)));
        download(&project(&three())?).proxy(URL).run()?.succeeded()?;
        assert_eq!(resolver.wait_for(NAME, RecordType::A)?.transport, Transport::Udp);
        resolver.wait_for(NAME, RecordType::AAAA)?;
        Ok(())
    })
}

#[test]
fn the_resolver_answers_over_tcp() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        lab.resolv_conf(&format!("nameserver {RESOLVER}\noptions use-vc\n"))?;
        let _proxy = proxy_in(lab)?;
        download(&project(&three())?).proxy(URL).env("GODEBUG", "netdns=go").run()?.succeeded()?;
        assert_eq!(resolver.wait_for(NAME, RecordType::A)?.transport, Transport::Tcp);
        Ok(())
    })
}

#[test]
fn the_resolver_is_silent() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        resolver.always(Reply::Silent);
        let project = project(&three())?;
        let running = download(&project).proxy(URL).spawn()?;
        resolver.wait_for(NAME, RecordType::A)?;
        running.kill()?;
        Ok(())
    })
}

#[test]
fn the_resolver_is_silent_about_one_type() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        let proxy = proxy_in(lab)?;
        lab.resolv_conf(&format!("nameserver {RESOLVER}\noptions timeout:1\n"))?;
        resolver.on_type(NAME, RecordType::AAAA, Reply::Silent);
        let project = project(&three())?;
        let running = download(&project).proxy(URL).spawn()?;
        // Go's own resolver has the A records long since, and asks again.
        let is_aaaa = |question: &Question| question.kind == RecordType::AAAA;
        resolver.log().wait_for_nth(2, "a second AAAA question", is_aaaa)?;
        resolver.wait_for(NAME, RecordType::A)?;
        assert_eq!(proxy.log().all().len(), 0);
        running.kill()?;
        Ok(())
    })
}

#[test]
fn the_resolver_answers_with_an_error() -> Result<()> {
    lab::isolated(|lab| {
        let resolver = resolver_in(lab)?;
        let project = project(&three())?;
        let cases = [(Reply::ServFail, "server misbehaving"), (Reply::NxDomain, "no such host")];
        for (reply, text) in cases {
            resolver.lift();
            resolver.on(NAME, reply);
            let command = download(&project).proxy(URL).env("GODEBUG", "netdns=go");
            command.run()?.failed_saying(text)?;
        }
        Ok(())
    })
}

#[test]
fn nobody_listens_on_the_port_of_the_resolver() -> Result<()> {
    lab::isolated(|lab| {
        lab.address(&RESOLVER.to_string())?;
        lab.resolvers(&[&RESOLVER.to_string()])?;
        let project = project(&three())?;
        let command = download(&project).proxy(URL).env("GODEBUG", "netdns=go");
        command.run()?.failed_saying("connection refused")?;
        Ok(())
    })
}

#[test]
fn syns_to_an_address_get_lost() -> Result<()> {
    lab::isolated(|lab| {
        lab.host(NAME, &ADDRESS.to_string())?;
        lab.drop_to(&ADDRESS.to_string())?;
        let _proxy = proxy_in(lab)?;
        let project = project(&three())?;
        let running = download(&project).proxy(URL).spawn()?;
        wait_for_syn(SocketAddr::from((ADDRESS, 80)))?;
        running.kill()?;
        Ok(())
    })
}

#[test]
fn a_connection_that_stands_loses_its_packets() -> Result<()> {
    lab::isolated(|lab| {
        lab.host(NAME, &ADDRESS.to_string())?;
        let proxy = proxy_in(lab)?;
        let zip = "/m001/@v/v1.0.0.zip";
        proxy.faults().on(zip, Fault::BodyThenSilence(500));
        let project = project(&three())?;
        let running = download(&project).proxy(URL).spawn()?;
        proxy.wait_for_body(zip, 500)?;
        lab.drop_port(80)?;
        // The rest of the body is handed to the kernel, and cannot arrive.
        proxy.faults().lift();
        proxy.wait_for_body(zip, 1200)?;
        lab.wait_for_loss()?;
        running.kill()?;
        Ok(())
    })
}

#[test]
fn a_network_is_unreachable() -> Result<()> {
    lab::isolated(|lab| {
        lab.name(NAME, "198.51.100.7")?;
        download(&project(&three())?).proxy(URL).run()?.failed_saying("network is unreachable")?;
        Ok(())
    })
}

#[test]
fn a_host_is_prohibited_by_a_route() -> Result<()> {
    lab::isolated(|lab| {
        lab.name(NAME, "198.51.100.7")?;
        lab.interface("net0", "10.1.0.1/24")?;
        lab.route("default via 10.1.0.2")?;
        lab.route("unreachable 198.51.100.0/24")?;
        download(&project(&three())?).proxy(URL).run()?.failed_saying("no route to host")?;
        Ok(())
    })
}

#[test]
fn a_machine_outside_of_a_lab_is_left_alone() {
    let refused = Lab::enter().unwrap_err().to_string();
    assert!(refused.contains("was not started by lab::command"), "{refused}");
}

#[test]
fn what_fails_inside_fails_outside() -> Result<()> {
    let Err(error) = lab::isolated(|_| bail!("on purpose")) else { bail!("the failure got lost") };
    let said = error.to_string();
    if said == "on purpose" {
        return Err(error); // this is the inside
    }
    assert!(said.starts_with("inside the lab") && said.contains("on purpose"), "{said}");
    Ok(())
}
