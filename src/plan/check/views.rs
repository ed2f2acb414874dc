//! Computes the values that the templates of each step see.

use std::sync::Arc;

use super::checker::{CheckedStep, Checker, View};
use super::params::Rendering;
use crate::inventory::Host;
use crate::plan::Step;
use crate::template::Context;

impl Checker<'_> {
    /// The views of a step: one for each host (or the controller) and item. Empty if its hosts or items are not known.
    pub(super) fn views(&self, checked: &CheckedStep<'_>) -> Vec<View> {
        let host_views = self.host_views(checked);
        if let (true, Some(View { context, .. })) = (self.same_items(checked.step), host_views.first()) {
            let items = checked.step.items(&self.templates, context).ok().flatten().unwrap_or_default();
            let items = items.into_iter().map(|item| (item.key, Context::default().with("item", &item.value)));
            let items: Vec<(String, Context)> = items.collect();
            let views = host_views.iter().flat_map(|View { host, context, .. }| {
                let view = |(key, item): &(String, Context)| (host.clone(), Some(key.clone()), context.below(item));
                items.iter().map(view)
            });
            return views.map(|(host, item, context)| View { host, item, context }).collect();
        }
        let items = |View { host, context, .. }: View| {
            let views = checked.step.views(&self.templates, &context).into_iter();
            views.map(move |(item, context)| View { host: host.clone(), item, context }).collect::<Vec<_>>()
        };
        host_views.into_iter().flat_map(items).collect()
    }

    pub(super) fn same_items(&self, step: &Step) -> bool {
        step.for_each.as_ref().is_some_and(|list| self.rendering(&list.value, step) == Rendering::Same)
    }

    /// The views outside of the loop, as `for_each` itself sees them: one for each host.
    pub(super) fn host_views(&self, checked: &CheckedStep<'_>) -> Vec<View> {
        let view = |host: Option<Arc<Host>>, context: &Context| View { host, item: None, context: context.clone() };
        match (&checked.hosts, &checked.step.hosts) {
            (Some(hosts), _) => hosts.iter().map(|h| view(Some(Arc::clone(h)), self.scope.host(&h.name))).collect(),
            (None, None) => vec![view(None, self.scope.controller())],
            (None, Some(_)) => Vec::new(),
        }
    }
}
