//! Host patterns: `all`, names, groups, `pi-*`, `pi-[1:3]`; `a,b` is the union, `a:!b` excludes hosts, `a:&b` is the
//! intersection.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use super::range::expand_range;
use super::{Host, Inventory};
use crate::finding::{did_you_mean, listed};

/// A pattern that names no hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// What is wrong, with the part of the pattern.
    pub message: String,
    pub help: Option<String>,
    /// The wrong part, as a byte range of the pattern.
    pub range: Range<usize>,
}

impl Inventory {
    /// The hosts of a pattern, in the order of the inventory: the union of all plain terms, intersected with each `&`
    /// term, without the hosts of the `!` terms.
    ///
    /// # Errors
    /// When a term matches no host. An empty result is not an error.
    pub fn select(&self, pattern: &str) -> Result<Vec<Arc<Host>>, PatternError> {
        let mut union = BTreeSet::new();
        let mut intersections = Vec::new();
        let mut exclusions = BTreeSet::new();
        let mut only_exclusions = true;
        for range in parts(pattern) {
            let term = &pattern[range.clone()];
            let with_range = |(message, help)| PatternError { message, help, range: range.clone() };
            match term.as_bytes().first() {
                Some(b'!') => exclusions.extend(self.select_term(&term[1..]).map_err(with_range)?),
                Some(b'&') => intersections.push(self.select_term(&term[1..]).map_err(with_range)?),
                _ => {
                    only_exclusions = false;
                    union.extend(self.select_term(term).map_err(with_range)?);
                }
            }
        }
        if only_exclusions {
            let help = Some("begin with the hosts to choose from, for example `all:!pi-1`".to_owned());
            return Err(PatternError { message: format!("`{pattern}` names no hosts"), help, range: 0..pattern.len() });
        }
        let is_selected =
            |n: &usize| union.contains(n) && intersections.iter().all(|i| i.contains(n)) && !exclusions.contains(n);
        Ok((0..self.hosts.len()).filter(is_selected).map(|n| Arc::clone(&self.hosts[n])).collect())
    }

    /// Indices of the hosts of one term.
    fn select_term(&self, term: &str) -> Result<BTreeSet<usize>, (String, Option<String>)> {
        if term == "all" || term == "*" {
            return Ok((0..self.hosts.len()).collect());
        }
        if let Some((_, members)) = self.groups.iter().find(|(name, _)| name == term) {
            let members: HashSet<&str> = members.iter().map(String::as_str).collect();
            return Ok(self.indices(|h| members.contains(h.name.as_str())));
        }
        if term.contains(['*', '?']) {
            let found = self.indices(|h| glob(term.as_bytes(), h.name.as_bytes()));
            let none = || (format!("`{term}` matches no host"), Some(self.known_names_help()));
            return if found.is_empty() { Err(none()) } else { Ok(found) };
        }
        let names = expand_range(term).map_err(|message| (message, None))?;
        let indices: HashMap<&str, usize> = self.hosts.iter().enumerate().map(|(n, h)| (h.name.as_str(), n)).collect();
        names.iter().map(|name| indices.get(name.as_str()).copied().ok_or_else(|| self.unknown_host(name))).collect()
    }

    fn unknown_host(&self, name: &str) -> (String, Option<String>) {
        let similar = did_you_mean(name, self.known_names());
        let local = (name == "localhost").then(|| "add [hosts.localhost] with connection = \"local\"".to_owned());
        (format!("no host or group is named `{name}`"), similar.or(local).or_else(|| Some(self.known_names_help())))
    }

    fn indices(&self, matches: impl Fn(&Host) -> bool) -> BTreeSet<usize> {
        (0..self.hosts.len()).filter(|n| matches(&self.hosts[*n])).collect()
    }

    /// All names that a pattern can use.
    fn known_names(&self) -> impl Iterator<Item = &str> {
        let groups = self.groups.iter().map(|(name, _)| name.as_str());
        groups.chain(self.hosts.iter().map(|h| h.name.as_str())).chain(["all"])
    }

    fn known_names_help(&self) -> String {
        let from = self.path.as_ref().map_or("without an inventory".to_owned(), |p| format!("in {}", p.display()));
        format!("{from} there are {}", listed(self.known_names()))
    }
}

