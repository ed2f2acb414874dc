//! Output to the terminal: data goes to stdout, everything else to stderr.
//!
//! Colours are always written into the text; the stream removes them for `NO_COLOR`, `--color never` and pipes. Secrets
//! are masked, and control characters are written as escapes. Foreign text is made visible where it is put into a
//! message (see [`crate::secret::shown`]); this module does it again as a safety net.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style as Ansi};
use serde::Serialize;

use super::options::{Color, Format};
use crate::event::Problem;
use crate::finding::{Findings, Severity, Style};
use crate::secret::{redact, redact_value, shown, visible_but_colours, visible_json};

/// For errors.
pub const RED: Ansi = AnsiColor::Red.on_default().bold();
/// For warnings.
pub const YELLOW: Ansi = AnsiColor::Yellow.on_default();
/// For success.
pub const GREEN: Ansi = AnsiColor::Green.on_default();
/// For names, paths and hints.
pub const CYAN: Ansi = AnsiColor::Cyan.on_default();
/// For details.
pub const DIM: Ansi = Ansi::new().dimmed();
/// For headings.
pub const BOLD: Ansi = Ansi::new().bold();

/// The output of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Text for people, or JSON for programs.
    pub format: Format,
}

impl Terminal {
    /// Sets the colour mode of the whole program.
    pub fn new(format: Format, color: Color) -> Self {
        match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
        Self { format }
    }

    /// Writes data to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written, for example because the reader has closed the pipe.
    pub fn data(&self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        out.write_all(sanitize(text).as_bytes())?;
        out.flush()
    }

    /// Writes a JSON document to stdout.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub fn json(&self, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_string_pretty(&redact_value(serde_json::to_value(value)?))?;
        self.data(&format!("{}\n", visible_json(&text)))
    }

    /// Writes to stderr. A closed stderr is no error.
    pub fn note(&self, text: &str) {
        let mut err = anstream::stderr().lock();
        let _unread = err.write_all(sanitize(text).as_bytes()).and_then(|()| err.flush());
    }

    /// Shows findings: as a JSON document on stdout, or as text with their count on stderr.
    pub fn findings(&self, findings: &Findings) {
        if self.format == Format::Json {
            // The exit code tells it too, if stdout is closed.
            let _unread = self.json(&serde_json::json!({ "ok": !findings.has_errors(), "findings": findings.json() }));
            return;
        }
        self.warnings(findings);
    }

    /// Shows findings as text with their count on stderr, whatever the output format.
    pub fn warnings(&self, findings: &Findings) {
        if findings.is_empty() {
            return;
        }
        self.note(&findings.text(style()));
        let count = |severity, style: Ansi, word: &str| {
            let n = findings.count(severity);
            (n > 0).then(|| format!("{style}{n} {word}{}{style:#}", if n == 1 { "" } else { "s" }))
        };
        let counts = [count(Severity::Error, RED, "error"), count(Severity::Warning, YELLOW, "warning")];
        self.note(&format!("{}\n", counts.into_iter().flatten().collect::<Vec<_>>().join(", ")));
    }

    /// Shows why the program ends: as text on stderr, or as a JSON document on stdout.
    pub fn problem(&self, problem: &Problem) {
        if self.format == Format::Json {
            let _unread = self.json(&serde_json::json!({ "ok": false, "error": problem }));
            return;
        }
        let hint = problem.hint.as_ref().map(|h| format!("\n{CYAN}hint:{CYAN:#} {}\n", shown(h))).unwrap_or_default();
        self.note(&format!("{RED}error:{RED:#} {}\n{hint}", shown(&problem.message)));
    }
}

/// The text with control characters made visible and secrets masked; colours stay.
fn sanitize(text: &str) -> String {
    redact(&visible_but_colours(text)).into_owned()
}

fn style() -> Style {
    let width = terminal_size::terminal_size_of(io::stderr()).map_or(100, |(width, _)| width.0);
    Style { color: true, unicode: is_utf8(), width: usize::from(width).min(120) }
}

fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|v: &String| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}
