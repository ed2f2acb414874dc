//! The trait of all readers of the event stream.

use crate::event::Event;

pub trait Reader: Send {
    fn read(&mut self, event: &Event);
}
