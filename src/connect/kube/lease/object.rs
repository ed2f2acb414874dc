//! One Lease in its cluster: reading, and writing that does nothing when somebody else wrote meanwhile.

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

/// Where the lease is.
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
    /// The lease of a plan, by a connection of its own: it is renewed also when the steps' is stuck.
    pub fn new(inventory: &Inventory, plan: &str) -> Self {
        let namespace = inventory.kube.lease_namespace().to_owned();
        Self { backend: Backend::new(inventory), namespace, name: name(plan) }
    }

    /// The lease, when it is there.
    ///
    /// # Errors
    /// [`LeaseError::Unreachable`] also when there is no kubeconfig yet, or a server that is of no use yet.
    pub async fn read(&self, call: &CallContext) -> Result<Option<Object>, LeaseError> {
        let (api, what) = (self.api().await?, format!("read {self}"));
        match self.backend.ask_raw(&what, false, call, api.get_opt(&self.name)).await.map_err(unreachable)? {
            Ok(found) => Ok(found),
            Err(Error::Api(status)) if status.code >= 500 || status.code == 429 => {
                Err(LeaseError::Unreachable(Problem::new(format!("{what}: {}", status.message))))
            }
            Err(e) => Err(self.error("get", &what, &e, false)),
        }
    }

    /// Writes the lease: makes it where `object` has no resource version, changes that very version otherwise. `None`
    /// when that is not how it is any more.
    ///
    /// # Errors
    /// Whether it was written is not known when the answer got lost.
    pub async fn write(&self, object: &Object, call: &CallContext) -> Result<Option<Object>, LeaseError> {
        let (api, what) = (self.api().await?, format!("write {self}"));
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let makes = object.metadata.resource_version.is_none();
        let mut object = object.clone();
        object.metadata.name = Some(self.name.clone());
        let written = if makes {
            self.backend.ask_raw(&what, true, call, api.create(&params, &object)).await
        } else {
            self.backend.ask_raw(&what, true, call, api.replace(&self.name, &params, &object)).await
        };
        match written.map_err(|e| LeaseError::Refused(e.problem()))? {
            Ok(written) => Ok(Some(written)),
            Err(Error::Api(status)) if status.code == 409 || status.code == 404 && !makes => Ok(None),
            Err(e) => Err(self.error(if makes { "create" } else { "update" }, &what, &e, true)),
        }
    }

    /// The lease as somebody else's. Its times come from one clock, its holder's.
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

/// The lease of a plan of that name. Plans may have names that objects may not.
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
