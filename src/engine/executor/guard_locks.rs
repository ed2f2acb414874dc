//! One guarded change at a time for each user of a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::connect::Target;
use crate::plan;
use crate::sync::lock;

/// Hosts whose user has a guard there; the next one waits for its turn.
#[derive(Clone, Default)]
pub struct GuardLocks(Arc<Mutex<HashMap<(String, bool), Turn>>>);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// How a job's change is guarded.
pub struct Guard {
    pub plan: plan::Guard,
    pub turn: Turn,
}

impl GuardLocks {
    /// For a unit on a host.
    pub fn guard(&self, plan: &plan::Guard, target: &Target) -> Guard {
        let host = target.host.as_ref().map(|host| host.name.clone()).unwrap_or_default();
        let mut turns = lock(&self.0);
        Guard { plan: plan.clone(), turn: Arc::clone(turns.entry((host, target.as_root)).or_default()) }
    }
}
