//! What a process asked of the file system, call by call, as strace writes it down.
//!
//! The calls of all threads come in the order in which strace saw them begin and end. A call that
//! is seen to end before another one begins was over by then, which is all that the model of the
//! disk builds on.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every call that changes what a file system holds or makes it durable, those that a descriptor is
/// made, moved and closed with, and those that the model does not know and must not miss.
const CALLS: &str = "openat,open,creat,close,dup,dup2,dup3,fcntl,lseek,\
    write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,\
    copy_file_range,sendfile,splice,ioctl,mmap,msync,io_uring_setup,io_submit,\
    rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,\
    mkdir,mkdirat,rmdir,fsync,fdatasync,sync,syncfs,sync_file_range";
/// Longer than anything that is written in one call; data that is cut short is noticed.
const LONGEST: &str = "16777216";

/// Whether processes can be recorded here.
pub(super) fn is_possible() -> bool {
    let strace = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    strace.is_ok_and(|output| output.status.success())
}

/// One call.
pub(super) struct Call {
    pub(super) name: String,
    /// The arguments as they are written down, without the bytes of those that have some.
    pub(super) arguments: Vec<String>,
    /// The bytes of paths and buffers, in order.
    pub(super) bytes: Vec<Vec<u8>>,
    /// What it returned, when it did and did not fail.
    pub(super) result: Option<i64>,
    /// Whether it is known to have failed, or never to have been made.
    pub(super) failed: bool,
}

/// What strace saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The call with this index began.
    Began(usize),
    /// It ended.
    Ended(usize),
    /// The process was gone, and with it its descriptors.
    Exited,
}

/// An error that strace returns in place of a call, which then is not made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The names of the calls, with commas between them.
    pub(super) calls: &'static str,
    /// The name of the error.
    pub(super) error: &'static str,
    /// Which of a thread's calls of each name it is, counted from one.
    pub(super) when: usize,
    /// Whether all that come after it fail too.
    pub(super) onwards: bool,
}

impl Fault {
    fn argument(&self) -> String {
        let Self { calls, error, when, onwards } = self;
        format!("inject={calls}:error={error}:when={when}{}", if *onwards { "+" } else { "" })
    }
}

/// Where strace does not see what happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doubt {
    /// Whether a call was made, when the process was gone before it returned.
    Made { call: usize },
    /// In which order two calls were served that ran side by side, one of which sets a file's length.
    Order { earlier: usize, later: usize },
}

impl Doubt {
    pub(super) fn calls(self) -> [usize; 2] {
        match self {
            Self::Made { call } => [call, call],
            Self::Order { earlier, later } => [earlier, later],
        }
    }
}

/// The calls of one or several processes, one after the other.
#[derive(Default)]
pub(super) struct Trace {
    pub(super) calls: Vec<Call>,
    pub(super) events: Vec<Event>,
    /// How many calls failed because they were made to.
    pub(super) injected: usize,
}

impl Trace {
    /// Runs a command to its end, on a disk with a fault if there is to be one, and adds what it did.
    /// Returns what it printed.
    pub(super) fn record(
        &mut self,
        command: &Command,
        scratch: &Path,
        fault: Option<Fault>,
    ) -> String {
        let file = scratch.join("trace");
        let mut strace = Command::new("strace");
        strace.args(["-f", "--seccomp-bpf", "-e", "signal=none", "-xx", "-s", LONGEST]);
        let calls = fault.map_or_else(|| CALLS.to_owned(), |f| format!("{CALLS},{}", f.calls));
        strace.args(["-e", &format!("trace={calls}"), "-o"]).arg(&file);
        if let Some(fault) = fault {
            strace.args(["-e", &fault.argument()]);
        }
        strace.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            strace.env(name, value.unwrap_or_default());
        }
        let output = strace.stdin(Stdio::null()).output().unwrap();
        let shown = [output.stdout, output.stderr].join(&b'\n');
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(output.status.success(), "{shown}");
        self.parse(&fs::read_to_string(&file).unwrap());
        fs::remove_file(&file).unwrap();
        shown
    }

    /// What of the calls from one on strace cannot have seen.
    pub(super) fn doubts(&self, from: usize) -> Vec<Doubt> {
        let open = |call: &usize| self.calls[*call].result.is_none() && !self.calls[*call].failed;
        let unreturned = (from..self.calls.len()).filter(open);
        let mut doubts: Vec<_> = unreturned.map(|call| Doubt::Made { call }).collect();
        let mut running = Vec::new();
        for event in &self.events {
            match *event {
                Event::Began(call) if call >= from => running.push(call),
                Event::Began(_) => {}
                Event::Ended(earlier) => {
                    running.retain(|call| *call != earlier);
                    for later in &running {
                        let pair = [earlier, *later].map(|call| self.calls[call].name.as_str());
                        if pair.contains(&"ftruncate") {
                            doubts.push(Doubt::Order { earlier, later: *later });
                        }
                    }
                }
                Event::Exited => running.clear(),
            }
        }
        doubts
    }

    /// Takes the other side of a doubt.
    pub(super) fn decide(&mut self, doubt: Doubt) {
        match doubt {
            Doubt::Made { call } => self.calls[call].failed = !self.calls[call].failed,
            Doubt::Order { earlier, later } => {
                self.events.retain(|event| *event != Event::Ended(later));
                let before = |event: &Event| *event == Event::Ended(earlier);
                let end = self.events.iter().position(before).unwrap();
                self.events.insert(end, Event::Ended(later));
            }
        }
    }

    pub(super) fn parse(&mut self, text: &str) {
        let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
        for line in text.lines() {
            let Some((thread, line)) = line.split_once(' ') else { continue };
            let line = line.trim_start();
            self.injected += usize::from(line.ends_with("(INJECTED)"));
            if line.starts_with("+++") || line.starts_with("---") {
                continue;
            }
            if let Some(resumed) = line.strip_prefix("<... ") {
                let (begun, start) = unfinished.remove(thread).unwrap();
                let (_, rest) = resumed.split_once(" resumed>").unwrap();
                self.calls[begun] = Call::parse(&format!("{start}{rest}"));
                self.events.push(Event::Ended(begun));
                continue;
            }
            let number = self.calls.len();
            self.events.push(Event::Began(number));
            if let Some(start) = line.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, (number, start.trim_end()));
                // What never ends is known as it began.
                self.calls.push(Call::parse(&format!("{}) = ?", start.trim_end())));
            } else {
                self.calls.push(Call::parse(line));
                self.events.push(Event::Ended(number));
            }
        }
        self.events.push(Event::Exited);
    }
}

