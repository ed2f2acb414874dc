//! The list of all groups of actions.

use super::{Registry, argocd, helm, http, istio, kube, node, vault};

impl Registry {
    pub fn standard() -> Self {
        let mut registry = Self::empty();
        argocd::register(&mut registry);
        http::register(&mut registry);
        helm::register(&mut registry);
        kube::register(&mut registry);
        istio::register(&mut registry);
        node::register(&mut registry);
        vault::register(&mut registry);
        registry.sorted()
    }
}
