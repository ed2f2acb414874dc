//! Issues of Argo CD, and the verdict that follows from them. Pure.

use crate::actions::Verdict;
use crate::event::Problem;

/// Findings that one message names; it counts the rest.
const MAX_NAMED: usize = 5;

#[derive(Debug, Clone, PartialEq)]
pub struct HealthIssue {
    /// The finding, with the name of the object.
    pub seen: String,
    /// A hint for the user; `None` if the issue may pass by itself.
    pub hint: Option<String>,
}

impl HealthIssue {
    /// A finding that may pass by itself.
    pub fn transient(seen: String) -> Self {
        Self { seen, hint: None }
    }

    /// A finding that somebody has to fix.
    pub fn persistent(seen: String, hint: String) -> Self {
        Self { seen, hint: Some(hint) }
    }
}

/// The verdict on the findings; `None` if there are none.
pub fn verdict(controllers: &[HealthIssue], applications: &[HealthIssue]) -> Option<Verdict> {
    let lasting = |lacks: &[HealthIssue]| lacks.iter().any(|l| l.hint.is_some());
    // While controllers start, the status of the Applications may be old.
    let stale = !controllers.is_empty() && !lasting(controllers);
    let all = || controllers.iter().chain(applications);
    match all().find_map(|l| l.hint.as_ref()) {
        Some(hint) if !stale => {
            let seen = joined(all().filter(|l| l.hint.is_some()));
            Some(Verdict::Blocked(Problem::new(seen).hint(hint)))
        }
        _ => all().next().map(|_| Verdict::Wait { seen: joined(all()) }),
    }
}

fn joined<'a>(lacks: impl Iterator<Item = &'a HealthIssue>) -> String {
    let each: Vec<&str> = lacks.map(|l| l.seen.as_str()).collect();
    let shown = each.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join("; ");
    match each.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(seen: &str) -> HealthIssue {
        HealthIssue::transient(seen.into())
    }

    fn lasting(seen: &str) -> HealthIssue {
        HealthIssue::persistent(seen.into(), format!("mend {seen}"))
    }

    #[test]
    fn nothing_lacking_is_no_verdict() {
        assert_eq!(verdict(&[], &[]), None);
    }

    #[test]
    fn all_that_lasts_is_named_and_the_first_advised_on() {
        let seen = verdict(&[lasting("a"), passing("b")], &[lasting("c")]);
        assert_eq!(seen, Some(Verdict::Blocked(Problem::new("a; c").hint("mend a"))));
    }

    #[test]
    fn applications_are_not_believed_while_controllers_start() {
        let seen = verdict(&[passing("a")], &[lasting("b")]);
        assert_eq!(seen, Some(Verdict::Wait { seen: "a; b".into() }));
    }

    #[test]
    fn one_application_that_needs_mending_is_not_hidden_by_others_that_do_not() {
        let seen = verdict(&[], &[passing("a"), lasting("b")]);
        assert_eq!(seen, Some(Verdict::Blocked(Problem::new("b").hint("mend b"))));
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: Vec<HealthIssue> = ["a", "b", "c", "d", "e", "f", "g"].map(passing).into();
        assert_eq!(verdict(&[], &many), Some(Verdict::Wait { seen: "a; b; c; d; e; and 2 more".into() }));
    }
}
