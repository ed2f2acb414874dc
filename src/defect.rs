//! Defects of this program: a panic ends the unit that it came from, which is told, and nothing else.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Poll;

use crate::event::Problem;

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Characters that are told of a panic's message at most; it may quote what a host answered.
const MAX_MESSAGE_CHARS: usize = 300;

/// Notes where a panic came from, for the panic hook to call. Whether somebody catches it: then nothing need be printed.
pub fn noted(place: Option<&Location<'_>>) -> bool {
    PLACE.set(place.map(|place| format!("{}:{}", place.file(), place.line())));
    WATCHED.get()
}

/// What `act` gives, or that it panicked. What it was about to change must be of no use any more, or sound in any state.
///
/// # Errors
/// The defect, to be reported.
pub fn caught<T>(act: impl FnOnce() -> T) -> Result<T, Problem> {
    let outer = WATCHED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    WATCHED.set(outer);
    result.map_err(|panic| problem(&*panic))
}

/// [`caught`], for what takes its time.
///
/// # Errors
/// The defect, to be reported.
pub async fn caught_in<F: Future>(future: F) -> Result<F::Output, Problem> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| match caught(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(defect) => Poll::Ready(Err(defect)),
    })
    .await
}

fn problem(panic: &(dyn Any + Send)) -> Problem {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let said: String = said.unwrap_or("a panic without a message").chars().take(MAX_MESSAGE_CHARS).collect();
    let place = PLACE.take().map(|place| format!(", at {place}")).unwrap_or_default();
    let problem = Problem::new(format!("an internal error of rollout: {said}{place}")).hint(
        "this is a defect of rollout, not of the plan: please report it with this message and what `rollout --version` says",
    );
    Problem { defect: true, ..problem }.redacted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_to_report_and_what_ends_well_is_none() {
        assert_eq!(caught(|| 1), Ok(1));
        assert_eq!(
            caught_in(async {
                tokio::task::yield_now().await;
                2
            })
            .await,
            Ok(2)
        );
        let problem = caught(|| -> u8 { panic!("it is {}", "x".repeat(1000)) }).unwrap_err();
        assert!(
            problem.defect && problem.message.starts_with("an internal error of rollout: it is xxx"),
            "{problem:?}"
        );
        assert!(problem.message.len() < 400 && problem.hint.unwrap().contains("report"));
        let later = caught_in(async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert!(later.await.map(|(): ()| ()).unwrap_err().message.ends_with("later"));
        assert!(!WATCHED.get(), "what panics from here on is not caught");
    }

    #[test]
    fn a_secret_in_its_message_is_masked() {
        crate::secret::register("poison-of-a-panic");
        let problem = caught(|| -> u8 { panic!("cannot slice poison-of-a-panic") }).unwrap_err();
        assert!(!problem.message.contains("poison"), "{}", problem.message);
    }
}
