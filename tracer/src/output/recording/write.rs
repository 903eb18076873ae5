//! Writes recordings, on a thread that may wait for a disk.

use crate::output::files::give_to_invoker;
use crate::output::kept;
use gmtrace_core::event::{End, Event, Header, Record, What};
use gmtrace_core::text::Escaped;
use gmtrace_core::units::{Nanos, Pid};
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What a run records, and where.
pub struct RecordingPlan {
    /// The first line.
    pub header: Header,
    /// `-o x.jsonl`.
    pub files: Vec<PathBuf>,
    /// Where runs are kept; none where they are not.
    pub state_dir: Option<PathBuf>,
}

/// What became of a recording.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The kept run.
    pub kept: Option<PathBuf>,
    /// The files of `-o`.
    pub written: Vec<PathBuf>,
    /// What went wrong, in sentences.
    pub problems: Vec<String>,
}

/// The writers of a run: one for each file, so that a disk that does not answer keeps nothing from another one.
pub struct Writers(Vec<Writer>);

impl Writers {
    /// Writers that write nothing.
    pub fn none() -> Writers {
        Writers(Vec::new())
    }

    /// Starts a thread for each file, and one for the run that may be kept.
    pub fn start(plan: RecordingPlan) -> Writers {
        let header = plan.header;
        let alone = |files, state_dir| RecordingPlan { header: header.clone(), files, state_dir };
        let files = plan.files.into_iter().map(|file| alone(vec![file], None));
        let kept = plan.state_dir.map(|dir| alone(Vec::new(), Some(dir)));
        Writers(files.chain(kept).map(Writer::start).collect())
    }

    /// Records an event. Where a disk does not keep up, it is counted instead.
    pub fn send(&self, event: Event) {
        if let Some((last, others)) = self.0.split_last() {
            others.iter().for_each(|writer| writer.send(event.clone()));
            last.send(event);
        }
    }

    /// From now on the run is worth keeping, whatever happens to gmtrace.
    pub fn keep(&self) {
        self.0.iter().for_each(Writer::keep);
    }

    /// Ends the recordings, and waits for the disks, but not for ever.
    pub fn finish(self, end: &End, keep: bool, bound: Duration) -> Outcome {
        self.0.iter().for_each(|writer| writer.end(end.clone(), keep));
        let begun = Instant::now();
        let mut all = Outcome::default();
        for writer in self.0 {
            let one = writer.outcome(bound.saturating_sub(begun.elapsed()));
            all.kept = all.kept.or(one.kept);
            all.written.extend(one.written);
            all.problems.extend(one.problems);
        }
        all
    }
}

/// The way to the thread that writes. Sending never blocks.
struct Writer {
    name: String,
    jobs: Sender<Job>,
    outcome: Receiver<Outcome>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

enum Job {
    Event(Box<Event>, usize),
    Keep,
    Finish(End, bool),
}

/// Events that wait for the disk may take this much memory, about.
const WAITING_BYTES: usize = 8 << 20;
/// What a run that may never be kept holds in memory before it goes to a file without a name.
const MEMORY_BYTES: u64 = 4 << 20;
/// Room in a kept run for its last lines.
const FOR_THE_END: u64 = 64 << 10;
/// Lines reach the disk at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

impl Writer {
    /// Starts the thread.
    fn start(plan: RecordingPlan) -> Writer {
        let name = match plan.files.first() {
            Some(path) => path.display().to_string(),
            None => "this run, to be kept,".to_owned(),
        };
        let (jobs, receiver) = channel();
        let (done, outcome) = channel();
        let failed = done.clone();
        let waiting = Arc::new(AtomicUsize::new(0));
        let dropped = Arc::new(AtomicU64::new(0));
        let (on_disk, lost) = (waiting.clone(), dropped.clone());
        let work = move || {
            let outcome = Recording::start(plan).serve(&receiver, &on_disk, &lost);
            let _late = done.send(outcome);
        };
        match std::thread::Builder::new().name("recorder".to_owned()).spawn(work) {
            Ok(_) => {}
            Err(error) => {
                let problems = vec![format!("nothing is recorded: no thread ({error})")];
                let _kept = failed.send(Outcome { problems, ..Outcome::default() });
            }
        }
        Writer { name, jobs, outcome, waiting, dropped }
    }

    fn send(&self, event: Event) {
        let size = size_of_event(&event);
        if self.waiting.load(Ordering::Relaxed) + size > WAITING_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        let _gone = self.jobs.send(Job::Event(Box::new(event), size));
    }

