//! The project's own plans, without connections: they load, and their templates render in every inventory.
#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use std::path::Path;

use rollout::connect::kube::manifest;
use rollout::inventory::Inventory;
use rollout::plan::{Plan, Scope};
use rollout::template::{Context, Templates};
use serde_json::{Map, Value};

const INVENTORIES: [&str; 2] = ["inventory/lab.toml", "inventory/example.toml"];

fn scope(inventory: &str, overrides: &Map<String, Value>) -> (Templates, Context) {
    let plan = Plan::load(Path::new("plans/istio.toml")).unwrap();
    let inventory = Inventory::load(Path::new(inventory)).unwrap();
    let templates = Templates::new(&plan.root);
    let (scope, errors) = Scope::new(&plan, &inventory, overrides, &templates);
    assert!(errors.is_empty(), "{errors:?}");
    (templates, scope.controller().clone())
}

fn rendered(name: &str, inventory: &str, overrides: &Map<String, Value>) -> String {
    let (templates, context) = scope(inventory, overrides);
    let source = std::fs::read_to_string(name).unwrap();
    templates.render(name, &source, &context).unwrap_or_else(|e| panic!("{name} with {inventory}: {e}"))
}

fn identities(name: &str, overrides: &Map<String, Value>) -> Vec<String> {
    let texts = INVENTORIES.map(|inventory| rendered(name, inventory, overrides));
    let objects = manifest::objects(&texts[0]).unwrap_or_else(|e| panic!("{name}: {e}\n{}", texts[0]));
    assert!(manifest::objects(&texts[1]).is_ok());
    objects.iter().map(manifest::identity).collect()
}

#[test]
fn every_manifest_is_what_its_name_says() {
    let of = |name: &str| identities(name, &Map::new());
    assert_eq!(of("templates/app-namespaces.yaml.j2"), ["Namespace trading", "Namespace mesh-outsider"]);
    assert_eq!(
        of("templates/app.yaml.j2"),
        ["ServiceAccount trading/trading-agent", "Deployment trading/trading-agent", "Service trading/trading-agent"]
    );
    assert_eq!(
        of("templates/app-policy.yaml.j2"),
        ["PeerAuthentication trading/default", "AuthorizationPolicy trading/trading-agent"]
    );
    assert_eq!(
        of("templates/app-routing.yaml.j2"),
        ["Gateway trading/trading-agent", "VirtualService trading/trading-agent"]
    );
    assert_eq!(of("templates/app-network.yaml.j2").len(), 5);
    let probes = of("templates/probes.yaml.j2");
    assert_eq!(probes.len(), 6);
    assert!(probes.contains(&"Deployment mesh-outsider/mesh-probe".to_owned()), "{probes:?}");
}

#[test]
fn what_the_app_calls_outside_gets_a_policy_of_its_own() {
    let egress = serde_json::json!({ "app_egress": [{ "cidr": "203.0.113.0/24", "port": 443 }] });
    let all = identities("templates/app-network.yaml.j2", egress.as_object().unwrap());
    assert_eq!(all.last().unwrap(), "NetworkPolicy trading/trading-agent-outside");
}

#[test]
fn values_follow_their_variables() {
    let values = |name: &str, overrides: Value| -> Value {
        serde_saphyr::from_str(&rendered(name, INVENTORIES[1], overrides.as_object().unwrap())).unwrap()
    };
    let istiod = |overrides| values("templates/istiod-values.yaml.j2", overrides);
    let scaled = istiod(serde_json::json!({}));
    assert_eq!(scaled["pilot"]["autoscaleMax"], 2);
    // istiod does not start if a quantity is a number instead of a text.
    assert_eq!(scaled["global"]["proxy"]["resources"]["limits"]["cpu"], "1");
    assert_eq!(scaled["global"]["defaultPodDisruptionBudget"]["enabled"], false);
    let fixed = istiod(serde_json::json!({ "istiod_autoscale": false, "istiod_replicas": 2, "istiod_memory": "1Gi" }));
    assert_eq!(fixed["pilot"]["replicaCount"], 2);
    assert_eq!(fixed["pilot"]["resources"]["requests"]["memory"], "1Gi");
    assert_eq!(fixed["global"]["defaultPodDisruptionBudget"]["enabled"], true);

    let gateway = |overrides| values("templates/gateway-values.yaml.j2", overrides);
    let plain = gateway(serde_json::json!({}));
    assert_eq!(plain["nodeSelector"]["kubernetes.io/hostname"], "control-pi");
    assert!(plain.get("tolerations").is_none());
    let toleration = serde_json::json!([{ "key": "control-plane", "operator": "Exists" }]);
    let tainted = gateway(serde_json::json!({ "control_node_tolerations": toleration }));
    assert_eq!(tainted["tolerations"], toleration);
}

#[test]
fn the_first_plan_needs_this_machine_only() {
    let plan = Plan::load(Path::new("plans/hello.toml")).unwrap();
    let inventory = Inventory::load(Path::new("inventory/default.toml")).unwrap();
    for step in plan.phases.iter().flat_map(|phase| &phase.steps) {
        let hosts = inventory.select(&step.hosts.as_ref().unwrap().value).unwrap();
        assert_eq!(hosts.len(), 1, "{}", step.id.value);
        assert!(step.action.value.starts_with("node."), "{}", step.action.value);
    }
}
