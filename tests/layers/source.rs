//! Parses the paths that a source file names, in `use` lines and in code. Items under `#[cfg(test)]` do not count.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path in the code, such as `super::types::Step`, and its line.
pub type Named = (Vec<String>, usize);

/// What a source file says about other files.
#[derive(Default)]
pub struct File {
    /// Child modules, without those for tests.
    pub children: BTreeSet<String>,
    /// Names that `use` imports. A re-export alone is no import: the file itself may not need the name.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// All paths that the file names.
    pub named: Vec<Named>,
}

impl File {
    pub fn read(text: &str) -> Self {
        let mut file = Self::default();
        file.walk(text.parse().expect("Rust"));
        file
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' && is_for_tests(tokens.get(at)) => {
                    at += tokens[at..].iter().take_while(|token| !ends_item(token)).count() + 1;
                }
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Ident(word) if word == "mod" => {
                    if matches!(tokens.get(at + 1), Some(end) if end.to_string() == ";") {
                        self.children.insert(tokens[at].to_string());
                    }
                    at += 1;
                }
                TokenTree::Ident(word) if word == "use" => {
                    let public = at > 1 && matches!(tokens[at - 2].to_string().as_str(), "pub" | "(crate)" | "(super)");
                    let end = at + tokens[at..].iter().take_while(|token| !is_mark(token, ';')).count();
                    self.uses(&[], &tokens[at..end], public);
                    at = end;
                }
                TokenTree::Ident(word) if !is_member(&tokens[..at - 1]) => {
                    let mut path = vec![word.to_string()];
                    while let [one, two, TokenTree::Ident(next), ..] = &tokens[at..]
                        && is_path_mark(one, two)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.named.push((path, word.span().start().line));
                }
                _ => {}
            }
        }
    }

    /// One tree of a `use` line, such as `b::{C, d::E as F}` after `a`.
    fn uses(&mut self, before: &[String], tree: &[TokenTree], public: bool) {
        let mut path = before.to_vec();
        let mut line = 0;
        let mut alias = None;
        let mut tokens = tree.iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    return inner.split(|token| is_mark(token, ',')).for_each(|tree| self.uses(&path, tree, public));
                }
                TokenTree::Ident(word) if word == "as" => alias = tokens.next().map(ToString::to_string),
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    if path.is_empty() || word != "self" {
                        path.push(word.to_string());
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == '*' => path.push("*".to_owned()),
                _ => {}
            }
        }
        let foreign = matches!(tree, [one, two, ..] if before.is_empty() && is_path_mark(one, two));
        if let Some(name) = alias.or_else(|| path.last().cloned()).filter(|_| !tree.is_empty() && !foreign) {
            if !public {
                self.named.push((path.clone(), line));
            }
            self.aliases.insert(name, path);
        }
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_path_mark(one: &TokenTree, two: &TokenTree) -> bool {
    matches!(one, TokenTree::Punct(punct) if punct.spacing() == Spacing::Joint)
        && is_mark(one, ':')
        && is_mark(two, ':')
}

/// Whether the next name belongs to a value or a type, as in `step.id` and `<T as Spec>::NAME`, or to another crate
/// (`::kube`).
fn is_member(before: &[TokenTree]) -> bool {
    matches!(before, [.., dot] if is_mark(dot, '.')) || matches!(before, [.., one, two] if is_path_mark(one, two))
}

fn is_for_tests(attribute: Option<&TokenTree>) -> bool {
    attribute.is_some_and(|attribute| attribute.to_string().replace(' ', "") == "[cfg(test)]")
}

fn ends_item(token: &TokenTree) -> bool {
    is_mark(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

#[test]
fn use_lines_and_paths_are_named_with_their_lines() {
    let file = File::read("use super::a::{self, B as C,\n d::{E}};\nfn f() { a::g(); h!(crate::i::J) }");
    let named: Vec<String> = file.named.iter().map(|(path, line)| format!("{} {line}", path.join("::"))).collect();
    let of_use = ["super::a 1", "super::a::B 1", "super::a::d::E 2"];
    assert!(
        of_use.iter().chain(&["a::g 3", "crate::i::J 3"]).all(|name| named.contains(&(*name).to_owned())),
        "{named:?}"
    );
    assert_eq!(file.aliases["C"], ["super", "a", "B"]);
}

#[test]
fn what_is_for_tests_or_re_exported_or_of_another_crate_is_not_named() {
    let text =
        "mod a; #[cfg(test)] mod b; pub use a::C; pub(crate) use a::D; use ::kube::E; #[cfg(test)]\nmod f { use x::G; }
        #[cfg(test)] use x::H; fn i() { j.K(); <L as M>::N; }";
    let file = File::read(text);
    assert_eq!(file.children, BTreeSet::from(["a".to_owned()]));
    for name in ["C", "D", "E", "G", "H", "K", "N"] {
        assert!(!file.named.iter().any(|(path, _)| path.last().is_some_and(|last| last == name)), "{name}");
    }
    assert_eq!(file.aliases["C"], ["a", "C"]);
}
