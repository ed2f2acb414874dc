//! The changes of a step as data. Terminal, JSON output and journal render them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use crate::secret::{MASK, redact, shown};

mod removed;

use removed::{NewWords, has_or_had_secret};

/// The changes of one step, in display order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diff(pub Vec<Delta>);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Delta {
    /// A single value. `path` names it, such as `mode` or `Deployment app/web spec.replicas`.
    Field {
        /// Name of the value.
        path: String,
        /// The current value; absent if there is none.
        before: Option<String>,
        /// The wanted value; absent if the value is removed.
        after: Option<String>,
        /// The field manager that owns the field, in a Kubernetes conflict.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
    },
    /// A text of several lines, shown as a unified diff.
    Text {
        /// Path or name of the object that changes.
        label: String,
        /// The current text; empty if there is none.
        before: String,
        /// The wanted text; empty if the text is removed.
        after: String,
    },
    /// An operation without a state to compare, such as a command.
    Act {
        /// The operation in the imperative: `run systemctl restart x`.
        what: String,
    },
}

impl Diff {
    pub fn field(path: impl Into<String>, before: Option<String>, after: Option<String>) -> Self {
        Self(vec![Delta::Field { path: path.into(), before, after, owner: None }])
    }

    pub fn text(label: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Self {
        Self(vec![Delta::Text { label: label.into(), before: before.into(), after: after.into() }])
    }

    pub fn act(what: impl Into<String>) -> Self {
        Self(vec![Delta::Act { what: what.into() }])
    }

    /// Adds the change of a field, unless both values are equal.
    pub fn push_field(&mut self, path: impl Into<String>, before: Option<String>, after: Option<String>) {
        if before != after {
            self.0.push(Delta::Field { path: path.into(), before, after, owner: None });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The diff for display: control characters are escaped and registered secrets masked. If a new value contains a
    /// secret, the removed text may hold an earlier secret that is no longer registered; it is masked, too, unless it
    /// is harmless.
    #[must_use]
    pub fn redacted(&self) -> Self {
        let secret = self.0.iter().any(|delta| delta.after().is_some_and(has_or_had_secret));
        let mut diff = if secret { self.mask_removed() } else { self.clone() };
        diff.visit_texts(&mut |text| *text = shown(text));
        diff
    }

    /// The diff with removed text masked, unless it is harmless.
    #[must_use]
    pub fn mask_removed(&self) -> Self {
        let new: Vec<String> = self.0.iter().filter_map(Delta::after).map(|text| redact(text).into_owned()).collect();
        let words = NewWords::new(new.iter().map(String::as_str));
        let one = |delta: &Delta| {
            let mut delta = delta.clone();
            match &mut delta {
                Delta::Field { before: Some(before), after, .. } => {
                    let secret = after.as_deref().is_some_and(has_or_had_secret);
                    if secret || !words.is_harmless(before, after.as_deref()) {
                        MASK.clone_into(before);
                    }
                }
                Delta::Text { before, after, .. } => *before = words.mask_removed(before, after),
                Delta::Field { before: None, .. } | Delta::Act { .. } => {}
            }
            delta
        };
        Self(self.0.iter().map(one).collect())
    }

    /// Calls `visit` with every text of the diff.
    pub fn visit_texts(&mut self, visit: &mut dyn FnMut(&mut String)) {
        for delta in &mut self.0 {
            match delta {
                Delta::Field { path, before, after, owner } => {
                    [Some(path), before.as_mut(), after.as_mut(), owner.as_mut()]
                        .into_iter()
                        .flatten()
                        .for_each(&mut *visit);
                }
                Delta::Text { label, before, after } => [label, before, after].into_iter().for_each(&mut *visit),
                Delta::Act { what } => visit(what),
            }
        }
    }

    /// The diff with every value masked, for steps marked `sensitive`.
    #[must_use]
    pub fn masked(&self) -> Self {
        let opt = |s: &Option<String>| s.as_ref().map(|_| MASK.to_owned());
        let text = |s: &String| if s.is_empty() { String::new() } else { MASK.to_owned() };
        Self(
            self.0
                .iter()
                .map(|delta| match delta {
                    Delta::Field { path, before, after, owner } => Delta::Field {
                        path: path.clone(),
                        before: opt(before),
                        after: opt(after),
                        owner: owner.clone(),
                    },
                    Delta::Text { label, before, after } => {
                        Delta::Text { label: label.clone(), before: text(before), after: text(after) }
                    }
                    Delta::Act { .. } => Delta::Act { what: MASK.to_owned() },
                })
                .collect(),
        )
    }
}

/// The old text with removed lines masked, unless they are harmless. For private texts, also where no secret is
/// registered.
pub fn mask_removed_lines(before: &str, after: &str) -> String {
    let new = redact(after);
    NewWords::new([&*new]).mask_removed(before, after)
}

impl Delta {
    /// The new value, if the change has one.
    fn after(&self) -> Option<&str> {
        match self {
            Self::Field { after, .. } => after.as_deref(),
            Self::Text { after, .. } => Some(after),
            Self::Act { .. } => None,
        }
    }

    /// The change as lines without colour, each starting with `+`, `-`, `~`, `!` or a space.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Field { path, before, after, owner } => {
                let owner = owner.as_ref().map(|o| format!("   (owned by {o})")).unwrap_or_default();
                vec![match (before, after) {
                    (None, Some(a)) => format!("+ {path}: {a}{owner}"),
                    (Some(b), None) => format!("- {path}: {b}{owner}"),
                    (Some(b), Some(a)) => format!("~ {path}: {b} → {a}{owner}"),
                    (None, None) => format!("~ {path}{owner}"),
                }]
            }
            Self::Text { label, before, after } => {
                let diff = TextDiff::from_lines(before.as_str(), after.as_str());
                let mut lines = vec![format!("~ {label}")];
                let unified = diff.unified_diff().context_radius(2).to_string();
                lines.extend(unified.lines().map(str::to_owned));
                lines
            }
            Self::Act { what } => vec![format!("! {what}")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_show_before_and_after() {
        let diff = Diff::field("mode", Some("0644".into()), Some("0600".into()));
        assert_eq!(diff.0[0].lines(), ["~ mode: 0644 → 0600"]);
    }

    #[test]
    fn equal_fields_are_no_change() {
        let mut diff = Diff::default();
        diff.push_field("mode", Some("0644".into()), Some("0644".into()));
        assert!(diff.is_empty());
    }

    #[test]
    fn texts_are_unified() {
        let diff = Diff::text("/etc/motd", "a\nb\n", "a\nc\n");
        assert_eq!(diff.0[0].lines(), ["~ /etc/motd", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]);
    }

    #[test]
    fn masked_shows_that_but_not_what() {
        let diff = Diff::text("key", "", "hidden");
        assert_eq!(diff.masked().0[0].lines(), ["~ key", "@@ -0,0 +1 @@", "+‹secret›", "\\ No newline at end of file"]);
    }

    #[test]
    fn an_old_secret_is_masked_wherever_it_goes() {
        crate::secret::register("newer-secret-of-diff");
        let new = "first: newer-secret-of-diff\nuser: ada\n";
        for old in ["user: ada\nlast: hunter-of-old\n", "hunter-of-old\nuser: ada\n", "user: ada hunter-of-old\n"] {
            let diff = Diff::text("conf", old, new).redacted();
            assert!(!format!("{diff:?}").contains("hunter"), "{diff:?}");
        }
        let mut diff = Diff::field("data.pw", Some("hunter-of-old".into()), None);
        diff.push_field("data.password", None, Some("newer-secret-of-diff".into()));
        diff.push_field("mode", Some("0644".into()), Some("0600".into()));
        let lines: Vec<String> = diff.redacted().0.iter().flat_map(Delta::lines).collect();
        assert_eq!(lines, ["- data.pw: ‹secret›", "+ data.password: ‹secret›", "~ mode: 0644 → 0600"]);
    }

    #[test]
    fn what_goes_is_masked_on_request_also_where_no_secret_comes() {
        let mut diff = Diff::field("data.pw", Some("hunter-of-old".into()), None);
        diff.push_field("data.size", Some("10".into()), Some("12".into()));
        diff.push_field("data.image", Some("registry/app:1.2".into()), Some("registry/app:1.3".into()));
        let lines: Vec<String> = diff.mask_removed().redacted().0.iter().flat_map(Delta::lines).collect();
        assert_eq!(
            lines,
            ["- data.pw: ‹secret›", "~ data.size: 10 → 12", "~ data.image: registry/app:1.2 → registry/app:1.3"]
        );
    }

    #[test]
    fn what_moves_a_cursor_is_written_down() {
        let diff = Diff::text("/x\x1b[2J", "a\r\n", "b\x07\n").redacted();
        assert_eq!(diff.0[0].lines(), ["~ /x\\x1b[2J", "@@ -1 +1 @@", "-a\\x0d", "+b\\x07"]);
    }

    #[test]
    fn what_stood_in_the_place_of_a_secret_is_masked_too() {
        crate::secret::register("new-secret-of-diff");
        let before = "user: a\npassword: old-secret\nport: 1\n";
        let diff = Diff::text("conf", before, "user: a\npassword: new-secret-of-diff\nport: 2\n").redacted();
        let Delta::Text { before, after, .. } = &diff.0[0] else { panic!("{diff:?}") };
        assert_eq!(after, "user: a\npassword: ‹secret›\nport: 2\n");
        assert_eq!(before, "user: a\n‹secret›\nport: 1\n");
        // An action that shortens a text masks its secrets first.
        for after in ["x new-secret-of-diff", "x ‹secret›"] {
            let diff = Diff::field("data.k", Some("old-secret".into()), Some(after.into())).redacted();
            assert_eq!(diff.0[0].lines(), ["~ data.k: ‹secret› → x ‹secret›"]);
            let diff = Diff::text("k", "a\nold-secret\n", format!("a\n{after}\n")).redacted();
            assert!(!diff.0[0].lines().concat().contains("old"), "{diff:?}");
        }
    }
}
