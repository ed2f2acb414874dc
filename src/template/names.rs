use std::collections::BTreeSet;

use minijinja::Expression;

/// The dotted names that a template uses and does not define itself, such as `host.address`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    all: BTreeSet<String>,
    guarded: BTreeSet<String>,
    /// Paths of the templates that are included, imported or extended.
    pub files: BTreeSet<String>,
}

/// A use of a step's output: `steps.ID.OUTPUT`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutputRef {
    /// Name of the step in templates (with `_` for `-` and `.`).
    pub step: String,
    /// Name of the output. `None` for the step as a whole, or for its outputs by host or item (`steps.ID.hosts`,
    /// `steps.ID.items`).
    pub output: Option<String>,
}

impl Names {
    pub(super) fn in_expression(compiled: &Expression<'_, '_>, source: &str) -> Self {
        Self::sort(compiled.undeclared_variables(true), source)
    }

    pub(super) fn sort(found: impl IntoIterator<Item = String>, source: &str) -> Self {
        let all: BTreeSet<String> = found.into_iter().filter(|n| !is_function(n)).collect();
        let guarded = all.iter().filter(|n| is_guarded(n, source)).cloned().collect();
        Self { all, guarded, files: included(source) }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(String::as_str)
    }

    /// The names that must be defined: all except those used with `is defined` or `default`.
    pub fn unguarded(&self) -> impl Iterator<Item = &str> {
        self.all.difference(&self.guarded).map(String::as_str)
    }

    /// Removes the names for which `left_out` returns true.
    #[must_use]
    pub fn without(mut self, left_out: impl Fn(&str) -> bool) -> Self {
        self.all.retain(|name| !left_out(name));
        self
    }

    /// Adds the names of another template.
    pub fn extend(&mut self, other: Self) {
        self.all.extend(other.all);
        self.guarded.extend(other.guarded);
        self.files.extend(other.files);
    }

    /// The step outputs among the names.
    pub fn outputs(&self) -> BTreeSet<OutputRef> {
        let refs = self.all.iter().filter_map(|name| {
            let mut parts = name.split('.');
            if parts.next() != Some("steps") {
                return None;
            }
            let step = parts.next()?.to_owned();
            Some(OutputRef {
                step,
                output: parts.next().filter(|o| !["hosts", "items"].contains(o)).map(str::to_owned),
            })
        });
        refs.collect()
    }
}

/// Whether a name is a built-in function, which the engine reports like a variable.
fn is_function(name: &str) -> bool {
    let head = name.split('.').next().unwrap_or_default();
    matches!(head, "range" | "dict" | "namespace" | "debug" | "loop" | "self" | "caller" | "super" | "true" | "false")
}

/// Whether the template handles an undefined `name` itself.
fn is_guarded(name: &str, source: &str) -> bool {
    source.match_indices(name).any(|(at, _)| {
        let is_whole_word = !source[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
        let rest = source[at + name.len()..].trim_start();
        let filter = rest.strip_prefix('|').map(str::trim_start);
        let filtered = filter.is_some_and(|f| f.starts_with("default") || f.starts_with("d("));
        let test = rest.strip_prefix("is").map(str::trim_start).filter(|t| t.len() < rest.len() - 2);
        let tested = test.is_some_and(|t| {
            t.starts_with("defined")
                || t.starts_with("undefined")
                || t.trim_start_matches("not").trim_start().starts_with("defined")
        });
        is_whole_word && (filtered || tested)
    })
}

/// The paths in `include`, `import`, `extends` and `from`, if they are string literals.
fn included(source: &str) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for block in source.split("{%").skip(1) {
        let block = block.split("%}").next().unwrap_or_default().trim_start_matches(['-', '+']).trim_start();
        let Some((word, rest)) = block.split_once(char::is_whitespace) else { continue };
        let rest = rest.trim_start();
        if let ("include" | "import" | "extends" | "from", Some(quote @ ('"' | '\''))) = (word, rest.chars().next())
            && let Some((path, tail)) = rest[1..].split_once(quote)
            && !tail.contains("ignore missing")
        {
            files.insert(path.to_owned());
        }
    }
    files
}
