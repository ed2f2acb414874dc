//! Writes control characters as escapes, so that text from hosts, plans and files cannot control the terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with escapes for all characters that are invisible or control a terminal: control characters except line
/// breaks and tabs, marks of text direction, and characters without width.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |out, character| {
        let code = u32::from(character);
        let _ = if code < 0x80 { write!(out, "\\x{code:02x}") } else { write!(out, "\\u{{{code:x}}}") };
    })
}

/// [`visible`] for text with our own colours, which stay. A last safety net before the terminal, below the code that
/// composes the text.
pub fn visible_but_colours(text: &str) -> Cow<'_, str> {
    let is_colour = |(at, _)| colour_length(&text[at..]) > 0;
    if !text.contains(|c| is_hidden(c) && c != '\x1b') && text.match_indices('\x1b').all(is_colour) {
        return Cow::Borrowed(text);
    }
    let (mut out, mut done) = (String::with_capacity(text.len() + 16), 0);
    for (at, _) in text.match_indices('\x1b') {
        let length = colour_length(&text[at..]);
        if length > 0 {
            out.push_str(&visible(&text[done..at]));
            out.push_str(&text[at..at + length]);
            done = at + length;
        }
    }
    out.push_str(&visible(&text[done..]));
    Cow::Owned(out)
}

/// Length of the colour sequence at the start of the text; 0 if there is none.
fn colour_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let numbers = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b';')).count();
    if rest[numbers..].starts_with('m') { 2 + numbers + 1 } else { 0 }
}

/// [`visible`] for JSON text, which stays valid JSON. JSON itself escapes only some of these characters.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escaped(json, |out, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}");
        }
    })
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let Some(first) = text.find(is_hidden) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for character in text[first..].chars() {
        if is_hidden(character) {
            escape(&mut out, character);
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

fn is_hidden(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => true,
        '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_written_down() {
        let text = "a\tb\r\n\x1b[31mred\x1b[0m\0\x7f\u{9b}2J\u{202e}x\u{200b}é😀\u{e0041}";
        let shown = "a\tb\\x0d\n\\x1b[31mred\\x1b[0m\\x00\\x7f\\u{9b}2J\\u{202e}x\\u{200b}é😀\\u{e0041}";
        assert_eq!(visible(text), shown);
        assert_eq!(visible(shown), shown);
        assert!(matches!(visible("plain é\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn colours_of_ours_stay() {
        let text = "\x1b[31m\x1b[1;4mred\x1b[0m\n";
        assert!(matches!(visible_but_colours(text), Cow::Borrowed(_)));
        assert_eq!(visible_but_colours("\x1b[31ma\x1b[2J\rb\x1b[0m"), "\x1b[31ma\\x1b[2J\\x0db\x1b[0m");
        assert_eq!(visible_but_colours("\x1b[2J"), "\\x1b[2J");
    }

    #[test]
    fn json_stays_what_it_is() {
        let value = serde_json::json!({ "k\u{7f}": "a\x1b\n\u{9b}\u{202e}\u{e0041}é" });
        let json = serde_json::to_string(&value).unwrap();
        let shown = visible_json(&json);
        assert!(!shown.chars().any(|c| is_hidden(c) || c == '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
