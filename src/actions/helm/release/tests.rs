//! Every verdict of `helm.release`, without a cluster.

use serde_json::json;

use super::*;
use crate::connect::helm::{Rendered, Revision};
use crate::diff::Delta;

fn action(more: Value) -> Release {
    let mut params = json!({"release": "istiod", "namespace": "istio-system", "chart": "istio/istiod",
        "version": "1.27.0", "set": {"pilot.replicas": 2}});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let action: Release = serde_json::from_value(params).unwrap();
    action.rules().unwrap();
    action
}

fn live(version: &str, status: &str, values: Value) -> helm::Release {
    helm::Release {
        revision: 3,
        status: status.into(),
        chart: "istiod".into(),
        chart_version: version.into(),
        values,
        manifest: "kind: Deployment\nmetadata: {name: istiod}\nspec: {replicas: 1}\n---\nkind: Service\nmetadata: {name: old}\n"
            .into(),
        ..helm::Release::default()
    }
}

fn rendered() -> Option<Result<Rendered, String>> {
    let yaml = "---\n# Source: istiod/crds/c.yaml\nkind: CustomResourceDefinition\nmetadata: {name: gateways.n.io}\n\
                spec: {group: n.io, names: {kind: Gateway}}\n---\n# Source: istiod/templates/d.yaml\n\
                kind: Deployment\nmetadata: {name: istiod}\nspec: {replicas: 2}\n---\nkind: Secret\nmetadata: {name: s}\n\
                data: {k: aHVudGVyMg==}\n";
    Some(Rendered::read(yaml))
}

fn facts(live: Option<helm::Release>) -> [Fact; 1] {
    let state = State { live, namespace_exists: true, rendered: rendered(), age: Some(840), ..State::default() };
    [Fact::Helm(helm::Fact::Release(Box::new(state)))]
}

fn lines(verdict: Verdict) -> Vec<String> {
    let Verdict::Change(diff) = verdict else { panic!("{verdict:?}") };
    diff.0.iter().flat_map(Delta::lines).collect()
}

fn effects(action: &Release, facts: &[Fact]) -> Vec<&'static str> {
    let done = |n| vec![EffectResult::Helm(helm::EffectResult::Ran { output: String::new() }); n];
    (0..5)
        .map_while(|n| match action.next_effect(facts, &done(n)).ok()?? {
            Effect::Helm(helm::Effect::Upgrade(_)) => Some("upgrade"),
            Effect::Helm(helm::Effect::Rollback { revision: 2, .. }) => Some("rollback to 2"),
            Effect::Helm(helm::Effect::Uninstall { .. }) => Some("uninstall"),
            _ => Some("?"),
        })
        .collect()
}

#[test]
fn a_release_as_asked_is_the_same() {
    let facts = facts(Some(live("1.27.0", "deployed", json!({"pilot": {"replicas": 2.0}}))));
    assert_eq!(action(json!({})).verdict(&facts), Verdict::Same { seen: "istiod 1.27.0, revision 3".into() });
}

#[test]
fn an_upgrade_shows_version_values_and_objects() {
    let facts = facts(Some(live("1.26.0", "deployed", json!({"pilot": {"replicas": 1}}))));
    let action = action(json!({}));
    let shown = lines(action.verdict(&facts));
    assert_eq!(shown[0], "~ release istio-system/istiod chart: istiod 1.26.0 → istiod 1.27.0");
    for line in
        ["-  replicas: 1", "+  replicas: 2", "~ Deployment istiod", "+ Secret s: new", "- Service old: as installed"]
    {
        assert!(shown.iter().any(|l| l == line), "{line} in {shown:#?}");
    }
    assert!(!shown.iter().any(|l| l.contains("aHVudGVyMg")), "{shown:#?}");
    assert_eq!(effects(&action, &facts), ["upgrade"]);
}

