use super::*;
use gmtrace_core::event::{
    Backend, End, EndTag, Event, Header, HeaderTag, Host, Mode, RECORDING_SCHEMA, Record, What,
};
use gmtrace_core::units::{Nanos, Pid, Tid};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A disk that does not answer within this has a bug of its own.
const BOUND: Duration = Duration::from_secs(600);
const EVENT: &str = r#"{"t":1,"pid":2,"tid":2,"type":"continued"}"#;

fn read(text: impl AsRef<[u8]>) -> Vec<anyhow::Result<Record>> {
    Reader::new(text.as_ref()).collect()
}

fn failure(text: impl AsRef<[u8]>) -> String {
    match fold(&mut Reader::new(text.as_ref())) {
        Ok(_) => "no failure".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

fn header() -> Header {
    Header {
        r#type: HeaderTag::Header,
        schema: RECORDING_SCHEMA.to_owned(),
        gmtrace: "0.1.0".to_owned(),
        mode: Mode::Launch,
        argv: vec!["go".to_owned()],
        cwd: "/".to_owned(),
        pid: Pid(7),
        started_at: "2026-01-02T03:04:05.000000006Z".to_owned(),
        host: Host::default(),
        backend: Backend::default(),
        stall_after_ns: Nanos::from_secs(5),
    }
}

fn note(t: u64, text: &str) -> Event {
    Event { t: Nanos(t), pid: Pid(7), tid: Tid(7), what: What::Note { text: text.to_owned() } }
}

fn end(t: u64) -> End {
    End { r#type: EndTag::End, t: Nanos(t), exit: None, ended_by: None, lost: 0 }
}

fn plan(files: Vec<PathBuf>, state_dir: Option<&Path>) -> RecordingPlan {
    RecordingPlan { header: header(), files, state_dir: state_dir.map(Path::to_owned) }
}

fn recording() -> String {
    let records = [
        Record::Header(Box::new(header())),
        Record::Event(Box::new(note(1, "one"))),
        Record::Event(Box::new(note(2, "t\u{e4}\u{1f600}"))),
        Record::End(end(3)),
    ];
    records.iter().map(|r| serde_json::to_string(r).unwrap() + "\n").collect()
}

#[test]
fn a_recording_that_was_cut_off_anywhere_is_readable_up_to_there() {
    let text = recording();
    let first = text.find('\n').unwrap();
    for cut in first..=text.len() {
        let head = &text.as_bytes()[..cut];
        let whole = text.match_indices('\n').filter(|(at, _)| *at <= cut).count();
        assert_eq!(read(head).iter().filter(|r| r.is_ok()).count(), whole, "cut at {cut}");
        assert_eq!(failure(head), "no failure", "cut at {cut}");
    }
    for cut in 1..first {
        assert!(
            failure(&text[..cut]).starts_with("line 1 "),
            "cut at {cut}: {}",
            failure(&text[..cut])
        );
    }
}

#[test]
fn damage_is_named_with_its_line() {
    let text = recording();
    let damaged = |line: &str| failure(text.replacen("{\"t\":2", line, 1));
    assert!(damaged("{\"t\":").starts_with("line 3 is no line"), "{}", damaged("{\"t\":"));
    assert!(damaged("{\"t\":-2").starts_with("line 3 is damaged"), "{}", damaged("{\"t\":-2"));
    assert!(damaged("\0").starts_with("line 3 is no line"));
    assert!(damaged("\n{\"t\":2").starts_with("line 3 is no line"));
    assert!(failure(format!("{text}{text}")).starts_with("line 5: a second header"));
}

#[test]
fn a_newer_schema_is_named() {
    let newer = recording().replace("gmtrace.recording/1", "gmtrace.recording/2");
    assert_eq!(
        failure(newer),
        "line 1: schema 'gmtrace.recording/2'; this gmtrace reads gmtrace.recording/1: use a newer one"
    );
    let hostile = recording().replace("gmtrace.recording/1", "\\u001b[2J");
    assert!(!failure(hostile).contains('\u{1b}'));
}

#[test]
fn what_is_no_recording_is_refused() {
    assert_eq!(failure(""), "the recording is empty");
    for (text, expected) in [
        (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "line 1 is no line of a recording"),
        (b"{\"schema\":\"gmtrace.timeline/1\"}\n", "line 1 is no line of a recording"),
        (b"{\n  \"schema\": \"gmtrace.timeline/1\"\n}\n", "line 1 is no line of a recording"),
        (b"[]\n", "line 1 is no line of a recording"),
        (EVENT.as_bytes(), "line 1: no header"),
    ] {
        assert!(failure(text).starts_with(expected), "{}", failure(text));
    }
}

#[test]
fn a_huge_line_is_refused_with_bounded_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let mut reader = Reader::new(endless);
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "line 1 is longer than 64 MiB: no recording of gmtrace");
    assert!(reader.next().is_none());
}

#[test]
fn types_keys_and_values_of_the_future_are_ignored() {
    for line in [
        r#"{"t":1,"pid":2,"tid":3,"type":"telepathy","with":[1]}"#,
        r#"{"t":1,"pid":2,"tid":3,"type":"lock-end","fd":3,"path":"/x","result":null,"known_by":"oracle"}"#,
    ] {
        let all = read(line);
        let Some(Ok(Record::Event(event))) = all.first() else { panic!("{all:?}") };
        assert_eq!(
            (event.t, event.pid, event.tid, &event.what),
            (Nanos(1), Pid(2), Tid(3), &What::Unknown)
        );
    }
    let all = read(r#"{"t":1,"pid":2,"tid":3,"type":"note","text":"a","mood":"good"}"#);
    let Some(Ok(Record::Event(event))) = all.first() else { panic!("{all:?}") };
    assert_eq!(event.what, What::Note { text: "a".to_owned() });
}

#[test]
fn a_copy_is_the_same_and_a_full_output_is_a_failure() {
    let mut copied = Vec::new();
    copy(&mut Reader::new(recording().as_bytes()), &mut copied).unwrap();
    assert_eq!(String::from_utf8(copied).unwrap(), recording());
    let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(copy(&mut Reader::new(recording().as_bytes()), &mut full).is_err());
    let (reader, mut gone) = std::io::pipe().unwrap();
    drop(reader);
    assert!(copy(&mut Reader::new(recording().as_bytes()), &mut gone).is_ok());
}

#[test]
fn what_is_sent_is_what_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let writer = Writers::start(plan(vec![path.clone()], None));
    writer.send(note(1, "one"));
    let outcome = writer.finish(&end(2), true, BOUND);
    assert_eq!(
        (outcome.written, outcome.kept, outcome.problems),
        (vec![path.clone()], None, vec![])
    );
    let records: Vec<Record> =
        read(std::fs::read(path).unwrap()).into_iter().map(Result::unwrap).collect();
    let expected = [
        Record::Header(Box::new(header())),
        Record::Event(Box::new(note(1, "one"))),
        Record::End(end(2)),
    ];
    assert_eq!(records, expected);
}

#[test]
fn a_full_disk_leaves_a_problem_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("run.jsonl");
    let writer = Writers::start(plan(vec!["/dev/full".into(), good.clone()], None));
    (0..5000).for_each(|t| writer.send(note(t, "x")));
    let outcome = writer.finish(&end(5000), false, BOUND);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert!(
        outcome.problems[0].starts_with("/dev/full ends early: No space left"),
        "{:?}",
        outcome.problems
    );
    assert_eq!(outcome.written, [good]);
}

