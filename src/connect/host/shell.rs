//! A live `sh` at the other end of three streams: sends frames, reads replies. Knows nothing of ssh or processes.

use std::time::Duration;

use tokio::time::Instant;

use base64::Engine as _;
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep_until, timeout, timeout_at};

use super::frame::{Frame, Splitter};
use super::payload::Content;
use super::types::Done;

/// The functions that a shell is given when it starts.
pub const LIBRARY: &str = include_str!("lib.sh");

/// How long the errors of a shell are read that has ended.
pub const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long after a line of a running command the next one may be shown.
const BETWEEN_LINES: Duration = Duration::from_millis(100);

/// The three streams of a shell, and whatever must live as long as they do.
pub struct Streams {
    /// Where requests go; `None` when no more follow.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    /// The shell's output.
    pub stdout: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// The shell's errors.
    pub stderr: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// The process, to be reaped.
    pub _process: Box<dyn std::any::Any + Send + Sync>,
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
pub struct Broken {
    /// Whether the time was over, rather than the shell.
    pub deadline: bool,
    /// What was seen last.
    pub seen: String,
}

/// Takes lines as they are printed.
pub type OnLine<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Shell {
    /// Teaches a fresh shell its functions and waits for its first answer. Whatever was printed before (a banner of a
    /// profile) is ignored.
    pub async fn start(mut streams: Streams, mode: Mode, deadline: Instant) -> Result<Self, Broken> {
        let mut frame = Frame::new();
        frame.part("_ro_hello".to_owned());
        let text = mode.encode(format!("{LIBRARY}\n{}", frame.text(false)));
        let done = streams.send(&frame, &text, None, deadline, &|_| {}).await?;
        let answer = done.first().map(|d| (d.stdout.text(), d.stderr.text())).unwrap_or_default();
        let Some(identity) = Identity::read(&answer.0) else {
            return Err(Broken { deadline: false, seen: format!("{}\n{}", answer.0, answer.1) });
        };
        Ok(Self { streams, mode, identity, last_used: Instant::now() })
    }

    /// Sends a request and reads its reply: one [`Done`] for each of its parts. With a payload, which only a shell in
    /// [`Mode::Lines`] takes.
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        deadline: Instant,
        line: OnLine<'_>,
    ) -> Result<Vec<Done>, Broken> {
        let text = self.mode.encode(frame.text(payload.is_some()));
        let done = self.streams.send(frame, &text, payload, deadline, line).await?;
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
        self.exchange(&Frame::new(), None, deadline, &|_| {}).await.is_ok()
    }
}

impl Streams {
    /// Sends a text, and a payload after which nothing more follows; reads until all parts of `frame` are there.
    async fn send(
        &mut self,
        frame: &Frame,
        text: &[u8],
        payload: Option<&Content>,
        deadline: Instant,
        line: OnLine<'_>,
    ) -> Result<Vec<Done>, Broken> {
        let mut reply = Reply { out: frame.splitter(), err: frame.splitter() };
        let Self { stdin, stdout, stderr, .. } = self;
        let write = async {
            // That a shell is gone shows on its output too, with more to say.
            if let Some(stdin) = stdin {
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
        let exchange = async {
            tokio::select! {
                ended = reply.read(stdout, stderr, line) => ended,
                () = write => false,
            }
        };
        match timeout_at(deadline, exchange).await {
            Ok(true) => Ok(Splitter::join(reply.out, reply.err)),
            ended => Err(Broken { deadline: ended.is_err(), seen: reply.seen() }),
        }
    }
}

struct Reply {
    out: Splitter,
    err: Splitter,
}

impl Reply {
    /// Reads both streams; `false` when one of them ended too early.
    async fn read(
        &mut self,
        stdout: &mut (dyn AsyncRead + Send + Sync + Unpin),
        stderr: &mut (dyn AsyncRead + Send + Sync + Unpin),
        line: OnLine<'_>,
    ) -> bool {
        let mut from_out = vec![0; 64 * 1024];
        let mut from_err = vec![0; 64 * 1024];
        let mut err_open = true;
        // Which stream was read last since a line was shown, and when the next may be: masking each of a flood takes long.
        let (mut unseen, mut next) = (None, Instant::now());
        while !(self.out.complete() && self.err.complete()) {
            tokio::select! {
                read = stdout.read(&mut from_out), if !self.out.complete() => match read {
                    Ok(count) if count > 0 => { self.out.push(&from_out[..count]); unseen = Some(true); }
                    _ => { self.drain(stderr).await; return false }
                },
                read = stderr.read(&mut from_err), if err_open && !self.err.complete() => match read {
                    Ok(count) if count > 0 => { self.err.push(&from_err[..count]); unseen = Some(false); }
                    _ => err_open = false,
                },
                () = sleep_until(next), if unseen.is_some() => {
                    let streams = if unseen.take() == Some(true) { [&self.out, &self.err] } else { [&self.err, &self.out] };
                    let running = |stream: &&&Splitter| stream.accepted() && !stream.complete();
                    if let Some(last) = streams.iter().filter(running).find_map(|stream| stream.last_line()) {
                        line(last);
                    }
                    next = Instant::now() + BETWEEN_LINES;
                }
                else => return false,
            }
        }
        true
    }

    /// The shell is gone: takes what it said last. A process that it left behind may hold the stream open.
    async fn drain(&mut self, stderr: &mut (dyn AsyncRead + Send + Sync + Unpin)) {
        let mut buffer = vec![0; 16 * 1024];
        let read_all = async {
            while let Ok(count) = stderr.read(&mut buffer).await
                && count > 0
            {
                self.err.push(&buffer[..count]);
            }
        };
        let _ = timeout(LAST_WORDS, read_all).await;
    }

    fn seen(&self) -> String {
        if self.out.accepted() {
            let lines = [self.out.last_line(), self.err.last_line()];
            return lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
        }
        format!("{}\n{}", self.out.unframed(), self.err.unframed()).trim().to_owned()
    }
}
