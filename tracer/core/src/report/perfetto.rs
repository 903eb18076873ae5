//! A trace in Perfetto's own format (`.pftrace`): a stream of `TracePacket`s (perfetto: docs/reference/synthetic-track-event.md).
//!
//! Only the few messages that are written are declared here; field numbers are those of perfetto's
//! protos/perfetto/trace/trace_packet.proto, track_event/track_event.proto and track_event/track_descriptor.proto.

use super::chrome::visible;
use super::lanes::{Edge, Lane, lanes};
use super::layout::{plain, word, words};
use super::ranking::end_of;
use super::{ProcessRow, Report, Span, SpanStatus};
use crate::units::{Nanos, Pid};
use prost::Message;
use serde_json::{Value, json};
use std::collections::HashMap;

/// `Trace`.
#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<Packet>,
}

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<TrackEvent>,
    #[prost(uint32, optional, tag = "13")]
    sequence_flags: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<TrackDescriptor>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct TrackDescriptor {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(message, optional, tag = "3")]
    process: Option<ProcessDescriptor>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
    #[prost(int32, optional, tag = "15")]
    sibling_merge_behavior: Option<i32>,
}

/// `ProcessDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct ProcessDescriptor {
    #[prost(int32, optional, tag = "1")]
    pid: Option<i32>,
    #[prost(string, repeated, tag = "2")]
    cmdline: Vec<String>,
    #[prost(string, optional, tag = "6")]
    process_name: Option<String>,
}

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
struct TrackEvent {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<Annotation>,
    #[prost(int32, optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, repeated, tag = "22")]
    categories: Vec<String>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
}

/// `DebugAnnotation`, with the text form of any value.
#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

const SLICE_BEGIN: i32 = 1;
const SLICE_END: i32 = 2;
const INSTANT: i32 = 3;
/// SIBLING_MERGE_BEHAVIOR_NONE: two modules of the same name are two tracks.
const NEVER_MERGE: i32 = 2;
/// SEQ_INCREMENTAL_STATE_CLEARED, on the first packet.
const STATE_CLEARED: u32 = 1;
/// Any number but zero: there is one writer.
const SEQUENCE: u32 = 1;

/// The trace as bytes. Protobuf's `string` is UTF-8, and every string in it shows what it contains.
pub fn encode(report: &Report) -> Vec<u8> {
    let mut writer = Writer::default();
    let now = end_of(report);
    for row in &report.processes {
        writer.process(row, now);
    }
    for lane in lanes(report) {
        writer.lane(&lane);
    }
    writer.stalls(report, now);
    writer.findings(report);
    Trace { packet: writer.packets }.encode_to_vec()
}

#[derive(Default)]
struct Writer {
    packets: Vec<Packet>,
    tracks: u64,
    /// The track of the last process seen under an id.
    processes: HashMap<Pid, u64>,
}

impl Writer {
    fn process(&mut self, row: &ProcessRow, now: Nanos) {
        let name = if row.argv.is_empty() { plain(&row.exe) } else { words(&row.argv) };
        let descriptor = ProcessDescriptor {
            pid: Some(row.pid.0),
            cmdline: row.argv.iter().map(|word| plain(word)).collect(),
            process_name: Some(name.clone()),
        };
        let process = self.track(None, name.clone(), Some(descriptor));
        self.processes.insert(row.pid, process);
        let life = self.track(Some(process), "life".to_owned(), None);
        let notes = json!({"exe": row.exe, "ppid": row.ppid, "exit": row.exit,
            "unfinished": row.ended_ns.is_none()});
        self.begin(life, row.started_ns, "process", name, &notes);
        self.end(life, row.ended_ns.unwrap_or(now).max(row.started_ns));
    }

