//! What came is not what was expected. The texts are those of go 1.21.13 and 1.27.3.

use super::{ROOT, Run, codes};
use crate::decode::sockaddr::Address;
use crate::event::{Transport, What};
use crate::report::{Confidence, Role};
use crate::units::{Fd, Inode};

const WARNING: &str = "\nSECURITY ERROR\nThis download does NOT match an earlier download recorded in go.sum.\nThe bits may have been replaced on the origin server, or an attacker may\nhave intercepted the download attempt.\n\nFor more information, see 'go help module-auth'.\n";

#[test]
fn a_download_that_differs_from_go_sum_names_the_module_and_go_sum() {
    let found = Run::of("go mod download")
        .says(&format!("verifying example.com/lib@v1.4.2: checksum mismatch\n\tdownloaded: h1:qCTC=\n\tgo.sum:     h1:AAAA=\n{WARNING}"))
        .ends(1);
    assert_eq!(codes(&found), ["checksum-mismatch"]);
    assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
    assert_eq!(found[0].summary, "example.com/lib v1.4.2 does not match go.sum.");
    assert!(
        found[0].facts.iter().any(|f| f.lines == ["downloaded: h1:qCTC=", "go.sum:     h1:AAAA="])
    );
    assert!(found[0].remedies.iter().any(|r| !r.safe && r.text.contains("go.sum")));
}

#[test]
fn a_go_mod_file_has_a_checksum_of_its_own() {
    let found = Run::of("go mod download")
        .says("verifying example.com/lib@v1.4.2/go.mod: checksum mismatch\n\tdownloaded: h1:AhEH=\n\tgo.sum:     h1:AAAA=\n")
        .ends(1);
    assert_eq!(found[0].summary, "the go.mod of example.com/lib v1.4.2 does not match go.sum.");
    assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
}

#[test]
fn the_checksum_database_is_named_where_it_disagrees() {
    // cmd/go/internal/modfetch/fetch.go, checkSumDB.
    let found = Run::of("go mod download")
        .says("go: example.com/lib@v1.4.2: verifying module: checksum mismatch\n\tdownloaded: h1:qCTC=\n\tsum.example.com: h1:BBBB=\n")
        .ends(1);
    assert_eq!(
        found[0].summary,
        "example.com/lib v1.4.2 does not match checksum database sum.example.com."
    );
}

#[test]
fn a_checksum_mismatch_comes_before_everything_else() {
    let found = Run::of("go mod download")
        .default("GOPROXY", "https://proxy.example.com")
        .says("go: example.com/x@v1.0.0: reading https://proxy.example.com/example.com/x/@v/v1.0.0.zip: 503 Service Unavailable\n")
        .says("write /c/x: no space left on device\n")
        .says("verifying example.com/lib@v1.4.2: checksum mismatch\n\tdownloaded: h1:qCTC=\n\tgo.sum:     h1:AAAA=\n")
        .ends(1);
    assert_eq!(codes(&found), ["checksum-mismatch", "disk-full", "http-refused"]);
}

#[test]
fn a_login_page_in_place_of_module_data_names_the_server() {
    let found = Run::of("go mod download example.com/lib@v1.4.2")
        .default("GOPROXY", "https://proxy.example.com")
        .says("go: example.com/lib@v1.4.2: invalid response from proxy \"https://proxy.example.com\": invalid character '<' looking for beginning of value\n")
        .ends(1);
    assert_eq!(codes(&found), ["not-a-module-proxy"]);
    assert_eq!(found[0].confidence, Confidence::Certain);
    assert_eq!(found[0].role, Some(Role::ModuleProxy));
    assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
    assert_eq!(found[0].peer.as_ref().unwrap().host.as_deref(), Some("proxy.example.com"));
}

#[test]
fn what_is_no_zip_may_be_something_else_than_a_page() {
    for text in [
        "go: zip: not a valid zip file\n",
        "go: example.com/lib@v1.4.2: proxy returned info for version  instead of requested version\n",
    ] {
        let found = Run::of("go mod download")
            .default("GOPROXY", "https://proxy.example.com")
            .says(text)
            .ends(1);
        assert_eq!(codes(&found), ["not-a-module-proxy"], "{text}");
        assert_eq!(found[0].confidence, Confidence::Likely);
        assert_eq!(found[0].peer.as_ref().unwrap().host.as_deref(), Some("proxy.example.com"));
    }
}

/// Without a connection nobody has sent it.
#[test]
fn a_go_mod_that_nobody_was_asked_for_was_in_the_cache() {
    let text = "go: example.com/lib@v1.4.2: parsing go.mod: missing module line\n";
    let run = || Run::of("go mod download").default("GOPROXY", "https://proxy.example.com");
    assert_eq!(codes(&run().says(text).ends(1)), ["cache-corrupt"]);
    let asked = page(run(), "/example.com/lib/@v/v1.4.2.mod", 200, "text/plain");
    assert_eq!(codes(&asked.says(text).ends(1)), ["not-a-module-proxy"]);
}

/// A connection to port 80 of 192.0.2.10 on which `path` was answered with a page of type `kind`.
fn page(run: Run, path: &str, status: u16, kind: &str) -> Run {
    let socket = Some(Inode(7));
    let fd = Fd(5);
    let peer = Address::Inet("192.0.2.10:80".parse().unwrap());
    run.event(ROOT, What::Connect { fd, socket, transport: Transport::Tcp, peer })
        .event(ROOT, What::ConnectEnd { fd, socket, result: "ok".into() })
        .event(
            ROOT,
            What::HttpRequest {
                socket,
                method: "GET".into(),
                url: format!("http://proxy.example.com{path}"),
                proxy_authorization: false,
            },
        )
        .event(
            ROOT,
            What::HttpResponse {
                socket,
                status,
                content_length: None,
                content_type: Some(kind.into()),
                location: None,
            },
        )
}

#[test]
fn a_page_that_was_seen_makes_sure_what_go_only_stumbled_over() {
    let run = Run::of("go mod download").default("GOPROXY", "http://proxy.example.com");
    let found = page(run, "/example.com/lib/@v/v1.4.2.zip", 200, "text/html; charset=utf-8")
        .says("go: zip: not a valid zip file\n")
        .ends(1);
    assert_eq!(codes(&found), ["not-a-module-proxy"]);
    assert_eq!(found[0].confidence, Confidence::Certain);
    assert_eq!(found[0].modules, ["example.com/lib@v1.4.2"]);
}

#[test]
fn module_data_and_the_pages_of_origins_are_no_login_pages() {
    for (path, kind) in [
        ("/example.com/lib/@v/v1.4.2.zip", "application/zip"),
        ("/example.com/lib?go-get=1", "text/html"),
    ] {
        let run = Run::of("go mod download").default("GOPROXY", "http://proxy.example.com");
        let found = page(run, path, 200, kind).says("go: something else\n").ends(1);
        assert_eq!(codes(&found), ["unknown"], "{path}");
    }
}

#[test]
fn an_answer_that_go_does_not_speak_of_is_a_refusal_where_it_ends_the_list() {
    for (goproxy, expected) in [
        ("http://proxy.example.com", "http-refused"),
        ("http://proxy.example.com,direct", "unknown"),
    ] {
        let run = Run::of("go mod download -json").env("GOPROXY", goproxy);
        let found = page(run, "/example.com/lib/@v/v1.4.2.info", 404, "text/plain").ends(1);
        assert_eq!(codes(&found), [expected], "{goproxy}");
    }
}
