//! Reads the reply to a request from the two output streams of a shell, within the timeouts of its parts.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::frame::Frame;
use super::splitter::Splitter;
use super::types::CommandOutput;
use crate::connect::deadline_after;

/// How long to read the standard error of a shell that has ended.
pub const STDERR_DELAY: Duration = Duration::from_millis(300);

/// Shortest time between two progress lines of a running command.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// An output stream of a shell.
pub type Reader = BufReader<Box<dyn AsyncRead + Send + Sync + Unpin>>;

/// Why a request got no complete reply.
#[derive(Debug, Default)]
pub struct ExchangeError {
    /// Whether the deadline passed; otherwise the shell ended.
    pub timed_out: bool,
    /// The last lines printed.
    pub last_output: String,
    /// The limit that the answers exceeded, if that is why.
    pub excess: Option<String>,
}

/// Timeouts of an exchange, and callbacks for what arrives meanwhile.
#[derive(Clone, Copy)]
pub struct ExchangeOptions<'a> {
    /// Deadline for all required parts, unless `timeouts` has one for the part.
    pub deadline: Instant,
    /// Timeout of each required part, counted from the end of the part before it.
    pub timeouts: &'a [Duration],
    /// Called with lines as they are printed.
    pub on_line: OnLine<'a>,
    /// Called with the number and output of each required part as soon as the part has ended.
    pub on_part: Option<OnPart<'a>>,
}

/// Callback for progress lines.
pub type OnLine<'a> = &'a (dyn Fn(String) + Send + Sync);

/// Callback for parts that have ended: their number and output.
pub type OnPart<'a> = &'a (dyn Fn(usize, CommandOutput) + Send + Sync);

impl ExchangeOptions<'_> {
    /// A deadline alone, without callbacks.
    pub fn until(deadline: Instant) -> Self {
        Self { deadline, timeouts: &[], on_line: &|_| {}, on_part: None }
    }
}

/// The reply to one request, as far as it has arrived.
pub struct Reply {
    out: Splitter,
    err: Splitter,
    /// The stream that was read last since a progress line was shown (`true`: standard output). A line that arrives
    /// together with the end of a part may belong to the next part, so it is looked at before the other stream's.
    unshown: Option<bool>,
    /// When the next progress line may be shown: masking secrets in each line of a flood would take long.
    next_line_at: Instant,
}

impl Reply {
    pub fn new(frame: &Frame) -> Self {
        Self { out: frame.splitter(), err: frame.splitter(), unshown: None, next_line_at: Instant::now() }
    }

    /// Reads both streams until `parts` parts have ended, each within its timeout; `false` when a stream ended too
    /// early.
    pub async fn read_each(
        &mut self,
        parts: usize,
        stdout: &mut Reader,
        stderr: &mut Reader,
        options: ExchangeOptions<'_>,
    ) -> Result<bool, Elapsed> {
        let mut deadline = options.deadline;
        for part in 0..parts {
            if let Some(timeout) = options.timeouts.get(part) {
                deadline = deadline_after(*timeout);
            }
            if !timeout_at(deadline, self.read(part + 1, stdout, stderr, options.on_line)).await? {
                return Ok(false);
            }
            if let (Some(on_part), Some(done)) = (options.on_part, Splitter::output_of(&self.out, &self.err, part)) {
                on_part(part, done);
            }
        }
        // Without required parts, this waits for the marker by which the shell accepts the request.
        timeout_at(deadline, self.read(parts, stdout, stderr, options.on_line)).await
    }

    /// Reads both streams until `parts` parts have ended; `false` when a stream ended too early.
    pub async fn read(&mut self, parts: usize, stdout: &mut Reader, stderr: &mut Reader, line: OnLine<'_>) -> bool {
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
                        self.unshown = Some(true);
                    }
                    // A follow-up part may end the shell after all required parts are complete.
                    _ => { self.drain(stderr).await; return self.out.has(parts) && self.err.has(parts) }
                },
                read = stderr.fill_buf(), if err_open && !self.err.complete() => match read {
                    Ok(bytes) if !bytes.is_empty() => {
                        let taken = self.err.push(bytes);
                        stderr.consume(taken);
                        self.unshown = Some(false);
                    }
                    _ => err_open = false,
                },
                () = sleep_until(self.next_line_at), if self.unshown.is_some() => {
                    let streams = if self.unshown.take() == Some(true) { [&self.out, &self.err] } else { [&self.err, &self.out] };
                    let running = |stream: &&&Splitter| stream.accepted() && !stream.complete();
                    if let Some(last) = streams.iter().filter(running).find_map(|stream| stream.current_line()) {
                        line(last);
                    }
                    self.next_line_at = Instant::now() + PROGRESS_INTERVAL;
                }
                else => return false,
            }
        }
        true
    }

    /// Reads what remains on standard error of a shell that has ended. Bounded by a timeout, since a background process
    /// may hold the stream open.
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

    pub fn excess(&self) -> Option<String> {
        self.out.excess().or_else(|| self.err.excess())
    }

    pub fn last_output(&self) -> String {
        if self.out.accepted() {
            let lines = [self.out.last_line(), self.err.last_line()];
            return lines.into_iter().flatten().collect::<Vec<_>>().join("\n");
        }
        format!("{}\n{}", self.out.unframed(), self.err.unframed()).trim().to_owned()
    }

    /// The outputs of all parts that have ended.
    pub fn into_outputs(self) -> Vec<CommandOutput> {
        Splitter::join(self.out, self.err)
    }
}
