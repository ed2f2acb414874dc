//! Reads and writes one Lease object. Writes do nothing if somebody else wrote meanwhile.

use std::fmt;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use kube::Error;
use kube::api::{Api, PostParams};

use super::error::LeaseError;
use crate::connect::kube::client::error;
use crate::connect::kube::{Backend, FIELD_MANAGER};
use crate::connect::{CallContext, ConnectError};
use crate::event::Problem;
use crate::holder::Held;
use crate::inventory::Inventory;

/// A Lease object in its cluster.
pub struct LeaseObject {
    backend: Backend,
    namespace: String,
    name: String,
}

impl fmt::Display for LeaseObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {}/{}", self.namespace, self.name)
    }
}

impl LeaseObject {
    /// The lease of a plan. It has a connection of its own, so that it is renewed even when the steps' connection is
    /// stuck.
    pub fn new(inventory: &Inventory, plan: &str) -> Self {
        let namespace = inventory.kube.lease_namespace().to_owned();
        Self { backend: Backend::new(inventory), namespace, name: name(plan) }
    }

    /// Reads the lease; `None` when it does not exist.
    ///
    /// # Errors
    /// [`LeaseError::Unreachable`] also when there is no kubeconfig yet, or the server is not usable yet.
    pub async fn read(&self, call: &CallContext) -> Result<Option<Object>, LeaseError> {
        let (api, what) = (self.api().await?, format!("read {self}"));
        match self.backend.send_raw(&what, false, call, api.get_opt(&self.name)).await.map_err(unreachable)? {
            Ok(found) => Ok(found),
            Err(Error::Api(status)) if status.code >= 500 || status.code == 429 => {
                Err(LeaseError::Unreachable(Problem::new(format!("{what}: {}", status.message))))
            }
            Err(e) => Err(self.error("get", &what, &e, false)),
        }
    }

    /// Writes the lease: creates it if `object` has no resource version, else updates exactly that version. `None` when
    /// somebody else has created, changed or deleted it meanwhile.
    ///
    /// # Errors
    /// When the answer got lost, it is unknown whether the lease was written.
    pub async fn write(&self, object: &Object, call: &CallContext) -> Result<Option<Object>, LeaseError> {
        let (api, what) = (self.api().await?, format!("write {self}"));
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let makes = object.metadata.resource_version.is_none();
        let mut object = object.clone();
        object.metadata.name = Some(self.name.clone());
        let written = if makes {
            self.backend.send_raw(&what, true, call, api.create(&params, &object)).await
        } else {
            self.backend.send_raw(&what, true, call, api.replace(&self.name, &params, &object)).await
        };
        match written.map_err(|e| LeaseError::Refused(e.problem()))? {
            Ok(written) => Ok(Some(written)),
            Err(Error::Api(status)) if status.code == 409 || status.code == 404 && !makes => Ok(None),
            Err(e) => Err(self.error(if makes { "create" } else { "update" }, &what, &e, true)),
        }
    }

    /// Describes a lease held by another run. Its times are all from that holder's clock.
    pub fn held(&self, spec: &LeaseSpec) -> Held {
        let renewed = spec.renew_time.as_ref().map(|time| time.0.as_microsecond());
        let renewed = renewed.and_then(|time| jiff::Timestamp::from_microsecond(time).ok()).unwrap_or_default();
        Held::new(self.to_string(), spec.holder_identity.as_deref().unwrap_or_default(), renewed)
    }

    async fn api(&self) -> Result<Api<Object>, LeaseError> {
        Ok(Api::namespaced(self.backend.client().await.map_err(unreachable)?, &self.namespace))
    }

    fn error(&self, verb: &str, what: &str, e: &Error, changes: bool) -> LeaseError {
        let problem = match e {
            Error::Api(status) if status.code == 403 => {
                Problem::new(format!("{what}, the lock that keeps runs apart: {}", status.message)).hint(format!(
                    "the kubeconfig's user lacks the right to {verb} leases.coordination.k8s.io in namespace {}; a run \
                     needs get, create and update. Grant them, or name a namespace where the user has them: \
                     lease_namespace under [kube] in the inventory",
                    self.namespace
                ))
            }
            Error::Api(status) if status.code == 404 => Problem::new(format!("{what}: {}", status.message))
                .hint("name a namespace that is there: lease_namespace under [kube] in the inventory"),
            _ => match error(what, self.backend.server(), e, changes) {
                e @ ConnectError::Unreachable { .. } if !changes => return unreachable(e),
                e => e.problem(),
            },
        };
        LeaseError::Refused(problem)
    }
}

fn unreachable(error: ConnectError) -> LeaseError {
    LeaseError::Unreachable(error.problem())
}

/// The name of a plan's lease: names of plans may contain characters that names of objects may not.
fn name(plan: &str) -> String {
    let plain: String = plan.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(200).collect();
    format!("rollout-{}", plain.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_s_name_makes_a_name_that_an_object_may_have() {
        assert_eq!(name("istio"), "rollout-istio");
        assert_eq!(name("my_app-v1.2_"), "rollout-my-app-v1-2");
        assert!(name(&"a".repeat(1000)).len() <= 253);
    }
}
