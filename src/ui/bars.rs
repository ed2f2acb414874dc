//! Live progress on a terminal: one bar for the run and one line per running unit, below the lines of finished units.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::lines;
use super::reader::Reader;
use super::text::Text;
use crate::event::{Event, EventKind, UnitRef};
use crate::secret::visible;

/// Draws bars on stderr and prints lines on stdout.
pub struct Bars {
    text: Text,
    all: MultiProgress,
    run: ProgressBar,
    units: HashMap<UnitRef, ProgressBar>,
}

impl Bars {
    pub fn new(text: Text) -> Self {
        let all = MultiProgress::new();
        let run = all.add(ProgressBar::new(0));
        run.set_style(style("{bar:24.cyan/dim} {pos}/{len} steps  {elapsed}"));
        Self { text, all, run, units: HashMap::new() }
    }
}

impl Reader for Bars {
    fn read(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { units, .. } => {
                self.run.set_length(*units as u64);
                self.run.enable_steady_tick(TICK);
            }
            EventKind::UnitStarted { unit, .. } => {
                let bar = self.all.insert_before(&self.run, ProgressBar::new_spinner());
                bar.set_style(style("{spinner:.cyan} {prefix}  {wide_msg:.dim}"));
                bar.set_prefix(one_line(&unit.to_string()));
                bar.enable_steady_tick(TICK);
                self.units.insert(unit.clone(), bar);
            }
            EventKind::Progress { unit, message } => {
                if let Some(bar) = self.units.get(unit) {
                    bar.set_message(one_line(message));
                }
            }
            EventKind::UnitFinished { unit, .. } => {
                if let Some(bar) = self.units.remove(unit) {
                    self.all.remove(&bar);
                }
                self.run.inc(1);
            }
            EventKind::RunFinished { .. } => self.run.finish_and_clear(),
            _ => {}
        }
        if let Some(block) = self.text.block(event) {
            self.all.suspend(|| lines::print(&block));
        }
    }
}

/// The text on one line, without control characters that would move the cursor.
fn one_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

const TICK: Duration = Duration::from_millis(100);

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
