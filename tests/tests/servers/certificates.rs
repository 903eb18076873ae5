//! TLS, and how it fails.

use anyhow::Result;
use gmtrace_tests::servers::{Certificate, HttpServer, Listen, ModuleProxy, TestCa, TlsFault};

use super::{download, project, three};

fn secure(ca: &TestCa, certificate: Certificate) -> Result<HttpServer<ModuleProxy>> {
    let tls = ca.tls_with(&["proxy.example.com"], certificate)?;
    HttpServer::start(Listen::loopback().tls(tls), ModuleProxy::new(&three()))
}

fn refused(certificate: Certificate, text: &str) -> Result<()> {
    let ca = TestCa::new()?;
    let proxy = secure(&ca, certificate)?;
    download(&project(&three())?).proxy(&proxy.url()).trust(&ca).run()?.failed_saying(text)?;
    Ok(())
}

#[test]
fn a_good_certificate_is_accepted() -> Result<()> {
    let ca = TestCa::new()?;
    let proxy = secure(&ca, Certificate::Good)?;
    download(&project(&three())?).proxy(&proxy.url()).trust(&ca).run()?.succeeded()?;
    Ok(())
}

#[test]
fn an_unknown_authority_is_not_trusted() -> Result<()> {
    refused(Certificate::UnknownAuthority, "certificate signed by unknown authority")
}

#[test]
fn a_wrong_name_is_refused() -> Result<()> {
    refused(Certificate::WrongName, "x509: cannot validate certificate for 127.0.0.1")
}

#[test]
fn an_expired_certificate_is_refused() -> Result<()> {
    refused(Certificate::Expired, "certificate has expired")
}

#[test]
fn an_alert_ends_the_handshake() -> Result<()> {
    let ca = TestCa::new()?;
    let proxy = secure(&ca, Certificate::Good)?;
    proxy.faults().in_handshake(TlsFault::Alert(40));
    let failed = download(&project(&three())?).proxy(&proxy.url()).trust(&ca).run()?;
    failed.failed_saying("remote error: tls: handshake failure")?;
    Ok(())
}

#[test]
fn a_client_hello_stays_unanswered_until_the_fault_is_lifted() -> Result<()> {
    let ca = TestCa::new()?;
    let proxy = secure(&ca, Certificate::Good)?;
    proxy.faults().in_handshake(TlsFault::Silent);
    let project = project(&three())?;
    let running = download(&project).proxy(&proxy.url()).trust(&ca).spawn()?;
    assert!(proxy.wait_for_hello()?.size > 200);
    assert_eq!(proxy.log().all().len(), 0);
    proxy.faults().lift();
    running.wait()?.succeeded()?;
    Ok(())
}

/// What golang/go#71124 and its kin are about: the key share of ML-KEM makes the ClientHello longer than a segment.
#[test]
fn only_large_client_hellos_stay_unanswered() -> Result<()> {
    let ca = TestCa::new()?;
    let proxy = secure(&ca, Certificate::Good)?;
    proxy.faults().in_handshake(TlsFault::SilentAbove(1000));
    let project = project(&three())?;
    let command = || download(&project).proxy(&proxy.url()).trust(&ca);
    let running = command().spawn()?;
    assert!(proxy.wait_for_hello()?.size > 1000);
    running.kill()?;
    command().env("GODEBUG", "tlsmlkem=0,tlssecpmlkem=0").run()?.succeeded()?;
    Ok(())
}
