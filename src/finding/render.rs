//! Renders findings: as marked excerpts of the file for people, as records for JSON.

use std::borrow::Cow;
use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, NamedSource,
    SourceCode, SourceSpan, SpanContents, ThemeCharacters,
};
use serde_json::{Value, json};

use super::{Finding, Findings, Location, Severity};
use crate::excerpt::{around, head, shorten, tail};
use crate::secret::{redact, visible};

/// The most findings in a text: nobody reads more, and each one costs an excerpt.
const MAX_FINDINGS: usize = 100;

/// The longest line that is shown in full, in bytes.
const MAX_LINE_CHARS: usize = 240;
/// Characters shown of a longer line, around the labelled place.
const CONTEXT_CHARS: usize = 120;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Whether to draw with Unicode characters instead of ASCII.
    pub unicode: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Findings {
    /// The first hundred findings as text.
    pub fn text(&self, style: Style) -> String {
        let mut theme = if style.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        if !style.unicode {
            theme.characters = ThemeCharacters::ascii();
        }
        let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width.max(40)).with_context_lines(1);
        let mut out = String::new();
        for finding in self.iter().take(MAX_FINDINGS) {
            let mut one = String::new();
            if handler.render_report(&mut one, &Report::new(finding)).is_err() {
                one = sanitized(&finding.message);
            }
            out.push_str(&redact(one.trim_matches('\n')));
            out.push_str("\n\n");
        }
        if self.len() > MAX_FINDINGS {
            out.push_str(&format!("and {} more\n\n", self.len() - MAX_FINDINGS));
        }
        out
    }

    /// All findings as JSON records.
    pub fn json(&self) -> Value {
        self.iter().map(json_record).collect()
    }
}

fn json_record(finding: &Finding) -> Value {
    let mut record =
        json!({ "severity": finding.severity, "code": finding.code, "message": shortened(&finding.message) });
    if let Some(place) = &finding.place
        && let Some((span, label)) = place.labels.first()
    {
        let (line, column) = place.source.position(span.start);
        let (end_line, end_column) = place.source.position(span.end);
        record["file"] = json!(place.source.path);
        record["line"] = json!(line);
        record["column"] = json!(column);
        record["end_line"] = json!(end_line);
        record["end_column"] = json!(end_column);
        if !label.is_empty() {
            record["label"] = json!(label);
        }
    }
    if let Some(help) = &finding.help {
        record["help"] = json!(shortened(help));
    }
    record
}

/// A finding as a `miette` diagnostic.
struct Report<'a> {
    finding: &'a Finding,
    source: Option<Excerpt>,
}

impl<'a> Report<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self { finding, source: finding.place.as_ref().map(Excerpt::new) }
    }
}

/// The text of a file for display: control characters are escaped, and long lines are cut to the part around the
/// labels.
struct Excerpt {
    text: NamedSource<String>,
    /// Start and length of each label, in bytes of the displayed text.
    spans: Vec<(usize, usize)>,
    /// Column of each label in the file, from 0.
    columns: Vec<usize>,
}

impl Excerpt {
    fn new(place: &Location) -> Self {
        let whole = &place.source.text;
        let starts: Vec<usize> = place.labels.iter().map(|(span, _)| span.start.min(whole.len())).collect();
        let mut spans = vec![(0, 0); starts.len()];
        let (mut text, mut begin) = (String::new(), 0);
        let lines = whole.split_inclusive('\n').map(|line| (line.trim_end_matches('\n'), line.len()));
        // A text that ends with a line break has an empty last line, which a label may point to.
        for (line, length) in lines.chain([("", 1)]) {
            let here = |at: usize| (begin..begin + length).contains(&at);
            let labelled: Vec<usize> = (0..starts.len()).filter(|n| here(starts[*n])).collect();
            let at = labelled.first().map_or(0, |n| (starts[*n] - begin).min(line.len()));
            let (part, at) = shown_part(line, at);
            // Maps a byte of the line to a byte of its shown part.
            let shown_byte = |byte: usize| (byte + at.1).saturating_sub(at.0).min(part.len());
            for n in labelled {
                let span = &place.labels[n].0;
                let from = part.floor_char_boundary(shown_byte(starts[n] - begin));
                // The excerpt of a long value would be the whole file: its first line says enough.
                let to = part
                    .floor_char_boundary(shown_byte(span.end.min(begin + line.len()).saturating_sub(begin)))
                    .max(from);
                spans[n] = (text.len() + visible(&part[..from]).len(), visible(&part[from..to]).len());
            }
            text.push_str(&visible(&part));
            text.push_str(if begin < whole.len() { "\n" } else { "" });
            begin += length;
        }
        let columns = starts.iter().map(|start| place.source.position(*start).1 - 1).collect();
        let name = visible(&place.source.path.display().to_string()).into_owned();
        Self { text: NamedSource::new(name, text).with_language("TOML"), spans, columns }
    }
}

