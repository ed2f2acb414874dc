//! Counting and placing, on literal facts.

use serde_json::json;

use super::testing::{facts, node, pod};
use super::*;

fn pods(name: &str, cpu: &str, memory: &str, replicas: Option<u64>) -> Pods {
    let each = Amount { cpu: cpu.parse().unwrap(), memory: memory.parse().unwrap() };
    Pods { name: name.into(), each, replicas, ..Pods::default() }
}

fn room(nodes: Vec<Value>, running: Vec<Value>) -> ClusterCapacity {
    ClusterCapacity::from_facts(&facts(nodes, running), &[], Quantity::ZERO).unwrap()
}

#[test]
fn alike_pods_are_counted_node_by_node() {
    let room = room(vec![node("a", "4", "3Gi"), node("b", "1", "8Gi")], vec![pod("a", "web", "1", "512Mi")]);
    // a: 2.5Gi and 3 CPUs; b: 8Gi and 1 CPU.
    assert_eq!(room.fits(&pods("x", "500m", "1Gi", Some(1))), 2 + 2);
    assert_eq!(room.fits(&pods("x", "0", "1Gi", Some(1))), 2 + 8);
    assert_eq!(room.fits(&pods("x", "0", "0", Some(1))), 109 + 110);
}

#[test]
fn the_number_of_pods_is_limited_too() {
    let mut small = node("a", "4", "4Gi");
    small["status"]["allocatable"]["pods"] = "2".into();
    let room = room(vec![small], vec![pod("a", "web", "1m", "1Mi")]);
    assert_eq!(room.fits(&pods("x", "1m", "1Mi", Some(2))), 1);
}

#[test]
fn pods_that_ended_or_have_no_node_take_nothing() {
    let (mut ended, mut pending) = (pod("a", "job", "1", "3Gi"), pod("a", "web", "1", "3Gi"));
    ended["status"]["phase"] = "Succeeded".into();
    pending["spec"].as_object_mut().unwrap().remove("nodeName");
    let room = room(vec![node("a", "4", "4Gi")], vec![ended, pending]);
    assert_eq!(room.fits(&pods("x", "0", "4Gi", Some(1))), 1);
}

#[test]
fn only_the_workload_s_own_pods_are_left_out() {
    let own = [Workload::parse("app/web").unwrap()];
    let fits = |pod: Value| {
        let facts = facts(vec![node("a", "4", "4Gi")], vec![pod]);
        ClusterCapacity::from_facts(&facts, &own, Quantity::ZERO).unwrap().fits(&pods("x", "0", "4Gi", Some(1)))
    };
    assert_eq!(fits(pod("a", "web", "1", "1Gi")), 1);
    assert_eq!(fits(pod("a", "web-admin", "1", "1Gi")), 0);
    let mut other = pod("a", "web", "1", "1Gi");
    other["metadata"]["namespace"] = "other".into();
    assert_eq!(fits(other), 0);
    let mut of_set = pod("a", "web", "1", "1Gi");
    of_set["metadata"]["labels"] = json!({});
    of_set["metadata"]["ownerReferences"] = json!([{"kind": "StatefulSet", "name": "web"}]);
    assert_eq!(fits(of_set), 1);
}

#[test]
fn headroom_is_never_given_away() {
    let facts = facts(vec![node("a", "4", "4Gi")], vec![]);
    let room = ClusterCapacity::from_facts(&facts, &[], "1Gi".parse().unwrap()).unwrap();
    assert_eq!(room.fits(&pods("x", "0", "1Gi", Some(1))), 3);
}

#[test]
fn larger_gaps_are_left_for_larger_pods() {
    let mut room = room(vec![node("big", "4", "4Gi"), node("small", "4", "1Gi")], vec![]);
    room.place(&pods("s", "0", "1Gi", Some(1))).unwrap();
    room.place(&pods("b", "0", "4Gi", Some(1))).unwrap();
    let problem = room.place(&pods("late", "100m", "64Mi", Some(1))).unwrap_err();
    let expected = "late asks for 64Mi memory; the freest node, big, has 0 of 4Gi allocatable left beside 2 other \
                    pods of the chart";
    assert_eq!(problem.message, expected);
}

#[test]
fn daemons_want_room_on_every_node() {
    let mut cordoned = node("b", "4", "4Gi");
    cordoned["spec"]["unschedulable"] = true.into();
    let mut room = room(vec![node("a", "4", "4Gi"), cordoned], vec![pod("b", "web", "1", "3Gi")]);
    room.place(&pods("agent", "0", "1Gi", None)).unwrap();
    let problem = room.place(&pods("other", "10m", "64Mi", None)).unwrap_err();
    let expected =
        "other asks for 64Mi memory and 10m CPU on every node; b has 0, 3 CPUs left beside 2 other pods of the chart";
    assert_eq!(problem.message, expected);
}
