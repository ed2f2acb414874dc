//! Becomes root on a host, by sudo unless the login user is root.
//!
//! A password is written to sudo's standard input, which is the shell's too. It is sent only after sudo's prompt, which
//! contains a random word that nothing else prints, and nothing more is sent before root's shell has printed its own
//! marker. So a shell can never take the password for a command, nor sudo a command for a password. A refused password
//! is not tried again: accounts may be locked after a few attempts.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::frame::nonce;
use super::link::{Link, NotStarted};
use super::messages;
use super::reply::{ExchangeError, STDERR_DELAY};
use super::shell::Streams;
use crate::connect::ConnectError;
use crate::secret::Secret;

/// Timeout for sudo's prompt, and again for its answer: sudo delays a wrong password by some seconds.
const SUDO_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer passwords are refused, bytes: some versions of sudo stop reading here, and the shell would read the rest.
const MAX_PASSWORD_BYTES: usize = 255;
/// The prompts are looked for in this many bytes at the end of standard error.
const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// Why a shell could not be started.
#[derive(Debug)]
pub enum NotOpened {
    Full,
    /// The connection is broken.
    Lost(ConnectError),
    /// The shell ended, or the deadline passed, before the shell answered.
    NoAnswer(ExchangeError),
    /// Sudo refused; a retry would fail again.
    Refused(ConnectError),
}

impl From<NotStarted> for NotOpened {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Full => Self::Full,
            NotStarted::Lost(error) => Self::Lost(error),
        }
    }
}

/// The result of the first attempt with a host's password.
#[derive(Default)]
enum SudoState {
    #[default]
    Untested,
    Accepted,
    Refused(ConnectError),
}

/// Becomes root on one host; remembers whether the password works.
#[derive(Default)]
pub struct Sudo(Mutex<SudoState>);

impl Sudo {
    /// Starts `sh ARGUMENTS`, as root if requested. `password` is for sudo, `host` for messages. The shell has read
    /// nothing yet.
    ///
    /// The login shell only ever sees one line of words in single quotes, which every kind of shell understands.
    pub async fn start(
        &self,
        link: &Link,
        arguments: &str,
        (as_root, password): (bool, Option<&Secret>),
        host: &str,
        deadline: Instant,
    ) -> Result<Streams, NotOpened> {
        let Some(password) = password.filter(|_| as_root) else {
            let line = if as_root { without_password(arguments) } else { format!("exec sh {arguments}") };
            return start_before(deadline, link.start(line)).await;
        };
        // Until the password is known to work, one caller tries it and the others wait for the lock.
        let Ok(state) = timeout_at(deadline, self.0.lock()).await else { return Err(timed_out("")) };
        if let SudoState::Refused(error) = &*state {
            return Err(NotOpened::Refused(error.clone()));
        }
        let first = matches!(*state, SudoState::Untested).then_some(state);
        let opened = with_password(link, arguments, password, host, deadline).await;
        if let Some(mut state) = first {
            match &opened {
                Ok(_) => *state = SudoState::Accepted,
                Err(NotOpened::Refused(error)) => *state = SudoState::Refused(error.clone()),
                Err(_) => {}
            }
        }
        opened
    }
}

fn without_password(arguments: &str) -> String {
    format!(
        "exec sh -c 'if [ \"$(id -u)\" = 0 ]; then exec sh \"$@\"; else exec sudo -H -n sh \"$@\"; fi' sh {arguments}"
    )
}

/// The markers printed by sudo's prompt and by root's shell, made of a random word. A shell that echoes its command
/// line, as with `set -x`, prints neither: in the command line the prompt has `%%`, which sudo turns into `%`, and the
/// shell's marker is two words, which `printf` joins.
struct Prompts(String);

impl Prompts {
    fn password_prompt(&self) -> String {
        format!("{}%:", self.0)
    }

    fn started_marker(&self) -> String {
        format!("{}begun", self.0)
    }

    fn command_line(&self, arguments: &str) -> String {
        let word = &self.0;
        format!(
            "exec sh -c 'if [ \"$(id -u)\" = 0 ]; then printf %s%s {word} begun >&2; exec sh \"$@\"; fi; \
             exec sudo -H -S -p {word}%%: sh -c \"printf %s%s {word} begun >&2; exec sh \\\"\\$@\\\"\" sh \"$@\"' \
             sh {arguments}"
        )
    }
}

