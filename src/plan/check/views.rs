//! What the templates of each step see.

use std::sync::Arc;

use super::checker::{CheckedStep, Checker, View};
use super::params::Rendering;
use crate::inventory::Host;
use crate::plan::Step;
use crate::template::Context;

impl Checker<'_> {
    /// What the templates of a step see: on each host, or on the controller, for each item. Empty when its hosts or items
    /// are not known.
    pub(super) fn views(&self, known: &CheckedStep<'_>) -> Vec<View> {
        let outside = self.outside(known);
        if let (true, Some(View { context, .. })) = (self.same_items(known.step), outside.first()) {
            let items = known.step.items(&self.templates, context).ok().flatten().unwrap_or_default();
            let items = items.into_iter().map(|item| (item.key, Context::default().with("item", &item.value)));
            let items: Vec<(String, Context)> = items.collect();
            let views = outside.iter().flat_map(|View { host, context, .. }| {
                let view = |(key, item): &(String, Context)| (host.clone(), Some(key.clone()), context.below(item));
                items.iter().map(view)
            });
            return views.map(|(host, item, context)| View { host, item, context }).collect();
        }
        let items = |View { host, context, .. }: View| {
            let views = known.step.views(&self.templates, &context).into_iter();
            views.map(move |(item, context)| View { host: host.clone(), item, context }).collect::<Vec<_>>()
        };
        outside.into_iter().flat_map(items).collect()
    }

    /// Whether a step is a loop over the same items on all of its hosts.
    pub(super) fn same_items(&self, step: &Step) -> bool {
        step.for_each.as_ref().is_some_and(|list| self.rendering(&list.value, step) == Rendering::Same)
    }

    /// What `for_each` itself sees.
    pub(super) fn outside(&self, known: &CheckedStep<'_>) -> Vec<View> {
        let view = |host: Option<Arc<Host>>, context: &Context| View { host, item: None, context: context.clone() };
        match (&known.hosts, &known.step.hosts) {
            (Some(hosts), _) => hosts.iter().map(|h| view(Some(Arc::clone(h)), self.scope.host(&h.name))).collect(),
            (None, None) => vec![view(None, self.scope.controller())],
            (None, Some(_)) => Vec::new(),
        }
    }
}
