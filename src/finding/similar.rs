//! Suggestions for mistyped names.

/// A hint that names the candidate closest to a mistyped `name`, if any is close enough.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let folded = |s: &str| s.to_lowercase().replace(['_', '.'], "-");
    let wanted = folded(name);
    candidates
        .into_iter()
        .filter(|c| *c != name)
        .map(|c| (strsim::damerau_levenshtein(&wanted, &folded(c)), c))
        // A third of the letters may be wrong, but never all of a short name.
        .filter(|(distance, c)| {
            *distance <= (c.chars().count().max(name.chars().count()) / 3).max(1) && *distance < c.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| format!("did you mean `{c}`?"))
}

/// Up to twelve names for a sentence: `` `a`, `b` ``.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<String> = names.iter().take(12).map(|n| format!("`{n}`")).collect();
    let more = names.len().saturating_sub(12);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_offered_and_far_ones_are_not() {
        let names = ["node.file", "node.files", "helm.release"];
        assert_eq!(did_you_mean("node.flie", names).as_deref(), Some("did you mean `node.file`?"));
        assert_eq!(did_you_mean("helm_release", names).as_deref(), Some("did you mean `helm.release`?"));
        assert_eq!(did_you_mean("kube.wait", names), None);
        assert_eq!(did_you_mean("b", ["a"]), None);
    }
}