/// The terms of a pattern, as byte ranges. `,` and `:` both separate terms, except inside of `[ ]`.
fn parts(pattern: &str) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_u32);
    for (at, c) in pattern.char_indices().chain([(pattern.len(), ',')]) {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            ',' | ':' if depth == 0 || at == pattern.len() => {
                let text = &pattern[start..at];
                let from = start + (text.len() - text.trim_start().len());
                if !text.trim().is_empty() {
                    parts.push(from..from + text.trim().len());
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// Matches `*` and `?`. Only the last `*` is retried with a longer match, which takes quadratic time at most: whatever
/// an earlier `*` could match, the last one can match too.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match (pattern.get(p), star) {
            (Some(b'*'), _) => {
                star = Some((p, n));
                p += 1;
            }
            (Some(c), _) if *c == b'?' || *c == name[n] => (p, n) = (p + 1, n + 1),
            (_, Some((at, taken))) => {
                star = Some((at, taken + 1));
                (p, n) = (at + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let text = "[hosts.control]\n[hosts.\"pi-[1:4]\"]\n[groups.pis]\nhosts=[\"pi-*\"]\n[groups.odd]\nhosts=[\"pi-1\",\"pi-3\"]\n";
        Inventory::parse("i.toml".as_ref(), text).unwrap()
    }

    fn select(pattern: &str) -> String {
        match inventory().select(pattern) {
            Ok(hosts) => hosts.iter().map(|h| h.name.as_str()).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{} @{:?} {}", error.message, error.range, error.help.unwrap_or_default()),
        }
    }

    #[test]
    fn patterns_choose_hosts_in_order() {
        for (pattern, wanted) in [
            ("all", "control pi-1 pi-2 pi-3 pi-4"),
            ("pis", "pi-1 pi-2 pi-3 pi-4"),
            ("pi-2", "pi-2"),
            ("pi-?", "pi-1 pi-2 pi-3 pi-4"),
            ("pi-[2:3]", "pi-2 pi-3"),
            ("pi-3, control", "control pi-3"),
            ("pis:!odd", "pi-2 pi-4"),
            ("!odd:pis", "pi-2 pi-4"),
            ("all:&odd", "pi-1 pi-3"),
            ("pis,control:&odd:!pi-1", "pi-3"),
            ("odd:&control", ""),
            ("control:!control", ""),
        ] {
            assert_eq!(select(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn a_star_stands_for_any_letters() {
        for (pattern, name, wanted) in [
            ("*", "", true),
            ("a*b*c", "aXbbYc", true),
            ("a*b*c", "aXcYb", false),
            ("*ab", "aab", true),
            ("?*", "", false),
            ("a**", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), wanted, "{pattern} {name}");
        }
        // A backtracking matcher would take years for this.
        assert!(!glob(format!("{}b", "*a".repeat(60)).as_bytes(), "a".repeat(250).as_bytes()));
    }

    #[test]
    fn terms_that_match_no_host_are_marked() {
        insta::assert_snapshot!(select("control,pi-11"), @r"no host or group is named `pi-11` @8..13 did you mean `pi-1`?");
        insta::assert_snapshot!(select("ctrl"), @r"no host or group is named `ctrl` @0..4 in i.toml there are `pis`, `odd`, `control`, `pi-1`, `pi-2`, `pi-3`, `pi-4`, `all`");
        insta::assert_snapshot!(select("web-*"), @r"`web-*` matches no host @0..5 in i.toml there are `pis`, `odd`, `control`, `pi-1`, `pi-2`, `pi-3`, `pi-4`, `all`");
        insta::assert_snapshot!(select("pi-[4:5]"), @r"no host or group is named `pi-5` @0..8 did you mean `pi-1`?");
        insta::assert_snapshot!(select("!odd"), @r"`!odd` names no hosts @0..4 begin with the hosts to choose from, for example `all:!pi-1`");
        insta::assert_snapshot!(select(""), @r"`` names no hosts @0..0 begin with the hosts to choose from, for example `all:!pi-1`");
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_ends(pattern in "[a-z*?!&,:\\[\\]0-9 -]{0,16}") {
            let _either = inventory().select(&pattern);
        }

        #[test]
        fn exclusion_and_intersection_divide_a_set(a in "(pis|odd|control|all)", b in "(pis|odd|control|all)") {
            let (inventory, names) = (inventory(), |hosts: Vec<Arc<Host>>| hosts.iter().map(|h| h.name.clone()).collect::<BTreeSet<_>>());
            let without = names(inventory.select(&format!("{a}:!{b}")).unwrap());
            let with = names(inventory.select(&format!("{a}:&{b}")).unwrap());
            proptest::prop_assert!(without.is_disjoint(&with));
            proptest::prop_assert_eq!(&without | &with, names(inventory.select(&a).unwrap()));
        }
    }
}
