//! Server-side apply: as a dry run that shows what it would do, and for real.

use std::time::{Duration, Instant};

use kube::Error;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, ValidationDirective};
use kube::core::Status;
use serde_json::Value;

use super::backend::{Backend, api, json};
use super::client::error;
use super::manifest;
use super::types::{Conflict, FIELD_MANAGER, How, KindRef, Object, Preview};
use crate::connect::{CallContext, ConnectError};

/// Pause between two looks for a kind that is about to be served.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// For how long a refusal is asked again while what was applied just before may still be on its way.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

impl Backend {
    /// Asks what an apply would do.
    pub(super) async fn preview(
        &self,
        object: &Value,
        namespace: Option<&str>,
        call: &CallContext,
    ) -> Result<Preview, ConnectError> {
        let kind = KindRef::new(manifest::text(object, "/apiVersion"), manifest::text(object, "/kind"));
        let missing = || Preview::KindMissing { group: kind.group().to_owned(), kind: kind.kind.clone() };
        let Some(resource) = self.resolve(&kind, call).await? else { return Ok(missing()) };
        let name = manifest::text(object, "/metadata/name");
        let api = api(self.client().await?, &resource, own_namespace(object).or(namespace));
        let what = format!("dry-run apply of {}", manifest::identity(object));
        let (wanted, dry, forced) = (Patch::Apply(object), params(true, false), params(true, true));
        let (live, first) = tokio::try_join!(
            self.ask(&what, false, call, api.get_opt(name)),
            self.ask_raw(&what, false, call, api.patch(name, &dry, &wanted)),
        )?;
        let live = live.map(|o| json(&o, &resource.api));
        let status = match first {
            Ok(result) => {
                return Ok(Preview::Accepted { live, result: json(&result, &resource.api), conflicts: Vec::new() });
            }
            Err(Error::Api(status)) if !conflicts(&status).is_empty() => {
                match self.ask_raw(&what, false, call, api.patch(name, &forced, &wanted)).await? {
                    Ok(result) => {
                        let result = json(&result, &resource.api);
                        return Ok(Preview::Accepted { live, result, conflicts: conflicts(&status) });
                    }
                    Err(Error::Api(status)) => status,
                    Err(other) => return Err(error(&what, self.server(), &other, false)),
                }
            }
            Err(Error::Api(status)) => status,
            Err(other) => return Err(error(&what, self.server(), &other, false)),
        };
        Ok(match refusal(&status) {
            None => missing(),
            Some(Preview::Refused { why, .. }) => {
                let only_as_change = live.is_some()
                    && status.code == 422
                    && (stays_as_made(&why) || self.would_be_new(object, &api, &what, call).await);
                Preview::Refused { why, live, replaceable: only_as_change }
            }
            Some(other) => other,
        })
    }

    /// Whether the object would be accepted under a name that no other has.
    async fn would_be_new(&self, object: &Value, api: &Api<DynamicObject>, what: &str, call: &CallContext) -> bool {
        let mut new = object.clone();
        if let Some(Value::Object(metadata)) = new.get_mut("metadata")
            && let Some(Value::String(name)) = metadata.remove("name")
        {
            let start: String = name.chars().take(40).collect();
            metadata.insert("generateName".to_owned(), format!("{start}-").into());
        }
        let Ok(new) = serde_json::from_value::<DynamicObject>(new) else { return false };
        let params = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        matches!(self.ask_raw(what, false, call, api.create(&params, &new)).await, Ok(Ok(_)))
    }

    /// Deletes the object with all that belongs to it, and applies it anew.
    pub(super) async fn replace(
        &self,
        object: &Value,
        namespace: Option<&str>,
        uid: &str,
        settling: bool,
        call: &CallContext,
    ) -> Result<Object, ConnectError> {
        let kind = KindRef::new(manifest::text(object, "/apiVersion"), manifest::text(object, "/kind"));
        let name = manifest::text(object, "/metadata/name");
        let only = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
        // In the foreground, so that no pod of the old one is left beside the new one's.
        let params = DeleteParams::foreground().preconditions(only);
        self.delete(&kind, own_namespace(object).or(namespace), name, &params, call).await?;
        self.apply(object, namespace, How { force: false, settling }, call).await
    }

