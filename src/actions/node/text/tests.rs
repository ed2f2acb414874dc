use super::super::testing::{at, blocked, file, is_same};
use super::edit::Editor;
use super::*;
use crate::actions::Verdict;
use crate::actions::node::content::tests::regular;
use crate::connect::Effect;
use crate::connect::host::Effect as HostEffect;
use crate::connect::host::{Attributes, File, FileKind};

fn spliced(before: &str, at: usize, count: usize, new: &[&str]) -> String {
    let mut text = Text::new(before);
    text.splice(at, count, new.iter().copied());
    text.to_string()
}

#[test]
fn line_endings_stay_as_they_are() {
    assert_eq!(spliced("a\r\nb\r\n", 1, 0, &["x"]), "a\r\nx\r\nb\r\n");
    assert_eq!(spliced("a\nb\r\n", 2, 0, &["x"]), "a\nb\r\nx\n");
    assert_eq!(spliced("a\nb", 2, 0, &["x"]), "a\nb\nx\n");
    assert_eq!(spliced("a\nb", 1, 1, &["x"]), "a\nx");
    assert_eq!(spliced("a\nb", 0, 1, &["x"]), "x\nb");
    assert_eq!(spliced("a\nb", 1, 1, &[]), "a\n");
    assert_eq!(spliced("", 0, 0, &["x"]), "x\n");
    assert_eq!(spliced("a\nb\r\nc\n", 1, 1, &["x"]), "a\nx\r\nc\n");
    assert_eq!(spliced("a\r\nb\n", 0, 1, &["x", "y"]), "x\r\ny\r\nb\n");
    assert_eq!(spliced("\u{feff}a\r\n", 0, 0, &["x"]), "\u{feff}x\r\na\r\n");
}

#[test]
fn words_go_with_the_blanks_beside_them() {
    let without = |line: &str| without_words(line, |word| word == "x");
    assert_eq!(without("  a \t x  b  c "), "  a \t b  c ");
    assert_eq!((without("x a").as_str(), without("a  x").as_str(), without(" x x ").as_str()), ("a", "a", " "));
}

#[test]
fn bytes_that_are_no_text_stay() {
    let edit =
        Edit { path: "/x", missing: Missing::Refuse, attributes: Attributes::default(), backup: false, validate: None };
    let first: Editor<'_> = &|text| {
        text.splice(0, 1, ["b"]);
        Ok(())
    };
    for rest in [&b"caf\xe9\r\n\xff\n"[..], b"a\0b", b"\xf4\x8f\xbf\xbf\n"] {
        let whole = |start: &[u8]| File { content: Some([start, rest].concat()), ..regular("", 0o644) };
        let facts = [file(Some(whole(b"\xef\xbb\xbfa\r\n")))];
        assert!(matches!(edit.verdict(&facts, first), Verdict::Change(diff) if !diff.is_empty()));
        let Ok(Some(Effect::Host(HostEffect::WriteFile(write)))) = edit.next(&facts, &[], first) else { panic!() };
        assert_eq!(write.content.as_slice(), [&b"\xef\xbb\xbfb\r\n"[..], rest].concat());
        assert!(is_same(&edit.verdict(&[file(Some(whole(b"\xef\xbb\xbfb\r\n")))], first)));
    }
}

#[test]
fn a_new_line_has_one_place() {
    let text = Text::new("[a]\nx\n[b]\nx\n");
    let place = InsertPosition { insert: None, after: None, before: None, first_match: false };
    assert_eq!(place.index(&text).unwrap(), 4);
    assert_eq!(InsertPosition { insert: Some(Insert::Start), ..place }.index(&text).unwrap(), 0);
    let after = InsertPosition { after: Some("^x$"), ..place };
    assert_eq!(after.index(&text).unwrap(), 4);
    assert_eq!(InsertPosition { first_match: true, ..after }.index(&text).unwrap(), 2);
    let before = InsertPosition { before: Some("^x"), ..place };
    assert_eq!(before.index(&text).unwrap(), 3);
    let nowhere = InsertPosition { after: Some("^y"), ..place };
    assert!(nowhere.index(&text).unwrap_err().message.contains("no line matches `after`, which is ^y"));
    assert_eq!(nowhere.index(&Text::new("")).unwrap(), 0);
    assert_eq!(InsertPosition { insert: Some(Insert::End), ..nowhere }.index(&text).unwrap(), 4);
    assert_eq!(InsertPosition { insert: Some(Insert::Start), ..after }.index(&text).unwrap(), 4);
    assert_eq!(InsertPosition { before: Some("x"), ..after }.check().unwrap_err().pointer, "/before");
    let error = InsertPosition { before: Some("(x"), ..place }.check().unwrap_err();
    assert!(error.message.contains("unclosed group"), "{}", error.message);
}

#[test]
fn only_a_text_that_can_be_read_whole_is_edited() {
    let edit = |missing| Edit { path: "/x", missing, attributes: Attributes::default(), backup: false, validate: None };
    let push: Editor<'_> = &|text| {
        let all = text.lines().len();
        text.splice(0, all, ["x"]);
        Ok(())
    };
    let says = |seen: Option<File>| blocked(&edit(Missing::Refuse).verdict(&[file(seen)], push));
    assert!(says(None).contains("there is no /x"));
    assert!(says(Some(at(FileKind::Link("/y".into()), 0o777))).contains("link to /y"));
    assert!(says(Some(at(FileKind::Directory, 0o755))).contains("is a directory"));
    let large = File { content: None, size: 300_000, ..regular("", 0o644) };
    assert!(says(Some(large)).contains("300000 bytes; only files up to 256 KiB"));
    assert!(is_same(&edit(Missing::Fine).verdict(&[file(None)], push)));
    assert!(matches!(edit(Missing::Create).verdict(&[file(None)], push), Verdict::Change(_)));
}

#[test]
fn an_edit_that_has_no_end_blocks() {
    let edit =
        Edit { path: "/x", missing: Missing::Refuse, attributes: Attributes::default(), backup: false, validate: None };
    let grow: Editor<'_> = &|text| {
        text.splice(0, 0, ["x"]);
        Ok(())
    };
    assert!(blocked(&edit.verdict(&[file(Some(regular("", 0o644)))], grow)).contains("would change it again"));
}
