//! The Kubernetes backend: one lazily created client, cached discovery, and a timeout on every request.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ApiResource;
use kube::{Client, Error};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::client::{Connection, connect, error};
use super::discovery::{Found, Resource, Table};
use super::types::{ApplyOptions, Effect, EffectResult, FIELD_MANAGER, Fact, KindRef, Object, Objects, Probe, Query};
use super::{manifest, pods};
use crate::connect::{CallContext, ConnectError};
use crate::inventory::{Inventory, Kube};

/// Timeout of one request; the call's deadline applies too.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);

/// Pause between two requests while waiting for a deletion.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Number of objects per request of a list.
const PAGE_SIZE: u32 = 500;

/// Access to one cluster; connects on first use.
pub struct Backend {
    endpoint: Kube,
    connection: OnceCell<Connection>,
    table: Mutex<Option<Cached>>,
}

struct Cached {
    table: Table,
    read: Instant,
}

impl Backend {
    pub fn new(inventory: &Inventory) -> Self {
        Self { endpoint: inventory.kube.clone(), connection: OnceCell::new(), table: Mutex::new(None) }
    }

    /// Answers one probe.
    ///
    /// # Errors
    /// [`ConnectError::Unreachable`] when the API does not answer, [`ConnectError::Failed`] when it refuses.
    pub async fn probe(&self, probe: &Probe, call: &CallContext) -> Result<Fact, ConnectError> {
        match probe {
            Probe::Get(query) => self.get(query, call).await,
            Probe::Apply { object, namespace } => {
                self.preview(&object.0, namespace.as_deref(), call).await.map(Fact::Apply)
            }
            Probe::Served(kind) => Ok(Fact::Served(self.serves(kind, call).await?)),
            Probe::Exec(exec) => self.exec_read_only(exec, call).await.map(Fact::Exec),
        }
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// [`ConnectError::Lost`] when it is unknown whether the effect took place.
    pub async fn perform(&self, effect: &Effect, call: &CallContext) -> Result<EffectResult, ConnectError> {
        match effect {
            Effect::Apply { object, namespace, force, settling } => {
                let how = ApplyOptions { force: *force, settling: *settling };
                self.apply(&object.0, namespace.as_deref(), how, call).await.map(EffectResult::Applied)
            }
            Effect::Replace { object, namespace, uid, settling } => {
                self.replace(&object.0, namespace.as_deref(), uid, *settling, call).await.map(EffectResult::Applied)
            }
            Effect::Patch { kind, namespace, name, patch } => {
                let api = self.api_of(kind, namespace.as_deref(), call).await?;
                let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
                let what = format!("patch {} {name}", kind.kind);
                let patch = Patch::Merge(&patch.0);
                let made = self.send(&what, true, call, api.patch(name, &params, &patch)).await?;
                Ok(EffectResult::Applied(Object(serde_json::to_value(&made).unwrap_or_default())))
            }
            Effect::Delete { kind, namespace, name } => {
                let params = DeleteParams::default();
                self.delete(kind, namespace.as_deref(), name, &params, call).await.map(|()| EffectResult::Deleted)
            }
            Effect::Exec(exec) => self.exec(exec, call).await.map(EffectResult::Exec),
        }
    }

    /// Version of the API server: `v1.34.4`.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn version(&self, call: &CallContext) -> Result<String, ConnectError> {
        let client = self.client().await?;
        self.send("read the server's version", false, call, client.apiserver_version()).await.map(|v| v.git_version)
    }