    /// Applies an object; the answer is that object as it is then.
    pub(super) async fn apply(
        &self,
        object: &Value,
        namespace: Option<&str>,
        how: How,
        call: &CallContext,
    ) -> Result<Object, ConnectError> {
        let kind = KindRef::new(manifest::text(object, "/apiVersion"), manifest::text(object, "/kind"));
        let name = manifest::text(object, "/metadata/name");
        let what = format!("apply {}", manifest::identity(object));
        let (wanted, params) = (Patch::Apply(object), params(false, how.force));
        let began = Instant::now();
        loop {
            // A CRD is served a moment after it was applied, and its objects a moment after that.
            if let Some(resource) = self.resolve(&kind, call).await? {
                let api = api(self.client().await?, &resource, own_namespace(object).or(namespace));
                match self.ask_raw(&what, true, call, api.patch(name, &params, &wanted)).await? {
                    Ok(made) => return Ok(Object(json(&made, &resource.api))),
                    Err(Error::Api(status)) if refusal(&status).is_none() => {}
                    Err(Error::Api(status))
                        if how.settling
                            && conflicts(&status).is_empty()
                            && began.elapsed() < SETTLE_TIMEOUT
                            && call.remaining() > POLL_INTERVAL =>
                    {
                        (call.progress)(format!("not accepted yet: {}", status.message));
                        tokio::time::sleep(POLL_INTERVAL).await;
                        continue;
                    }
                    Err(Error::Api(status)) if !conflicts(&status).is_empty() => {
                        let owners = describe_conflicts(&conflicts(&status));
                        return Err(ConnectError::failed(format!("{what}: {owners}"))
                            .hint("say force = true to take the fields, or leave them out of the manifest"));
                    }
                    Err(e) => return Err(error(&what, self.server(), &e, true)),
                }
            }
            (call.progress)(format!("{} is not served yet", kind.kind));
            if call.remaining() <= POLL_INTERVAL {
                return Err(ConnectError::failed(format!("{what}: {} is still not served", kind.kind))
                    .hint(format!("`kubectl get crd` shows whether a definition of {} is Established", kind.kind)));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

fn own_namespace(object: &Value) -> Option<&str> {
    Some(manifest::text(object, "/metadata/namespace")).filter(|n| !n.is_empty())
}

fn params(dry_run: bool, force: bool) -> PatchParams {
    PatchParams {
        dry_run,
        force,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    }
}

impl Conflict {
    /// Whether the owner is this tool: a label that it patched, say. Kubernetes keeps patches and applies of one manager
    /// apart, and calls it a conflict when both claim a field.
    pub fn is_our_own(&self) -> bool {
        self.manager == FIELD_MANAGER
    }
}

/// Field conflicts in one line: `spec.replicas is owned by argocd-controller`.
pub fn describe_conflicts(conflicts: &[Conflict]) -> String {
    let each: Vec<String> = conflicts.iter().map(|c| format!("{} is owned by {}", c.field, c.manager)).collect();
    each.join(", ")
}

/// The field conflicts that an answer names.
fn conflicts(status: &Status) -> Vec<Conflict> {
    let causes = status.details.iter().flat_map(|d| &d.causes);
    causes
        .filter(|c| c.reason == "FieldManagerConflict")
        .map(|c| Conflict {
            field: c.field.trim_start_matches('.').to_owned(),
            // conflict with "kubectl" with subresource "scale" using apps/v1
            manager: c.message.split('"').nth(1).unwrap_or(&c.message).to_owned(),
        })
        .collect()
}

/// What a refusal means; `None`: the kind is not served after all.
fn refusal(status: &Status) -> Option<Preview> {
    let details = status.details.as_ref();
    if status.code == 404 {
        let of_namespace = details.filter(|d| d.kind == "namespaces");
        return of_namespace.map(|d| Preview::NamespaceMissing(d.name.clone()));
    }
    let message = status.message.clone();
    let busy = status.code == 429 || status.code >= 500 && !is_malformed(&message);
    Some(if busy { Preview::Busy(message) } else { Preview::Refused { why: message, live: None, replaceable: false } })
}

/// Whether a refusal says that a field stays as it was made. Kubernetes has no code for that, and says it in several ways.
fn stays_as_made(message: &str) -> bool {
    ["immutable", "may not change", "may not be changed", "cannot change", "can not be changed", "cannot be changed"]
        .iter()
        .any(|said| message.contains(said))
}

/// Whether a server error says that the object is not of its kind's type, which no waiting cures. Kubernetes has no code of
/// its own for that (`managedfields/internal/structuredmerge.go` of apimachinery).
fn is_malformed(message: &str) -> bool {
    ["failed to create typed patch object", "failed to convert new object"].iter().any(|said| message.starts_with(said))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: Value) -> Status {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn conflicts_name_field_and_manager() {
        let status = status(json!({
            "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed with 1 conflict",
            "details": {"causes": [{
                "reason": "FieldManagerConflict", "field": ".spec.replicas",
                "message": "conflict with \"kubectl\" with subresource \"scale\" using apps/v1",
            }]},
        }));
        assert_eq!(describe_conflicts(&conflicts(&status)), "spec.replicas is owned by kubectl");
    }

    #[test]
    fn a_missing_namespace_is_told_from_a_missing_kind() {
        let of = |kind: &str| {
            refusal(&status(
                json!({"code": 404, "reason": "NotFound", "message": "x", "details": {"kind": kind, "name": "app"}}),
            ))
        };
        assert!(matches!(of("namespaces"), Some(Preview::NamespaceMissing(name)) if name == "app"));
        assert!(of("gateways.networking.istio.io").is_none());
    }

    #[test]
    fn a_webhook_that_is_down_is_waited_for_and_a_denial_is_not() {
        let of = |code: u16| refusal(&status(json!({"code": code, "message": "x"})));
        assert!(matches!(of(500), Some(Preview::Busy(_))));
        assert!(matches!(of(400), Some(Preview::Refused { .. })));
    }

    #[test]
    fn an_object_of_the_wrong_type_is_not_waited_for() {
        for message in [
            "failed to create typed patch object (default/web; /v1, Kind=Service): .spec.ports[0].port: expected numeric",
            "failed to convert new object (default/q; /v1, Kind=ResourceQuota) to proper version: quantities must match",
        ] {
            let refused = refusal(&status(json!({"code": 500, "message": message})));
            assert!(matches!(refused, Some(Preview::Refused { why, .. }) if why == message));
        }
    }
}
