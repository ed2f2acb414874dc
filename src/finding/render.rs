//! How findings look: marked excerpts for people, plain records for programs.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode, ThemeCharacters,
};
use serde_json::{Value, json};

use super::{Finding, Findings, Severity};
use crate::secret::{redact, visible};

/// More findings than this are not read by anybody, and each costs an excerpt.
const SHOWN: usize = 100;

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Whether colours are written.
    pub color: bool,
    /// Whether lines are drawn with more than ASCII.
    pub unicode: bool,
    /// Columns.
    pub width: usize,
}

impl Findings {
    /// The findings for people, one after the other: the first hundred.
    pub fn text(&self, style: Style) -> String {
        let mut theme = if style.color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        if !style.unicode {
            theme.characters = ThemeCharacters::ascii();
        }
        let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width.max(40)).with_context_lines(1);
        let mut out = String::new();
        for finding in self.iter().take(SHOWN) {
            let mut one = String::new();
            if handler.render_report(&mut one, &Shown::new(finding)).is_err() {
                one = visible(&finding.message).into_owned();
            }
            out.push_str(&redact(one.trim_matches('\n')));
            out.push_str("\n\n");
        }
        if self.len() > SHOWN {
            out.push_str(&format!("and {} more\n\n", self.len() - SHOWN));
        }
        out
    }

    /// All findings for programs.
    pub fn json(&self) -> Value {
        self.iter().map(record).collect()
    }
}

fn record(finding: &Finding) -> Value {
    let mut record = json!({ "severity": finding.severity, "code": finding.code, "message": finding.message });
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
        record["help"] = json!(help);
    }
    record
}

/// A finding in the form that the renderer takes.
struct Shown<'a> {
    finding: &'a Finding,
    source: Option<NamedSource<String>>,
}

impl<'a> Shown<'a> {
    fn new(finding: &'a Finding) -> Self {
        let source = finding.place.as_ref().map(|p| {
            NamedSource::new(visible(&p.source.path.display().to_string()), visible(&p.source.text).into_owned())
                .with_language("TOML")
        });
        Self { finding, source }
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.finding.message))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.finding.message))
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.finding.help.as_ref().map(|h| Box::new(visible(h)) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|s| s as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.finding.place.as_ref()?;
        let size = place.source.text.len();
        let labels = place.labels.iter().enumerate().map(move |(n, (span, label))| {
            let start = span.start.min(size);
            // The excerpt of a long value would be the whole file: the first line says enough.
            let text = place.source.text.get(start..span.end.min(size)).unwrap_or_default();
            let length = text.lines().next().map_or(0, |line| visible(line).len());
            // What is made visible is longer.
            let start = place.source.text.get(..start).map_or(start, |before| visible(before).len());
            let label = (!label.is_empty()).then(|| visible(label).into_owned());
            if n == 0 {
                LabeledSpan::new_primary_with_span(label, (start, length))
            } else {
                LabeledSpan::new_with_span(label, (start, length))
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