    fn keep(&self) {
        let _gone = self.jobs.send(Job::Keep);
    }

    fn end(&self, end: End, keep: bool) {
        let _gone = self.jobs.send(Job::Finish(end, keep));
    }

    fn outcome(self, bound: Duration) -> Outcome {
        self.outcome.recv_timeout(bound).unwrap_or_else(|_| Outcome {
            problems: vec![format!(
                "{} was not written within 1 s: its disk does not answer, or it is a pipe that nobody reads",
                self.name
            )],
            ..Outcome::default()
        })
    }
}

/// About what an event takes in memory.
fn size_of_event(event: &Event) -> usize {
    let more = match &event.what {
        What::Output { text, .. } => text.len(),
        What::Snapshot(s) => {
            s.processes.iter().map(|p| 500 + 200 * (p.threads.len() + p.descriptors.len())).sum()
        }
        What::Sample(s) => 250 * (s.connections.len() + s.processes.len()),
        _ => 0,
    };
    400 + more
}

/// The thread's own state.
pub(super) struct Recording {
    header: Header,
    state_dir: Option<PathBuf>,
    files: Vec<Sink>,
    spool: Option<Spool>,
    kept: Option<Sink>,
    /// Bytes of the run that is, or may be, kept.
    size: u64,
    /// Events that did not fit into it.
    left_out: u64,
    flushed: Instant,
    problems: Vec<String>,
}

/// A file that grows in place.
struct Sink {
    path: PathBuf,
    out: Option<std::io::BufWriter<File>>,
}

/// Lines of a run that may not be kept.
enum Spool {
    Memory(Vec<u8>),
    File(File),
}

impl Recording {
    pub(super) fn start(plan: RecordingPlan) -> Recording {
        let mut recording = Recording {
            header: plan.header,
            spool: plan.state_dir.is_some().then(|| Spool::Memory(Vec::new())),
            state_dir: plan.state_dir,
            files: Vec::new(),
            kept: None,
            size: 0,
            left_out: 0,
            flushed: Instant::now(),
            problems: Vec::new(),
        };
        for path in plan.files {
            match open_to_grow(&path) {
                Ok(file) => {
                    recording.files.push(Sink { path, out: Some(std::io::BufWriter::new(file)) });
                }
                Err(error) => {
                    recording.problems.push(format!("cannot write {}: {error}", shown(&path)))
                }
            }
        }
        let header = Record::Header(Box::new(recording.header.clone()));
        recording.write(&header);
        recording
    }

