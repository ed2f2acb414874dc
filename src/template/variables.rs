//! Resolves variables that refer to other variables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Context, TemplateError, Templates, bounds};
use crate::document::{MAX_BYTES, size};

/// The result of resolving a set of variables.
#[derive(Clone, Default)]
pub struct Resolution {
    /// The rendered values of all variables that could be resolved.
    pub values: Map<String, Value>,
    /// Variables that use `host`, if there was none. They exist only in steps with hosts.
    pub per_host: BTreeSet<String>,
    /// The errors of all other variables.
    pub errors: Vec<VariableError>,
}

/// A variable that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// The variable refers to itself, directly or through others.
    #[error("variable refers to itself: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    /// The template fails.
    #[error("variable `{name}`: {error}")]
    Template { name: String, error: TemplateError },
    /// The value exceeds the memory limit. No further variables are resolved.
    #[error("variable `{name}`: with it, the values of all variables take more than {most} MiB", name = .0, most = MAX_BYTES >> 20)]
    Full(String),
}

impl VariableError {
    /// Name of the variable; for a cycle, of the first one.
    pub fn variable(&self) -> &str {
        match self {
            Self::Cycle(path) => path.first().map_or("", String::as_str),
            Self::Template { name, .. } | Self::Full(name) => name,
        }
    }
}

/// The variables of all layers. Variables that do not depend on a host are resolved once; a host gets values of its own
/// only for those that differ there.
pub struct Variables<'a> {
    templates: &'a Templates,
    raw: Map<String, Value>,
    /// For each variable, and for `host`, the variables that refer to it.
    users: BTreeMap<String, Vec<String>>,
    broken: BTreeSet<String>,
    /// How many more bytes all values may take.
    remaining_bytes: usize,
    /// The result without a host.
    pub shared: Resolution,
}

