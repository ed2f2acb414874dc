//! What an apply would change, field by field; none of the book-keeping counts as a change. Pure.

use serde_json::{Map, Value};

use crate::connect::kube::{Conflict, FIELD_MANAGER, manifest};
use crate::diff::{Delta, Diff};
use crate::event::Problem;
use crate::excerpt;
use crate::secret::redact;

/// Metadata that the API keeps for itself.
const KEPT_BY_API: &[&str] =
    &["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"];

/// Keys by which the items of a list are told apart, in order of preference.
const ITEM_KEYS: &[&str] = &["name", "containerPort", "mountPath", "port", "ip", "topologyKey"];

/// The changes from the object that is there to the one that an apply would leave; empty when it is the same and our
/// manager already owns the same fields.
pub fn between(live: Option<&Value>, result: &Value, wanted: &Value, conflicts: &[Conflict]) -> Diff {
    let Some(live) = live else { return new(wanted) };
    let name = manifest::identity(result);
    let mut diff = Diff::default();
    let sides = (comparable(live, wanted), comparable(result, wanted));
    let walk = Walk { name: &name, conflicts };
    walk.values("", Some(&sides.0), Some(&sides.1), &mut diff);
    if diff.is_empty() && ownership(live) != ownership(result) {
        let before = ownership(live).map(|_| "other fields".to_owned());
        diff.push_field(format!("{name} fields owned by {FIELD_MANAGER}"), before, Some("the manifest's".to_owned()));
    }
    for conflict in conflicts {
        let shown = diff.0.iter().any(|d| matches!(d, Delta::Field { owner: Some(o), .. } if *o == conflict.manager));
        if !shown {
            diff.0.push(Delta::Field {
                path: format!("{name} {}", conflict.field),
                before: Some("owned by another".to_owned()),
                after: Some(format!("owned by {FIELD_MANAGER}")),
                owner: Some(conflict.manager.clone()),
            });
        }
    }
    diff
}

/// An object that is not there yet.
pub fn new(wanted: &Value) -> Diff {
    Diff::text(manifest::identity(wanted), "", manifest::yaml(wanted))
}

/// An object that is deleted and made anew: what the manifest says otherwise than it is. Defaults of the API are left out.
pub fn replaced(live: &Value, wanted: &Value, why: &str) -> Diff {
    let name = manifest::identity(live);
    let mut diff = Diff::act(format!("delete {name} with all that belongs to it, and create it anew: {}", brief(why)));
    let sides = (comparable(live, wanted), comparable(&laid_over(live, wanted), wanted));
    Walk { name: &name, conflicts: &[] }.values("", Some(&sides.0), Some(&sides.1), &mut diff);
    diff
}

/// An object that the API can judge only when another one is applied.
pub fn pending(live: Option<&Value>, wanted: &Value, earlier: &Value, why: &str) -> Diff {
    match live {
        None => new(wanted),
        Some(_) => {
            let (name, earlier) = (manifest::identity(wanted), manifest::identity(earlier));
            Diff::act(format!("apply {name} once {earlier} is applied; until then the API says: {}", brief(why)))
        }
    }
}

/// What the server made otherwise than it said in the dry run: of what the manifest says, since all else is its own to
/// choose. The manifest itself tells less, as the server writes some of it in another way: `1000m` as `1`.
pub fn made_otherwise(said: &Value, made: &Value, wanted: &Value) -> Diff {
    let of_manifest = |object: &Value| only(&comparable(object, wanted), wanted);
    let mut diff = Diff::default();
    let name = manifest::identity(wanted);
    Walk { name: &name, conflicts: &[] }.values("", Some(&of_manifest(made)), Some(&of_manifest(said)), &mut diff);
    diff
}

/// What of an object has a place in the wanted one; items of lists go by their names.
fn only(object: &Value, wanted: &Value) -> Value {
    match (object, wanted) {
        (Value::Object(object), Value::Object(wanted)) => {
            let both = wanted.iter().filter_map(|(key, wanted)| Some((key, object.get(key)?, wanted)));
            Value::Object(both.map(|(key, value, wanted)| (key.clone(), only(value, wanted))).collect())
        }
        (Value::Array(object), Value::Array(wanted)) => {
            let key = ITEM_KEYS.iter().find(|key| tells_apart(object, key) && tells_apart(wanted, key));
            let Some(key) = key else { return Value::Array(object.clone()) };
            let same = |item: &&Value| wanted.iter().find(|wanted| wanted[*key] == item[*key]);
            Value::Array(object.iter().filter_map(|item| Some(only(item, same(&item)?))).collect())
        }
        (object, _) => object.clone(),
    }
}

