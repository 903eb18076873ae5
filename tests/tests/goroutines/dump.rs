//! What the runtime prints at SIGQUIT.

use gmtrace_core::event::{GoRuntime, Goroutine, Status};

/// A goroutine as both sides can tell it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) id: u64,
    /// The wait reason, or the status.
    pub(crate) state: String,
    pub(crate) functions: Vec<String>,
    pub(crate) created_by: Option<String>,
    /// From Go 1.21.
    pub(crate) parent: Option<u64>,
    /// Whether it runs just now, or there is more of its stack than is printed: the functions are not compared then.
    pub(crate) cut: bool,
}

/// The goroutines in a dump, by id.
pub(crate) fn parse(dump: &str) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    let mut inside = false;
    for line in dump.lines() {
        if let Some(header) = line.strip_prefix("goroutine ") {
            told.extend(self::header(header));
            inside = !header.starts_with("0 ");
        } else if line.is_empty() {
            inside = false;
        } else if let Some(goroutine) = told.last_mut().filter(|_| inside) {
            body(goroutine, line);
        }
    }
    told.sort();
    told
}

/// `7 gp=0xc0001 m=nil [chan receive, 2 minutes, locked to thread]:`; none for goroutine 0.
fn header(text: &str) -> Option<Told> {
    let (id, _) = text.split_once(' ')?;
    let id = id.parse().ok().filter(|id| *id != 0)?;
    let (_, states) = text.split_once('[')?;
    let (states, _) = states.split_once("]:")?;
    let state = states.split(", ").next()?.to_owned();
    Some(Told { id, state, functions: vec![], created_by: None, parent: None, cut: false })
}

fn body(goroutine: &mut Told, line: &str) {
    if line.starts_with('\t') {
        goroutine.cut |= line.contains("stack unavailable");
    } else if let Some(by) = line.strip_prefix("created by ") {
        let (function, parent) = by.split_once(" in goroutine ").unwrap_or((by, ""));
        goroutine.created_by = Some(function.to_owned());
        goroutine.parent = parent.parse().ok();
    } else if line.starts_with("...") {
        goroutine.cut = true;
    } else if let Some((function, _arguments)) = line.rsplit_once('(') {
        goroutine.functions.push(function.to_owned());
    }
}

/// The same of a reading.
pub(crate) fn of(runtime: &GoRuntime) -> Vec<Told> {
    let mut told: Vec<Told> = runtime.goroutines.iter().map(of_one).collect();
    told.sort();
    told
}

fn of_one(goroutine: &Goroutine) -> Told {
    let status = match goroutine.status {
        Status::Idle => "idle",
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Syscall => "syscall",
        Status::Waiting => "waiting",
        Status::Copystack => "copystack",
        Status::Preempted => "preempted",
        Status::Leaked => "leaked",
    };
    let printed = |function: &String| match function.as_str() {
        // So the runtime prints it.
        "runtime.gopanic" => "panic".to_owned(),
        function => function.to_owned(),
    };
    Told {
        id: goroutine.id,
        state: goroutine.wait_reason.clone().unwrap_or_else(|| status.to_owned()),
        functions: goroutine.functions.iter().map(printed).collect(),
        created_by: goroutine.created_by.clone(),
        parent: goroutine.parent,
        cut: goroutine.cut,
    }
}

/// Every goroutine in which the two differ, one line each way.
pub(crate) fn differences(read: &[Told], dumped: &[Told]) -> Vec<String> {
    let mut found = Vec::new();
    for id in
        read.iter().chain(dumped).map(|told| told.id).collect::<std::collections::BTreeSet<_>>()
    {
        let of = |side: &[Told]| side.iter().find(|told| told.id == id).cloned();
        match (of(read), of(dumped)) {
            (Some(read), Some(dumped)) if alike(&read, &dumped) => {}
            (read, dumped) => found.push(format!("read    {read:?}\ndumped  {dumped:?}")),
        }
    }
    found
}

fn alike(read: &Told, dumped: &Told) -> bool {
    let functions = if dumped.cut {
        // The runtime prints the first fifty and, from Go 1.21, the last fifty.
        read.functions.iter().zip(&dumped.functions).take(50).all(|(read, dumped)| read == dumped)
            && read.functions.len() >= dumped.functions.len().min(50)
    } else {
        read.functions == dumped.functions && !read.cut
    };
    functions
        && read.state == dumped.state
        && (read.created_by == dumped.created_by || read.created_by.is_none())
        && (read.parent == dumped.parent || dumped.parent.is_none())
}

#[test]
fn a_dump_is_read() {
    let dump = "SIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n\
        goroutine 0 gp=0x1 m=0 mp=0x2 [idle]:\nruntime.futex(0x1)\n\t/x.s:5 +0x1\n\n\
        goroutine 7 gp=0xc0 m=nil [chan receive, 2 minutes, locked to thread]:\n\
        runtime.gopark(0x1?, {0x2, 0x3})\n\t/x.go:5 +0x1\nmain.(*T[...]).f.func1(...)\n\t/x.go:6\n\
        created by main.main in goroutine 1\n\t/x.go:9 +0x1\n\nrax 0x0\n";
    let told = Told {
        id: 7,
        state: "chan receive".to_owned(),
        functions: vec!["runtime.gopark".to_owned(), "main.(*T[...]).f.func1".to_owned()],
        created_by: Some("main.main".to_owned()),
        parent: Some(1),
        cut: false,
    };
    let other = [Told { functions: vec![], ..told.clone() }];
    let told = [told];
    assert_eq!(parse(dump), told);
    assert_eq!(differences(&told, &told), Vec::<String>::new());
    assert_eq!(differences(&told, &other).len(), 1);
    assert_eq!(differences(&told, &[]).len(), 1);
}