/// What is shown of a line, and a byte of the line with the byte of the part that it has become.
fn shown_part(line: &str, at: usize) -> (Cow<'_, str>, (usize, usize)) {
    if line.len() <= MAX_LINE_CHARS {
        return (line.into(), (0, 0));
    }
    // A part of a secret would escape the redactor, so the whole line is masked first.
    let masked = redact(line);
    if masked != line {
        return (head(&masked, CONTEXT_CHARS).into_owned().into(), (0, 0));
    }
    let (part, now) = around(line, at, CONTEXT_CHARS);
    (part, (line.floor_char_boundary(at), now))
}

impl SourceCode for Excerpt {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let found = self.text.read_span(span, before, after)?;
        // A span without context is the one in the header, which shows the column in the file.
        let label = self.spans.iter().position(|(start, _)| *start == span.offset());
        let column = label.filter(|_| before == 0 && after == 0).and_then(|n| self.columns.get(n).copied());
        let column = column.unwrap_or(found.column());
        let (name, data, span) = (self.text.name().to_owned(), found.data(), *found.span());
        Ok(Box::new(MietteSpanContents::new_named(name, data, span, found.line(), column, found.line_count())))
    }
}

/// The text cut to a readable length, with control characters escaped and secrets masked.
fn sanitized(text: &str) -> String {
    shortened(&visible(text))
}

/// The text cut to a readable length, with secrets masked.
fn shortened(text: &str) -> String {
    let text = redact(text);
    // Keeps the end of a long line, too: a message states the fault after the name.
    let line = |line: &str| match line.len() > 2 * MAX_LINE_CHARS {
        true => format!("{}{}", head(line, MAX_LINE_CHARS), tail(line, CONTEXT_CHARS).trim_start_matches('…')),
        false => line.to_owned(),
    };
    shorten(&text.split('\n').map(line).collect::<Vec<_>>().join("\n")).into_owned()
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitized(&self.finding.message))
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sanitized(&self.finding.message))
    }
}

impl std::error::Error for Report<'_> {}

