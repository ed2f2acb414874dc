//! Shortens texts for display: a host or an API may answer a line of a megabyte.

use std::borrow::Cow;

/// The most characters shown of a line.
const MAX_LINE_CHARS: usize = 500;
/// Lines kept at the beginning and at the end of a long message.
const FIRST_LINES: usize = 40;
const LAST_LINES: usize = 20;

/// Cuts long lines, and leaves out the middle of a message with too many lines. Mask secrets before: the redactor does
/// not recognise a part of a secret.
pub fn shorten(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_LINE_CHARS {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(|line| head(line, MAX_LINE_CHARS)).collect();
    let left_out = lines.len().saturating_sub(FIRST_LINES + LAST_LINES);
    if left_out == 0 {
        return Cow::Owned(lines.join("\n"));
    }
    let note = format!("[… {left_out} lines are left out here …]");
    let (first, last) = (lines.iter().take(FIRST_LINES), lines.iter().skip(FIRST_LINES + left_out));
    Cow::Owned(
        first.map(AsRef::as_ref).chain([note.as_str()]).chain(last.map(AsRef::as_ref)).collect::<Vec<_>>().join("\n"),
    )
}

/// The first characters of a text, with `…` if more follow.
pub fn head(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// The last characters of a text, with `…` if more precede.
pub fn tail(text: &str, characters: usize) -> Cow<'_, str> {
    match text.char_indices().rev().nth(characters) {
        Some((before, c)) => Cow::Owned(format!("…{}", text.get(before + c.len_utf8()..).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// About `characters` characters of a line around byte `at`, with `…` where text is left out, and the position of that
/// byte in the part.
pub fn around(line: &str, at: usize, characters: usize) -> (Cow<'_, str>, usize) {
    let at = line.floor_char_boundary(at);
    let (before, after) = line.split_at(at);
    let start = before.char_indices().rev().nth(characters / 3).map_or(0, |(start, _)| start);
    let end = after.char_indices().nth(characters - characters / 3).map_or(line.len(), |(end, _)| at + end);
    if start == 0 && end == line.len() {
        return (Cow::Borrowed(line), at);
    }
    let (first, last) = (if start > 0 { "…" } else { "" }, if end < line.len() { "…" } else { "" });
    (Cow::Owned(format!("{first}{}{last}", line.get(start..end).unwrap_or_default())), at - start + first.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_stays_and_long_lines_are_cut_between_characters() {
        assert_eq!((head("häß", 3), tail("häß", 3), shorten("a\nb")), ("häß".into(), "häß".into(), "a\nb".into()));
        assert_eq!((head("häßlich", 3), tail("häßlich", 4)), ("häß…".into(), "…lich".into()));
        let cut = shorten(&format!("x\n{}\ny", "ä".repeat(1_000_000))).into_owned();
        assert_eq!(cut, format!("x\n{}…\ny", "ä".repeat(MAX_LINE_CHARS)));
    }

    #[test]
    fn a_byte_stands_where_it_is_told_to_in_the_part_around_it() {
        let line = format!("{}XYZ{}", "ä".repeat(1000), "ö".repeat(1000));
        let (part, at) = around(&line, line.find('X').unwrap(), 12);
        assert_eq!((part.as_ref(), &part[at..at + 3]), ("…äääääXYZööööö…", "XYZ"));
        let cut = |at: usize| around(&line, at, 12);
        assert_eq!((cut(0), cut(line.len())), (("ääääääää…".into(), 0), ("…ööööö".into(), 13)));
        assert_eq!(around("short", 2, 12), ("short".into(), 2));
    }

    #[test]
    fn of_many_lines_the_middle_goes() {
        let many: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let cut = shorten(&many.join("\n")).into_owned();
        let lines: Vec<&str> = cut.lines().collect();
        assert_eq!((lines.len(), lines[0], lines[60]), (61, "line 0", "line 999"));
        assert_eq!(lines[FIRST_LINES], "[… 940 lines are left out here …]");
    }
}
