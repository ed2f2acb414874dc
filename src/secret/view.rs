//! A text as somebody reads it who undoes what was done to it, and where each byte of that reading stands in the text.

use std::borrow::Cow;
use std::ops::Range;

/// What a reader makes of the bytes at one place.
pub enum Step {
    /// A byte stays as it is.
    Keep,
    /// This many bytes are left out.
    Drop(usize),
    /// One byte stands for this many.
    Put(u8, usize),
}

/// A reading of a text.
pub struct View<'t> {
    /// The bytes.
    pub bytes: Cow<'t, [u8]>,
    /// How they came to be, the first first.
    layers: Vec<Layer>,
}

impl<'t> View<'t> {
    /// The text itself.
    pub fn new(text: &'t [u8]) -> Self {
        Self { bytes: Cow::Borrowed(text), layers: Vec::new() }
    }

    /// The part of the text that these bytes come from.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.layers.iter().rev().fold(range, |range, layer| layer.start(range.start)..layer.end(range.end))
    }

    /// The view without its last `count` bytes.
    pub fn without_end(mut self, count: usize) -> Self {
        let length = self.bytes.len() - count;
        match &mut self.bytes {
            Cow::Borrowed(bytes) => *bytes = &bytes[..length],
            Cow::Owned(bytes) => bytes.truncate(length),
        }
        self
    }

    /// The same view.
    pub fn borrowed(&self) -> View<'_> {
        View { bytes: Cow::Borrowed(&self.bytes), layers: self.layers.clone() }
    }

    /// The view with `step` taken from one end to the other. `begins` tells where something may be to do: bytes for which it
    /// says no stay.
    pub fn rewritten(&self, begins: impl Fn(u8) -> bool, step: impl Fn(&[u8]) -> Step) -> Option<View<'static>> {
        self.written(&begins, |out| {
            while let Some(rest) = out.rest() {
                match step(rest) {
                    Step::Keep => out.copy(1),
                    Step::Drop(count) => out.pass(count),
                    Step::Put(byte, count) => {
                        out.copy(count);
                        out.replace(count, &[byte]);
                    }
                }
                out.copy_until(&begins);
            }
        })
    }

    /// The view as `write` writes it anew from the first byte on at which something `begins`, if there is one.
    pub fn written(&self, begins: &impl Fn(u8) -> bool, write: impl FnOnce(&mut Tape)) -> Option<View<'static>> {
        let first = self.bytes.iter().position(|byte| begins(*byte))?;
        let bytes = Vec::with_capacity(self.bytes.len());
        let mut out = Tape { source: &self.bytes, at: 0, bytes, layer: Layer::default() };
        out.copy(first);
        write(&mut out);
        out.layer.ends(out.bytes.len());
        let mut layers = self.layers.clone();
        layers.push(out.layer);
        Some(View { bytes: Cow::Owned(out.bytes), layers })
    }
}

/// A view that is being written, from one end of its source to the other.
pub struct Tape<'v> {
    source: &'v [u8],
    at: usize,
    /// What is written so far.
    pub bytes: Vec<u8>,
    layer: Layer,
}

impl Tape<'_> {
    /// What is to be read yet, unless that is nothing.
    pub fn rest(&self) -> Option<&[u8]> {
        Some(&self.source[self.at..]).filter(|rest| !rest.is_empty())
    }

    /// Writes the next bytes as they are.
    pub fn copy(&mut self, count: usize) {
        if count > 0 {
            self.layer.add(self.bytes.len(), count, self.at);
            self.bytes.extend_from_slice(&self.source[self.at..self.at + count]);
            self.at += count;
        }
    }

    /// Writes them up to the next one at which something begins.
    pub fn copy_until(&mut self, begins: &impl Fn(u8) -> bool) {
        let rest = &self.source[self.at..];
        self.copy(rest.iter().position(|byte| begins(*byte)).unwrap_or(rest.len()));
    }

    /// Leaves the next bytes out.
    pub fn pass(&mut self, count: usize) {
        self.at += count;
    }

    /// Writes these bytes in the place of the last `count`.
    pub fn replace(&mut self, count: usize, with: &[u8]) {
        let from = self.bytes.len() - count;
        let (start, end) = self.layer.cut(from);
        self.bytes.truncate(from);
        for byte in with {
            self.layer.add(self.bytes.len(), 1, start);
            self.layer.last = end;
            self.bytes.push(*byte);
        }
    }
}

/// Where the bytes of one view are in the one that it was made of. Most follow each other here as there.
#[derive(Clone, Default)]
struct Layer {
    jumps: Vec<Jump>,
    /// Where the last byte ends.
    last: usize,
}

/// Where they do not.
#[derive(Clone, Copy)]
struct Jump {
    /// From this byte on, and this is where that begins.
    at: usize,
    start: usize,
    /// Where the byte before it ends.
    end_before: usize,
}

impl Layer {
    fn start(&self, at: usize) -> usize {
        match self.jumps[..self.jumps.partition_point(|jump| jump.at <= at)].last() {
            Some(jump) => jump.start + (at - jump.at),
            None => at,
        }
    }

    /// Where the byte ends that stands before this place.
    fn end(&self, at: usize) -> usize {
        let next = self.jumps.partition_point(|jump| jump.at < at);
        match self.jumps.get(next) {
            Some(jump) if jump.at == at => jump.end_before,
            _ => self.start(at - 1) + 1,
        }
    }

    /// Says that the next `count` bytes, from `at` on, come from `start` on.
    fn add(&mut self, at: usize, count: usize, start: usize) {
        let expected = self.jumps.last().map_or(at, |jump| jump.start + (at - jump.at));
        if start != expected || self.last != start {
            self.jumps.push(Jump { at, start, end_before: self.last });
        }
        self.last = start + count;
    }

    /// Says that there are no further bytes.
    fn ends(&mut self, at: usize) {
        self.add(at, 0, self.last);
    }

    /// Forgets the bytes from `at` on, and says where they begin and end.
    fn cut(&mut self, at: usize) -> (usize, usize) {
        let (mut start, end, mut before) = (None, self.last, None);
        while let Some(jump) = self.jumps.pop_if(|jump| jump.at >= at) {
            start = Some(jump.start).filter(|_| jump.at == at);
            before = Some(jump.end_before).filter(|_| jump.at == at);
        }
        let expected = self.jumps.last().map_or(at, |jump| jump.start + (at - jump.at));
        self.last = before.unwrap_or(expected);
        (start.unwrap_or(expected), end)
    }
}
