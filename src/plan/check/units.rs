//! How many units a plan comes to, before anything is made of them.

use super::checker::{CheckedStep, Checker, View};

/// The most units of a plan: its steps, each for each of its hosts and items.
const MAX_UNITS: usize = 2_000_000;

impl Checker<'_> {
    /// Whether the plan has no more units than a plan may have. The checks themselves look at each of them.
    pub(super) fn units(&mut self, steps: &[CheckedStep<'_>]) -> bool {
        let mut all = 0_usize;
        for known in steps {
            let (units, product) = self.units_of(known, MAX_UNITS - all);
            all += units;
            if all > MAX_UNITS {
                let id = &known.step.id.value;
                let message = match units > MAX_UNITS {
                    true => format!("step `{id}` is {product}, and a plan has at most {MAX_UNITS} units"),
                    false => format!("with step `{id}`, which is {product}, the plan has more than {MAX_UNITS} units"),
                };
                let help = "let one step do all items with a template, or split the plan or its inventory (`--limit` is no \
                            help: all hosts are checked)";
                self.error("too-many-units", &known.step.id.span, message, Some(help.to_owned()));
                return false;
            }
        }
        true
    }

    /// How many units a step comes to, and the numbers that multiply. It counts no further than it has to.
    fn units_of(&self, known: &CheckedStep<'_>, most: usize) -> (usize, String) {
        let outside = self.outside(known);
        let hosts = outside.len();
        if known.step.for_each.is_none() {
            return (hosts, format!("{hosts} units (one on each host)"));
        }
        let count = |view: &View| {
            let items = known.step.items(&self.templates, &view.context);
            items.ok().flatten().map_or(0, |items| items.len())
        };
        if self.same_items(known.step) {
            let items = outside.first().map_or(0, count);
            let units = hosts.saturating_mul(items);
            return (units, format!("{units} units ({hosts} hosts × {items} items)"));
        }
        let mut units = 0;
        for view in &outside {
            units += count(view);
            if units > most {
                break;
            }
        }
        (units, format!("{units} units or more (the items of {hosts} hosts)"))
    }
}