    /// Every `group/version` and `group/version/Kind` that is served.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn api_versions(&self, call: &CallContext) -> Result<Vec<String>, ConnectError> {
        Ok(self.table(Duration::ZERO, call).await?.api_versions())
    }

    /// The objects that match a query; none when the kind is not served.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn objects(&self, query: &Query, call: &CallContext) -> Result<Vec<Value>, ConnectError> {
        match self.resolve(&query.kind, call).await? {
            Some(resource) => self.items(query, &resource, call).await,
            None => Ok(Vec::new()),
        }
    }

    /// Only the metadata of the objects that match a query's labels: cheap where the objects are large.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn metadata(&self, query: &Query, call: &CallContext) -> Result<Vec<Value>, ConnectError> {
        let api = self.api_of(&query.kind, query.namespace.as_deref(), call).await?;
        let mut params = ListParams::default();
        params.label_selector.clone_from(&query.selector);
        let what = format!("list {}", query.kind.kind);
        let found = self.send(&what, false, call, api.list_metadata(&params)).await?;
        Ok(found.items.iter().map(|o| serde_json::to_value(&o.metadata).unwrap_or_default()).collect())
    }

    /// Whether a kind is served.
    ///
    /// # Errors
    /// As [`Self::probe`].
    pub async fn serves(&self, kind: &KindRef, call: &CallContext) -> Result<bool, ConnectError> {
        Ok(self.resolve(kind, call).await?.is_some())
    }

    async fn get(&self, query: &Query, call: &CallContext) -> Result<Fact, ConnectError> {
        let Some(resource) = self.resolve(&query.kind, call).await? else {
            return Ok(Fact::KindMissing { group: query.kind.group().to_owned(), kind: query.kind.kind.clone() });
        };
        let mut objects = Objects::of(self.items(query, &resource, call).await?);
        if query.pods {
            self.add_pods(&mut objects, call).await?;
        }
        Ok(Fact::Objects(objects))
    }

    async fn items(&self, query: &Query, resource: &Resource, call: &CallContext) -> Result<Vec<Value>, ConnectError> {
        let client = self.client().await?;
        if let Some(name) = &query.name {
            let api = api(client, resource, query.namespace.as_deref());
            let what = format!("read {} {name}", resource.api.kind);
            let found = self.send(&what, false, call, api.get_opt(name)).await?;
            return Ok(found.iter().map(|o| json(o, &resource.api)).collect());
        }
        let api: Api<DynamicObject> = match &query.namespace {
            Some(namespace) if resource.namespaced => Api::namespaced_with(client, namespace, &resource.api),
            _ => Api::all_with(client, &resource.api),
        };
        let mut params = ListParams::default().limit(PAGE_SIZE);
        params.label_selector.clone_from(&query.selector);
        params.field_selector.clone_from(&query.fields);
        let mut items = Vec::new();
        loop {
            let what = format!("list {}", resource.api.plural);
            let page = self.send(&what, false, call, api.list(&params)).await?;
            items.extend(page.items.iter().map(|o| json(o, &resource.api)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(items),
            }
        }
    }

    async fn add_pods(&self, objects: &mut Objects, call: &CallContext) -> Result<(), ConnectError> {
        if objects.items.iter().any(|o| manifest::text(o, "/kind") == "Pod") {
            objects.pods.clone_from(&objects.items);
            objects.warnings = self.warnings(&objects.pods, call).await?;
            return Ok(());
        }
        let of = |object: &Value| {
            let selector = pods::selector(object)?;
            let namespace = manifest::text(object, "/metadata/namespace");
            let query = Query::all(KindRef::new("v1", "Pod"), Some(namespace));
            Some(Query { selector: Some(selector), ..query })
        };
        let queries: Vec<Query> = objects.items.iter().filter_map(of).collect();
        let found = try_join_all(queries.iter().map(|q| self.objects(q, call))).await?;
        objects.pods = found.into_iter().flatten().collect();
        objects.warnings = self.warnings(&objects.pods, call).await?;
        Ok(())
    }

    /// Warning events about the pods in `all` that are not ready.
    async fn warnings(&self, all: &[Value], call: &CallContext) -> Result<Vec<Value>, ConnectError> {
        let mut namespaces: Vec<&str> =
            all.iter().filter(|p| !pods::ready(p)).map(|p| manifest::text(p, "/metadata/namespace")).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        let queries: Vec<Query> = namespaces
            .into_iter()
            .map(|namespace| Query {
                fields: Some("type=Warning,involvedObject.kind=Pod".to_owned()),
                ..Query::all(KindRef::new("v1", "Event"), Some(namespace))
            })
            .collect();
        let mut events: Vec<Value> =
            try_join_all(queries.iter().map(|q| self.objects(q, call))).await?.into_iter().flatten().collect();
        events.sort_by(|a, b| manifest::text(a, "/lastTimestamp").cmp(manifest::text(b, "/lastTimestamp")));
        Ok(events)
    }

    pub(super) async fn delete(
        &self,
        kind: &KindRef,
        namespace: Option<&str>,
        name: &str,
        params: &DeleteParams,
        call: &CallContext,
    ) -> Result<(), ConnectError> {
        let api = self.api_of(kind, namespace, call).await?;
        let what = format!("delete {} {name}", kind.kind);
        match self.send_raw(&what, true, call, api.delete(name, params)).await? {
            Ok(_) => {}
            Err(Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(e) => return Err(error(&what, self.server(), &e, true)),
        }
        loop {
            let Some(object) = self.send(&what, true, call, api.get_opt(name)).await? else { return Ok(()) };
            // An object of the same name with another uid was created meanwhile; the requested one is gone.
            let uid = params.preconditions.as_ref().and_then(|p| p.uid.as_ref());
            if uid.is_some_and(|uid| object.metadata.uid.as_ref() != Some(uid)) {
                return Ok(());
            }
            let finalizers = object.metadata.finalizers.unwrap_or_default();
            let held_by =
                if finalizers.is_empty() { String::new() } else { format!(", held by {}", finalizers.join(", ")) };
            (call.progress)(format!("{} {name} is still there{held_by}", kind.kind));
            if call.remaining() <= POLL_INTERVAL {
                return Err(ConnectError::lost(format!("{what}: requested, but the object is still there{held_by}")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    pub(super) async fn client(&self) -> Result<Client, ConnectError> {
        Ok(self.connection.get_or_try_init(|| connect(&self.endpoint)).await?.client.clone())
    }

    pub(super) fn server(&self) -> &str {
        self.connection.get().map_or("?", |c| c.server.as_str())
    }

    /// The API endpoint of a kind; an error when the kind is not served.
    pub(super) async fn api_of(
        &self,
        kind: &KindRef,
        namespace: Option<&str>,
        call: &CallContext,
    ) -> Result<Api<DynamicObject>, ConnectError> {
        let Some(resource) = self.resolve(kind, call).await? else {
            return Err(ConnectError::failed(format!("the API does not serve {}", kind.kind)));
        };
        Ok(api(self.client().await?, &resource, namespace))
    }

    /// Looks a kind up; reads discovery again when the cached table does not have the kind.
    pub(super) async fn resolve(&self, kind: &KindRef, call: &CallContext) -> Result<Option<Resource>, ConnectError> {
        let started = Instant::now();
        let mut found = self.table(Duration::MAX, call).await?.find(kind);
        if found == Found::Missing {
            found = self.table(started.elapsed(), call).await?.find(kind);
        }
        match found {
            Found::One(resource) => Ok(Some(resource)),
            Found::Missing => Ok(None),
            Found::Ambiguous(groups) => {
                Err(ConnectError::failed(format!("kind {} is served by {}", kind.kind, groups.join(" and ")))
                    .hint("set `api_version` to choose one"))
            }
        }
    }

    /// The discovery table; read again when the cached one is older than `age`.
    async fn table(&self, age: Duration, call: &CallContext) -> Result<Table, ConnectError> {
        let client = self.client().await?;
        let mut cached = self.table.lock().await;
        if let Some(cached) = cached.as_ref().filter(|c| c.read.elapsed() <= age) {
            return Ok(cached.table.clone());
        }
        let read = Instant::now();
        let what = "read the kinds that are served";
        let (core, groups) = tokio::try_join!(
            self.send(what, false, call, client.list_core_api_versions_aggregated()),
            self.send(what, false, call, client.list_api_groups_aggregated()),
        )?;
        let table = Table::new([core, groups]);
        if table.is_empty() {
            return Err(ConnectError::failed(format!("{} offers no aggregated discovery", self.server()))
                .hint("Kubernetes 1.27 or newer is needed"));
        }
        *cached = Some(Cached { table: table.clone(), read });
        Ok(table)
    }

    /// Sends one request with a timeout. `changes`: whether the request may alter anything, which decides the kind of
    /// error.
    pub(super) async fn send<T>(
        &self,
        what: &str,
        changes: bool,
        call: &CallContext,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ConnectError> {
        self.send_raw(what, changes, call, request).await?.map_err(|e| error(what, self.server(), &e, changes))
    }

    /// As [`Self::send`], for callers that handle the API's refusals themselves.
    pub(super) async fn send_raw<T>(
        &self,
        what: &str,
        changes: bool,
        call: &CallContext,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, ConnectError> {
        let limit = call.remaining().min(REQUEST_TIMEOUT);
        tokio::time::timeout(limit, request).await.map_err(|_| {
            let message = format!("{what}: no answer from {} within {:.0} s", self.server(), limit.as_secs_f64());
            let error = if changes { ConnectError::lost(message) } else { ConnectError::unreachable(message) };
            error.hint("the API server may be overloaded, or a webhook or the network down")
        })
    }
}

/// The API endpoint of a kind's objects in a namespace.
pub(super) fn api(client: Client, resource: &Resource, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        _ if !resource.namespaced => Api::all_with(client, &resource.api),
        Some(namespace) => Api::namespaced_with(client, namespace, &resource.api),
        None => Api::default_namespaced_with(client, &resource.api),
    }
}

/// The object as JSON. Adds apiVersion and kind, which items of a list lack.
pub(super) fn json(object: &DynamicObject, api: &ApiResource) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), api.api_version.clone().into());
        map.insert("kind".to_owned(), api.kind.clone().into());
    }
    value
}
