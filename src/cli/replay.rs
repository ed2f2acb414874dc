//! Asking again for what an earlier run or a saved plan was asked for.

use std::ffi::OsString;

use clap::Parser;

use super::failure::Failure;
use super::options::Options;
use super::selection::Selection;
use crate::event::{Problem, Source};
use crate::journal::{RunState, Store};
use crate::secret::MASK;

/// What was asked for then, as if it were typed now.
#[derive(Debug)]
pub struct Replay {
    /// The plan and its parts.
    pub selection: Selection,
    /// Inventory and variables; output as asked for now.
    pub options: Options,
}

/// The arguments of a [`Source`].
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Typed {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    options: Options,
}

impl Replay {
    /// Reads what was asked for; how to show it comes from now.
    ///
    /// # Errors
    /// When it cannot be asked for again.
    pub fn of(source: &Source, now: &Options) -> Result<Self, Failure> {
        if source.arguments.iter().any(|argument| argument.contains(MASK)) {
            let problem = Problem::new("a variable that was given with --var is a secret, so it is not on record");
            return Err(Failure::usage(problem.hint("run the plan itself, and give it again")));
        }
        let mut arguments: Vec<OsString> = vec![source.plan.clone().into()];
        if let Some(inventory) = &source.inventory {
            arguments.extend(["--inventory".into(), inventory.clone().into()]);
        }
        arguments.extend(source.arguments.iter().map(OsString::from));
        let typed = Typed::try_parse_from(arguments).map_err(|e| {
            let message = e.to_string().lines().next().unwrap_or_default().to_owned();
            Failure::usage(Problem::new(format!("what was asked for then is not understood now: {message}")))
        })?;
        let options = Options { output: now.output, color: now.color, ..typed.options };
        Ok(Self { selection: typed.selection, options })
    }

    /// Whether the last run of the plan was an apply of the saved plan of that hash, and did not end well.
    pub fn goes_on_from(&self, plan: &str, hash: &str) -> bool {
        let store = Store::open(&self.selection.plan, plan, self.options.inventory.as_deref());
        let latest = store.and_then(|store| store.latest()).ok().flatten();
        latest.is_some_and(|(info, _)| {
            info.state != RunState::Succeeded && info.source.is_some_and(|s| s.saved.as_deref() == Some(hash))
        })
    }
}
