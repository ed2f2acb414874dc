//! Turns panics into errors, so that a defect fails only the unit in which it happens.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::task::Poll;

use crate::event::Problem;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The most characters shown of a panic's message; it may quote a host's answer.
const MAX_MESSAGE_CHARS: usize = 300;

/// Records the place of a panic; called by the panic hook. Returns whether [`catch_panic`] will catch the panic, so
/// that the hook need not print it.
pub fn note_panic(place: Option<&Location<'_>>) -> bool {
    PLACE.set(place.map(|place| format!("{}:{}", place.file(), place.line())));
    IS_CAUGHT.get()
}

/// Runs `act` and turns a panic into a problem. Data that `act` was changing must be discarded after a panic, or be
/// valid in any state.
///
/// # Errors
/// The panic, as a defect to report.
pub fn catch_panic<T>(act: impl FnOnce() -> T) -> Result<T, Problem> {
    let outer = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(act));
    IS_CAUGHT.set(outer);
    result.map_err(|panic| problem(&*panic))
}

/// [`catch_panic`] for futures.
///
/// # Errors
/// The panic, as a defect to report.
pub async fn catch_panic_async<F: Future>(future: F) -> Result<F::Output, Problem> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| match catch_panic(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(defect) => Poll::Ready(Err(defect)),
    })
    .await
}

fn problem(panic: &(dyn Any + Send)) -> Problem {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let message: String = message.unwrap_or("a panic without a message").chars().take(MAX_MESSAGE_CHARS).collect();
    let place = PLACE.take().map(|place| format!(", at {place}")).unwrap_or_default();
    let problem = Problem::new(format!("an internal error of rollout: {message}{place}")).hint(
        "this is a defect of rollout, not of the plan: please report it with this message and the output of `rollout --version`",
    );
    Problem { defect: true, ..problem }.redacted()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_to_report_and_what_ends_well_is_none() {
        assert_eq!(catch_panic(|| 1), Ok(1));
        assert_eq!(
            catch_panic_async(async {
                tokio::task::yield_now().await;
                2
            })
            .await,
            Ok(2)
        );
        let problem = catch_panic(|| -> u8 { panic!("it is {}", "x".repeat(1000)) }).unwrap_err();
        assert!(
            problem.defect && problem.message.starts_with("an internal error of rollout: it is xxx"),
            "{problem:?}"
        );
        assert!(problem.message.len() < 400 && problem.hint.unwrap().contains("report"));
        let later = catch_panic_async(async {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert!(later.await.map(|(): ()| ()).unwrap_err().message.ends_with("later"));
        assert!(!IS_CAUGHT.get(), "what panics from here on is not caught");
    }

    #[test]
    fn a_secret_in_its_message_is_masked() {
        crate::secret::register("poison-of-a-panic");
        let problem = catch_panic(|| -> u8 { panic!("cannot slice poison-of-a-panic") }).unwrap_err();
        assert!(!problem.message.contains("poison"), "{}", problem.message);
    }
}
