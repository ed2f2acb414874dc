//! What the program says of itself on stderr, secrets masked: its log, where `RUST_LOG` asks for one, and its last words
//! when it panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::secret::shown;

/// From now on.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        match crate::defect::noted(info.location()) {
            // The unit tells; the rest is for who looks for the defect.
            true => tracing::error!("{}", last_words(info)),
            false => drop(Entry::default().write_all(last_words(info).as_bytes())),
        }
    }));
    if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_writer(Entries);
        // Only a second start would fail.
        let _ = log.with_ansi(false).try_init();
    }
}

fn last_words(info: &PanicHookInfo<'_>) -> String {
    let trace = Backtrace::capture();
    let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}") } else { String::new() };
    let thread = std::thread::current();
    format!("thread '{}' {info}\nthis is a defect of rollout\n{trace}", thread.name().unwrap_or_default())
}

/// Makes an [`Entry`] for each thing that is logged.
struct Entries;

impl<'a> MakeWriter<'a> for Entries {
    type Writer = Entry;

    fn make_writer(&'a self) -> Entry {
        Entry::default()
    }
}

/// Holds back what is written until all of it is there, since a part of a secret would not be known for one.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Write for Entry {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.0);
        // Nobody may be reading it.
        let _ = io::stderr().lock().write_all(shown(&text).as_bytes());
    }
}
