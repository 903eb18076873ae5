//! The JSON Schemas of what programs can rely on, made from the types.

use super::ps::{PS_SCHEMA, Ps};
use super::{Report, TIMELINE_SCHEMA};
use crate::event::{RECORDING_SCHEMA, Record};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::Value;

/// The schema of a timeline (`.json`).
pub fn timeline() -> Value {
    describe::<Report>(
        TIMELINE_SCHEMA,
        "What gmtrace has to say about a run: what it waited for, why that follows, and where the time went. Times are \
         nanoseconds since the start of the run (CLOCK_MONOTONIC). Readers ignore keys and enum values they do not know.",
    )
}

/// The schema of one line of a recording (`.jsonl`).
pub fn recording() -> Value {
    describe::<Record>(
        RECORDING_SCHEMA,
        "One line of a recording: first a header, then events, last an end. A recording that was cut off is readable up to \
         there. Times are nanoseconds since the start of the run (CLOCK_MONOTONIC). Readers ignore keys, enum values and event \
         types they do not know.",
    )
}

/// The schema of `gmtrace ps -F json`.
pub fn ps() -> Value {
    describe::<Ps>(
        PS_SCHEMA,
        "The go commands that run on a machine, and what each of them waits for. Times are nanoseconds. Readers ignore keys and \
         enum values they do not know.",
    )
}

/// `gmtrace.timeline/1` has the `$id` `urn:gmtrace:timeline:1`.
fn describe<T: JsonSchema>(name: &str, description: &str) -> Value {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    if let Some(root) = schema.as_object_mut() {
        let id = format!("urn:{}", name.replace(['.', '/'], ":"));
        root.insert("$id".to_owned(), id.into());
        root.insert("title".to_owned(), name.into());
        root.insert("description".to_owned(), description.into());
    }
    schema
}
