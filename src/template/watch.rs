//! A rendering that does not end: the engine counts its steps, but one of them, such as the comparison of two lists that
//! hold the same lists over and over, may be as long as it likes. So whoever renders what others wrote does it on a thread
//! of its own, and gives that up.

use std::cell::RefCell;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How long one rendering may take. All of its steps are done in a small part of that.
pub const RENDER_TIMEOUT: Duration = Duration::from_secs(3);
/// The stack, bytes: lists that lie in each other as deep as a rendering can make them fall apart within it.
const STACK_BYTES: usize = 256 << 20;

/// What is rendered, and since when.
type Current = Arc<Mutex<Option<(Instant, String)>>>;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A rendering that took too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderTimedOut {
    /// The path of the template file, or the text itself.
    pub template: String,
}

/// What `act` gives, done on a thread of its own, which is left alone when one of its renderings does not end.
///
/// # Errors
/// That rendering.
pub fn with_watchdog<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, RenderTimedOut> {
    let current = Current::default();
    let (theirs, (sender, receiver)) = (Arc::clone(&current), channel());
    let thread = Builder::new().stack_size(STACK_BYTES).spawn(move || {
        CURRENT.set(Some(theirs));
        // Whoever gave up listens no more.
        let _ignored = sender.send(act());
    });
    // Where the system gives no further thread, it gives nothing else either.
    let thread = thread.unwrap_or_else(|error| panic!("cannot begin a thread: {error}"));
    loop {
        match receiver.recv_timeout(RENDER_TIMEOUT / 10) {
            Ok(value) => return Ok(value),
            Err(RecvTimeoutError::Timeout) => {
                let current = lock(&current);
                if let Some((_, template)) = current.as_ref().filter(|(since, _)| since.elapsed() > RENDER_TIMEOUT) {
                    return Err(RenderTimedOut { template: template.clone() });
                }
            }
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => panic!("the thread that renders ended without a word"),
            },
        }
    }
}

/// Renders `template`, seen by who watches this thread.
pub(super) fn seen<T>(template: impl FnOnce() -> String, render: impl FnOnce() -> T) -> T {
    let Some(current) = CURRENT.with_borrow(Clone::clone) else { return render() };
    let set = |now| *lock(&current) = now;
    set(Some((Instant::now(), template())));
    let result = render();
    set(None);
    result
}

#[cfg(test)]
mod tests {
    use crate::template::{Context, Templates};

    use super::*;

    #[test]
    fn what_does_not_end_is_given_up_and_what_does_is_handed_over() {
        assert_eq!(
            with_watchdog(|| Templates::new("/nowhere").render("", "{{ 1 + 1 }}", &Context::default())),
            Ok(Ok("2".into()))
        );
        let twice = "{% set n = namespace(a=[1], b=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}";
        let source = format!("{twice}{{{{ n.a == n.b }}}}");
        let endless = with_watchdog(move || Templates::new("/nowhere").render("t.j2", &source, &Context::default()));
        assert_eq!(endless, Err(RenderTimedOut { template: "t.j2".to_owned() }));
    }

    #[test]
    fn what_is_deep_falls_apart_on_its_stack() {
        let deep = "{% set n = namespace(a=1) %}{% for i in range(20000) %}{% set n.a = [n.a] %}{% endfor %}end";
        assert_eq!(
            with_watchdog(|| Templates::new("/nowhere").render("", deep, &Context::default())),
            Ok(Ok("end".into()))
        );
    }
}
