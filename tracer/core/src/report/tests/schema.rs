//! The schemas hold for what is written, and refuse what is not.

use super::sample::{calm, report};
use crate::event::{
    Backend, End, EndTag, Event, Exit, Header, HeaderTag, Host, Mode, RECORDING_SCHEMA, Record,
    What,
};
use crate::report::json::{Layout, write};
use crate::report::{Report, schema};
use crate::units::{Nanos, Pid, Tid};
use serde_json::{Value, json};

fn timeline(report: &Report) -> Value {
    let mut out = String::new();
    write(report, Layout::Pretty, &mut out).expect("a string takes all");
    serde_json::from_str(&out).expect("JSON")
}

fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(schema).expect("a valid schema");
    validator.iter_errors(value).map(|error| error.to_string()).collect()
}

#[test]
fn a_timeline_is_valid() {
    for report in [report(), calm()] {
        assert_eq!(errors(&schema::timeline(), &timeline(&report)), [""; 0]);
    }
}

#[test]
fn a_broken_timeline_is_not() {
    let schema = schema::timeline();
    for (key, value) in [
        ("/findings/0/confidence", json!("surely")),
        ("/spans/0/start_ns", json!("soon")),
        ("/verdict", json!(null)),
        ("/command/exit", json!({"code": 256})),
    ] {
        let mut broken = timeline(&report());
        *broken.pointer_mut(key).expect(key) = value;
        assert_ne!(errors(&schema, &broken), [""; 0], "{key}");
    }
}

#[test]
fn readers_may_meet_keys_they_do_not_know() {
    let mut newer = timeline(&report());
    newer["brand_new"] = json!(1);
    newer["findings"][0]["brand_new"] = json!(1);
    assert_eq!(errors(&schema::timeline(), &newer), [""; 0]);
}

#[test]
fn every_line_of_a_recording_is_valid() {
    let event =
        |what| Record::Event(Box::new(Event { t: Nanos(1), pid: Pid(2), tid: Tid(2), what }));
    let header = Record::Header(Box::new(Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.to_owned(),
        gmtrace: "0.1.0".to_owned(),
        mode: Mode::Launch,
        argv: vec!["go".to_owned()],
        cwd: "/".to_owned(),
        pid: Pid(2),
        started_at: "2030-01-02T03:04:05.000000006Z".to_owned(),
        host: Host::default(),
        backend: Backend::default(),
        stall_after_ns: Nanos::from_secs(5),
    }));
    let end = Record::End(End {
        r#type: EndTag::End,
        t: Nanos(9),
        exit: Some(Exit::Code(0)),
        ended_by: None,
        lost: 0,
    });
    let start = event(What::ProcessStart { ppid: Pid(1), ns_pid: None });
    let snapshot = event(What::Snapshot(Box::default()));
    for record in [header, start, snapshot, event(What::Continued), end] {
        let line = serde_json::to_value(&record).expect("JSON");
        assert_eq!(errors(&schema::recording(), &line), [""; 0], "{line}");
    }
    assert_ne!(errors(&schema::recording(), &json!({"type": "end", "t": -1})), [""; 0]);
}

#[test]
fn schemas_have_names_of_their_own() {
    for (schema, id) in [
        (schema::timeline(), "urn:gmtrace:timeline:1"),
        (schema::recording(), "urn:gmtrace:recording:1"),
    ] {
        assert_eq!(schema["$id"], id);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
    let finding = &schema::timeline()["$defs"]["Finding"]["properties"]["code"];
    assert_eq!(
        finding["description"],
        "The root of the chain, from the catalogue; stable for ever."
    );
}