async fn with_password(
    link: &Link,
    arguments: &str,
    password: &Secret,
    host: &str,
    deadline: Instant,
) -> Result<Streams, NotOpened> {
    if password.expose().len() > MAX_PASSWORD_BYTES || password.expose().contains(['\n', '\r', '\0']) {
        return Err(NotOpened::Refused(messages::unusable_password(host, MAX_PASSWORD_BYTES)));
    }
    let prompts = Prompts(nonce());
    let mut streams = start_before(deadline, link.start(prompts.command_line(arguments))).await?;
    let mut password_sent = false;
    loop {
        match streams.wait_for(&prompts, deadline.min(Instant::now() + SUDO_TIMEOUT)).await {
            SudoOutput::ShellStarted => return Ok(streams),
            SudoOutput::PasswordPrompt if !password_sent => {
                password_sent = true;
                streams.answer(password).await;
            }
            // A second prompt means that the password was wrong. Sudo ends by itself without another answer.
            SudoOutput::PasswordPrompt => return Err(NotOpened::Refused(messages::wrong_password(host))),
            // On a working connection, sudo has judged the password and ended. A lost connection says nothing about the
            // password.
            SudoOutput::Neither(error) if password_sent && !error.timed_out && link.alive().await => {
                return Err(NotOpened::Refused(messages::no_root(host, &error)));
            }
            SudoOutput::Neither(error) => return Err(NotOpened::NoAnswer(error)),
        }
    }
}

/// The first marker on standard error.
enum SudoOutput {
    PasswordPrompt,
    ShellStarted,
    Neither(ExchangeError),
}

impl Streams {
    /// Waits for one of the two markers on standard error; ignores everything else.
    async fn wait_for(&mut self, prompts: &Prompts, deadline: Instant) -> SudoOutput {
        let (prompt, started) = (prompts.password_prompt(), prompts.started_marker());
        let (mut stderr, mut from_err, mut from_out) = (Vec::new(), vec![0; 4096], vec![0; 4096]);
        let (mut until, mut ended) = (deadline, false);
        loop {
            tokio::select! {
                read = self.stderr.read(&mut from_err) => match read {
                    Ok(count) if count > 0 => stderr.extend_from_slice(&from_err[..count]),
                    _ => return neither(&stderr, false),
                },
                read = self.stdout.read(&mut from_out), if !ended => if !matches!(read, Ok(count) if count > 0) {
                    ended = true;
                    until = deadline.min(Instant::now() + STDERR_DELAY);
                },
                () = sleep_until(until) => return neither(&stderr, !ended),
            }
            let printed = |word: &str| stderr.windows(word.len()).any(|window| window == word.as_bytes());
            if printed(&started) {
                return SudoOutput::ShellStarted;
            }
            if printed(&prompt) {
                return SudoOutput::PasswordPrompt;
            }
            let excess = stderr.len().saturating_sub(MAX_PROMPT_BYTES);
            stderr.drain(..excess);
        }
    }

    async fn answer(&mut self, password: &Secret) {
        // Write errors are ignored: if sudo has ended, the output streams say more.
        if let Some(stdin) = &mut self.stdin {
            for bytes in [password.expose().as_bytes(), b"\n"] {
                let _ = stdin.write_all(bytes).await;
            }
            let _ = stdin.flush().await;
        }
    }
}

fn neither(stderr: &[u8], timed_out: bool) -> SudoOutput {
    SudoOutput::Neither(ExchangeError {
        timed_out,
        last_output: String::from_utf8_lossy(stderr).trim().to_owned(),
        ..ExchangeError::default()
    })
}

fn timed_out(stderr: &str) -> NotOpened {
    NotOpened::NoAnswer(ExchangeError { timed_out: true, last_output: stderr.to_owned(), ..ExchangeError::default() })
}

async fn start_before(
    deadline: Instant,
    started: impl Future<Output = Result<Streams, NotStarted>>,
) -> Result<Streams, NotOpened> {
    match timeout_at(deadline, started).await {
        Ok(started) => Ok(started?),
        Err(_) => Err(timed_out("the host opened no session")),
    }
}
