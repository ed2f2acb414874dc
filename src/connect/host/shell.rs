//! A live `sh` at the other end of three streams: sends frames, reads replies. Knows nothing of ssh or processes.

use std::any::Any;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use base64::Engine as _;
use futures::FutureExt as _;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::error::Elapsed;
use tokio::time::{sleep_until, timeout, timeout_at};

use super::frame::{Frame, Splitter};
use super::payload::Content;
use super::types::CommandOutput;
use crate::connect::{FOLLOW_UP_TIMEOUT, deadline_after};

/// The functions that a shell is given when it starts.
pub const LIBRARY: &str = concat!(include_str!("lib.sh"), include_str!("place.sh"), include_str!("files.sh"));

/// How long the errors of a shell are read that has ended.
pub const STDERR_DELAY: Duration = Duration::from_millis(300);

/// How long after a line of a running command the next one may be shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The three streams of a shell, and whatever must live as long as they do.
pub struct Streams {
    /// Where requests go; `None` when no more follow.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    /// The shell's output.
    pub stdout: Reader,
    /// The shell's errors.
    pub stderr: Reader,
    /// What is on its way to the shell and was not taken yet.
    unsent: VecDeque<u8>,
    /// The process, to be reaped.
    _process: Box<dyn Any + Send + Sync>,
}

/// One of the streams that a shell prints on.
pub type Reader = BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 64 * 1024;

impl Streams {
    /// Where requests go, the shell's output and its errors, and the process.
    pub fn new(
        stdin: impl AsyncWrite + Send + Sync + Unpin + 'static,
        stdout: impl AsyncRead + Send + Sync + Unpin + 'static,
        stderr: impl AsyncRead + Send + Sync + Unpin + 'static,
        process: impl Any + Send + Sync,
    ) -> Self {
        Self {
            stdin: Some(Box::new(stdin)),
            stdout: BufReader::with_capacity(CHUNK_BYTES, Box::new(stdout)),
            stderr: BufReader::with_capacity(CHUNK_BYTES, Box::new(stderr)),
            unsent: VecDeque::new(),
            _process: Box::new(process),
        }
    }
}

/// How a shell takes its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As its program, one after the other.
    Program,
    /// As two lines of base64, its greeting and one request, whose standard input follows on the channel. What nobody reads
    /// of that must never be taken for a further request.
    Lines,
}

impl Mode {
    /// The arguments of `sh`, in words that every login shell understands.
    pub fn arguments(self) -> &'static str {
        match self {
            Self::Program => "",
            Self::Lines => {
                "-c 'for _ro_j in 1 2; do IFS= read -r _ro_i || exit; eval \"$(printf %s \"$_ro_i\" | base64 -d)\"; done'"
            }
        }
    }

    fn encode(self, text: String) -> Vec<u8> {
        match self {
            Self::Program => text.into_bytes(),
            Self::Lines => {
                let mut line = base64::engine::general_purpose::STANDARD.encode(text).into_bytes();
                line.push(b'\n');
                line
            }
        }
    }
}

/// A shell that has answered.
pub struct Shell {
    streams: Streams,
    mode: Mode,
    /// Which process it is.
    pub identity: Identity,
    /// When it last answered.
    pub last_used: Instant,
    /// Whether its first request was sent when it started.
    sent: bool,
}

/// A shell's process on its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Its process group, in which all that it runs is.
    pub group: u32,
    /// Its own number.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot: tells it from a later process of the same number.
    pub start: Option<u64>,
}

impl Identity {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (group, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { group, pid, start: words.next().and_then(|word| word.parse().ok()) })
    }
}

/// Why there is no reply.
#[derive(Debug, Default)]
pub struct ExchangeError {
    /// Whether the time was over, rather than the shell.
    pub deadline: bool,
    /// What was seen last.
    pub seen: String,
    /// Which limit its answers passed.
    pub excess: Option<String>,
}

/// How long an answer may take, and who hears of it meanwhile.
#[derive(Clone, Copy)]
pub struct Pace<'a> {
    /// When all that must be answered has to be, if `within` does not say otherwise.
    pub deadline: Instant,
    /// How long each part may take that must be answered; it begins when the one before it has ended.
    pub within: &'a [Duration],
    /// Takes lines as they are printed.
    pub line: OnLine<'a>,
    /// Takes such a part's number and answer as soon as it is there.
    pub each: Option<OnDone<'a>>,
}

