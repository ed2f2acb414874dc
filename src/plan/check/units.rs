//! Checks the number of units of a plan before any of them is created.

use super::checker::{CheckedStep, Checker, View};

/// Maximum number of units of a plan: each step counts once for each of its hosts and items.
const MAX_UNITS: usize = 2_000_000;

impl Checker<'_> {
    /// Whether the plan stays below the maximum; reports an error if not. Must come before the checks that look at each
    /// unit.
    pub(super) fn check_unit_count(&mut self, steps: &[CheckedStep<'_>]) -> bool {
        let mut total = 0_usize;
        for checked in steps {
            let (units, in_words) = self.count_units(checked, MAX_UNITS - total);
            total += units;
            if total > MAX_UNITS {
                let id = &checked.step.id.value;
                let message = match units > MAX_UNITS {
                    true => format!("step `{id}` is {in_words}, and a plan has at most {MAX_UNITS} units"),
                    false => format!("with step `{id}`, which is {in_words}, the plan has more than {MAX_UNITS} units"),
                };
                let help = "let one step do all items with a template, or split the plan or its inventory (`--limit` does \
                            not help: all hosts are checked)";
                self.error("too-many-units", &checked.step.id.span, message, Some(help.to_owned()));
                return false;
            }
        }
        true
    }

    /// The number of units of a step, and how it is computed, in words. Stops counting above `most`.
    fn count_units(&self, checked: &CheckedStep<'_>, limit: usize) -> (usize, String) {
        let host_views = self.host_views(checked);
        let hosts = host_views.len();
        if checked.step.for_each.is_none() {
            return (hosts, format!("{hosts} units (one on each host)"));
        }
        let count = |view: &View| {
            let items = checked.step.items(&self.templates, &view.context);
            items.ok().flatten().map_or(0, |items| items.len())
        };
        if self.same_items(checked.step) {
            let items = host_views.first().map_or(0, count);
            let units = hosts.saturating_mul(items);
            return (units, format!("{units} units ({hosts} hosts × {items} items)"));
        }
        let mut units = 0;
        for view in &host_views {
            units += count(view);
            if units > limit {
                break;
            }
        }
        (units, format!("{units} units or more (the items of {hosts} hosts)"))
    }
}
