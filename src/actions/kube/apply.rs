//! `kube.apply`: objects are as a manifest says, by server-side apply.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{difference, order, unexpected};
use crate::actions::{Action, Resource, Spec, Verdict};
use crate::connect::kube::{self, Object, Preview, manifest};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, TemplateFile, TextCheck};

/// Parameters of `kube.apply`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Template file of the objects, as YAML; may hold several documents.
    #[serde(default)]
    manifest: Option<TemplateFile>,
    /// The objects as YAML, in the plan itself.
    #[serde(default)]
    inline: Option<String>,
    /// Namespace for objects that name none; default the kubeconfig's.
    #[serde(default)]
    namespace: Option<String>,
    /// Take fields that other field managers own. Counts only where another one owns a field.
    #[serde(default)]
    force: bool,
    /// Delete and create anew, with all that belongs to it, an object that has a changed field which the API lets nobody
    /// change, such as the template of a Job. Counts only for such a change.
    #[serde(default)]
    replace: bool,
}

/// What is to be done about one object.
struct Todo<'a> {
    /// Empty: nothing.
    diff: Diff,
    /// Whether it is judged by an object that is applied before it.
    settling: bool,
    /// The object that must go first.
    replaces: Option<&'a Value>,
}

impl Apply {
    fn text(&self) -> &str {
        self.manifest.as_ref().map(|m| m.content.as_str()).or(self.inline.as_deref()).unwrap_or_default()
    }

    /// The objects in the order in which they are applied.
    fn objects(&self) -> Vec<Value> {
        let mut objects = manifest::objects(self.text()).unwrap_or_default();
        manifest::sort(&mut objects);
        objects
    }

    /// What is to be done about each object; `Err` where it cannot be applied now.
    fn todo<'a>(&self, objects: &'a [Value], facts: &'a [Fact]) -> Vec<Result<Todo<'a>, Verdict>> {
        let own = provided(objects);
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let mut changing: Vec<&Value> = Vec::new();
        let mut all = Vec::new();
        for (object, fact) in objects.iter().zip(facts) {
            let earlier = changing.iter().find(|earlier| order::judges(earlier, object, namespace)).copied();
            let todo = self.judge(object, fact, &own, earlier);
            if todo.as_ref().is_ok_and(|todo| !todo.diff.is_empty()) {
                changing.push(object);
            }
            all.push(todo);
        }
        all
    }

    /// What is to be done about an object; `earlier` is one by which it is judged, and which will change.
    fn judge<'a>(
        &self,
        object: &Value,
        fact: &'a Fact,
        own: &[Resource],
        earlier: Option<&Value>,
    ) -> Result<Todo<'a>, Verdict> {
        let Fact::Kube(kube::Fact::Apply(preview)) = fact else { return Err(unexpected()) };
        let name = manifest::identity(object);
        let apply = |diff: Diff| Ok(Todo { diff, settling: earlier.is_some(), replaces: None });
        let absent = |thing: Resource| {
            if own.contains(&thing) { apply(difference::new(object)) } else { Err(Verdict::Missing(thing)) }
        };
        match preview {
            Preview::KindMissing { group, kind } => absent(Resource::Kind { group: group.clone(), kind: kind.clone() }),
            Preview::NamespaceMissing(name) => absent(Resource::Namespace(name.clone())),
            Preview::Refused { why, live: Some(live), replaceable: true } if self.replace => Ok(Todo {
                diff: difference::replaced(live, object, why),
                settling: earlier.is_some(),
                replaces: Some(live),
            }),
            Preview::Refused { why, live, replaceable: only_as_change } => match earlier {
                // What it says holds only until the earlier one is applied.
                Some(earlier) if !only_as_change => apply(difference::pending(live.as_ref(), object, earlier, why)),
                _ => Err(Verdict::Blocked(refused(&name, why, *only_as_change))),
            },
            Preview::Busy(why) => Err(Verdict::Wait { seen: format!("{name} can not be applied yet: {why}") }),
            Preview::Accepted { conflicts, .. } if !self.force && conflicts.iter().any(|c| !c.is_our_own()) => {
                Err(Verdict::Blocked(
                    Problem::new(format!("{name}: {}", kube::describe_conflicts(conflicts)))
                        .hint("say force = true to take the fields, or leave them out of the manifest"),
                ))
            }
            Preview::Accepted { live, result, conflicts } => {
                apply(difference::between(live.as_ref(), result, object, conflicts))
            }
        }
    }
}

