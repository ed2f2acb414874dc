//! Lines of `authorized_keys`: options, type, key, comment.

use super::super::text::Text;

/// A key as a line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// What is allowed with it; may be empty.
    pub options: &'a str,
    /// Its type and the key itself.
    pub key: (&'a str, &'a str),
    /// Whose it is, for people; may be empty.
    pub comment: &'a str,
}

impl<'a> Key<'a> {
    /// Reads a line; `None` when it is no key.
    pub fn read(line: &'a str) -> Option<Self> {
        let line = line.trim();
        if line.starts_with('#') {
            return None;
        }
        let (options, rest) = if is_type(line.split_whitespace().next()?) {
            ("", line)
        } else {
            let (options, rest) = line.split_at(end_of_options(line)?);
            (options, rest.trim_start())
        };
        let (kind, rest) = rest.split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (key, comment) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let whole = is_type(kind) && key.starts_with("AAAA") && key.chars().all(is_base64);
        whole.then(|| Self { options, key: (kind, key), comment: comment.trim() })
    }

    /// The line, with these options.
    pub fn line(&self, options: &str) -> String {
        let (kind, key) = self.key;
        [options, kind, key, self.comment].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// The first white space outside of quotes, in which `\"` is no end.
fn end_of_options(line: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            c if c.is_whitespace() && !quoted => return Some(at),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn is_type(word: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"].iter().any(|start| word.starts_with(start))
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=".contains(c)
}

/// What is wanted of a file of keys.
pub struct Wanted<'a> {
    /// The keys.
    pub keys: Vec<Key<'a>>,
    /// Options of all of them, in the place of their own.
    pub options: Option<&'a str>,
    /// Whether they are to be there.
    pub present: bool,
    /// Whether no others are to be there.
    pub exclusive: bool,
}

impl Wanted<'_> {
    /// The file's text as it should be. Lines that are not at issue stay as they are, where they are.
    pub fn applied(&self, text: &str) -> String {
        let mut placed = vec![false; self.keys.len()];
        let mut text = Text::new(text);
        text.rewrite(|line| {
            let seen = Key::read(line);
            let at = seen.and_then(|seen| self.keys.iter().position(|wanted| wanted.key == seen.key));
            match (seen, at) {
                (_, Some(_)) if !self.present => None,
                // sshd takes the first line of a key: what stands below says nothing.
                (_, Some(at)) if placed[at] => None,
                (Some(seen), Some(at)) => {
                    placed[at] = true;
                    let options = self.options_of(at);
                    Some(if seen.options == options { line.to_owned() } else { seen.line(options) })
                }
                _ => {
                    let is_note = line.trim().is_empty() || line.trim_start().starts_with('#');
                    (!self.exclusive || is_note).then(|| line.to_owned())
                }
            }
        });
        if self.present {
            let missing = (0..self.keys.len()).filter(|at| !placed[*at]);
            let new: Vec<String> = missing.map(|at| self.keys[at].line(self.options_of(at))).collect();
            let end = text.lines().len();
            text.splice(end, 0, new.iter().map(String::as_str));
        }
        text.to_string()
    }

    fn options_of(&self, at: usize) -> &str {
        self.options.unwrap_or(self.keys[at].options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3a ada@laptop";
    const B: &str = "ecdsa-sha2-nistp256 AAAAE2b bob@desk of bob";

    fn wanted<'a>(keys: &[&'a str]) -> Wanted<'a> {
        let keys = keys.iter().map(|key| Key::read(key).unwrap()).collect();
        Wanted { keys, options: None, present: true, exclusive: false }
    }

    #[test]
    fn a_line_has_options_type_key_and_comment() {
        let line = r#"from="10.0.0.0/8",command="echo \"a b\" c" ssh-rsa AAAAB3x== me  too"#;
        let key = Key::read(line).unwrap();
        assert_eq!(key.options, r#"from="10.0.0.0/8",command="echo \"a b\" c""#);
        assert_eq!((key.key, key.comment), (("ssh-rsa", "AAAAB3x=="), "me  too"));
        assert_eq!(Key::read(B).unwrap().line("restrict"), format!("restrict {B}"));
        for line in ["", "# ssh-rsa AAAA", "ssh-rsa", "ssh-rsa BBBB", "x y z", "ssh-rsa AAAA!", "\"ssh-rsa AAAA"] {
            assert_eq!(Key::read(line), None, "{line}");
        }
    }

    #[test]
    fn keys_are_added_below_and_other_lines_stay() {
        let text = format!("# mine\n\n{B}\nnot understood");
        assert_eq!(wanted(&[A, B]).applied(&text), format!("# mine\n\n{B}\nnot understood\n{A}\n"));
        assert_eq!(wanted(&[A]).applied(""), format!("{A}\n"));
    }

    #[test]
    fn a_key_is_known_by_itself_whatever_its_comment_and_has_the_wanted_options() {
        let text = "restrict ssh-ed25519 AAAAC3a old comment\n";
        assert_eq!(wanted(&[A]).applied(text), "ssh-ed25519 AAAAC3a old comment\n");
        let with = Wanted { options: Some("restrict"), ..wanted(&[A]) };
        assert_eq!(with.applied(text), text);
        assert_eq!(with.applied(&format!("{text}{A}\n")), text, "the line that says nothing goes");
    }

    #[test]
    fn absent_keys_go_wherever_they_are() {
        let absent = Wanted { present: false, ..wanted(&[A]) };
        assert_eq!(absent.applied(&format!("{A}\n{B}\nno-pty {A}\n")), format!("{B}\n"));
    }

    #[test]
    fn exclusive_leaves_these_keys_and_notes_only() {
        let only = Wanted { exclusive: true, ..wanted(&[A]) };
        assert_eq!(only.applied(&format!("# mine\n{B}\nodd\n")), format!("# mine\n{A}\n"));
    }
}
