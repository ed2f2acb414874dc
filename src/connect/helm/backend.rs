//! The helm backend: reads releases through the Kubernetes API, and runs helm only for releases that differ.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::OnceCell;

use super::program::Program;
use super::release::{Release, Revision};
use super::{Effect, EffectResult, Fact, LocalChart, Probe, ReleaseSpec, Rendered, State, Upgrade};
use crate::connect::kube::{self, KindRef, Query, manifest, pods};
use crate::connect::{CallContext, ConnectError};
use crate::inventory::Inventory;

/// Interval of progress notes about pods while helm waits for them.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Helm's own timeout is this much shorter than the call's, so that its error message arrives before the deadline.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

/// The helm program and the cluster it works on.
pub struct Backend {
    kube: Arc<kube::Backend>,
    helm: Program,
    major: OnceCell<u32>,
}

impl Backend {
    /// Reads the cluster through `kube`.
    pub fn new(inventory: &Inventory, kube: Arc<kube::Backend>) -> Self {
        Self { kube, helm: Program::new(inventory), major: OnceCell::new() }
    }

    /// Answers one probe.
    ///
    /// # Errors
    /// As [`kube::Backend::probe`]; also when helm is needed and not installed.
    pub async fn probe(&self, probe: &Probe, call: &CallContext) -> Result<Fact, ConnectError> {
        match probe {
            Probe::Release(spec) => Ok(Fact::Release(Box::new(self.state(spec, call).await?))),
            Probe::Render(spec) => Ok(Fact::Rendered(self.render(spec, false, call).await?)),
        }
    }

    /// Carries out one effect.
    ///
    /// # Errors
    /// [`ConnectError::Lost`] when helm was ended in the middle.
    pub async fn perform(&self, effect: &Effect, call: &CallContext) -> Result<EffectResult, ConnectError> {
        let (namespace, release, arguments, values) = match effect {
            Effect::Upgrade(upgrade) => {
                let spec = &upgrade.spec;
                (&spec.namespace, &spec.release, self.upgrade_args(upgrade, call).await?, spec.values.0.to_string())
            }
            Effect::Rollback { release, namespace, revision } => {
                let revision = revision.to_string();
                let mut arguments = args(&["rollback", release, &revision, "--namespace", namespace, "--wait"]);
                arguments.extend(timeout_args(call));
                (namespace, release, arguments, String::new())
            }
            Effect::Uninstall { release, namespace } => {
                let flags = ["--namespace", namespace, "--wait", "--ignore-not-found"];
                let mut arguments = args(&["uninstall", release]);
                arguments.extend(args(&flags));
                arguments.extend(timeout_args(call));
                (namespace, release, arguments, String::new())
            }
        };
        let watch = self.watch(namespace, call);
        let ended = tokio::select! {
            ended = self.helm.run(&arguments, &values, call) => ended,
            () = watch => Err(ConnectError::lost("the pods can not be watched any more")),
        };
        match ended {
            Ok(output) => Ok(EffectResult::Ran { output: without_notes(&output) }),
            Err(error) => Err(self.explain(error, namespace, release, call).await),
        }
    }

    async fn state(&self, spec: &ReleaseSpec, call: &CallContext) -> Result<State, ConnectError> {
        if let Ok(driver) = std::env::var("HELM_DRIVER")
            && !matches!(driver.as_str(), "" | "secret" | "secrets")
        {
            return Err(ConnectError::failed(format!("HELM_DRIVER selects helm's {driver} driver"))
                .hint("rollout reads only releases of the default driver, secrets: unset HELM_DRIVER"));
        }
        let local = read_local_chart(spec).await;
        let live = self.live(&spec.namespace, &spec.release, call).await?;
        let now = jiff::Timestamp::now().as_second();
        let age = live.as_ref().and_then(|l| l.updated).map(|updated| now - updated.as_second());
        let mut state = State { live, age, namespace_exists: true, ..State::default() };
        match local {
            Ok(local) => state.local = local,
            Err(why) => {
                state.rendered = Some(Err(why));
                return Ok(state);
            }
        }
        if state.matches(spec) {
            return Ok(state);
        }
        if state.live.is_none() {
            let namespace = Query::one(KindRef::new("v1", "Namespace"), None, &spec.namespace);
            state.namespace_exists = !self.kube.objects(&namespace, call).await?.is_empty();
        }
        let rendered = self.render(spec, state.live.is_some(), call).await?;
        if let Ok(rendered) = &rendered {
            state.missing_kinds = self.missing_kinds(rendered, spec.skip_crds, call).await?;
        }
        state.rendered = Some(rendered);
        Ok(state)
    }

