//! `.helmignore`: which files of a folder are no part of its chart, by helm's own rules. Pure.

use glob::{MatchOptions, Pattern};

/// What helm leaves out of every chart.
const ALWAYS: &str = "templates/.?*";

/// A wildcard never stands for a slash.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

struct Rule {
    pattern: Pattern,
    negated: bool,
    folders_only: bool,
    whole_path: bool,
}

/// The rules of a chart.
pub struct Ignored(Vec<Rule>);

impl Ignored {
    /// Reads the file's text.
    ///
    /// # Errors
    /// The line that is no pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.chain([ALWAYS]).map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Whether helm leaves out what lies at this path below the chart.
    pub fn holds(&self, path: &str, is_folder: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().any(|rule| {
            let fits = (is_folder || !rule.folders_only)
                && rule.pattern.matches_with(if rule.whole_path { path } else { name }, OPTIONS);
            // Helm takes `!` for "all but", not for an exception.
            fits != rule.negated
        })
    }
}

fn rule(line: &str) -> Result<Rule, String> {
    let bad = |why: String| format!(".helmignore: `{line}`: {why}");
    if line.contains("**") {
        return Err(bad("helm does not know double stars".to_owned()));
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
        let ignored = Ignored::parse("# editors\n*.swp\n/top.txt\ndocs/\nci/*.yaml\r\n").unwrap();
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
            assert_eq!(ignored.holds(path, is_folder), out, "{path}");
        }
        assert!(Ignored::parse("!*.txt").unwrap().holds("a.yaml", false));
        assert!(Ignored::parse("a/**").is_err());
    }
}