impl Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.finding.help.as_ref().map(|h| Box::new(sanitized(h)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (place, source) = (self.finding.place.as_ref()?, self.source.as_ref()?);
        let labels = place.labels.iter().zip(&source.spans).enumerate().map(|(n, ((_, label), span))| {
            let label = (!label.is_empty()).then(|| sanitized(label));
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, *span)
            } else {
                LabeledSpan::new_with_span(label, *span)
            }
        });
        Some(Box::new(labels))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Source;
    use super::*;

    fn finding() -> Findings {
        let source =
            Arc::new(Source { path: "plans/a.toml".into(), text: "x = 1\nactoin = \"ü\"\ny = 2\nz = 3\n".into() });
        Finding::error("unknown-key", "`actoin` is not a key of a step")
            .at(&source, 6..12, "this")
            .help("did you mean `action`?")
            .into()
    }

    #[test]
    fn people_see_the_place_marked() {
        let style = Style { color: false, unicode: true, width: 80 };
        insta::assert_snapshot!(finding().text(style), @r#"
         × `actoin` is not a key of a step
          ╭─[plans/a.toml:2:1]
        1 │ x = 1
        2 │ actoin = "ü"
          · ───┬──
          ·    ╰── this
        3 │ y = 2
          ╰────
         help: did you mean `action`?
        "#);
        let style = Style { color: false, unicode: false, width: 40 };
        insta::assert_snapshot!(finding().text(style), @r#"
         x `actoin` is not a key of a step
          ,-[plans/a.toml:2:1]
        1 | x = 1
        2 | actoin = "ü"
          : ^^^|^^
          :    `-- this
        3 | y = 2
          `----
         help: did you mean `action`?
        "#);
        assert!(finding().text(Style { color: true, unicode: true, width: 80 }).contains("\u{1b}["));
    }

    #[test]
    fn control_characters_are_seen_and_the_mark_stands_below_what_is_meant() {
        let text = "a = \"\x1b[2J\r\"\nactoin = 1\n\x1b[1mactoin = 2\n";
        let source = Arc::new(Source { path: "p\x1b[2J.toml".into(), text: text.into() });
        let at = text.rfind("actoin").unwrap();
        let finding = Finding::error("x", "no \x1b[2Jkey\r").at(&source, at..at + 6, "this\x07").help("hm\x08");
        let shown = Findings::from(finding).text(Style { color: true, unicode: true, width: 80 });
        let shown = crate::secret::visible_but_colours(&shown);
        assert!(!shown.contains("\x1b[2J") && !shown.contains(['\r', '\x07', '\x08']), "{shown:?}");
        let plain = anstream::adapter::strip_str(&shown).to_string();
        assert!(plain.contains("\\x1b[1mactoin = 2") && plain.contains("no \\x1b[2Jkey"), "{plain}");
        let lines: Vec<&str> = plain.lines().collect();
        let marked = lines.iter().position(|line| line.contains("actoin = 2")).unwrap();
        let column = |line: &str, what: &str| line.find(what).map(|at| line[..at].chars().count());
        assert_eq!(column(lines[marked + 1], "───"), column(lines[marked], "actoin"), "{plain}");
    }

    #[test]
    fn of_a_long_line_people_see_the_part_that_is_meant() {
        let text = format!("a = 1\nb = \"{}wrong{}\"\nc = 3\n", "ü".repeat(5000), "ö".repeat(5000));
        let source = Arc::new(Source { path: "a.toml".into(), text: text.clone() });
        let at = text.find("wrong").unwrap();
        let finding = Findings::from(Finding::error("x", "y".repeat(9000)).at(&source, at..at + 5, "this"));
        let text = finding.text(Style { color: false, unicode: true, width: 80 });
        let lines: Vec<&str> = text.lines().collect();
        let place = lines.iter().position(|line| line.contains("a.toml")).unwrap();
        assert!(lines[place].contains("[a.toml:2:5006]"), "{text}");
        assert_eq!(lines[place + 1], " 1 │ a = 1");
        let (shown, marked) = (lines[place + 2], lines[place + 3]);
        assert_eq!(shown, format!(" 2 │ …{}wrong{}…", "ü".repeat(41), "ö".repeat(75)));
        let column = |line: &str, what: &str| line.find(what).map(|at| line[..at].chars().count());
        assert_eq!(column(marked, "──┬──"), column(shown, "wrong"));
        assert!(text.len() < 3000 && finding.json().to_string().len() < 3000);
    }

    #[test]
    fn the_part_of_a_long_line_shows_no_part_of_a_secret() {
        let secret = "Losung-4711-".repeat(20);
        crate::secret::register(&secret);
        let text = format!("token = \"{secret}{}\"", "x".repeat(500));
        let source = Arc::new(Source { path: "a.toml".into(), text: text.clone() });
        for at in [0, 9, 100, 300] {
            let shown = Findings::from(Finding::error("x", "y").at(&source, at..at + 1, "")).text(STYLE);
            assert!(!shown.contains("4711"), "{shown}");
        }
    }

    const STYLE: Style = Style { color: false, unicode: true, width: 80 };

    #[test]
    fn people_see_a_hundred_and_how_many_more() {
        let mut many = Findings::new();
        many.extend((0..250).map(|n| Finding::error("x", format!("number {n}"))));
        let text = many.text(Style { color: false, unicode: true, width: 80 });
        assert!(text.contains("number 99\n") && !text.contains("number 100\n") && text.ends_with("and 150 more\n\n"));
        assert_eq!(many.json().as_array().map(Vec::len), Some(250));
    }

    #[test]
    fn programs_see_line_and_column() {
        let json = finding().json();
        assert_eq!((&json[0]["line"], &json[0]["column"], &json[0]["end_column"]), (&json!(2), &json!(1), &json!(7)));
        assert_eq!(json[0]["file"], "plans/a.toml");
    }
}