#[test]
fn a_local_chart_that_was_edited_says_so_even_when_its_objects_stay() {
    let action = action(json!({"chart": "./istiod"}));
    let chart = |contents: &str, version: &str| helm::LocalChart {
        name: "istiod".into(),
        version: version.into(),
        contents: contents.repeat(32),
    };
    let facts = |description: String, local: helm::LocalChart| {
        let live = helm::Release { description, ..live("1.27.0", "deployed", json!({"pilot": {"replicas": 2}})) };
        let state = State {
            live: Some(live),
            local: Some(local),
            namespace_exists: true,
            rendered: Some(Ok(Rendered::default())),
            ..State::default()
        };
        [Fact::Helm(helm::Fact::Release(Box::new(state)))]
    };
    let mark = |contents: &str| action.asked().chart.mark(Some(&chart(contents, "1.27.0"))).unwrap();
    let shown = lines(action.verdict(&facts(mark("ab"), chart("cd", "1.27.0"))));
    let wanted = "~ release istio-system/istiod chart's origin: contents sha256:abababababababab → contents \
                  sha256:cdcdcdcdcdcdcdcd";
    assert_eq!(shown[0], wanted);
    let unknown = facts("Upgrade complete".into(), chart("cd", "1.27.0"));
    assert!(lines(action.verdict(&unknown))[0].contains("chart's origin: not known → contents"));
    let Some(Effect::Helm(helm::Effect::Upgrade(upgrade))) = action.next_effect(&unknown, &[]).unwrap() else {
        panic!()
    };
    assert_eq!(upgrade.mark, Some(mark("cd")), "the release is known by it the next time");
    assert!(matches!(action.verdict(&facts(mark("cd"), chart("cd", "1.27.0"))), Verdict::Same { .. }));
    let Verdict::Blocked(problem) = action.verdict(&facts(mark("ab"), chart("cd", "1.26.0"))) else { panic!() };
    assert_eq!(problem.message, "the chart at ./istiod is of version 1.26.0, not 1.27.0");
}

#[test]
fn a_first_install_shows_what_comes_and_provides_its_kinds() {
    let facts = facts(None);
    let action = action(json!({}));
    let shown = lines(action.verdict(&facts));
    assert_eq!(shown[0], "+ release istio-system/istiod chart: istiod 1.27.0");
    assert!(shown.contains(&"+ CustomResourceDefinition gateways.n.io: new".to_owned()), "{shown:#?}");
    assert_eq!(action.provides(&facts), [Resource::Kind { group: "n.io".into(), kind: "Gateway".into() }]);
}

#[test]
fn a_failed_release_is_deployed_again() {
    let facts = facts(Some(live("1.27.0", "failed", json!({"pilot": {"replicas": 2}}))));
    let shown = lines(action(json!({})).verdict(&facts));
    assert_eq!(shown[0], "~ release istio-system/istiod status: failed → deployed");
}

#[test]
fn a_stuck_release_is_explained_and_left_alone() {
    let mut stuck = live("1.27.0", "pending-upgrade", json!({}));
    stuck.history = vec![Revision { number: 2, status: "deployed".into() }];
    let Verdict::Blocked(problem) = action(json!({})).verdict(&facts(Some(stuck))) else { panic!() };
    assert!(problem.message.starts_with("release istio-system/istiod is pending-upgrade at revision 3 since 14 min"));
    assert!(problem.hint.unwrap().contains("goes back to revision 2"));
}

#[test]
fn a_change_that_has_just_begun_is_waited_for() {
    let state = State { live: Some(live("1.27.0", "pending-install", json!({}))), age: Some(12), ..State::default() };
    let verdict =
        action(json!({"on_pending": "rollback"})).verdict(&[Fact::Helm(helm::Fact::Release(Box::new(state)))]);
    assert!(
        matches!(&verdict, Verdict::Wait { seen } if seen.contains("pending-install at revision 3")),
        "{verdict:?}"
    );
}

