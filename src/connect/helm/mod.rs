//! Helm releases: read from the cluster where helm keeps them, changed by the helm program.
//!
//! A release that is already as asked costs no helm process: its newest record is a Secret of the release's namespace.
//! Only what differs is rendered, for the diff. Knows the Kubernetes backend and the inventory's `[helm]`; never what an
//! action wants. Values go to helm by stdin, never by argument.

mod backend;
mod contents;
mod ignore;
mod program;
mod reference;
mod release;
mod rendered;

use serde_json::Value;

pub use backend::Backend;
pub use contents::LocalChart;
pub use reference::{Chart, Oci};
pub use release::{Release, Revision, equal};
pub use rendered::Rendered;

/// A release as wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    /// Name of the release.
    pub release: String,
    /// Its namespace.
    pub namespace: String,
    /// Its chart.
    pub chart: Chart,
    /// The user's values.
    pub values: Values,
    /// Whether to leave out the chart's `crds/` folder.
    pub skip_crds: bool,
}

/// Values of a chart. Their `Debug` shows nothing, since they may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Values(pub Value);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// What is there of the release, and, unless it is as asked, what would it be?
    Release(ReleaseSpec),
    /// What would the chart make? Answered without looking at a release.
    Render(ReleaseSpec),
}

/// An answer.
#[derive(Clone)]
pub enum Fact {
    /// Of a release.
    Release(Box<State>),
    /// What the chart makes, or why helm can not render it.
    Rendered(Result<Rendered, String>),
}

/// What is known of a release.
#[derive(Clone, Default)]
pub struct State {
    /// Its newest revision; `None`: there is no such release.
    pub live: Option<Release>,
    /// The chart itself, when it lies on this machine.
    pub local: Option<LocalChart>,
    /// Whether its namespace is there.
    pub namespace_exists: bool,
    /// What the chart makes, or why helm can not render it; `None`: the release is as asked, so nobody looked.
    pub rendered: Option<Result<Rendered, String>>,
    /// Time since the newest revision was touched, seconds.
    pub age: Option<i64>,
    /// Kinds, as (group, kind), that the chart makes objects of and that nobody serves.
    pub missing_kinds: Vec<(String, String)>,
}

impl State {
    /// Whether the release is deployed from the chart, version and values that are asked for.
    pub fn matches(&self, asked: &ReleaseSpec) -> bool {
        self.live.as_ref().is_some_and(|live| {
            live.status == "deployed"
                && asked.chart.is_that_of(live, self.local.as_ref())
                && equal(&live.values, &asked.values.0)
        })
    }
}

/// A change.
#[derive(Clone)]
pub enum Effect {
    /// Installs or upgrades.
    Upgrade(Upgrade),
    /// Goes back to a revision.
    Rollback {
        /// Name of the release.
        release: String,
        /// Its namespace.
        namespace: String,
        /// The revision to go back to.
        revision: u64,
    },
    /// Removes the release and all that it made.
    Uninstall {
        /// Name of the release.
        release: String,
        /// Its namespace.
        namespace: String,
    },
}

/// How to install or upgrade.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The release as wanted.
    pub spec: ReleaseSpec,
    /// What the release's description says of the chart; see [`Chart::mark`].
    pub mark: Option<String>,
    /// Whether to make the namespace.
    pub create_namespace: bool,
    /// Whether to go back when it fails.
    pub atomic: bool,
    /// Whether to wait until all that it made is ready.
    pub wait: bool,
    /// Whether to take fields from other managers (helm 4 only; helm 3 never conflicts).
    pub force_conflicts: bool,
}

/// Its result.
#[derive(Clone)]
pub enum EffectResult {
    /// Helm ended well.
    Ran {
        /// What it printed, without the chart's notes.
        output: String,
    },
}