/// A filesystem of 64 KiB.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Small> {
        use nix::mount::{MsFlags, mount};
        let dir = tempfile::tempdir().unwrap();
        let none: Option<&str> = None;
        mount(none, dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=64k")).ok()?;
        Some(Small(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[test]
fn what_was_written_to_a_disk_that_is_full_stays_readable() {
    let Some(small) = Small::mount() else {
        assert!(!nix::unistd::geteuid().is_root());
        return;
    };
    let path = small.0.path().join("run.jsonl");
    let writer = Writers::start(plan(vec![path.clone()], None));
    (0..3000).for_each(|t| writer.send(note(t, "a few words that fill the disk")));
    let outcome = writer.finish(&end(3000), false, BOUND);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert!(outcome.problems[0].starts_with(&path.display().to_string()), "{:?}", outcome.problems);
    assert!(outcome.written.is_empty());
    let bytes = std::fs::read(&path).unwrap();
    let records = read(&bytes);
    assert!(records.len() > 50 && records.iter().all(Result::is_ok), "{} records", records.len());
    assert_eq!(failure(&bytes), "no failure");
}

#[test]
fn a_full_disk_under_the_kept_run_leaves_the_asked_for_file_alone() {
    let Some(small) = Small::mount() else {
        assert!(!nix::unistd::geteuid().is_root());
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.jsonl");
    let writer = Writers::start(plan(vec![path.clone()], Some(small.0.path())));
    writer.keep();
    (0..3000).for_each(|t| writer.send(note(t, "a few words that fill the disk")));
    let outcome = writer.finish(&end(3000), true, BOUND);
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert_eq!(outcome.written, std::slice::from_ref(&path));
    assert_eq!(read(std::fs::read(&path).unwrap()).len(), 3002);
}

#[test]
fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (victim, link) = (dir.path().join("victim"), dir.path().join("run.jsonl"));
    std::fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let outcome = Writers::start(plan(vec![link], None)).finish(&end(1), false, BOUND);
    assert_eq!((outcome.problems.len(), std::fs::read(victim).unwrap()), (1, b"mine".to_vec()));
}

fn kept_files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect()
}

#[test]
fn a_run_is_kept_whole_from_its_beginning_and_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writers::start(plan(vec![], Some(dir.path())));
    writer.send(note(1, "before"));
    writer.keep();
    writer.send(note(2, "after"));
    writer.keep();
    let kept = writer.finish(&end(3), false, BOUND).kept.unwrap();
    assert_eq!(kept_files(dir.path()), std::slice::from_ref(&kept));
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o7777, 0o600);
    let bytes = std::fs::read(&kept).unwrap();
    assert_eq!(read(&bytes).iter().filter(|r| r.is_ok()).count(), 4);
}

