//! Variables that refer to other variables.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Context, TemplateError, Templates, bounds};

/// What became of a set of variables.
#[derive(Clone, Default)]
pub struct Resolution {
    /// Every variable that could be resolved, rendered.
    pub values: Map<String, Value>,
    /// Variables that use `host` and were resolved without one: they exist in the steps of hosts only.
    pub per_host: BTreeSet<String>,
    /// What is wrong with the others.
    pub errors: Vec<VariableError>,
}

/// A variable that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// It refers to itself, directly or through others.
    #[error("variable refers to itself: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    /// Its template is wrong.
    #[error("variable `{name}`: {error}")]
    Template {
        /// The variable.
        name: String,
        /// What is wrong.
        error: TemplateError,
    },
}

impl VariableError {
    /// The variable that it is about; of a cycle the first one.
    pub fn variable(&self) -> &str {
        match self {
            Self::Cycle(path) => path.first().map_or("", String::as_str),
            Self::Template { name, .. } => name,
        }
    }
}

/// Resolves the variables of all layers, where a later layer hides an earlier one's. `base` has what else they may use
/// (`plan`, `groups`, and `host` where there is one).
pub fn resolve(templates: &Templates, layers: &[&Map<String, Value>], base: &Context) -> Resolution {
    let mut raw = Map::new();
    for layer in layers {
        raw.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    let mut walk =
        Walk { templates, raw: &raw, base, path: Vec::new(), broken: BTreeSet::new(), out: Resolution::default() };
    for name in raw.keys() {
        walk.visit(name);
    }
    let mut out = walk.out;
    // In the order of their definition, not of their resolution.
    out.values = raw.keys().filter_map(|k| out.values.remove(k).map(|v| (k.clone(), v))).collect();
    out
}

struct Walk<'a> {
    templates: &'a Templates,
    raw: &'a Map<String, Value>,
    base: &'a Context,
    path: Vec<String>,
    broken: BTreeSet<String>,
    out: Resolution,
}

impl Walk<'_> {
    /// Resolves one variable, after those that it refers to.
    fn visit(&mut self, name: &str) {
        let done = self.out.values.contains_key(name) || self.broken.contains(name) || self.out.per_host.contains(name);
        let Some(raw) = self.raw.get(name).filter(|_| !done) else { return };
        if let Some(start) = self.path.iter().position(|n| n == name) {
            let cycle: Vec<String> = self.path[start..].iter().cloned().chain([name.to_owned()]).collect();
            self.broken.extend(cycle.iter().cloned());
            self.out.errors.push(VariableError::Cycle(cycle));
            return;
        }
        let names = self.templates.names_in_value(raw);
        let heads: BTreeSet<&str> = names.iter().filter_map(|n| n.split('.').next()).collect();
        if self.path.len() == bounds::CHAIN {
            let error = TemplateError::new("", format!("it stands below {} others in a row", bounds::CHAIN));
            self.fail(name, error);
            return;
        }
        self.path.push(name.to_owned());
        for head in &heads {
            self.visit(head);
        }
        self.path.pop();
        if self.broken.contains(name) {
            return;
        }
        let hostless = heads.contains("host") && !self.base.has("host");
        if hostless || heads.iter().any(|h| self.out.per_host.contains(*h)) {
            self.out.per_host.insert(name.to_owned());
        } else if heads.iter().any(|h| self.broken.contains(*h)) {
            // Its own error would only repeat the other one's.
            self.broken.insert(name.to_owned());
        } else {
            self.render(name, raw, &heads);
        }
    }

    fn render(&mut self, name: &str, raw: &Value, heads: &BTreeSet<&str>) {
        let used = heads.iter().filter_map(|h| Some(((*h).to_owned(), self.out.values.get(*h)?.clone())));
        let context = self.base.with_all(&used.collect());
        match self.templates.render_value(raw, &context) {
            Ok(value) => drop(self.out.values.insert(name.to_owned(), value)),
            Err(error) => self.fail(name, error),
        }
    }

    fn fail(&mut self, name: &str, error: TemplateError) {
        self.broken.insert(name.to_owned());
        self.out.errors.push(VariableError::Template { name: name.to_owned(), error });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve_all(layers: &[Value], base: &Value) -> Resolution {
        let layers: Vec<_> = layers.iter().map(|l| l.as_object().unwrap()).collect();
        resolve(&Templates::new("/nowhere"), &layers, &Context::new(base.as_object().unwrap()))
    }

    #[test]
    fn later_layers_win_also_inside_other_variables() {
        let layers = [json!({ "url": "http://{{ name }}:{{ port }}", "name": "a", "port": 1 }), json!({ "port": 2 })];
        let got = resolve_all(&layers, &json!({}));
        assert_eq!(Value::Object(got.values), json!({ "url": "http://a:2", "name": "a", "port": 2 }));
        assert!(got.errors.is_empty());
    }

    #[test]
    fn types_go_through() {
        let got = resolve_all(&[json!({ "b": "{{ a }}", "a": [1], "c": { "d": "{{ b[0] }}" } })], &json!({}));
        assert_eq!(Value::Object(got.values), json!({ "b": [1], "a": [1], "c": { "d": 1 } }));
    }

    #[test]
    fn cycles_are_shown_once_and_do_not_cascade() {
        let got = resolve_all(&[json!({ "a": "{{ b }}", "b": "{{ c }}", "c": "{{ a }}", "d": "{{ a }}" })], &json!({}));
        assert_eq!(got.errors, [VariableError::Cycle(["a", "b", "c", "a"].map(str::to_owned).into())]);
        assert!(got.values.is_empty());
    }

    #[test]
    fn one_unknown_name_is_one_error() {
        let got = resolve_all(&[json!({ "a": "{{ x }}", "b": "{{ a }}", "c": 1 })], &json!({}));
        assert_eq!(got.errors.len(), 1);
        assert_eq!(got.errors[0].to_string(), "variable `a`: `x` is not defined");
        assert_eq!(got.values.keys().collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn variables_of_a_host_wait_for_one() {
        let vars = json!({ "url": "http://{{ host.address }}", "page": "{{ url }}/x" });
        let got = resolve_all(std::slice::from_ref(&vars), &json!({}));
        assert_eq!(got.per_host.iter().collect::<Vec<_>>(), ["page", "url"]);
        assert!(got.values.is_empty() && got.errors.is_empty());
        let got = resolve_all(&[vars], &json!({ "host": { "address": "pi" } }));
        assert_eq!(got.values["page"], "http://pi/x");
    }

    proptest::proptest! {
        #[test]
        fn any_references_end(edges in proptest::collection::vec((0..6usize, 0..6usize), 0..12)) {
            let mut vars = Map::new();
            for n in 0..6 {
                let refs: String = edges.iter().filter(|e| e.0 == n).map(|e| format!("{{{{ v{} }}}}", e.1)).collect();
                vars.insert(format!("v{n}"), refs.into());
            }
            let got = resolve(&Templates::new("/nowhere"), &[&vars], &Context::default());
            let cyclic = !got.errors.is_empty();
            proptest::prop_assert_eq!(cyclic, got.values.len() < 6);
        }
    }
}