impl<'a> Variables<'a> {
    /// Resolves all variables that need no host. Later layers override earlier ones; `base` contains other values that
    /// the variables may use.
    pub fn new(templates: &'a Templates, layers: &[&Map<String, Value>], base: &Context) -> Self {
        let mut raw = Map::new();
        for layer in layers {
            raw.extend(layer.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &raw {
            for root in root_names(templates, value) {
                users.entry(root).or_default().push(name.clone());
            }
        }
        let (shared, remaining_bytes) = (Resolution::default(), MAX_BYTES);
        let mut variables = Self { templates, raw, users, broken: BTreeSet::new(), remaining_bytes, shared };
        let (shared, broken, remaining_bytes) = variables.walk(&Map::new(), None, base);
        (variables.shared, variables.broken, variables.remaining_bytes) = (shared, broken, remaining_bytes);
        variables
    }

    /// Resolves the variables of a host: its own variables `own`, and all that refer to these or to `host`. `base`
    /// contains the shared values, and `host`.
    pub fn of_host(&mut self, own: &Map<String, Value>, base: &Context) -> Resolution {
        let mut differing: BTreeSet<String> = own.keys().cloned().collect();
        let mut todo: Vec<&str> = own.keys().map(String::as_str).chain(["host"]).collect();
        while let Some(name) = todo.pop() {
            for user in self.users.get(name).into_iter().flatten() {
                if !own.contains_key(user) && differing.insert(user.clone()) {
                    todo.push(user);
                }
            }
        }
        let (resolution, _, remaining_bytes) = self.walk(own, Some(&differing), base);
        self.remaining_bytes = remaining_bytes;
        resolution
    }

    fn walk(
        &self,
        own: &Map<String, Value>,
        only: Option<&BTreeSet<String>>,
        base: &Context,
    ) -> (Resolution, BTreeSet<String>, usize) {
        let (path, broken, resolution, remaining_bytes) =
            (Vec::new(), BTreeSet::new(), Resolution::default(), Some(self.remaining_bytes));
        let mut walk = Walk { variables: self, own, only, base, path, broken, remaining_bytes, resolution };
        let names = || self.raw.keys().chain(own.keys().filter(|name| !self.raw.contains_key(*name)));
        for name in names() {
            walk.visit(name);
        }
        let (mut resolution, broken, remaining_bytes) =
            (walk.resolution, walk.broken, walk.remaining_bytes.unwrap_or_default());
        // Restores the order of definition; variables were resolved in the order of references.
        resolution.values = names().filter_map(|k| resolution.values.remove(k).map(|v| (k.clone(), v))).collect();
        (resolution, broken, remaining_bytes)
    }
}

fn root_names(templates: &Templates, value: &Value) -> BTreeSet<String> {
    templates.names_in_value(value).iter().filter_map(|n| n.split('.').next()).map(str::to_owned).collect()
}

struct Walk<'a> {
    variables: &'a Variables<'a>,
    own: &'a Map<String, Value>,
    /// The variables to resolve; `None`: all. All others keep their shared values.
    only: Option<&'a BTreeSet<String>>,
    base: &'a Context,
    path: Vec<String>,
    broken: BTreeSet<String>,
    /// How many more bytes all values may take. `None` after the limit was exceeded.
    remaining_bytes: Option<usize>,
    resolution: Resolution,
}

impl Walk<'_> {
    /// Resolves one variable, after the variables that it refers to.
    fn visit(&mut self, name: &str) {
        let done = self.resolution.values.contains_key(name)
            || self.broken.contains(name)
            || self.resolution.per_host.contains(name);
        let Some(raw) = self.own.get(name).or_else(|| self.variables.raw.get(name)) else { return };
        if done || self.is_shared(name) || self.remaining_bytes.is_none() {
            return;
        }
        if let Some(start) = self.path.iter().position(|n| n == name) {
            let cycle: Vec<String> = self.path[start..].iter().cloned().chain([name.to_owned()]).collect();
            self.broken.extend(cycle.iter().cloned());
            self.resolution.errors.push(VariableError::Cycle(cycle));
            return;
        }
        let root_names = root_names(self.variables.templates, raw);
        if self.path.len() == bounds::MAX_CHAIN {
            let error =
                TemplateError::new("", format!("it refers to a chain of {} other variables", bounds::MAX_CHAIN));
            self.fail(VariableError::Template { name: name.to_owned(), error });
            return;
        }
        self.path.push(name.to_owned());
        for root in &root_names {
            self.visit(root);
        }
        self.path.pop();
        if self.broken.contains(name) {
            return;
        }
        let has_no_host = root_names.contains("host") && !self.base.has("host");
        if has_no_host || root_names.iter().any(|h| self.resolution.per_host.contains(h)) {
            self.resolution.per_host.insert(name.to_owned());
        } else if root_names.iter().any(|h| self.is_broken(h)) {
            // An error here would only repeat that of the other variable.
            self.broken.insert(name.to_owned());
        } else {
            self.render(name, raw, &root_names);
        }
    }

    fn is_shared(&self, name: &str) -> bool {
        self.only.is_some_and(|only| !only.contains(name))
    }

    fn is_broken(&self, name: &str) -> bool {
        if self.is_shared(name) { self.variables.broken.contains(name) } else { self.broken.contains(name) }
    }

    fn render(&mut self, name: &str, raw: &Value, root_names: &BTreeSet<String>) {
        let Some(remaining_bytes) = self.remaining_bytes else { return };
        let used = root_names.iter().filter_map(|h| Some((h.clone(), self.resolution.values.get(h)?.clone())));
        let context = self.base.with_all(&used.collect());
        match self.variables.templates.render_value(raw, &context) {
            Ok(value) => match remaining_bytes.checked_sub(size(&value)) {
                Some(left) => {
                    self.remaining_bytes = Some(left);
                    self.resolution.values.insert(name.to_owned(), value);
                }
                None => {
                    self.remaining_bytes = None;
                    self.fail(VariableError::Full(name.to_owned()));
                }
            },
            Err(error) => self.fail(VariableError::Template { name: name.to_owned(), error }),
        }
    }

