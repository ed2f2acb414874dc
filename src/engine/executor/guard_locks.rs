//! One guarded change at a time for each user of a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::connect::Target;
use crate::plan;
use crate::sync::lock;

/// A lock for each user of a host.
#[derive(Clone, Default)]
pub struct GuardLocks(Arc<Mutex<HashMap<(String, bool), HostLock>>>);

type HostLock = Arc<tokio::sync::Mutex<()>>;

/// The guard of a job, and the lock to hold while the guard stands.
pub struct Guard {
    pub plan: plan::Guard,
    pub turn: HostLock,
}

impl GuardLocks {
    pub fn guard(&self, plan: &plan::Guard, target: &Target) -> Guard {
        let host = target.host.as_ref().map(|host| host.name.clone()).unwrap_or_default();
        let mut turns = lock(&self.0);
        Guard { plan: plan.clone(), turn: Arc::clone(turns.entry((host, target.as_root)).or_default()) }
    }
}