/// Takes lines.
pub type OnLine<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Takes numbers of parts and their answers.
pub type OnDone<'a> = &'a (dyn Fn(usize, CommandOutput) + Send + Sync);

impl Pace<'_> {
    /// For one who only waits.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, within: &[], line: &|_| {}, each: None }
    }
}

impl Shell {
    /// Teaches a fresh shell its functions and waits for its first answer. Whatever was printed before (a banner of a
    /// profile) is ignored. With `first`, that request is sent along, which saves a round trip: it must be exchanged first,
    /// without a payload, and be one that may be carried out without anybody waiting for it.
    pub async fn start(
        mut streams: Streams,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Self, ExchangeError> {
        let mut frame = Frame::new();
        frame.part("_ro_hello".to_owned());
        let mut text = mode.encode(format!("{LIBRARY}\n{}", frame.text(false)));
        text.extend(first.map(|first| mode.encode(first.text(false))).unwrap_or_default());
        // Kept by the streams, since the answer may come before the end of it has been taken.
        streams.unsent.extend(text);
        let done = streams.send(&frame, &[], None, Pace::until(deadline)).await?;
        let answer = done.first().map(|d| (d.stdout.text(), d.stderr.text())).unwrap_or_default();
        let Some(identity) = Identity::read(&answer.0) else {
            return Err(ExchangeError { seen: format!("{}\n{}", answer.0, answer.1), ..ExchangeError::default() });
        };
        Ok(Self { streams, mode, identity, last_used: Instant::now(), sent: first.is_some() })
    }

    /// Sends a request and reads its reply: one [`Done`] for each of its parts; fewer when those that may go unanswered
    /// did, and then the shell is of no more use. With a payload, which only a shell in
    /// [`Mode::Lines`] takes, it is the last one.
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        pace: Pace<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        let sent = std::mem::take(&mut self.sent);
        let text = if sent { Vec::new() } else { self.mode.encode(frame.text(payload.is_some())) };
        let done = self.streams.send(frame, &text, payload, pace).await?;
        self.last_used = Instant::now();
        Ok(done)
    }

    /// Whether it can take another request.
    pub fn takes_more(&self) -> bool {
        self.mode == Mode::Program
    }

    /// Whether it has ended already, as far as can be seen without asking. What it printed unasked is dropped.
    pub fn has_ended(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while let Some(read) = self.streams.stdout.read(&mut buffer).now_or_never() {
            if !matches!(read, Ok(count) if count > 0) {
                return true;
            }
        }
        false
    }

    /// Whether it still answers.
    pub async fn answers(&mut self, deadline: Instant) -> bool {
        self.exchange(&Frame::new(), None, Pace::until(deadline)).await.is_ok()
    }
}

impl Streams {
    /// Sends a text, and a payload after which nothing more follows; reads until all parts of `frame` are there, or at
    /// least those that must be.
    async fn send(
        &mut self,
        frame: &Frame,
        text: &[u8],
        payload: Option<&Content>,
        pace: Pace<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        let mut reply = Reply::new(frame);
        let Self { stdin, stdout, stderr, unsent, .. } = self;
        let write = async {
            // That a shell is gone shows on its output too, with more to say.
            if let Some(stdin) = stdin {
                let _ = stdin.write_all_buf(unsent).await;
                let _ = stdin.write_all(text).await;
                if let Some(payload) = payload {
                    // Where less comes than was told, the other side says so.
                    let _ = payload.write_to(stdin).await;
                }
                let _ = stdin.flush().await;
            }
            if payload.is_some() {
                *stdin = None;
            }
            std::future::pending::<()>().await;
        };
        let read = async {
            let firm = reply.read_each(frame.required_parts(), stdout, stderr, pace).await;
            if firm == Ok(true) && frame.count() > frame.required_parts() {
                let by = Instant::now() + FOLLOW_UP_TIMEOUT;
                let by = if pace.within.is_empty() { by.min(pace.deadline) } else { by };
                let _ = timeout_at(by, reply.read(frame.count(), stdout, stderr, &|_| {})).await;
            }
            firm
        };
        let firm = tokio::select! {
            firm = read => firm,
            () = write => Ok(false),
        };
        match firm {
            Ok(true) => Ok(Splitter::join(reply.out, reply.err)),
            ended => Err(ExchangeError { deadline: ended.is_err(), seen: reply.seen(), excess: reply.excess() }),
        }
    }
}