fn refused(name: &str, why: &str, only_as_change: bool) -> Problem {
    let problem = Problem::new(format!("the API refuses {name}: {}", difference::brief(why)));
    problem.hint(if only_as_change {
        "the API lets nobody change this in an object that is there; replace = true deletes the object, with all that \
         belongs to it, and creates it anew; nothing was changed"
    } else {
        "correct the manifest; the API checked it as a dry run, nothing was changed"
    })
}

impl Action for Apply {
    fn probes(&self) -> Vec<Probe> {
        let probe = |object| kube::Probe::Apply { object: Object(object), namespace: self.namespace.clone() };
        self.objects().into_iter().map(probe).map(Probe::Kube).collect()
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let objects = self.objects();
        if objects.len() != facts.len() {
            return unexpected();
        }
        let mut diff = Diff::default();
        let mut first_obstacle = None;
        for todo in self.todo(&objects, facts) {
            match todo {
                Ok(todo) => diff.0.extend(todo.diff.0),
                // What waiting does not help is said before what it may help.
                Err(blocked @ Verdict::Blocked(_)) => return blocked,
                Err(obstacle) => first_obstacle = first_obstacle.or(Some(obstacle)),
            }
        }
        match (first_obstacle, diff.is_empty()) {
            (Some(obstacle), _) => obstacle,
            (None, false) => Verdict::Change(diff),
            (None, true) => Verdict::Same { seen: seen(&objects) },
        }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        let objects = self.objects();
        let todo = self.todo(&objects, facts);
        let each = objects.iter().zip(facts).zip(todo);
        let changing = each.filter_map(|((object, fact), todo)| Some((object, fact, todo.ok()?)));
        let mut changing = changing.filter(|(.., todo)| !todo.diff.is_empty()).skip(done.len().saturating_sub(1));
        let last = if done.is_empty() { None } else { changing.next() };
        if let (Some((object, fact, _)), Some(EffectResult::Kube(kube::EffectResult::Applied(made)))) =
            (last, done.last())
            && let Fact::Kube(kube::Fact::Apply(Preview::Accepted { result, .. })) = fact
        {
            difference::kept(&made.0, &difference::made_otherwise(result, &made.0, object))?;
        }
        Ok(changing.next().map(|(object, fact, todo)| {
            let (object, namespace, settling) = (Object(object.clone()), self.namespace.clone(), todo.settling);
            Effect::Kube(match todo.replaces {
                Some(live) => {
                    let uid = manifest::text(live, "/metadata/uid").to_owned();
                    kube::Effect::Replace { object, namespace, uid, settling }
                }
                None => {
                    let force = self.force || is_claimed_by_us(fact);
                    kube::Effect::Apply { object, namespace, force, settling }
                }
            })
        }))
    }

    fn outputs(&self, _facts: &[Fact], done: &[EffectResult]) -> Outputs {
        let mut outputs = Outputs::new();
        outputs.insert("objects".to_owned(), self.objects().len().into());
        outputs.insert("applied".to_owned(), done.len().into());
        outputs
    }

    fn predicted_diff(&self, facts: &[Fact]) -> Diff {
        let objects = self.objects();
        let of = |(object, todo): (&Value, Result<Todo<'_>, Verdict>)| match todo {
            Ok(todo) => todo.diff.0,
            // Where its kind or namespace is not there yet, the object is not either.
            Err(Verdict::Missing(_)) => difference::new(object).0,
            Err(_) => Vec::new(),
        };
        Diff(objects.iter().zip(self.todo(&objects, facts)).flat_map(of).collect())
    }

    fn provides(&self, _facts: &[Fact]) -> Vec<Resource> {
        provided(&self.objects())
    }
}

