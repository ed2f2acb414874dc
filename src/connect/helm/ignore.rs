//! `.helmignore`: decides which files of a folder are not part of its chart, by helm's rules. No I/O.

use glob::{MatchOptions, Pattern};

/// The pattern that helm ignores in every chart.
const ALWAYS: &str = "templates/.?*";

/// Wildcards do not match slashes.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

struct Rule {
    pattern: Pattern,
    negated: bool,
    folders_only: bool,
    whole_path: bool,
}

/// The rules of one chart.
pub struct IgnoreRules(Vec<Rule>);

impl IgnoreRules {
    /// Parses the file's text.
    ///
    /// # Errors
    /// The line that is not a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.chain([ALWAYS]).map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Whether helm ignores the file or folder at this path below the chart.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().any(|rule| {
            let fits = (is_folder || !rule.folders_only)
                && rule.pattern.matches_with(if rule.whole_path { path } else { name }, OPTIONS);
            // In helm, `!` means "all files but these", not an exception to other rules.
            fits != rule.negated
        })
    }
}

fn rule(line: &str) -> Result<Rule, String> {
    let bad = |why: String| format!(".helmignore: `{line}`: {why}");
    if line.contains("**") {
        return Err(bad("helm does not support double stars".to_owned()));
    }
    let (rest, negated) = line.strip_prefix('!').map_or((line, false), |rest| (rest, true));
    let (rest, folders_only) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
    let (rest, anchored) = rest.strip_prefix('/').map_or((rest, false), |rest| (rest, true));
    let pattern = Pattern::new(&rest.replace("[^", "[!")).map_err(|e| bad(e.msg.to_owned()))?;
    Ok(Rule { pattern, negated, folders_only, whole_path: anchored || rest.contains('/') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_out_as_helm_does() {
        let ignored = IgnoreRules::parse("# editors\n*.swp\n/top.txt\ndocs/\nci/*.yaml\r\n").unwrap();
        for (path, is_folder, out) in [
            ("a.swp", false, true),
            ("templates/a.swp", false, true),
            ("top.txt", false, true),
            ("files/top.txt", false, false),
            ("docs", true, true),
            ("docs", false, false),
            ("ci/a.yaml", false, true),
            ("ci/b/a.yaml", false, false),
            ("templates/.hidden", false, true),
            ("templates/a.yaml~", false, false),
            (".hidden", false, false),
        ] {
            assert_eq!(ignored.ignores(path, is_folder), out, "{path}");
        }
        assert!(IgnoreRules::parse("!*.txt").unwrap().ignores("a.yaml", false));
        assert!(IgnoreRules::parse("a/**").is_err());
    }
}