/// That the server keeps what it was told: `lacks` is what its answer, the object, would have to have otherwise.
///
/// # Errors
/// What it lacks.
pub fn kept(made: &Value, lacks: &Diff) -> Result<(), Problem> {
    if lacks.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = lacks.redacted().0.iter().flat_map(Delta::lines).collect();
    let message =
        format!("the API took {}, and made something else of it:\n{}", manifest::identity(made), lines.join("\n"));
    Err(Problem::new(message)
        .hint("an admission webhook may do so: `kubectl get mutatingwebhookconfigurations` shows them"))
}

/// What the API says, which may quote a whole object.
pub fn brief(why: &str) -> String {
    // Before it is cut: a part of a secret would not be known for one.
    let why = redact(why);
    let chars: Vec<char> = why.chars().collect();
    if chars.len() <= 500 {
        return why.into_owned();
    }
    chars[..250].iter().chain(&['…']).chain(&chars[chars.len() - 240..]).collect()
}

/// What is there with what is wanted in its place; items of lists go by their names.
fn laid_over(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let mut all = live.clone();
            for (key, value) in wanted {
                let value = live.get(key).map_or_else(|| value.clone(), |there| laid_over(there, value));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(live), Value::Array(wanted)) => {
            let key = ITEM_KEYS.iter().find(|key| tells_apart(live, key) && tells_apart(wanted, key));
            let same = |item: &Value| key.and_then(|key| live.iter().find(|there| there[*key] == item[*key]));
            wanted.iter().map(|item| same(item).map_or_else(|| item.clone(), |there| laid_over(there, item))).collect()
        }
        (_, wanted) => wanted.clone(),
    }
}

/// The object without what the API or controllers write on their own, secrets hidden.
fn comparable(object: &Value, wanted: &Value) -> Value {
    let mut object = manifest::masked(object);
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for key in KEPT_BY_API {
            metadata.remove(*key);
        }
    }
    if let (Value::Object(map), None) = (&mut object, wanted.get("status")) {
        map.remove("status");
    }
    object
}

/// The fields that our manager has applied.
fn ownership(object: &Value) -> Option<&Value> {
    manifest::list(object, "/metadata/managedFields")
        .iter()
        .find(|entry| {
            manifest::text(entry, "/manager") == FIELD_MANAGER
                && manifest::text(entry, "/operation") == "Apply"
                && manifest::text(entry, "/subresource").is_empty()
        })
        .and_then(|entry| entry.get("fieldsV1"))
}

struct Walk<'a> {
    name: &'a str,
    conflicts: &'a [Conflict],
}

impl Walk<'_> {
    fn values(&self, path: &str, before: Option<&Value>, after: Option<&Value>, diff: &mut Diff) {
        match (before, after) {
            (Some(b), Some(a)) if b == a => {}
            (Some(Value::Object(b)), Some(Value::Object(a))) => self.maps(path, b, a, diff),
            (Some(Value::Array(b)), Some(Value::Array(a))) => self.lists(path, b, a, diff),
            (Some(Value::String(b)), Some(Value::String(a))) if b.contains('\n') || a.contains('\n') => {
                diff.0.push(Delta::Text { label: self.label(path), before: b.clone(), after: a.clone() });
            }
            (before, after) => diff.0.push(Delta::Field {
                path: self.label(path),
                before: before.map(short),
                after: after.map(short),
                owner: self.owner(path),
            }),
        }
    }

    fn maps(&self, path: &str, before: &Map<String, Value>, after: &Map<String, Value>, diff: &mut Diff) {
        let added = after.keys().filter(|k| !before.contains_key(*k));
        for key in before.keys().chain(added) {
            let plain = key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
            let deeper = match (plain, path) {
                (true, "") => key.clone(),
                (true, _) => format!("{path}.{key}"),
                (false, _) => format!("{path}[{key}]"),
            };
            self.values(&deeper, before.get(key), after.get(key), diff);
        }
    }

    fn lists(&self, path: &str, before: &[Value], after: &[Value], diff: &mut Diff) {
        let key = ITEM_KEYS.iter().find(|key| tells_apart(before, key) && tells_apart(after, key));
        let Some(key) = key else {
            for i in 0..before.len().max(after.len()) {
                self.values(&format!("{path}[{i}]"), before.get(i), after.get(i), diff);
            }
            return;
        };
        let find = |items: &[Value], id: &Value| items.iter().position(|i| &i[*key] == id);
        for item in before {
            let there = find(after, &item[*key]).map(|i| &after[i]);
            self.values(&format!("{path}[{}]", short(&item[*key])), Some(item), there, diff);
        }
        for item in after.iter().filter(|i| find(before, &i[*key]).is_none()) {
            self.values(&format!("{path}[{}]", short(&item[*key])), None, Some(item), diff);
        }
    }

    fn label(&self, path: &str) -> String {
        format!("{} {path}", self.name)
    }

    fn owner(&self, path: &str) -> Option<String> {
        // A conflict names list items by key as JSON, `containers[name="web"].image`; only the names' order counts.
        let plain = |field: &str| field.replace("[name=\"", "[").replace("\"]", "]");
        let same = |c: &&Conflict| plain(&c.field) == path || plain(&c.field).starts_with(&format!("{path}."));
        self.conflicts.iter().find(same).map(|c| c.manager.clone())
    }
}