/// Whether the only claims in the way are our own.
fn is_claimed_by_us(fact: &Fact) -> bool {
    match fact {
        Fact::Kube(kube::Fact::Apply(Preview::Accepted { conflicts, .. })) => {
            !conflicts.is_empty() && conflicts.iter().all(kube::Conflict::is_our_own)
        }
        _ => false,
    }
}

/// The namespaces and kinds that the objects bring into being.
pub(crate) fn provided(objects: &[Value]) -> Vec<Resource> {
    let thing = |object: &Value| match manifest::text(object, "/kind") {
        "Namespace" => Some(Resource::Namespace(manifest::text(object, "/metadata/name").to_owned())),
        "CustomResourceDefinition" => Some(Resource::Kind {
            group: manifest::text(object, "/spec/group").to_owned(),
            kind: manifest::text(object, "/spec/names/kind").to_owned(),
        }),
        _ => None,
    };
    objects.iter().filter_map(thing).collect()
}

fn seen(objects: &[Value]) -> String {
    match objects {
        [] => "the manifest is empty".to_owned(),
        [one] => manifest::identity(one),
        [first, rest @ ..] => format!("{} and {} more", manifest::identity(first), rest.len()),
    }
}

impl Spec for Apply {
    const NAME: &'static str = "kube.apply";
    const SUMMARY: &'static str = "Kubernetes objects are as a manifest says, by server-side apply";
    const RUNS_ON: RunsOn = RunsOn::Cluster;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[
        Output { name: "objects", about: "number of objects in the manifest" },
        Output { name: "applied", about: "number of objects that were changed" },
    ];
    const CHECK_TEXT: Option<TextCheck> = Some(|param, text| match param {
        "manifest" | "inline" => manifest::objects(text).err(),
        _ => None,
    });
    const EXAMPLE: &'static str = r#"[[phase.app.step]]
id = "routing"
action = "kube.apply"
manifest = "templates/routing.yaml.j2"
namespace = "trading"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let error = |pointer: &str, message: String| Err(ParamError { pointer: pointer.to_owned(), message });
        let pointer = match (&self.manifest, &self.inline) {
            (Some(_), None) => "/manifest",
            (None, Some(_)) => "/inline",
            (None, None) => return error("", "manifest or inline is needed".to_owned()),
            (Some(_), Some(_)) => return error("/inline", "manifest and inline exclude each other".to_owned()),
        };
        match manifest::objects(self.text()) {
            Ok(_) => Ok(()),
            Err(why) => error(pointer, why.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CRD_AND_OBJECT: &str = "apiVersion: example.com/v1\nkind: Route\nmetadata: {name: r, namespace: app}\n---\n\
        apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: routes.example.com}\n\
        spec: {group: example.com, names: {kind: Route}}\n---\n\
        apiVersion: v1\nkind: Namespace\nmetadata: {name: app}\n";
    const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: app}\ndata: {k: v}\n";

    fn action(inline: &str, force: bool) -> Apply {
        serde_json::from_value(json!({"inline": inline, "force": force})).unwrap()
    }

    fn fact(preview: Preview) -> Fact {
        Fact::Kube(kube::Fact::Apply(preview))
    }

    fn config(value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "app"},
               "data": {"k": value}})
    }

    fn would(live: Option<Value>, conflicts: Vec<kube::Conflict>) -> Fact {
        fact(Preview::Accepted { live, result: config("v"), conflicts })
    }

    /// The first of them are applied, and become what the server said.
    fn done(facts: &[Fact], count: usize) -> Vec<EffectResult> {
        let made = |fact: &Fact| match fact {
            Fact::Kube(kube::Fact::Apply(Preview::Accepted { result, .. })) => result.clone(),
            _ => Value::Null,
        };
        facts
            .iter()
            .take(count)
            .map(|fact| EffectResult::Kube(kube::EffectResult::Applied(Object(made(fact)))))
            .collect()
    }

    fn refusal(why: &str, live: Option<Value>, only_as_change: bool) -> Preview {
        Preview::Refused { why: why.to_owned(), live, replaceable: only_as_change }
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: once}\n---\n\
        apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n";

    fn account(live: bool) -> Fact {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "runner"}});
        fact(Preview::Accepted { live: live.then(|| account.clone()), result: account, conflicts: Vec::new() })
    }

    #[test]
    fn what_is_judged_by_an_earlier_object_is_judged_when_that_one_is_applied() {
        let action = action(POD, false);
        let facts = [account(false), fact(refusal("serviceaccount \"runner\" not found", None, false))];
        let Verdict::Change(diff) = action.verdict(&facts) else { panic!() };
        assert_eq!(diff.0.len(), 2);
        let settling = |n: usize| match action.next_effect(&facts, &done(&facts, n)).unwrap() {
            Some(Effect::Kube(kube::Effect::Apply { object, settling, .. })) => Some((format!("{object:?}"), settling)),
            _ => None,
        };
        assert_eq!(settling(0), Some(("ServiceAccount runner".into(), false)));
        assert_eq!(settling(1), Some(("Pod once".into(), true)));
        assert_eq!(settling(2), None);
    }

    #[test]
    fn a_refusal_counts_when_nothing_before_it_changes() {
        let facts = [account(true), fact(refusal("spec.containers: Required value", None, false))];
        assert!(matches!(action(POD, false).verdict(&facts), Verdict::Blocked(_)));
        let config = format!("{CONFIG}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p, namespace: app}}\n");
        let facts = [would(None, Vec::new()), fact(refusal("spec.containers: Required value", None, false))];
        assert!(
            matches!(action(&config, false).verdict(&facts), Verdict::Blocked(_)),
            "it is not judged by a ConfigMap"
        );
    }

    #[test]
    fn what_nobody_may_change_is_made_anew_only_where_the_plan_says_so() {
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "app",
            "uid": "u-1"}, "data": {"k": "old"}, "immutable": true});
        let facts = [fact(refusal("data: Forbidden: field is immutable", Some(live), true))];
        let Verdict::Blocked(problem) = action(CONFIG, false).verdict(&facts) else { panic!() };
        assert!(problem.hint.unwrap().contains("replace = true"));
        let action: Apply = serde_json::from_value(json!({"inline": CONFIG, "replace": true})).unwrap();
        let Verdict::Change(diff) = action.verdict(&facts) else { panic!() };
        let lines: Vec<String> = diff.0.iter().flat_map(crate::diff::Delta::lines).collect();
        assert!(lines[0].contains("delete ConfigMap app/c") && lines[1].contains("data.k: old → v"), "{lines:?}");
        let next = |n: usize| action.next_effect(&facts, &done(&facts, n)).unwrap();
        let Some(Effect::Kube(kube::Effect::Replace { uid, .. })) = next(0) else { panic!() };
        assert_eq!(uid, "u-1");
        assert!(next(1).is_none());
    }

    #[test]
    fn what_the_server_makes_of_it_is_compared_with_what_it_said() {
        let facts = [would(None, Vec::new())];
        let next = |made: &str| {
            action(CONFIG, false)
                .next_effect(&facts, &[EffectResult::Kube(kube::EffectResult::Applied(Object(config(made))))])
        };
        assert!(matches!(next("v"), Ok(None)));
        let message = next("w").err().unwrap().message;
        assert!(message.ends_with("made something else of it:\n~ ConfigMap app/c data.k: w → v"), "{message}");
    }

    #[test]
    fn keys_that_go_are_hidden_where_the_manifest_holds_a_secret() {
        crate::secret::register("secret-of-a-manifest");
        let shown = |value: &str| {
            let mut live = config(value);
            live["data"]["pw"] = json!("hunter-of-old");
            let facts = [fact(Preview::Accepted { live: Some(live), result: config(value), conflicts: Vec::new() })];
            let inline = CONFIG.replace("k: v", &format!("k: {value}"));
            let action = crate::actions::Registry::standard().build(Apply::NAME, &json!({ "inline": inline })).unwrap();
            let Verdict::Change(diff) = action.verdict(&facts) else { panic!() };
            diff.redacted().0.iter().flat_map(crate::diff::Delta::lines).collect::<Vec<_>>()
        };
        assert_eq!(shown("secret-of-a-manifest"), ["- ConfigMap app/c data.pw: ‹secret›"]);
        assert_eq!(shown("v"), ["- ConfigMap app/c data.pw: hunter-of-old"]);
    }

    #[test]
    fn an_equal_object_is_the_same_and_nothing_is_written() {
        let action = action(CONFIG, false);
        let facts = [would(Some(config("v")), Vec::new())];
        assert_eq!(action.verdict(&facts), Verdict::Same { seen: "ConfigMap app/c".into() });
        assert!(action.next_effect(&facts, &[]).unwrap().is_none());
    }

    #[test]
    fn a_new_object_is_shown_whole() {
        let Verdict::Change(diff) = action(CONFIG, false).verdict(&[would(None, Vec::new())]) else { panic!() };
        let lines = diff.0[0].lines();
        assert_eq!(lines[0], "~ ConfigMap app/c");
        assert!(lines.contains(&"+  k: v".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_conflict_blocks_unless_forced() {
        let conflict = || vec![kube::Conflict { field: "data.k".into(), manager: "kubectl".into() }];
        let facts = [would(Some(config("other")), conflict())];
        let Verdict::Blocked(problem) = action(CONFIG, false).verdict(&facts) else { panic!() };
        assert_eq!(problem.message, "ConfigMap app/c: data.k is owned by kubectl");
        let Verdict::Change(diff) = action(CONFIG, true).verdict(&facts) else { panic!() };
        assert_eq!(diff.0[0].lines(), ["~ ConfigMap app/c data.k: other → v   (owned by kubectl)"]);
    }

    #[test]
    fn what_the_manifest_itself_brings_is_not_missing() {
        let action = action(CRD_AND_OBJECT, false);
        let created = |kind: &str| {
            fact(Preview::Accepted {
                live: None,
                result: json!({"kind": kind, "metadata": {"name": "x"}}),
                conflicts: Vec::new(),
            })
        };
        let missing = fact(Preview::KindMissing { group: "example.com".into(), kind: "Route".into() });
        let facts = [created("Namespace"), created("CustomResourceDefinition"), missing];
        let Verdict::Change(diff) = action.verdict(&facts) else { panic!() };
        assert_eq!(diff.0.len(), 3);
        let order: Vec<String> = (0..4)
            .map_while(|n| match action.next_effect(&facts, &done(&facts, n)).unwrap() {
                Some(Effect::Kube(kube::Effect::Apply { object, .. })) => Some(format!("{object:?}")),
                _ => None,
            })
            .collect();
        assert_eq!(order, ["Namespace app", "CustomResourceDefinition routes.example.com", "Route app/r"]);
        let route = Resource::Kind { group: "example.com".into(), kind: "Route".into() };
        assert_eq!(action.provides(&facts), [Resource::Namespace("app".into()), route]);
    }

    #[test]
    fn what_others_bring_is_missing() {
        let facts = [fact(Preview::NamespaceMissing("app".into()))];
        assert_eq!(action(CONFIG, false).verdict(&facts), Verdict::Missing(Resource::Namespace("app".into())));
        assert!(!action(CONFIG, false).predicted_diff(&facts).is_empty(), "a preview shows the object all the same");
    }

    #[test]
    fn a_refusal_blocks_and_a_webhook_that_is_down_is_waited_for() {
        let refused = [fact(refusal("unknown field \"dat\"", None, false))];
        assert!(matches!(action(CONFIG, false).verdict(&refused), Verdict::Blocked(_)));
        let busy = [fact(Preview::Busy("failed calling webhook".into()))];
        assert!(matches!(action(CONFIG, false).verdict(&busy), Verdict::Wait { .. }));
    }

    #[test]
    fn one_source_is_needed_and_it_must_be_yaml() {
        let rules = |params: Value| serde_json::from_value::<Apply>(params).unwrap().rules();
        assert!(rules(json!({})).is_err());
        assert!(rules(json!({"manifest": "x.yaml"})).is_ok());
        let broken = json!({"manifest": {"path": "x.yaml", "content": "kind: A\n"}});
        assert_eq!(rules(broken).unwrap_err().pointer, "/manifest");
    }
}
