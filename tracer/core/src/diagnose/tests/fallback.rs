//! Lists of proxies, and what leads from one to the next.

use super::{Run, codes, commands};

const FIRST: &str = "http://127.0.0.1:1";

/// What go 1.21.13 and 1.27.3 say of a first entry that refuses the connection.
const REFUSED: &str = "go: example.com/lib@v1.4.2: Get \"http://127.0.0.1:1/example.com/lib/@v/v1.4.2.mod\": dial tcp 127.0.0.1:1: connect: connection refused\n";

fn blocked(goproxy: &str, said: &str) -> bool {
    let found = Run::of("go mod download").env("GOPROXY", goproxy).says(said).ends(1);
    codes(&found).contains(&"fallback-blocked")
}

#[test]
fn a_comma_stops_what_a_bar_lets_through() {
    assert!(blocked("http://127.0.0.1:1,https://b.example.com", REFUSED));
    assert!(blocked("http://127.0.0.1:1,direct", REFUSED));
    assert!(!blocked("http://127.0.0.1:1|direct", REFUSED));
    assert!(!blocked(FIRST, REFUSED), "there is no other entry");
    assert!(!blocked("http://127.0.0.1:1,off", REFUSED), "off would not have helped");
    assert!(!blocked("https://b.example.com,http://127.0.0.1:1", REFUSED), "it is the last one");
}

#[test]
fn not_found_goes_past_a_comma() {
    let not_found = "go: example.com/lib@v1.4.2: reading http://127.0.0.1:1/example.com/lib/@v/v1.4.2.mod: 404 Not Found\n";
    assert!(!blocked("http://127.0.0.1:1,direct", not_found));
}

#[test]
fn every_way_to_fail_is_recognized() {
    for said in [
        "go: example.com/lib@v1.4.2: reading http://127.0.0.1:1/example.com/lib/@v/v1.4.2.mod: 503 Service Unavailable\n",
        "go: example.com/lib@v1.4.2: Get \"http://127.0.0.1:1/example.com/lib/@v/v1.4.2.mod\": read tcp 127.0.0.1:41738->127.0.0.1:1: read: connection reset by peer\n",
        "go: example.com/lib@v1.4.2: read \"http://127.0.0.1:1/example.com/lib/@v/v1.4.2.zip\": unexpected EOF\n",
        // Go 1.21 loses a slash.
        "go: example.com/lib@v1.4.2: read \"http:/127.0.0.1:1/@v/v1.4.2.zip\": unexpected EOF\n",
    ] {
        assert!(blocked("http://127.0.0.1:1,direct", said), "{said}");
    }
}

#[test]
fn the_failure_itself_comes_first_and_the_remedy_names_the_list_with_bars() {
    let found = Run::of("go mod download")
        .env("GOPROXY", "http://127.0.0.1:1,https://b.example.com")
        .says("go: example.com/lib@v1.4.2: reading http://127.0.0.1:1/example.com/lib/@v/v1.4.2.mod: 503 Service Unavailable\n")
        .ends(1);
    assert_eq!(codes(&found), ["http-refused", "fallback-blocked"]);
    let list = "GOPROXY='http://127.0.0.1:1|https://b.example.com'";
    assert_eq!(commands(&found[1]), [format!("{list} go mod download"), format!("export {list}")]);
}

#[test]
fn a_list_with_a_hidden_password_is_not_offered_for_pasting() {
    let found = Run::of("go mod download")
        .env("GOPROXY", "http://u:xxxxx@127.0.0.1:1,direct")
        .says(REFUSED)
        .ends(1);
    assert_eq!(codes(&found), ["fallback-blocked"]);
    assert_eq!(commands(&found[0]), [] as [&str; 0]);
}
