//! What can be asked of a cluster and done to it, as data.

use serde_json::Value;

use super::manifest;

/// The name under which changes are recorded in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "rollout";

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindRef {
    /// `apps/v1`; `None`: whatever version the API prefers, of whatever group has the kind.
    pub api_version: Option<String>,
    /// `Deployment`.
    pub kind: String,
}

impl KindRef {
    /// A kind of one version.
    pub fn new(api_version: &str, kind: &str) -> Self {
        Self { api_version: Some(api_version.to_owned()), kind: kind.to_owned() }
    }

    /// API group; empty for the core group and where no version is given.
    pub fn group(&self) -> &str {
        self.api_version.as_deref().map_or("", manifest::group)
    }
}

/// An object on its way out. Its `Debug` shows only its name, since it may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Object(pub Value);

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&manifest::identity(&self.0))
    }
}

/// Which objects are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Their kind.
    pub kind: KindRef,
    /// Their namespace; `None`: all namespaces for a list, the kubeconfig's for one object.
    pub namespace: Option<String>,
    /// The one of this name; `None`: all.
    pub name: Option<String>,
    /// Label selector, as `kubectl -l` takes it.
    pub selector: Option<String>,
    /// Field selector.
    pub fields: Option<String>,
    /// Whether to fetch the pods that the objects' selectors name too, with warnings about those that are not ready.
    pub pods: bool,
}

impl Query {
    /// The object of that name.
    pub fn one(kind: KindRef, namespace: Option<&str>, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::all(kind, namespace) }
    }

    /// All objects of a kind.
    pub fn all(kind: KindRef, namespace: Option<&str>) -> Self {
        let namespace = namespace.map(str::to_owned);
        Self { kind, namespace, name: None, selector: None, fields: None, pods: false }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// What objects are there?
    Get(Query),
    /// What would a server-side apply do? Asked as a dry run.
    Apply {
        /// The object as wanted.
        object: Object,
        /// Namespace for a namespaced object that names none.
        namespace: Option<String>,
    },
    /// Is the kind served?
    Served(KindRef),
    /// What does a command in a pod say? It must not change anything.
    Exec(Exec),
}

/// An answer.
#[derive(Clone)]
pub enum Fact {
    /// The objects that are there.
    Objects(Objects),
    /// The kind is not served.
    KindMissing {
        /// API group; empty for the core group or when none was named.
        group: String,
        /// Kind.
        kind: String,
    },
    /// What an apply would do.
    Apply(Preview),
    /// Whether the kind is served.
    Served(bool),
    /// What the command said.
    Exec(ExecOutcome),
}

/// Objects that were found.
#[derive(Clone, Default)]
pub struct Objects {
    /// The objects, with `apiVersion` and `kind`.
    pub items: Vec<Value>,
    /// Their pods, where [`Query::pods`] asked for them.
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

/// A change.
#[derive(Clone)]
pub enum Effect {
    /// A server-side apply. Waits until the kind is served, for a CRD that was applied a moment ago.
    Apply {
        /// The object as wanted.
        object: Object,
        /// Namespace for a namespaced object that names none.
        namespace: Option<String>,
        /// Whether to take fields from other managers.
        force: bool,
        /// Whether what was applied just before may still be on its way to where the object is judged, so that a refusal
        /// is asked again for a while.
        settling: bool,
    },
    /// Deletes one object with all that belongs to it, waits until it is gone, and applies it anew.
    Replace {
        /// The object as wanted.
        object: Object,
        /// Namespace for a namespaced object that names none.
        namespace: Option<String>,
        /// Which object is deleted: no other one of that name.
        uid: String,
        /// As in [`Self::Apply`].
        settling: bool,
    },
    /// A JSON merge patch of one object.
    Patch {
        /// Its kind.
        kind: KindRef,
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// The patch.
        patch: Object,
    },
    /// Deletes one object and waits until it is gone.
    Delete {
        /// Its kind.
        kind: KindRef,
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// Runs a command in a pod.
    Exec(Exec),
}

/// Its result.
#[derive(Clone)]
pub enum EffectResult {
    /// The object as the server has it now.
    Applied(Object),
    /// It is gone.
    Deleted,
    /// The command ended, or could not be started.
    Exec(ExecOutcome),
}

/// What a server-side apply would do.
#[derive(Clone)]
pub enum Preview {
    /// It would be accepted.
    Accepted {
        /// The object that is there.
        live: Option<Value>,
        /// The object as it would be, defaults and admission included, other managers' claims overridden.
        result: Value,
        /// Fields that other managers own; not empty: it is accepted only with `force`.
        conflicts: Vec<Conflict>,
    },
    /// The kind is not served.
    KindMissing {
        /// API group; empty for the core group.
        group: String,
        /// Kind.
        kind: String,
    },
    /// There is no such namespace.
    NamespaceMissing(String),
    /// The API refuses it: invalid, forbidden, denied by admission.
    Refused {
        /// What it says.
        why: String,
        /// The object that is there.
        live: Option<Value>,
        /// Whether only the change is refused, of a field that stays as it was made: a new object would be accepted.
        replaceable: bool,
    },
    /// The API can not answer now: an admission webhook is down, too many requests.
    Busy(String),
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Path, such as `spec.replicas`.
    pub field: String,
    /// Its owner, such as `kubectl-client-side-apply`.
    pub manager: String,
}

/// A command to run in a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    /// Namespace.
    pub namespace: String,
    /// The pod; `None`: the first ready one that `selector` names.
    pub pod: Option<String>,
    /// Label selector, as `kubectl -l` takes it.
    pub selector: Option<String>,
    /// Container; `None`: the pod's default one.
    pub container: Option<String>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// What it reads, as a JSON string.
    pub stdin: Option<Object>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum ExecOutcome {
    /// It ended.
    Ended {
        /// Where it ran.
        pod: String,
        /// Exit status.
        exit: i32,
        /// What it printed.
        stdout: String,
        /// What it complained of.
        stderr: String,
    },
    /// No pod can run it now.
    NoPod(String),
    /// It could not be started, or was cut off: no such program, no such container, the pod went away.
    NotRun(String),
}

/// How an object is applied.
pub(super) struct How {
    /// Whether to take fields from other managers.
    pub(super) force: bool,
    /// Whether a refusal is asked again for a while.
    pub(super) settling: bool,
}