/// Whether every item has that key, and each a value of its own.
fn tells_apart(items: &[Value], key: &str) -> bool {
    let ids: Vec<&Value> = items.iter().filter_map(|i| i.get(key)).collect();
    ids.len() == items.len() && ids.iter().enumerate().all(|(i, id)| !ids[..i].contains(id))
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Before it is cut: a part of a secret would not be known for one.
    let text = redact(&text).into_owned();
    excerpt::head(&text, 200).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(replicas: u32, image: &str, version: &str, owned: Option<Value>) -> Value {
        let ours = json!({"manager": FIELD_MANAGER, "operation": "Apply", "time": version, "fieldsV1": owned});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "app", "resourceVersion": version, "generation": 1,
                         "managedFields": if owned.is_some() { json!([ours]) } else { json!([]) }},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "web", "image": image}, {"name": "proxy", "image": "envoy"}]}}},
            "status": {"readyReplicas": version.len()},
        })
    }

    fn lines(diff: &Diff) -> Vec<String> {
        diff.0.iter().flat_map(Delta::lines).collect()
    }

    #[test]
    fn book_keeping_is_no_change() {
        let fields = || Some(json!({"f:spec": {}}));
        let (live, result) = (deployment(1, "a", "7", fields()), deployment(1, "a", "800", fields()));
        assert!(between(Some(&live), &result, &json!({}), &[]).is_empty());
    }

    #[test]
    fn fields_of_list_items_go_by_name() {
        let fields = || Some(json!({}));
        let (live, result) = (deployment(1, "a", "7", fields()), deployment(2, "b", "7", fields()));
        assert_eq!(
            lines(&between(Some(&live), &result, &json!({}), &[])),
            [
                "~ Deployment app/web spec.replicas: 1 → 2",
                "~ Deployment app/web spec.template.spec.containers[web].image: a → b"
            ]
        );
    }

    #[test]
    fn taking_over_an_equal_object_is_a_change_once() {
        let (live, result) = (deployment(1, "a", "7", None), deployment(1, "a", "7", Some(json!({}))));
        let shown = lines(&between(Some(&live), &result, &json!({}), &[]));
        assert_eq!(shown, ["+ Deployment app/web fields owned by rollout: the manifest's"]);
        assert!(between(Some(&result), &result, &json!({}), &[]).is_empty());
    }

    #[test]
    fn a_field_left_out_of_the_manifest_shows_as_ownership() {
        let more = json!({"f:spec": {"f:replicas": {}}});
        let (live, result) = (deployment(1, "a", "7", Some(more)), deployment(1, "a", "7", Some(json!({}))));
        assert_eq!(between(Some(&live), &result, &json!({}), &[]).0.len(), 1);
    }

    #[test]
    fn a_conflict_shows_its_owner() {
        let fields = || Some(json!({}));
        let (live, result) = (deployment(1, "a", "7", fields()), deployment(2, "b", "7", fields()));
        let conflict = |field: &str| Conflict { field: field.into(), manager: "argocd".into() };
        let conflicts = [conflict("spec.replicas"), conflict("spec.template.spec.containers[name=\"web\"].image")];
        let shown = lines(&between(Some(&live), &result, &json!({}), &conflicts));
        assert_eq!(shown.len(), 2);
        assert!(shown.iter().all(|l| l.ends_with("(owned by argocd)")), "{shown:?}");
    }

    #[test]
    fn only_what_the_manifest_says_must_be_as_the_server_said() {
        let wanted = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "app"}, "spec": {"replicas": 2,
            "template": {"spec": {"containers": [{"name": "web", "image": "b", "resources": {"cpu": "1000m"}}]}}}});
        let of_server = |replicas: u32, image: &str, injected: &str| {
            let mut object = deployment(replicas, image, injected, None);
            object["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({"cpu": "1"});
            object["spec"]["template"]["spec"]["containers"][1]["image"] = injected.into();
            object["metadata"]["uid"] = injected.into();
            object
        };
        let said = of_server(2, "b", "sidecar-1");
        assert!(made_otherwise(&said, &of_server(2, "b", "sidecar-2"), &wanted).is_empty());
        let diff = made_otherwise(&said, &of_server(1, "mirror/b", "sidecar-2"), &wanted);
        let lines = [
            "~ Deployment app/web spec.replicas: 1 → 2",
            "~ Deployment app/web spec.template.spec.containers[web].image: mirror/b → b",
        ];
        assert_eq!(self::lines(&diff), lines);
        let problem = kept(&said, &diff).unwrap_err();
        assert!(problem.message.starts_with("the API took Deployment app/web, and made something else of it:\n~"));
        let mut dropped = of_server(2, "b", "x");
        dropped["spec"].as_object_mut().unwrap().remove("replicas");
        assert_eq!(self::lines(&made_otherwise(&said, &dropped, &wanted)), ["+ Deployment app/web spec.replicas: 2"]);
    }

    #[test]
    fn what_the_server_writes_in_another_way_is_no_change() {
        let container = |resources: Value| json!({"spec": {"containers": [{"name": "web", "resources": resources}]}});
        let ports = |numbers: [u16; 2]| json!({"spec": {"ports": numbers.map(|port| json!({"port": port, "name": port.to_string()}))}});
        let labels = |labels: Value| json!({"metadata": {"name": "x", "labels": labels}});
        let as_of_server = [
            (container(json!({"cpu": "1000m"})), container(json!({"cpu": "1"}))),
            (
                container(json!({"cpu": 0.5, "memory": 1_073_741_824})),
                container(json!({"cpu": "500m", "memory": "1Gi"})),
            ),
            (container(json!({"memory": "1024Mi"})), container(json!({"memory": "1Gi"}))),
            (container(json!({"limits": {}})), container(json!({}))),
            (container(json!(null)), json!({"spec": {"containers": [{"name": "web"}]}})),
            (labels(json!({})), json!({"metadata": {"name": "x"}})),
            (labels(json!(null)), json!({"metadata": {"name": "x"}})),
            (json!({"spec": {"args": []}}), json!({"spec": {}})),
            (json!({"stringData": {"k": "v"}}), json!({"data": {"k": "dg=="}})),
            (ports([80, 443]), ports([443, 80])),
        ];
        for (wanted, server) in as_of_server {
            let mut reordered = server.clone();
            if let Some(Value::Array(ports)) = reordered.pointer_mut("/spec/ports") {
                ports.reverse();
            }
            assert!(between(Some(&server), &reordered, &wanted, &[]).is_empty(), "{wanted}");
            assert!(made_otherwise(&server, &reordered, &wanted).is_empty(), "{wanted}");
        }
    }

    #[test]
    fn a_replacement_shows_what_differs_and_leaves_defaults_out() {
        let live = deployment(1, "a", "7", None);
        let wanted = json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "app"},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "b"}, {"name": "proxy"}]}}}});
        let shown = lines(&replaced(&live, &wanted, "field is immutable"));
        let act = "delete Deployment app/web with all that belongs to it, and create it anew: field is immutable";
        assert!(shown[0].ends_with(act), "{shown:?}");
        assert_eq!(shown[1..], ["~ Deployment app/web spec.template.spec.containers[web].image: a → b"]);
    }

    #[test]
    fn an_answer_is_cut_only_where_no_secret_is_cut() {
        crate::secret::register("Passwort-in-der-Antwort");
        let why = format!("{}Passwort-in-der-Antwort{}", "x".repeat(240), "y".repeat(1000));
        let said = brief(&why);
        assert!(said.chars().count() < 520 && !said.contains("Passwort"), "{said}");
    }

    #[test]
    fn secrets_are_hidden() {
        let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": value}});
        let shown = lines(&between(Some(&secret("b25l")), &secret("dHdv"), &json!({}), &[]));
        assert_eq!(shown.len(), 1);
        assert!(shown[0].starts_with("~ Secret s data.k: ‹secret› "), "{shown:?}");
        assert!(!shown[0].contains("b25l") && !shown[0].contains("dHdv"));
    }
}