    fn fail(&mut self, error: VariableError) {
        self.broken.insert(error.variable().to_owned());
        self.resolution.errors.push(error);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolve_all(layers: &[Value], base: &Value) -> Resolution {
        let layers: Vec<_> = layers.iter().map(|l| l.as_object().unwrap()).collect();
        Variables::new(&Templates::new("/nowhere"), &layers, &Context::new(base.as_object().unwrap())).shared
    }

    #[test]
    fn later_layers_win_also_inside_other_variables() {
        let layers = [json!({ "url": "http://{{ name }}:{{ port }}", "name": "a", "port": 1 }), json!({ "port": 2 })];
        let got = resolve_all(&layers, &json!({}));
        assert_eq!(Value::Object(got.values), json!({ "url": "http://a:2", "name": "a", "port": 2 }));
        assert!(got.errors.is_empty());
    }

    #[test]
    fn types_are_kept() {
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
    fn variables_that_use_host_are_resolved_with_a_host() {
        let vars = json!({ "url": "http://{{ host.address }}", "page": "{{ url }}/x" });
        let got = resolve_all(std::slice::from_ref(&vars), &json!({}));
        assert_eq!(got.per_host.iter().collect::<Vec<_>>(), ["page", "url"]);
        assert!(got.values.is_empty() && got.errors.is_empty());
        let got = resolve_all(&[vars], &json!({ "host": { "address": "pi" } }));
        assert_eq!(got.values["page"], "http://pi/x");
    }

    #[test]
    fn a_host_has_own_values_only_for_variables_that_differ() {
        let vars = json!({
            "zone": "lan", "fqdn": "{{ host.name }}.{{ zone }}", "disk": "sda", "path": "/dev/{{ disk }}", "twice": "{{ path }}{{ zone }}",
            "wrong": "{{ nobody }}", "of_wrong": "{{ wrong }}{{ disk }}",
        });
        let templates = Templates::new("/nowhere");
        let mut all = Variables::new(&templates, &[vars.as_object().unwrap()], &Context::default());
        assert_eq!(all.shared.errors.len(), 1);
        let base = Context::new(&all.shared.values).with("host", &json!({ "name": "pi" }));
        let mut of_host = |own: Value| all.of_host(own.as_object().unwrap(), &base);
        let got = of_host(json!({ "disk": "sdb", "only_here": "{{ twice }}" }));
        let wanted = json!({
            "fqdn": "pi.lan", "disk": "sdb", "path": "/dev/sdb", "twice": "/dev/sdblan", "only_here": "/dev/sdblan",
        });
        assert_eq!((Value::Object(got.values), got.errors), (wanted, Vec::new()));
        assert_eq!(Value::Object(of_host(json!({})).values), json!({ "fqdn": "pi.lan" }));
        let got = of_host(json!({ "disk": "{{ path }}" }));
        assert_eq!(got.errors, [VariableError::Cycle(["disk", "path", "disk"].map(str::to_owned).into())]);
    }

    #[test]
    fn values_of_all_hosts_share_one_memory_limit() {
        let vars = json!({ "big": "{{ 'x' * 8000000 }}", "of_host": "{{ big }}{{ host.name }}" });
        let templates = Templates::new("/nowhere");
        let mut all = Variables::new(&templates, &[vars.as_object().unwrap()], &Context::default());
        let base = Context::new(&all.shared.values).with("host", &json!({ "name": "pi" }));
        let errors: Vec<_> = (0..20).map(|_| all.of_host(&Map::new(), &base).errors).collect();
        assert_eq!((&errors[0], &errors[19]), (&Vec::new(), &vec![VariableError::Full("of_host".to_owned())]));
        let message = errors[19][0].to_string();
        assert_eq!(message, "variable `of_host`: with it, the values of all variables take more than 128 MiB");
    }

    proptest::proptest! {
        #[test]
        fn any_references_end(edges in proptest::collection::vec((0..6usize, 0..6usize), 0..12)) {
            let mut vars = Map::new();
            for n in 0..6 {
                let refs: String = edges.iter().filter(|e| e.0 == n).map(|e| format!("{{{{ v{} }}}}", e.1)).collect();
                vars.insert(format!("v{n}"), refs.into());
            }
            let got = Variables::new(&Templates::new("/nowhere"), &[&vars], &Context::default()).shared;
            let cyclic = !got.errors.is_empty();
            proptest::prop_assert_eq!(cyclic, got.values.len() < 6);
        }
    }
}