struct Reply {
    out: Splitter,
    err: Splitter,
    /// Which stream was read last since a line was shown: what comes along with the end of a part may be of the next one.
    unseen: Option<bool>,
    /// When the next line may be shown: masking each of a flood takes long.
    next: Instant,
}

impl Reply {
    fn new(frame: &Frame) -> Self {
        Self { out: frame.splitter(), err: frame.splitter(), unseen: None, next: Instant::now() }
    }

    /// Reads both streams until this many parts are there, each in its time; `false` when one of them ended too early.
    async fn read_each(
        &mut self,
        parts: usize,
        stdout: &mut Reader,
        stderr: &mut Reader,
        pace: Pace<'_>,
    ) -> Result<bool, Elapsed> {
        let mut by = pace.deadline;
        for part in 0..parts {
            if let Some(within) = pace.within.get(part) {
                by = deadline_after(*within);
            }
            if !timeout_at(by, self.read(part + 1, stdout, stderr, pace.line)).await? {
                return Ok(false);
            }
            if let (Some(each), Some(done)) = (pace.each, Splitter::done(&self.out, &self.err, part)) {
                each(part, done);
            }
        }
        // A request without parts is only accepted.
        timeout_at(by, self.read(parts, stdout, stderr, pace.line)).await
    }

    /// Reads both streams until this many parts are there; `false` when one of them ended too early.
    async fn read(&mut self, parts: usize, stdout: &mut Reader, stderr: &mut Reader, line: OnLine<'_>) -> bool {
        let mut err_open = true;
        while !(self.out.has(parts) && self.err.has(parts)) {
            if self.excess().is_some() {
                return false;
            }
            tokio::select! {
                read = stdout.fill_buf(), if !self.out.complete() => match read {
                    Ok(bytes) if !bytes.is_empty() => {
                        let taken = self.out.push(bytes);
                        stdout.consume(taken);
                        self.unseen = Some(true);
                    }
                    // What is asked behind may end the shell.
                    _ => { self.drain(stderr).await; return self.out.has(parts) && self.err.has(parts) }
                },
                read = stderr.fill_buf(), if err_open && !self.err.complete() => match read {
                    Ok(bytes) if !bytes.is_empty() => {
                        let taken = self.err.push(bytes);
                        stderr.consume(taken);
                        self.unseen = Some(false);
                    }
                    _ => err_open = false,
                },
                () = sleep_until(self.next), if self.unseen.is_some() => {
                    let streams = if self.unseen.take() == Some(true) { [&self.out, &self.err] } else { [&self.err, &self.out] };
                    let running = |stream: &&&Splitter| stream.accepted() && !stream.complete();
                    if let Some(last) = streams.iter().filter(running).find_map(|stream| stream.current_line()) {
                        line(last);
                    }
                    self.next = Instant::now() + PROGRESS_INTERVAL;
                }
                else => return false,
            }
        }
        true
    }

    /// The shell is gone: takes what it said last. A process that it left behind may hold the stream open.
    async fn drain(&mut self, stderr: &mut Reader) {
        let mut buffer = vec![0; 16 * 1024];
        let read_all = async {
            while let Ok(count) = stderr.read(&mut buffer).await
                && count > 0
            {
                self.err.push(&buffer[..count]);
            }
        };
        let _ = timeout(STDERR_DELAY, read_all).await;
    }

    fn excess(&self) -> Option<String> {
        self.out.excess().or_else(|| self.err.excess())
    }

    fn seen(&self) -> String {
        if self.out.accepted() {
            let lines = [self.out.last_line(), self.err.last_line()];
            return lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
        }
        format!("{}\n{}", self.out.unframed(), self.err.unframed()).trim().to_owned()
    }
}