impl Call {
    fn parse(line: &str) -> Self {
        assert!(!line.contains("\"..."), "the trace has cut data short");
        let mut parts = line.split('"');
        let mut plain = parts.next().unwrap().to_owned();
        let mut bytes = Vec::new();
        while let Some(quoted) = parts.next() {
            bytes.push(unescape(quoted));
            plain.push('"');
            plain.push_str(parts.next().unwrap());
        }
        let (call, result) = plain.rsplit_once(" = ").unwrap();
        let (name, arguments) = call.trim_end().split_once('(').unwrap();
        let arguments = arguments.strip_suffix(')').unwrap();
        let number = result.split(' ').next().unwrap();
        let result = number.parse::<i64>().ok();
        Self {
            name: name.to_owned(),
            arguments: arguments.split(", ").map(str::to_owned).collect(),
            bytes,
            failed: result.is_some_and(|result| result < 0),
            result: result.filter(|result| *result >= 0),
        }
    }

    /// The call for a reader, with the paths of it.
    pub(super) fn shown(&self) -> String {
        let arguments = self.arguments.join(", ").replace('"', "..");
        let paths = self.bytes.iter().filter(|bytes| bytes.starts_with(b"/"));
        let paths: Vec<_> = paths.map(|path| String::from_utf8_lossy(path)).collect();
        format!("{}({arguments}) {}", self.name, paths.join(" "))
    }

    /// An argument that is a number.
    pub(super) fn number(&self, index: usize) -> u64 {
        let argument = &self.arguments[index];
        argument.parse().unwrap_or_else(|_| panic!("{}: {argument} is no number", self.name))
    }

    /// An argument that is a descriptor; none for the working directory.
    pub(super) fn descriptor(&self, index: usize) -> Option<i64> {
        self.arguments[index].parse().ok()
    }

    /// A path among the arguments.
    pub(super) fn path(&self, index: usize) -> String {
        String::from_utf8(self.bytes[index].clone()).unwrap()
    }

    /// What the call writes; less than it was asked to, where it returned that.
    pub(super) fn data(&self) -> Vec<u8> {
        let mut data = self.bytes.concat();
        if let Some(written) = self.result {
            data.truncate(usize::try_from(written).unwrap());
        }
        data
    }
}

/// Undoes `\x01\x02`.
fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: u8| if byte > b'9' { byte - b'a' + 10 } else { byte - b'0' };
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        bytes.push(digit(text[at + 2]) << 4 | digit(text[at + 3]));
        at += 4;
    }
    bytes
}

#[test]
fn calls_are_read_as_strace_writes_them_down() {
    let mut trace = Trace::default();
    trace.parse(concat!(
        "7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT, 0600) = 3\n",
        "7 pwrite64(3, \"\\x00\\xff\", 2, 512 <unfinished ...>\n",
        "8 rename(\"\\x61\", \"\\x62\")      = -1 ENOENT (No such file or directory)\n",
        "7 <... pwrite64 resumed>)          = 2\n",
        "8 fsync(3 <unfinished ...>\n",
        "7 +++ killed by SIGKILL +++\n",
    ));
    use Event::{Began, Ended, Exited};
    let order = [Began(0), Ended(0), Began(1), Began(2), Ended(2), Ended(1), Began(3), Exited];
    assert_eq!(trace.events, order);
    let [open, write, rename, sync] = &trace.calls[..] else { panic!("not four calls") };
    assert_eq!((open.path(0).as_str(), open.result), ("/a", Some(3)));
    assert_eq!((write.data(), write.number(3), write.result), (vec![0, 255], 512, Some(2)));
    assert_eq!((rename.path(1).as_str(), rename.failed, rename.result), ("b", true, None));
    assert_eq!((sync.descriptor(0), sync.failed, sync.result), (Some(3), false, None));
}