    /// The newest revision. Helm's Secrets are listed by their labels; only the newest one's content is fetched.
    async fn live(&self, namespace: &str, release: &str, call: &CallContext) -> Result<Option<Release>, ConnectError> {
        let query = Query {
            selector: Some(format!("owner=helm,name={release}")),
            ..Query::all(KindRef::new("v1", "Secret"), Some(namespace))
        };
        let mut revisions: Vec<(u64, Value)> = self
            .kube
            .metadata(&query, call)
            .await?
            .into_iter()
            .filter_map(|m| Some((manifest::text(&m, "/labels/version").parse().ok()?, m)))
            .collect();
        revisions.sort_by_key(|(number, _)| *number);
        let Some((_, newest)) = revisions.last() else { return Ok(None) };
        let one = Query::one(KindRef::new("v1", "Secret"), Some(namespace), manifest::text(newest, "/name"));
        let Some(secret) = self.kube.objects(&one, call).await?.pop() else { return Ok(None) };
        let mut read = Release::read(&secret).map_err(|why| {
            ConnectError::failed(format!("helm's record {} can not be read: {why}", manifest::identity(&secret)))
        })?;
        let revision = |(number, m): &(u64, Value)| Revision {
            number: *number,
            status: manifest::text(m, "/labels/status").to_owned(),
        };
        read.history = revisions.iter().map(revision).collect();
        Ok(Some(read))
    }

    /// Renders the chart; the inner error is helm's complaint about the chart.
    async fn render(
        &self,
        spec: &ReleaseSpec,
        upgrade: bool,
        call: &CallContext,
    ) -> Result<Result<Rendered, String>, ConnectError> {
        let mut arguments = args(&["template", &spec.release]);
        arguments.extend(chart_args(spec));
        arguments.extend(args(&["--include-crds", "--no-hooks", "--dry-run=server"]));
        arguments.extend(args(&["--kube-version", &self.kube.version(call).await?]));
        for api in self.kube.api_versions(call).await? {
            arguments.extend(args(&["--api-versions", &api]));
        }
        if upgrade {
            arguments.push("--is-upgrade".to_owned());
        }
        match self.helm.run(&arguments, &spec.values.0.to_string(), call).await {
            Ok(yaml) => Ok(Rendered::read(&yaml)),
            Err(ConnectError::Failed { message, hint: None }) => Ok(Err(message)),
            Err(other) => Err(other),
        }
    }