#[test]
fn a_stuck_upgrade_is_rolled_back_first_when_the_plan_says_so() {
    let mut stuck = live("1.27.0", "pending-upgrade", json!({}));
    stuck.history = vec![Revision { number: 2, status: "superseded".into() }];
    let facts = facts(Some(stuck));
    let action = action(json!({"on_pending": "rollback"}));
    let shown = lines(action.verdict(&facts));
    assert_eq!(shown[0], "! roll release istio-system/istiod (pending-upgrade at revision 3) back to revision 2");
    assert_eq!(effects(&action, &facts), ["rollback to 2", "upgrade"]);
}

#[test]
fn a_stuck_first_install_is_uninstalled_first() {
    let facts = facts(Some(live("1.27.0", "pending-install", json!({}))));
    assert_eq!(effects(&action(json!({"on_pending": "rollback"})), &facts), ["uninstall", "upgrade"]);
    assert_eq!(effects(&action(json!({"on_pending": "uninstall"})), &facts), ["uninstall", "upgrade"]);
}

#[test]
fn what_an_earlier_step_brings_is_missing() {
    let state = |namespace_exists, unserved: &[(&str, &str)]| {
        let unserved = unserved.iter().map(|(g, k)| ((*g).to_owned(), (*k).to_owned())).collect();
        let state = State { namespace_exists, rendered: rendered(), missing_kinds: unserved, ..State::default() };
        [Fact::Helm(helm::Fact::Release(Box::new(state)))]
    };
    let namespace = Resource::Namespace("istio-system".into());
    assert_eq!(action(json!({})).verdict(&state(false, &[])), Verdict::Missing(namespace.clone()));
    assert!(
        !action(json!({})).predicted_diff(&state(false, &[])).is_empty(),
        "a preview shows the release all the same"
    );
    let making = action(json!({"create_namespace": true}));
    assert!(matches!(making.verdict(&state(false, &[])), Verdict::Change(_)));
    assert!(making.provides(&state(false, &[])).contains(&namespace));
    let kind = Resource::Kind { group: "n.io".into(), kind: "Gateway".into() };
    assert_eq!(action(json!({})).verdict(&state(true, &[("n.io", "Gateway")])), Verdict::Missing(kind));
}

#[test]
fn a_chart_that_does_not_render_blocks() {
    let state = State { namespace_exists: true, rendered: Some(Err("no such chart".into())), ..State::default() };
    let verdict = action(json!({})).verdict(&[Fact::Helm(helm::Fact::Release(Box::new(state)))]);
    let Verdict::Blocked(problem) = verdict else { panic!() };
    assert_eq!(problem.message, "the chart cannot be rendered: no such chart");
}

#[test]
fn ranges_credentials_and_double_names_are_refused() {
    let pointer = |more: Value| {
        let mut params = json!({"release": "a", "namespace": "a", "chart": "a"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<Release>(params).unwrap().rules().unwrap_err().pointer
    };
    assert_eq!(pointer(json!({"version": "^1.2"})), "/version");
    assert_eq!(pointer(json!({"repo": "https://u:p@example.com/charts"})), "/repo");
    assert_eq!(pointer(json!({"repo": "https://example.com/charts", "chart": "istio/base"})), "/chart");
}

#[test]
fn a_helm_that_ends_well_without_a_deployed_release_has_failed() {
    let action = action(json!({}));
    let facts = facts(Some(live("1.26.0", "deployed", json!({}))));
    let next = |status: &str| {
        let output = format!("NAME: istiod\nSTATUS: {status}\nREVISION: 4\n");
        action.next_effect(&facts, &[EffectResult::Helm(helm::EffectResult::Ran { output })])
    };
    assert!(matches!(next("deployed"), Ok(None)));
    let problem = next("failed").err().unwrap();
    assert_eq!(problem.message, "helm ended well, but release istio-system/istiod is failed now");
}