#[test]
fn a_run_that_ended_well_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writers::start(plan(vec![], Some(dir.path())));
    (0..200).for_each(|t| writer.send(note(t, &"x".repeat(60_000))));
    assert!(writer.finish(&end(3), false, BOUND).kept.is_none());
    assert!(kept_files(dir.path()).is_empty());
}

#[test]
fn a_long_run_goes_to_disk_and_is_kept_whole() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writers::start(plan(vec![], Some(dir.path())));
    let text = "x".repeat(60_000);
    (0..200).for_each(|t| writer.send(note(t, &text)));
    let kept = writer.finish(&end(200), true, BOUND).kept.unwrap();
    assert!(std::fs::metadata(&kept).unwrap().size() > 6 << 20);
    let read = read(std::fs::read(kept).unwrap()).into_iter().map(Result::unwrap);
    let (mut notes, mut lost) = (0, 0);
    for record in read {
        match record {
            Record::Event(event) => match event.what {
                What::Note { .. } => notes += 1,
                What::Lost { count, .. } => lost += count,
                other => panic!("{other:?}"),
            },
            Record::Header(_) | Record::End(_) => {}
        }
    }
    assert_eq!(notes + lost, 200);
}

#[test]
fn a_kept_run_takes_64_mib_at_most_and_says_what_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("whole.jsonl");
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let mut recording = write::Recording::start(plan(vec![file.clone()], Some(&state)));
    let event = Record::Event(Box::new(note(1, &"x".repeat(1 << 20))));
    (0..70).for_each(|_| recording.write(&event));
    recording.keep();
    recording.end(end(9));
    let outcome = recording.finish();
    assert!(std::fs::metadata(&file).unwrap().size() > 70 << 20);
    let kept = outcome.kept.unwrap();
    assert!(std::fs::metadata(&kept).unwrap().size() <= 64 << 20);
    let records = read(std::fs::read(kept).unwrap());
    let [.., Ok(Record::Event(lost)), Ok(Record::End(_))] = records.as_slice() else {
        panic!("no end")
    };
    assert!(matches!(lost.what, What::Lost { count: 7, .. }), "{lost:?}");
}

#[test]
fn events_that_the_disk_does_not_take_are_counted_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("run.jsonl");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Nobody reads: the writer's thread waits in open(2).
    let writer = Writers::start(plan(vec![fifo.clone()], None));
    let text = "x".repeat(60_000);
    const SENT: u64 = 1000;
    (0..SENT).for_each(|t| writer.send_output(t, &text));
    let reader = std::thread::spawn(move || std::fs::read(fifo).unwrap());
    let outcome = writer.finish(&end(SENT), false, BOUND);
    assert_eq!(outcome.problems, Vec::<String>::new());
    let (mut taken, mut lost) = (0, 0);
    for record in read(reader.join().unwrap()) {
        if let Record::Event(event) = record.unwrap() {
            match event.what {
                What::Lost { count, .. } => lost += count,
                _ => taken += 1,
            }
        }
    }
    assert!(lost > 0 && taken > 0);
    assert_eq!(taken + lost, SENT);
}

impl Writers {
    fn send_output(&self, t: u64, text: &str) {
        let fd = gmtrace_core::units::Fd(2);
        let what = What::Output { fd, text: text.to_owned(), truncated: false, ends_line: true };
        self.send(Event { t: Nanos(t), pid: Pid(7), tid: Tid(7), what });
    }
}

#[test]
fn a_disk_that_does_not_answer_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("run.jsonl");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let outcome = Writers::start(plan(vec![fifo.clone()], None)).finish(
        &end(1),
        true,
        Duration::from_millis(1),
    );
    assert_eq!(outcome.problems.len(), 1);
    assert!(outcome.problems[0].contains("does not answer"));
    // Lets the thread end.
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::open(fifo).unwrap(), &mut rest).unwrap();
    std::io::sink().write_all(&rest).unwrap();
}
