//! The requests of pods, added up as the scheduler does. Pure.

use std::ops::{Add, Sub};

use serde_json::Value;

use super::Quantity;
use crate::connect::kube::manifest::{list, text};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Cores.
    pub cpu: Quantity,
    /// Bytes.
    pub memory: Quantity,
}

impl Amount {
    /// The resources that a pod with this `spec` takes from its node.
    pub fn of_pod(spec: &Value) -> Self {
        let containers = list(spec, "/containers").iter().map(Self::of_container).fold(Self::default(), Add::add);
        let (mut sidecars, mut starting) = (Self::default(), Self::default());
        for container in list(spec, "/initContainers") {
            let own = Self::of_container(container);
            // A sidecar keeps running; all other init containers end before the next one starts.
            starting = starting.largest(sidecars + own);
            if text(container, "/restartPolicy") == "Always" {
                sidecars = sidecars + own;
            }
        }
        let summed = (containers + sidecars).largest(starting);
        let whole = spec.get("resources");
        let overhead = |name| quantity(spec.get("overhead"), name).unwrap_or_default();
        Self {
            cpu: request(whole, "cpu").unwrap_or(summed.cpu) + overhead("cpu"),
            memory: request(whole, "memory").unwrap_or(summed.memory) + overhead("memory"),
        }
    }

    fn of_container(container: &Value) -> Self {
        let of = |name| request(container.get("resources"), name).unwrap_or_default();
        Self { cpu: of("cpu"), memory: of("memory") }
    }

    fn largest(self, other: Self) -> Self {
        Self { cpu: self.cpu.max(other.cpu), memory: self.memory.max(other.memory) }
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, memory: self.memory + other.memory }
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { cpu: self.cpu - other.cpu, memory: self.memory - other.memory }
    }
}

/// The request of a container. If only a limit is given, the API uses the limit.
fn request(resources: Option<&Value>, name: &str) -> Option<Quantity> {
    let of = |field: &str| quantity(resources?.get(field), name);
    of("requests").or_else(|| of("limits"))
}

/// One entry of a list of resources.
pub fn quantity(resources: Option<&Value>, name: &str) -> Option<Quantity> {
    serde_json::from_value(resources?.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asks(cpu: &str, memory: &str) -> Amount {
        Amount { cpu: cpu.parse().unwrap(), memory: memory.parse().unwrap() }
    }

    fn container(cpu: &str, memory: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_add_up_with_overhead() {
        let spec = json!({"containers": [container("100m", "64Mi"), container("50m", "32Mi"), {"name": "none"}],
                          "overhead": {"cpu": "10m", "memory": "4Mi"}});
        assert_eq!(Amount::of_pod(&spec), asks("160m", "100Mi"));
    }

    #[test]
    fn the_largest_init_container_counts_when_it_asks_for_more() {
        let spec = json!({"containers": [container("100m", "64Mi")],
                          "initContainers": [container("200m", "10Mi"), container("10m", "128Mi")]});
        assert_eq!(Amount::of_pod(&spec), asks("200m", "128Mi"));
    }

    #[test]
    fn sidecars_stay_and_carry_on_beside_later_init_containers() {
        let mut sidecar = container("50m", "50Mi");
        sidecar["restartPolicy"] = "Always".into();
        let spec = |first: Value, second: Value| {
            Amount::of_pod(&json!({"containers": [container("100m", "64Mi")], "initContainers": [first, second]}))
        };
        assert_eq!(spec(sidecar.clone(), container("10m", "10Mi")), asks("150m", "114Mi"));
        assert_eq!(spec(sidecar.clone(), container("10m", "100Mi")), asks("150m", "150Mi"));
        assert_eq!(spec(container("10m", "120Mi"), sidecar), asks("150m", "120Mi"));
    }

    #[test]
    fn a_limit_stands_for_a_request_and_the_pod_for_its_containers() {
        let spec = json!({"containers": [{"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 1}}}]});
        assert_eq!(Amount::of_pod(&spec), asks("1", "1Gi"));
        let spec = json!({"containers": [container("1", "1Gi")], "resources": {"requests": {"memory": "2Gi"}}});
        assert_eq!(Amount::of_pod(&spec), asks("1", "2Gi"));
    }
}