    /// The kinds, as (group, kind), that neither the API serves nor the chart's `crds/` defines: helm would fail to
    /// create their objects.
    async fn missing_kinds(
        &self,
        rendered: &Rendered,
        skip_crds: bool,
        call: &CallContext,
    ) -> Result<Vec<(String, String)>, ConnectError> {
        let mut kinds: Vec<KindRef> = Vec::new();
        for object in &rendered.objects {
            let kind = KindRef::new(manifest::text(object, "/apiVersion"), manifest::text(object, "/kind"));
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let mut unserved = Vec::new();
        for kind in kinds {
            let own = |crd: &Value| {
                manifest::text(crd, "/spec/names/kind") == kind.kind
                    && manifest::text(crd, "/spec/group") == kind.group()
            };
            let comes_along = !skip_crds && rendered.crds.iter().any(own);
            if !comes_along && !self.kube.serves(&kind, call).await? {
                unserved.push((kind.group().to_owned(), kind.kind));
            }
        }
        Ok(unserved)
    }

    async fn upgrade_args(&self, upgrade: &Upgrade, call: &CallContext) -> Result<Vec<String>, ConnectError> {
        let mut arguments = args(&["upgrade", "--install", &upgrade.spec.release]);
        arguments.extend(chart_args(&upgrade.spec));
        // Without this flag, helm keeps the old values when the new ones are empty.
        arguments.extend(args(&["--reset-values", "--hide-notes"]));
        let helm_4 = self.major(call).await? >= 4;
        let flags = [
            (upgrade.create_namespace, "--create-namespace"),
            (upgrade.spec.skip_crds, "--skip-crds"),
            (upgrade.wait, "--wait"),
            (upgrade.wait, "--wait-for-jobs"),
            (upgrade.atomic && !helm_4, "--atomic"),
            (upgrade.atomic && helm_4, "--rollback-on-failure"),
            (upgrade.force_conflicts && helm_4, "--force-conflicts"),
        ];
        arguments.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
        if let Some(mark) = &upgrade.mark {
            arguments.extend(args(&["--description", mark]));
        }
        arguments.extend(timeout_args(call));
        Ok(arguments)
    }

    async fn major(&self, call: &CallContext) -> Result<u32, ConnectError> {
        let read = || async {
            let version = self.helm.run(&args(&["version", "--template", "{{.Version}}"]), "", call).await?;
            let major = version.trim().trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
            major.ok_or_else(|| {
                ConnectError::failed(format!("helm reports a version that cannot be read: {:?}", version.trim()))
            })
        };
        self.major.get_or_try_init(read).await.copied()
    }

    /// Reports unready pods as progress for as long as it is polled; never returns.
    async fn watch(&self, namespace: &str, call: &CallContext) {
        loop {
            tokio::time::sleep(POLL_INTERVAL).await;
            if let Ok(trouble) = self.unready_pods(namespace, call).await
                && !trouble.is_empty()
            {
                (call.progress)(trouble);
            }
        }
    }

    async fn unready_pods(&self, namespace: &str, call: &CallContext) -> Result<String, ConnectError> {
        let query = Query { pods: true, ..Query::all(KindRef::new("v1", "Pod"), Some(namespace)) };
        match self.kube.probe(&kube::Probe::Get(query), call).await? {
            kube::Fact::Objects(found) => Ok(pods::unready_reasons(&found.pods, &found.warnings)),
            _ => Ok(String::new()),
        }
    }

    /// Adds the reasons of unready pods and a hint to helm's error.
    async fn explain(&self, error: ConnectError, namespace: &str, release: &str, call: &CallContext) -> ConnectError {
        let ConnectError::Failed { message, hint: None } = error else { return error };
        if message.contains("another operation") {
            return ConnectError::failed(message)
                .hint("another helm run is changing this release, or was interrupted: see on_pending");
        }
        let short_call = CallContext {
            deadline: tokio::time::Instant::now() + TIMEOUT_MARGIN,
            progress: Arc::clone(&call.progress),
        };
        let waited = ["timed out", "deadline exceeded", "not ready"].iter().any(|w| message.contains(w));
        let trouble =
            if waited { self.unready_pods(namespace, &short_call).await.unwrap_or_default() } else { String::new() };
        let hint = format!("`helm -n {namespace} history {release}` and `kubectl -n {namespace} get pods` show more");
        if trouble.is_empty() {
            return ConnectError::failed(message).hint(hint);
        }
        ConnectError::failed(format!("{message}: {trouble}")).hint(hint)
    }
}

/// Reads a chart that is on this machine; `None` for a chart from elsewhere.
async fn read_local_chart(spec: &ReleaseSpec) -> Result<Option<LocalChart>, String> {
    let chart = spec.chart.clone();
    let read = move || chart.is_local().then(|| LocalChart::read(Path::new(&chart.name))).transpose();
    tokio::task::spawn_blocking(read).await.map_err(|e| format!("the chart could not be read: {e}"))?
}

fn args(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// The arguments for chart, namespace and values.
fn chart_args(spec: &ReleaseSpec) -> Vec<String> {
    let mut all = args(&[&spec.chart.name, "--namespace", &spec.namespace, "--values", "-"]);
    if let Some(repository) = &spec.chart.repository {
        all.extend(args(&["--repo", repository]));
    }
    if let Some(version) = &spec.chart.version {
        all.extend(args(&["--version", version]));
    }
    if spec.chart.plain_http {
        all.push("--plain-http".to_owned());
    }
    all
}

fn timeout_args(call: &CallContext) -> [String; 2] {
    let seconds = call.remaining().saturating_sub(TIMEOUT_MARGIN).as_secs().max(1);
    ["--timeout".to_owned(), format!("{seconds}s")]
}

fn without_notes(output: &str) -> String {
    output.split("\nNOTES:").next().unwrap_or_default().to_owned()
}
