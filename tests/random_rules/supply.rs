//! Choices out of bytes: those of a fuzz input as long as there are any, then pseudo-random ones that its first bytes
//! seed. A change to one byte of the input changes one choice, so that a fuzzer can work its way.

use super::words::Topic;

/// Where choices come from.
pub(crate) struct Supply<'d> {
    /// What this case is about.
    pub(crate) topic: Topic,
    /// A value that a request has at several places.
    pub(crate) repeated: Vec<u8>,
    bytes: &'d [u8],
    is_backward: bool,
    state: u64,
}

impl<'d> Supply<'d> {
    /// Takes `data` from its beginning on.
    pub(crate) fn forward(data: &'d [u8]) -> Self {
        let (seed, bytes) = data.split_at(data.len().min(SEED_BYTES));
        let mut supply = Self::of(Topic::default(), bytes, false, state(seed, 1));
        supply.topic = Topic::new(&mut supply);
        supply
    }

    /// Takes `data` from its end on; with the other direction it meets only in short inputs, where that does no harm.
    pub(crate) fn backward(data: &'d [u8], topic: Topic) -> Self {
        let (seed, bytes) = data.split_at(data.len().min(SEED_BYTES));
        Self::of(topic, bytes, true, state(seed, 2))
    }

    const fn of(topic: Topic, bytes: &'d [u8], is_backward: bool, state: u64) -> Self {
        Self { topic, repeated: Vec::new(), bytes, is_backward, state }
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let taken = if self.is_backward { self.bytes.split_last() } else { self.bytes.split_first() };
        if let Some((byte, rest)) = taken {
            self.bytes = rest;
            return *byte;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 32) as u8
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let low = usize::from(self.byte());
        if bound <= 256 { low % bound } else { (low << 8 | usize::from(self.byte())) % bound }
    }

    /// From `first` to `last`.
    pub(crate) fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// Once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// Bytes that the choices begin with that no byte is left for.
const SEED_BYTES: usize = 4;

/// Never 0.
fn state(seed: &[u8], salt: u64) -> u64 {
    let mixed = seed.iter().fold(salt, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1
}
