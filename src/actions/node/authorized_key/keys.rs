//! Lines of `authorized_keys`: options, type, key, comment.

use super::super::text::Text;

/// A line with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// Options; may be empty.
    pub options: &'a str,
    /// Type, and key in base64.
    pub key: (&'a str, &'a str),
    /// May be empty.
    pub comment: &'a str,
}

impl<'a> Key<'a> {
    /// Parses a line; `None` when it has no key.
    pub fn parse(line: &'a str) -> Option<Self> {
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

    /// The line with these options.
    pub fn line(&self, options: &str) -> String {
        let (kind, key) = self.key;
        [options, kind, key, self.comment].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Position of the first white space outside of quotes. `\"` does not end a quoted text.
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

/// The wanted keys of a file.
pub struct DesiredKeys<'a> {
    pub keys: Vec<Key<'a>>,
    /// Options of all keys; replaces their own.
    pub options: Option<&'a str>,
    /// Whether to add or to remove the keys.
    pub present: bool,
    /// Whether to remove all other keys.
    pub exclusive: bool,
}

impl DesiredKeys<'_> {
    /// The text of the file with the keys added or removed. Other lines stay as they are.
    pub fn apply(&self, text: &str) -> String {
        let mut placed = vec![false; self.keys.len()];
        let mut text = Text::new(text);
        text.rewrite(|line| {
            let current = Key::parse(line);
            let at = current.and_then(|current| self.keys.iter().position(|wanted| wanted.key == current.key));
            match (current, at) {
                (_, Some(_)) if !self.present => None,
                // sshd uses the first line of a key, so later ones have no effect.
                (_, Some(at)) if placed[at] => None,
                (Some(current), Some(at)) => {
                    placed[at] = true;
                    let options = self.options_of(at);
                    Some(if current.options == options { line.to_owned() } else { current.line(options) })
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

    fn wanted<'a>(keys: &[&'a str]) -> DesiredKeys<'a> {
        let keys = keys.iter().map(|key| Key::parse(key).unwrap()).collect();
        DesiredKeys { keys, options: None, present: true, exclusive: false }
    }

    #[test]
    fn a_line_has_options_type_key_and_comment() {
        let line = r#"from="10.0.0.0/8",command="echo \"a b\" c" ssh-rsa AAAAB3x== me  too"#;
        let key = Key::parse(line).unwrap();
        assert_eq!(key.options, r#"from="10.0.0.0/8",command="echo \"a b\" c""#);
        assert_eq!((key.key, key.comment), (("ssh-rsa", "AAAAB3x=="), "me  too"));
        assert_eq!(Key::parse(B).unwrap().line("restrict"), format!("restrict {B}"));
        for line in ["", "# ssh-rsa AAAA", "ssh-rsa", "ssh-rsa BBBB", "x y z", "ssh-rsa AAAA!", "\"ssh-rsa AAAA"] {
            assert_eq!(Key::parse(line), None, "{line}");
        }
    }

    #[test]
    fn keys_are_added_below_and_other_lines_stay() {
        let text = format!("# mine\n\n{B}\nnot understood");
        assert_eq!(wanted(&[A, B]).apply(&text), format!("# mine\n\n{B}\nnot understood\n{A}\n"));
        assert_eq!(wanted(&[A]).apply(""), format!("{A}\n"));
    }

    #[test]
    fn a_key_is_known_by_itself_whatever_its_comment_and_has_the_wanted_options() {
        let text = "restrict ssh-ed25519 AAAAC3a old comment\n";
        assert_eq!(wanted(&[A]).apply(text), "ssh-ed25519 AAAAC3a old comment\n");
        let with = DesiredKeys { options: Some("restrict"), ..wanted(&[A]) };
        assert_eq!(with.apply(text), text);
        assert_eq!(with.apply(&format!("{text}{A}\n")), text, "the line that says nothing goes");
    }

    #[test]
    fn absent_keys_go_wherever_they_are() {
        let absent = DesiredKeys { present: false, ..wanted(&[A]) };
        assert_eq!(absent.apply(&format!("{A}\n{B}\nno-pty {A}\n")), format!("{B}\n"));
    }

    #[test]
    fn exclusive_leaves_these_keys_and_notes_only() {
        let only = DesiredKeys { exclusive: true, ..wanted(&[A]) };
        assert_eq!(only.apply(&format!("# mine\n{B}\nodd\n")), format!("# mine\n{A}\n"));
    }
}
