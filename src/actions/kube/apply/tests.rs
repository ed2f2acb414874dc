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

/// The results of the first `count` effects: the server returns what its dry run said.
fn done(facts: &[Fact], count: usize) -> Vec<EffectResult> {
    let made = |fact: &Fact| match fact {
        Fact::Kube(kube::Fact::Apply(Preview::Accepted { result, .. })) => result.clone(),
        _ => Value::Null,
    };
    facts.iter().take(count).map(|fact| EffectResult::Kube(kube::EffectResult::Applied(Object(made(fact))))).collect()
}

fn refusal(why: &str, live: Option<Value>, replaceable: bool) -> Preview {
    Preview::Refused { why: why.to_owned(), live, replaceable }
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
    assert!(matches!(action(&config, false).verdict(&facts), Verdict::Blocked(_)), "it is not judged by a ConfigMap");
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
    assert!(message.ends_with("but stored something else:\n~ ConfigMap app/c data.k: w → v"), "{message}");
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
