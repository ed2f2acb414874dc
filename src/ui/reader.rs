//! What readers of the event stream have in common.

use crate::event::Event;

/// Something that shows events.
pub trait Reader: Send {
    /// Shows one event.
    fn read(&mut self, event: &Event);
}
