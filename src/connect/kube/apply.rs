//! Server-side apply: as a dry run that previews the change, and for real.

use std::time::{Duration, Instant};

use kube::Error;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions, ValidationDirective};
use serde_json::Value;

use super::backend::{Backend, api, json};
use super::client::error;
use super::manifest;
use super::refusal::{classify_refusal, conflicts, describe_conflicts, is_immutable_field};
use super::types::{ApplyOptions, FIELD_MANAGER, KindRef, Object, Preview};
use crate::connect::{CallContext, ConnectError};

/// Pause between two attempts while a kind is not served yet or a refusal is retried.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// How long a refusal is retried while objects applied just before may not have taken effect everywhere.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

impl Backend {
    /// Previews an apply by a dry run.
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
            self.send(&what, false, call, api.get_opt(name)),
            self.send_raw(&what, false, call, api.patch(name, &dry, &wanted)),
        )?;
        let live = live.map(|o| json(&o, &resource.api));
        let status = match first {
            Ok(result) => {
                return Ok(Preview::Accepted { live, result: json(&result, &resource.api), conflicts: Vec::new() });
            }
            Err(Error::Api(status)) if !conflicts(&status).is_empty() => {
                match self.send_raw(&what, false, call, api.patch(name, &forced, &wanted)).await? {
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
        Ok(match classify_refusal(&status) {
            None => missing(),
            Some(Preview::Refused { why, .. }) => {
                let only_as_change = live.is_some()
                    && status.code == 422
                    && (is_immutable_field(&why) || self.accepts_as_new(object, &api, &what, call).await);
                Preview::Refused { why, live, replaceable: only_as_change }
            }
            Some(other) => other,
        })
    }

    /// Whether a dry run accepts the object under a new name.
    async fn accepts_as_new(&self, object: &Value, api: &Api<DynamicObject>, what: &str, call: &CallContext) -> bool {
        let mut new = object.clone();
        if let Some(Value::Object(metadata)) = new.get_mut("metadata")
            && let Some(Value::String(name)) = metadata.remove("name")
        {
            let start: String = name.chars().take(40).collect();
            metadata.insert("generateName".to_owned(), format!("{start}-").into());
        }
        let Ok(new) = serde_json::from_value::<DynamicObject>(new) else { return false };
        let params = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
        matches!(self.send_raw(what, false, call, api.create(&params, &new)).await, Ok(Ok(_)))
    }

    /// Deletes the object and its dependents, and applies it anew.
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
        // Foreground deletion waits for the dependents, so that no pod of the old object runs beside those of the new
        // one.
        let params = DeleteParams::foreground().preconditions(only);
        self.delete(&kind, own_namespace(object).or(namespace), name, &params, call).await?;
        self.apply(object, namespace, ApplyOptions { force: false, settling }, call).await
    }

    /// Applies an object and returns it as the server has it then.
    pub(super) async fn apply(
        &self,
        object: &Value,
        namespace: Option<&str>,
        options: ApplyOptions,
        call: &CallContext,
    ) -> Result<Object, ConnectError> {
        let kind = KindRef::new(manifest::text(object, "/apiVersion"), manifest::text(object, "/kind"));
        let name = manifest::text(object, "/metadata/name");
        let what = format!("apply {}", manifest::identity(object));
        let (wanted, params) = (Patch::Apply(object), params(false, options.force));
        let began = Instant::now();
        loop {
            // A CRD is served a moment after it was applied, and accepts objects a moment after that.
            if let Some(resource) = self.resolve(&kind, call).await? {
                let api = api(self.client().await?, &resource, own_namespace(object).or(namespace));
                match self.send_raw(&what, true, call, api.patch(name, &params, &wanted)).await? {
                    Ok(made) => return Ok(Object(json(&made, &resource.api))),
                    Err(Error::Api(status)) if classify_refusal(&status).is_none() => {}
                    Err(Error::Api(status))
                        if options.settling
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
                            .hint("set `force = true` to take over the fields, or leave them out of the manifest"));
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
