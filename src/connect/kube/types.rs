//! Probes, facts and effects of a cluster.

use serde_json::Value;

use super::manifest;

/// The field manager under which changes are recorded in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "rollout";

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindRef {
    /// `apps/v1`; `None`: the version that the API prefers, of whichever group has the kind.
    pub api_version: Option<String>,
    /// For example `Deployment`.
    pub kind: String,
}

impl KindRef {
    /// A kind of one API version.
    pub fn new(api_version: &str, kind: &str) -> Self {
        Self { api_version: Some(api_version.to_owned()), kind: kind.to_owned() }
    }

    /// API group; empty for the core group or when no version is given.
    pub fn group(&self) -> &str {
        self.api_version.as_deref().map_or("", manifest::group)
    }
}

/// An object to send. `Debug` shows only its name, since it may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Object(pub Value);

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&manifest::identity(&self.0))
    }
}

/// Selects objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub kind: KindRef,
    /// Namespace; `None`: all namespaces for a list, the kubeconfig's namespace for one object.
    pub namespace: Option<String>,
    /// Name of a single object; `None`: all objects.
    pub name: Option<String>,
    /// Label selector, in the syntax of `kubectl -l`.
    pub selector: Option<String>,
    /// Field selector.
    pub fields: Option<String>,
    /// Whether to fetch the pods that the objects select too, with warning events about those that are not ready.
    pub pods: bool,
}

impl Query {
    pub fn one(kind: KindRef, namespace: Option<&str>, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::all(kind, namespace) }
    }

    /// All objects of a kind.
    pub fn all(kind: KindRef, namespace: Option<&str>) -> Self {
        let namespace = namespace.map(str::to_owned);
        Self { kind, namespace, name: None, selector: None, fields: None, pods: false }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// Reads existing objects.
    Get(Query),
    /// Previews a server-side apply by a dry run.
    Apply {
        /// The desired object.
        object: Object,
        /// Namespace for a namespaced object that does not name one.
        namespace: Option<String>,
    },
    /// Whether the API serves a kind.
    Served(KindRef),
    /// Runs a read-only command in a pod.
    Exec(Exec),
}

/// The answer to a [`Probe`].
#[derive(Clone)]
pub enum Fact {
    /// The existing objects.
    Objects(Objects),
    /// The API does not serve the kind.
    KindMissing {
        /// API group; empty for the core group or when none was named.
        group: String,
        kind: String,
    },
    /// The preview of an apply.
    Apply(Preview),
    /// Whether the API serves the kind.
    Served(bool),
    /// The outcome of the command.
    Exec(ExecOutcome),
}

/// Objects found by a [`Query`].
#[derive(Clone, Default)]
pub struct Objects {
    /// The objects, with `apiVersion` and `kind`.
    pub items: Vec<Value>,
    /// The objects' pods, if [`Query::pods`] is set.
    pub pods: Vec<Value>,
    /// Warning events about pods that are not ready, newest last.
    pub warnings: Vec<Value>,
}

impl Objects {
    /// Objects without pods.
    pub fn of(items: Vec<Value>) -> Self {
        Self { items, ..Self::default() }
    }
}

#[derive(Clone)]
pub enum Effect {
    /// A server-side apply. Waits until the kind is served, since its CRD may just have been applied.
    Apply {
        /// The desired object.
        object: Object,
        /// Namespace for a namespaced object that does not name one.
        namespace: Option<String>,
        /// Whether to take over fields that other managers own.
        force: bool,
        /// Whether objects applied just before may not have taken effect everywhere yet: a refusal is retried for a
        /// while then.
        settling: bool,
    },
    /// Deletes one object and its dependents, waits until they are gone, and applies the object anew.
    Replace {
        /// The desired object.
        object: Object,
        /// Namespace for a namespaced object that does not name one.
        namespace: Option<String>,
        /// uid of the object to delete; another object of the same name is left alone.
        uid: String,
        settling: bool,
    },
    /// A JSON merge patch of one object.
    Patch { kind: KindRef, namespace: Option<String>, name: String, patch: Object },
    /// Deletes one object and waits until it is gone.
    Delete { kind: KindRef, namespace: Option<String>, name: String },
    /// Runs a command in a pod.
    Exec(Exec),
}

/// The result of an [`Effect`].
#[derive(Clone)]
pub enum EffectResult {
    /// The object as the server has it now.
    Applied(Object),
    /// The object is gone.
    Deleted,
    /// The outcome of a command in a pod.
    Exec(ExecOutcome),
}

/// The preview of a server-side apply.
#[derive(Clone)]
pub enum Preview {
    /// The API would accept the object.
    Accepted {
        /// The existing object.
        live: Option<Value>,
        /// The object after the apply, with defaults and admission changes, overriding other managers' fields.
        result: Value,
        /// Fields that other managers own; if there are any, the apply needs `force`.
        conflicts: Vec<Conflict>,
    },
    /// The API does not serve the kind.
    KindMissing {
        /// API group; empty for the core group.
        group: String,
        kind: String,
    },
    /// The namespace of this name does not exist.
    NamespaceMissing(String),
    /// The API refuses the object: invalid, forbidden, or denied by admission.
    Refused {
        /// The API's message.
        why: String,
        /// The existing object.
        live: Option<Value>,
        /// Whether the API refuses only to change an immutable field of the existing object, and would accept a new
        /// object.
        replaceable: bool,
    },
    /// The API cannot answer now: an admission webhook is down, or there are too many requests.
    Busy(String),
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path, such as `spec.replicas`.
    pub field: String,
    /// The owning manager, such as `kubectl-client-side-apply`.
    pub manager: String,
}

/// A command to run in a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    pub namespace: String,
    /// The pod; `None`: the first ready pod that `selector` matches.
    pub pod: Option<String>,
    /// Label selector, in the syntax of `kubectl -l`.
    pub selector: Option<String>,
    /// The container; `None`: the pod's default container.
    pub container: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Standard input, as a JSON string.
    pub stdin: Option<Object>,
}

/// The outcome of a command in a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecOutcome {
    /// The command ended.
    Ended {
        /// The pod that ran the command.
        pod: String,
        /// Exit status.
        exit: i32,
        /// Standard output.
        stdout: String,
        /// Standard error.
        stderr: String,
    },
    /// No pod can run the command now; the reason.
    NoPod(String),
    /// The command could not be started or was cut off: no such program or container, or the pod went away.
    NotRun(String),
}

/// Options of an apply.
pub(super) struct ApplyOptions {
    /// Whether to take over fields that other managers own.
    pub(super) force: bool,
    /// Whether to retry a refusal for a while.
    pub(super) settling: bool,
}
