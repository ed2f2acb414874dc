//! Becoming root on a host, by sudo where the user is not root already.
//!
//! Where sudo has a password, it reads it from the shell's standard input. It is sent only after sudo has asked for it, in
//! words that nothing else can print, and nothing more is sent before a root's shell has said that it is there. So neither
//! can a shell take the password for a command, nor sudo a command for a password. A password that was refused is not
//! tried again: accounts may be locked after a few.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::frame::nonce;
use super::link::{Link, NotStarted};
use super::shell::{ExchangeError, STDERR_DELAY, Streams};
use super::text;
use crate::connect::ConnectError;
use crate::secret::Secret;

/// How long sudo has to ask, and again to answer: a wrong password takes it some seconds.
const SUDO_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest password that every sudo reads whole, bytes; the shell would read the rest.
const MAX_PASSWORD_BYTES: usize = 255;
/// How much of what is printed meanwhile is looked at, bytes.
const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// Why there is no shell.
#[derive(Debug)]
pub enum NotOpened {
    /// The host allows no more sessions on the connection.
    Full,
    /// The connection is of no use any more.
    Lost(ConnectError),
    /// It ended, or time did, before it could be used.
    Silent(ExchangeError),
    /// It would be the same again.
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

/// What is known of a host's password.
#[derive(Default)]
enum SudoState {
    #[default]
    Nothing,
    Good,
    Refused(ConnectError),
}

/// What is known of becoming root on a host.
#[derive(Default)]
pub struct Sudo(Mutex<SudoState>);

impl Sudo {
    /// Starts `sh ARGUMENTS`, as root when asked for; `password` is for sudo, and `host` for messages. The shell has read
    /// nothing yet.
    ///
    /// The login shell only ever sees one line of words in single quotes, which every kind of shell understands.
    pub async fn start(
        &self,
        link: &Link,
        arguments: &str,
        (as_root, password): (bool, Option<&Secret>),
        host: &str,
        by: Instant,
    ) -> Result<Streams, NotOpened> {
        let Some(password) = password.filter(|_| as_root) else {
            let line = if as_root { without_password(arguments) } else { format!("exec sh {arguments}") };
            return in_time(by, link.start(line)).await;
        };
        // As long as nothing is known of it, one tries it and the others wait.
        let Ok(known) = timeout_at(by, self.0.lock()).await else { return Err(late("")) };
        if let SudoState::Refused(error) = &*known {
            return Err(NotOpened::Refused(error.clone()));
        }
        let first = matches!(*known, SudoState::Nothing).then_some(known);
        let opened = with_password(link, arguments, password, host, by).await;
        if let Some(mut known) = first {
            match &opened {
                Ok(_) => *known = SudoState::Good,
                Err(NotOpened::Refused(error)) => *known = SudoState::Refused(error.clone()),
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

/// What is printed when sudo asks and when the shell is there. Whoever prints the line that we run, as `set -x` does,
/// prints neither: sudo makes `%%` one, and the shell joins two words.
struct Words(String);

impl Words {
    fn asks(&self) -> String {
        format!("{}%:", self.0)
    }

    fn begun(&self) -> String {
        format!("{}begun", self.0)
    }

    fn line(&self, arguments: &str) -> String {
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
    by: Instant,
) -> Result<Streams, NotOpened> {
    if password.expose().len() > MAX_PASSWORD_BYTES || password.expose().contains(['\n', '\r', '\0']) {
        return Err(NotOpened::Refused(text::no_password(host, MAX_PASSWORD_BYTES)));
    }
    let words = Words(nonce());
    let mut streams = in_time(by, link.start(words.line(arguments))).await?;
    let mut asked = false;
    loop {
        match streams.wait_for(&words, by.min(Instant::now() + SUDO_TIMEOUT)).await {
            Heard::Begun => return Ok(streams),
            Heard::Asks if !asked => {
                asked = true;
                streams.answer(password).await;
            }
            // Without an answer it gives up by itself.
            Heard::Asks => return Err(NotOpened::Refused(text::wrong_password(host))),
            // Of a lost connection nothing is known; else it has judged the password.
            Heard::Nothing(broken) if asked && !broken.deadline && link.alive().await => {
                return Err(NotOpened::Refused(text::no_root(host, &broken)));
            }
            Heard::Nothing(broken) => return Err(NotOpened::Silent(broken)),
        }
    }
}

/// What was heard first.
enum Heard {
    Asks,
    Begun,
    Nothing(ExchangeError),
}

impl Streams {
    /// Waits for one of the words among the errors; passes over all that is printed besides.
    async fn wait_for(&mut self, words: &Words, by: Instant) -> Heard {
        let (asks, begun) = (words.asks(), words.begun());
        let (mut seen, mut from_err, mut from_out) = (Vec::new(), vec![0; 4096], vec![0; 4096]);
        let (mut until, mut ended) = (by, false);
        loop {
            tokio::select! {
                read = self.stderr.read(&mut from_err) => match read {
                    Ok(count) if count > 0 => seen.extend_from_slice(&from_err[..count]),
                    _ => return nothing(&seen, false),
                },
                read = self.stdout.read(&mut from_out), if !ended => if !matches!(read, Ok(count) if count > 0) {
                    ended = true;
                    until = by.min(Instant::now() + STDERR_DELAY);
                },
                () = sleep_until(until) => return nothing(&seen, !ended),
            }
            let said = |word: &str| seen.windows(word.len()).any(|window| window == word.as_bytes());
            if said(&begun) {
                return Heard::Begun;
            }
            if said(&asks) {
                return Heard::Asks;
            }
            let excess = seen.len().saturating_sub(MAX_PROMPT_BYTES);
            seen.drain(..excess);
        }
    }

    async fn answer(&mut self, password: &Secret) {
        // That nobody reads it shows on the other streams, with more to say.
        if let Some(stdin) = &mut self.stdin {
            for bytes in [password.expose().as_bytes(), b"\n"] {
                let _ = stdin.write_all(bytes).await;
            }
            let _ = stdin.flush().await;
        }
    }
}

fn nothing(seen: &[u8], deadline: bool) -> Heard {
    Heard::Nothing(ExchangeError {
        deadline,
        seen: String::from_utf8_lossy(seen).trim().to_owned(),
        ..ExchangeError::default()
    })
}

fn late(seen: &str) -> NotOpened {
    NotOpened::Silent(ExchangeError { deadline: true, seen: seen.to_owned(), ..ExchangeError::default() })
}

async fn in_time(
    by: Instant,
    started: impl Future<Output = Result<Streams, NotStarted>>,
) -> Result<Streams, NotOpened> {
    match timeout_at(by, started).await {
        Ok(started) => Ok(started?),
        Err(_) => Err(late("the host opened no session")),
    }
}