    fn lane(&mut self, lane: &Lane) {
        let process = self.processes.get(&lane.pid).copied();
        let track = self.track(process, plain(&lane.root.name), None);
        for (t, edge) in &lane.edges {
            match edge {
                Edge::Begin(span) => {
                    self.begin(track, *t, &word(span.r#type), plain(&span.name), &notes(span));
                }
                Edge::End(_) => self.end(track, *t),
            }
        }
    }

    fn stalls(&mut self, report: &Report, now: Nanos) {
        for stall in &report.stalls {
            let process = self.processes.get(&report.command.pid).copied();
            let track = self.track(process, "stalls".to_owned(), None);
            let notes = json!({"finding": stall.finding});
            self.begin(track, stall.start_ns, "stall", "nothing moves".to_owned(), &notes);
            self.end(track, stall.end_ns.unwrap_or(now).max(stall.start_ns));
        }
    }

    fn findings(&mut self, report: &Report) {
        for finding in &report.findings {
            let process = self.processes.get(&finding.blocked.pid).copied();
            let track = self.track(process, "findings".to_owned(), None);
            let notes = json!({"summary": finding.summary, "state": finding.state,
                "confidence": finding.confidence, "id": finding.id});
            self.event(
                finding.since_ns,
                TrackEvent {
                    debug_annotations: annotations(&notes),
                    r#type: Some(INSTANT),
                    track_uuid: Some(track),
                    categories: vec!["finding".to_owned()],
                    name: Some(plain(&finding.code)),
                },
            );
        }
    }

    fn track(
        &mut self,
        parent: Option<u64>,
        name: String,
        process: Option<ProcessDescriptor>,
    ) -> u64 {
        self.tracks += 1;
        let descriptor = TrackDescriptor {
            uuid: Some(self.tracks),
            name: Some(name),
            process,
            parent_uuid: parent,
            sibling_merge_behavior: Some(NEVER_MERGE),
        };
        self.push(Packet { track_descriptor: Some(descriptor), ..Packet::default() });
        self.tracks
    }

    fn begin(&mut self, track: u64, t: Nanos, category: &str, name: String, notes: &Value) {
        self.event(
            t,
            TrackEvent {
                debug_annotations: annotations(notes),
                r#type: Some(SLICE_BEGIN),
                track_uuid: Some(track),
                categories: vec![category.to_owned()],
                name: Some(name),
            },
        );
    }

    fn end(&mut self, track: u64, t: Nanos) {
        let end = TrackEvent {
            r#type: Some(SLICE_END),
            track_uuid: Some(track),
            ..TrackEvent::default()
        };
        self.event(t, end);
    }

    fn event(&mut self, t: Nanos, event: TrackEvent) {
        self.push(Packet { timestamp: Some(t.0), track_event: Some(event), ..Packet::default() });
    }

    fn push(&mut self, mut packet: Packet) {
        packet.trusted_packet_sequence_id = Some(SEQUENCE);
        packet.sequence_flags = self.packets.is_empty().then_some(STATE_CLEARED);
        self.packets.push(packet);
    }
}

fn notes(span: &Span) -> Value {
    let mut notes = span.attrs.clone();
    notes.insert("status".to_owned(), json!(span.status));
    notes.insert("unfinished".to_owned(), json!(span.status == SpanStatus::Open));
    notes.insert("tid".to_owned(), json!(span.tid));
    notes.extend(span.goid.map(|goid| ("goid".to_owned(), json!(goid))));
    notes.extend(span.module.as_ref().map(|module| ("module".to_owned(), json!(module))));
    Value::Object(notes)
}

fn annotations(notes: &Value) -> Vec<Annotation> {
    let Value::Object(notes) = visible(notes) else { return Vec::new() };
    let shown = notes.into_iter().filter(|(_, value)| !value.is_null());
    shown
        .map(|(name, value)| Annotation {
            string_value: Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            name: Some(name),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads a trace as a viewer does: every event on a track that was described before it, every end after its begin, no time
    /// running back on a track. Gives the number of slices that are work.
    pub(in crate::report) fn check(bytes: &[u8]) -> Result<usize, String> {
        let trace = Trace::decode(bytes).map_err(|error| error.to_string())?;
        let mut tracks: HashMap<u64, (usize, u64)> = HashMap::new();
        let mut work = 0;
        for packet in trace.packet {
            if packet.trusted_packet_sequence_id != Some(SEQUENCE) {
                return Err("no sequence".to_owned());
            }
            if let Some(track) = packet.track_descriptor {
                if track.parent_uuid.is_some_and(|parent| !tracks.contains_key(&parent)) {
                    return Err("an unknown parent".to_owned());
                }
                tracks.insert(track.uuid.unwrap_or(0), (0, 0));
                continue;
            }
            let event = packet.track_event.ok_or("an empty packet")?;
            let time = packet.timestamp.ok_or("no time")?;
            let (depth, last) =
                tracks.get_mut(&event.track_uuid.unwrap_or(0)).ok_or("an unknown track")?;
            if time < *last {
                return Err("back in time".to_owned());
            }
            *last = time;
            match event.r#type {
                Some(SLICE_BEGIN) => *depth += 1,
                Some(SLICE_END) => *depth = depth.checked_sub(1).ok_or("an end too many")?,
                Some(INSTANT) => {}
                _ => return Err("an unknown type".to_owned()),
            }
            let life = event.categories.iter().any(|name| name == "process" || name == "stall");
            work += usize::from(event.r#type == Some(SLICE_BEGIN) && !life);
        }
        match tracks.values().all(|(depth, _)| *depth == 0) {
            true => Ok(work),
            false => Err("left open".to_owned()),
        }
    }

    /// Every string in a trace.
    pub(in crate::report) fn strings(bytes: &[u8]) -> Vec<String> {
        let trace = Trace::decode(bytes).expect("a trace");
        let mut strings = Vec::new();
        for packet in trace.packet {
            if let Some(track) = packet.track_descriptor {
                strings.extend(track.name);
                if let Some(process) = track.process {
                    strings.extend(process.process_name.into_iter().chain(process.cmdline));
                }
            }
            if let Some(event) = packet.track_event {
                strings.extend(event.name.into_iter().chain(event.categories));
                for note in event.debug_annotations {
                    strings.extend(note.name.into_iter().chain(note.string_value));
                }
            }
        }
        assert!(strings.len() > 20, "a trace of the sample");
        strings
    }
}