    fn serve(
        mut self,
        jobs: &Receiver<Job>,
        waiting: &AtomicUsize,
        dropped: &AtomicU64,
    ) -> Outcome {
        loop {
            match jobs.recv_timeout(FLUSH_EVERY) {
                Ok(Job::Event(event, size)) => {
                    self.tell_dropped(event.t, dropped);
                    self.write(&Record::Event(event));
                    waiting.fetch_sub(size, Ordering::Relaxed);
                }
                Ok(Job::Keep) => self.keep(),
                Ok(Job::Finish(end, keep)) => {
                    self.tell_dropped(end.t, dropped);
                    if keep {
                        self.keep();
                    }
                    self.end(end);
                    return self.finish();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
            if self.flushed.elapsed() >= FLUSH_EVERY {
                self.flush();
            }
        }
    }

    fn tell_dropped(&mut self, t: Nanos, dropped: &AtomicU64) {
        let count = dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.write(&lost(t, count, "the disk did not keep up"));
        }
    }

    pub(super) fn write(&mut self, record: &Record) {
        let Some(line) = line(record) else { return };
        for sink in &mut self.files {
            sink.write(&line, &mut self.problems);
        }
        if self.size + line.len() as u64 > kept::BYTES - FOR_THE_END {
            self.left_out += 1;
            return;
        }
        self.size += line.len() as u64;
        self.write_kept(&line);
    }

    /// The last lines, for which there is always room.
    pub(super) fn end(&mut self, end: End) {
        if self.left_out > 0 {
            let lines = line(&lost(end.t, self.left_out, "kept runs take 64 MiB at most"));
            self.write_kept(&lines.unwrap_or_default());
        }
        let Some(last) = line(&Record::End(end)) else { return };
        for sink in &mut self.files {
            sink.write(&last, &mut self.problems);
        }
        self.write_kept(&last);
    }

    fn write_kept(&mut self, line: &[u8]) {
        match &mut self.kept {
            Some(sink) => sink.write(line, &mut self.problems),
            None => self.spool(line),
        }
    }

    fn spool(&mut self, line: &[u8]) {
        let failed = match &mut self.spool {
            Some(Spool::Memory(lines)) => {
                lines.extend_from_slice(line);
                lines.len() as u64 > MEMORY_BYTES && !self.spill()
            }
            Some(Spool::File(file)) => file.write_all(line).is_err(),
            None => false,
        };
        if failed {
            // A run that cannot be spooled cannot be kept; it never fails for it.
            self.spool = None;
        }
    }

    /// From memory to a file without a name, which is gone with gmtrace.
    fn spill(&mut self) -> bool {
        let (Some(Spool::Memory(lines)), Some(dir)) = (&self.spool, &self.state_dir) else {
            return false;
        };
        let Ok(mut file) = tempfile::tempfile_in(dir) else { return false };
        if file.write_all(lines).is_err() {
            return false;
        }
        self.spool = Some(Spool::File(file));
        true
    }

    /// Gives the run a name in the state directory; from there it grows in place.
    pub(super) fn keep(&mut self) {
        let (Some(dir), Some(spool)) = (self.state_dir.clone(), self.spool.take()) else { return };
        let (path, mut file) = match kept::create(&dir, self.header.pid) {
            Ok(created) => created,
            Err(error) => {
                tracing::info!("this run cannot be kept: {error}");
                return;
            }
        };
        let copied = match spool {
            Spool::Memory(lines) => file.write_all(&lines),
            Spool::File(mut from) => {
                from.rewind().and_then(|()| std::io::copy(&mut from, &mut file).map(drop))
            }
        };
        match copied {
            Ok(()) => self.kept = Some(Sink { path, out: Some(std::io::BufWriter::new(file)) }),
            Err(error) => self.problems.push(format!("this run is kept in part only: {error}")),
        }
        // A run that is killed later prunes nothing.
        kept::prune(&dir);
    }

    fn flush(&mut self) {
        self.flushed = Instant::now();
        for sink in self.files.iter_mut().chain(self.kept.as_mut()) {
            sink.flush(&mut self.problems);
        }
    }

    pub(super) fn finish(mut self) -> Outcome {
        self.flush();
        if let (Some(dir), true) = (&self.state_dir, self.kept.is_some()) {
            kept::prune(dir);
        }
        Outcome {
            kept: self.kept.filter(|s| s.out.is_some()).map(|s| s.path),
            written: self.files.into_iter().filter(|s| s.out.is_some()).map(|s| s.path).collect(),
            problems: self.problems,
        }
    }
}

impl Sink {
    fn write(&mut self, line: &[u8], problems: &mut Vec<String>) {
        let Some(out) = &mut self.out else { return };
        if let Err(error) = out.write_all(line) {
            self.give_up(&error, problems);
        }
    }

    fn flush(&mut self, problems: &mut Vec<String>) {
        let Some(out) = &mut self.out else { return };
        if let Err(error) = out.flush() {
            self.give_up(&error, problems);
        }
    }

    /// What was written stays readable: nothing follows a line that was cut off.
    fn give_up(&mut self, error: &std::io::Error, problems: &mut Vec<String>) {
        problems.push(format!("{} ends early: {error}", shown(&self.path)));
        if let Some(out) = self.out.take() {
            // Dropping the writer would try to write what is left.
            let _ = out.into_parts();
        }
    }
}

/// A record as a line.
fn line(record: &Record) -> Option<Vec<u8>> {
    let mut line = serde_json::to_vec(record).ok()?;
    line.push(b'\n');
    Some(line)
}

/// Events that are in no recording.
fn lost(t: Nanos, count: u64, why: &str) -> Record {
    let what = What::Lost { what: "recorded events".to_owned(), count, why: why.to_owned() };
    Record::Event(Box::new(Event { t, pid: Pid(0), tid: Pid(0).into(), what }))
}

/// A path as it may stand in a sentence.
fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

/// Opens a recording: it grows in place, and no link is followed to a file. FIFOs and devices are written to as they are.
fn open_to_grow(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_NOFOLLOW);
    let file = match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            let stream = OpenOptions::new().write(true).open(path);
            let is_stream = |file: &File| file.metadata().is_ok_and(|m| !m.is_file());
            stream.ok().filter(is_stream).ok_or(error)
        }
        opened => opened,
    }?;
    if file.metadata()?.is_file() {
        give_to_invoker(&file).map_err(std::io::Error::other)?;
    }
    Ok(file)
}
