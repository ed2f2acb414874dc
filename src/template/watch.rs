//! A watchdog for renderings that do not end. The engine limits the number of steps, but one step, such as comparing
//! two deeply shared lists, may take arbitrarily long. So code that renders templates of users runs on a thread of its
//! own, which is abandoned after a timeout.

use std::cell::RefCell;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Timeout of one rendering. The permitted number of steps takes a small part of it.
pub const RENDER_TIMEOUT: Duration = Duration::from_secs(3);
/// Stack size of the thread, in bytes: dropping lists that are nested as deeply as possible needs this much.
const STACK_BYTES: usize = 256 << 20;

/// The template that is being rendered, and since when.
type Current = Arc<Mutex<Option<(Instant, String)>>>;

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

/// A rendering exceeded the timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderTimedOut {
    /// The path of the template file, or the template itself.
    pub template: String,
}

/// Runs `act` on a thread of its own and returns its result. The thread is abandoned if one of its renderings exceeds
/// the timeout.
///
/// # Errors
/// The template whose rendering exceeded the timeout.
pub fn with_watchdog<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> Result<T, RenderTimedOut> {
    let current = Current::default();
    let (thread_current, (sender, receiver)) = (Arc::clone(&current), channel());
    let thread = Builder::new().stack_size(STACK_BYTES).spawn(move || {
        CURRENT.set(Some(thread_current));
        // After a timeout, nobody receives the result.
        let _ignored = sender.send(act());
    });
    // If no thread can be created, the program cannot go on.
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

/// Records that `template` is being rendered, for the watchdog of this thread.
pub(super) fn tracked<T>(template: impl FnOnce() -> String, render: impl FnOnce() -> T) -> T {
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
    fn an_endless_rendering_is_abandoned() {
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
    fn deeply_nested_values_are_dropped_without_overflow() {
        let deep = "{% set n = namespace(a=1) %}{% for i in range(20000) %}{% set n.a = [n.a] %}{% endfor %}end";
        assert_eq!(
            with_watchdog(|| Templates::new("/nowhere").render("", deep, &Context::default())),
            Ok(Ok("end".into()))
        );
    }
}
