//! A view: a text after decoding steps, which knows which bytes of the text each of its bytes comes from.

use std::borrow::Cow;
use std::ops::Range;

/// How to rewrite the bytes at one place.
pub enum Rewrite {
    /// Keeps one byte.
    Keep,
    /// Leaves out this many bytes.
    Drop(usize),
    /// Replaces this many bytes by one byte.
    Put(u8, usize),
}

pub struct View<'t> {
    pub bytes: Cow<'t, [u8]>,
    /// The rewriting steps, in order.
    layers: Vec<Layer>,
}

impl<'t> View<'t> {
    pub fn new(text: &'t [u8]) -> Self {
        Self { bytes: Cow::Borrowed(text), layers: Vec::new() }
    }

    /// The range of the text that these bytes of the view come from.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.layers
            .iter()
            .rev()
            .fold(range, |range, layer| layer.source_start(range.start)..layer.source_end(range.end))
    }

    pub fn without_end(mut self, count: usize) -> Self {
        let length = self.bytes.len() - count;
        match &mut self.bytes {
            Cow::Borrowed(bytes) => *bytes = &bytes[..length],
            Cow::Owned(bytes) => bytes.truncate(length),
        }
        self
    }

    /// The view with borrowed bytes.
    pub fn by_ref(&self) -> View<'_> {
        View { bytes: Cow::Borrowed(&self.bytes), layers: self.layers.clone() }
    }

    /// The view rewritten by `step` from start to end; `None` if nothing is to do. Only bytes that satisfy `begins` are
    /// given to `step`; all others stay.
    pub fn rewritten(&self, begins: impl Fn(u8) -> bool, step: impl Fn(&[u8]) -> Rewrite) -> Option<View<'static>> {
        self.rewritten_with(&begins, |out| {
            while let Some(rest) = out.rest() {
                match step(rest) {
                    Rewrite::Keep => out.copy(1),
                    Rewrite::Drop(count) => out.skip(count),
                    Rewrite::Put(byte, count) => {
                        out.copy(count);
                        out.replace(count, &[byte]);
                    }
                }
                out.copy_until(&begins);
            }
        })
    }

    /// The view as `write` rewrites it, starting at the first byte that satisfies `begins`; `None` if there is no such
    /// byte.
    pub fn rewritten_with(
        &self,
        begins: &impl Fn(u8) -> bool,
        write: impl FnOnce(&mut Writer),
    ) -> Option<View<'static>> {
        let first = self.bytes.iter().position(|byte| begins(*byte))?;
        let bytes = Vec::with_capacity(self.bytes.len());
        let mut out = Writer { source: &self.bytes, at: 0, bytes, layer: Layer::default() };
        out.copy(first);
        write(&mut out);
        out.layer.finish(out.bytes.len());
        let mut layers = self.layers.clone();
        layers.push(out.layer);
        Some(View { bytes: Cow::Owned(out.bytes), layers })
    }
}

/// Writes a view, reading its source from start to end.
pub struct Writer<'v> {
    source: &'v [u8],
    at: usize,
    /// The bytes written so far.
    pub bytes: Vec<u8>,
    layer: Layer,
}

impl Writer<'_> {
    /// The source bytes that are not read yet; `None` at the end.
    pub fn rest(&self) -> Option<&[u8]> {
        Some(&self.source[self.at..]).filter(|rest| !rest.is_empty())
    }

    /// Copies the next bytes.
    pub fn copy(&mut self, count: usize) {
        if count > 0 {
            self.layer.add(self.bytes.len(), count, self.at);
            self.bytes.extend_from_slice(&self.source[self.at..self.at + count]);
            self.at += count;
        }
    }

    /// Copies the bytes before the next one that satisfies `begins`.
    pub fn copy_until(&mut self, begins: &impl Fn(u8) -> bool) {
        let rest = &self.source[self.at..];
        self.copy(rest.iter().position(|byte| begins(*byte)).unwrap_or(rest.len()));
    }

    pub fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Replaces the last `count` written bytes.
    pub fn replace(&mut self, count: usize, with: &[u8]) {
        let from = self.bytes.len() - count;
        let (start, end) = self.layer.cut(from);
        self.bytes.truncate(from);
        for byte in with {
            self.layer.add(self.bytes.len(), 1, start);
            self.layer.last_end = end;
            self.bytes.push(*byte);
        }
    }
}

/// Maps the bytes of a view to the bytes of the view before it. Most consecutive bytes are consecutive there, too; only
/// exceptions are stored.
#[derive(Clone, Default)]
struct Layer {
    jumps: Vec<Jump>,
    /// Source position after the last byte.
    last_end: usize,
}

/// A byte whose source does not follow the source of the byte before it.
#[derive(Clone, Copy)]
struct Jump {
    /// Position of the byte in the view.
    at: usize,
    source_start: usize,
    /// Source position after the byte before it.
    previous_end: usize,
}

impl Layer {
    fn source_start(&self, at: usize) -> usize {
        match self.jumps[..self.jumps.partition_point(|jump| jump.at <= at)].last() {
            Some(jump) => jump.source_start + (at - jump.at),
            None => at,
        }
    }

    /// Source position after the byte before `at`.
    fn source_end(&self, at: usize) -> usize {
        let next = self.jumps.partition_point(|jump| jump.at < at);
        match self.jumps.get(next) {
            Some(jump) if jump.at == at => jump.previous_end,
            _ => self.source_start(at - 1) + 1,
        }
    }

    /// Records that `count` bytes, from `at` on, come from the source bytes from `start` on.
    fn add(&mut self, at: usize, count: usize, start: usize) {
        let expected = self.jumps.last().map_or(at, |jump| jump.source_start + (at - jump.at));
        if start != expected || self.last_end != start {
            self.jumps.push(Jump { at, source_start: start, previous_end: self.last_end });
        }
        self.last_end = start + count;
    }

    /// Records the end of the view.
    fn finish(&mut self, at: usize) {
        self.add(at, 0, self.last_end);
    }

    /// Removes the bytes from `at` on, and returns the source range that they came from.
    fn cut(&mut self, at: usize) -> (usize, usize) {
        let (mut start, end, mut before) = (None, self.last_end, None);
        while let Some(jump) = self.jumps.pop_if(|jump| jump.at >= at) {
            start = Some(jump.source_start).filter(|_| jump.at == at);
            before = Some(jump.previous_end).filter(|_| jump.at == at);
        }
        let expected = self.jumps.last().map_or(at, |jump| jump.source_start + (at - jump.at));
        self.last_end = before.unwrap_or(expected);
        (start.unwrap_or(expected), end)
    }
}
