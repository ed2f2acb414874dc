//! The program's own diagnostics on stderr, with secrets masked: the log that `RUST_LOG` turns on, and panic messages.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::secret::shown;

/// Installs the panic hook, and the log if `RUST_LOG` is set.
pub fn start() {
    std::panic::set_hook(Box::new(|info| {
        match crate::defect::note_panic(info.location()) {
            // The unit reports this panic to the user, so the details go only to the log.
            true => tracing::error!("{}", panic_report(info)),
            false => drop(Entry::default().write_all(panic_report(info).as_bytes())),
        }
    }));
    if std::env::var_os(EnvFilter::DEFAULT_ENV).is_some() {
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_writer(Entries);
        // Fails only if a logger is already installed.
        let _ = log.with_ansi(false).try_init();
    }
}

fn panic_report(info: &PanicHookInfo<'_>) -> String {
    let trace = Backtrace::capture();
    let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}") } else { String::new() };
    let thread = std::thread::current();
    format!("thread '{}' {info}\nthis is a defect of rollout\n{trace}", thread.name().unwrap_or_default())
}

/// Makes an [`Entry`] for each log message.
struct Entries;

impl<'a> MakeWriter<'a> for Entries {
    type Writer = Entry;

    fn make_writer(&'a self) -> Entry {
        Entry::default()
    }
}

/// Buffers one log message and writes it when dropped. Written piece by piece, a secret could be cut in two and escape
/// the redactor.
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
        // A closed stderr is no error.
        let _ = io::stderr().lock().write_all(shown(&text).as_bytes());
    }
}
