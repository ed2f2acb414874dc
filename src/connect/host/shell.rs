//! A running `sh` behind three streams: sends frames and reads their replies. Knows nothing of ssh or processes.

use std::any::Any;
use std::collections::VecDeque;

use tokio::time::Instant;

use base64::Engine as _;
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout_at;

use super::frame::Frame;
use super::payload::Content;
use super::reply::{ExchangeError, ExchangeOptions, Reader, Reply};
use super::types::CommandOutput;
use crate::connect::FOLLOW_UP_TIMEOUT;

/// The functions that each shell receives when it starts.
pub const LIBRARY: &str = concat!(include_str!("lib.sh"), include_str!("place.sh"), include_str!("files.sh"));

/// The three streams of a shell, and the process that must live as long as they do.
pub struct Streams {
    /// Requests are written here; `None` after the last one.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    pub stdout: Reader,
    pub stderr: Reader,
    /// The start of the shell's input (functions and first request), as far as the shell has not taken it yet.
    unsent: VecDeque<u8>,
    /// The child process; dropping it reaps the process.
    _process: Box<dyn Any + Send + Sync>,
}

/// Size of the buffers of standard output and standard error.
const CHUNK_BYTES: usize = 64 * 1024;

impl Streams {
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

/// How a shell receives its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As its program on standard input, one request after the other.
    Program,
    /// As two lines of base64, the greeting and one request; the rest of the channel is the request's standard input.
    /// Input that the request leaves unread must never be parsed as a further request.
    Lines,
}

impl Mode {
    /// The arguments of `sh`, quoted so that every kind of login shell understands them.
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

/// A shell that has answered its greeting.
pub struct Shell {
    streams: Streams,
    mode: Mode,
    pub identity: Identity,
    pub last_used: Instant,
    /// Whether the first request went out together with the functions; the first exchange then only reads the reply.
    first_request_sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The process group, which contains everything that the shell runs.
    pub group: u32,
    /// The process id.
    pub pid: u32,
    /// Start time in kernel ticks since boot: distinguishes the shell from a later process with the same id.
    pub start: Option<u64>,
}

impl Identity {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (group, pid) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { group, pid, start: words.next().and_then(|word| word.parse().ok()) })
    }
}

impl Shell {
    /// Sends the functions to a new shell and waits for its greeting. Anything printed before (a banner of a profile)
    /// is ignored. `first` is sent along to save a round trip: the caller must exchange that very request first and
    /// without a payload, and the request must be read-only, since it runs even if nobody waits for the answer.
    pub async fn start(
        mut streams: Streams,
        mode: Mode,
        first: Option<&Frame>,
        deadline: Instant,
    ) -> Result<Self, ExchangeError> {
        let mut frame = Frame::new();
        frame.add_part("_ro_hello".to_owned());
        let mut text = mode.encode(format!("{LIBRARY}\n{}", frame.text(false)));
        text.extend(first.map(|first| mode.encode(first.text(false))).unwrap_or_default());
        // Written by every `send` of these streams, since the answer may come before the shell has taken all of it.
        streams.unsent.extend(text);
        let done = streams.send(&frame, &[], None, ExchangeOptions::until(deadline)).await?;
        let answer = done.first().map(|d| (d.stdout.text(), d.stderr.text())).unwrap_or_default();
        let Some(identity) = Identity::read(&answer.0) else {
            return Err(ExchangeError {
                last_output: format!("{}\n{}", answer.0, answer.1),
                ..ExchangeError::default()
            });
        };
        Ok(Self { streams, mode, identity, last_used: Instant::now(), first_request_sent: first.is_some() })
    }

    /// Sends a request and reads its reply: one [`CommandOutput`] for each part. Fewer mean that follow-up parts went
    /// unanswered; the shell must not be used again then. A payload needs a shell in [`Mode::Lines`], which takes no
    /// further request.
    pub async fn exchange(
        &mut self,
        frame: &Frame,
        payload: Option<&Content>,
        options: ExchangeOptions<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        let sent = std::mem::take(&mut self.first_request_sent);
        let text = if sent { Vec::new() } else { self.mode.encode(frame.text(payload.is_some())) };
        let done = self.streams.send(frame, &text, payload, options).await?;
        self.last_used = Instant::now();
        Ok(done)
    }

    /// Whether the shell can take another request.
    pub fn is_reusable(&self) -> bool {
        self.mode == Mode::Program
    }

    /// Whether the shell has already ended, as far as its standard output shows. Drops output that no request asked
    /// for.
    pub fn has_ended(&mut self) -> bool {
        let mut buffer = [0; 4096];
        while let Some(read) = self.streams.stdout.read(&mut buffer).now_or_never() {
            if !matches!(read, Ok(count) if count > 0) {
                return true;
            }
        }
        false
    }

    /// Whether the shell answers an empty request before the deadline.
    pub async fn answers(&mut self, deadline: Instant) -> bool {
        self.exchange(&Frame::new(), None, ExchangeOptions::until(deadline)).await.is_ok()
    }
}

impl Streams {
    /// Sends `text` and then `payload`, which closes standard input. Reads until all parts of `frame` have ended, or at
    /// least the required ones.
    async fn send(
        &mut self,
        frame: &Frame,
        text: &[u8],
        payload: Option<&Content>,
        options: ExchangeOptions<'_>,
    ) -> Result<Vec<CommandOutput>, ExchangeError> {
        let mut reply = Reply::new(frame);
        let Self { stdin, stdout, stderr, unsent, .. } = self;
        let write = async {
            // Write errors are ignored: a shell that has ended shows on its output streams too, with more detail.
            if let Some(stdin) = stdin {
                let _ = stdin.write_all_buf(unsent).await;
                let _ = stdin.write_all(text).await;
                if let Some(payload) = payload {
                    // The host checks the size, and reports when the file shrank meanwhile.
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
            let complete = reply.read_each(frame.required_parts(), stdout, stderr, options).await;
            if complete == Ok(true) && frame.part_count() > frame.required_parts() {
                let deadline = Instant::now() + FOLLOW_UP_TIMEOUT;
                let deadline = if options.timeouts.is_empty() { deadline.min(options.deadline) } else { deadline };
                let _ = timeout_at(deadline, reply.read(frame.part_count(), stdout, stderr, &|_| {})).await;
            }
            complete
        };
        let complete = tokio::select! {
            complete = read => complete,
            () = write => Ok(false),
        };
        match complete {
            Ok(true) => Ok(reply.into_outputs()),
            ended => Err(ExchangeError {
                timed_out: ended.is_err(),
                last_output: reply.last_output(),
                excess: reply.excess(),
            }),
        }
    }
}
