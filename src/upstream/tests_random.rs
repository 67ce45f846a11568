//! Seeded random numbers for the simulations of this room. The seed is printed, and `PORTCULLIS_SEED` repeats a run.

use std::hash::{BuildHasher, Hasher, RandomState};

/// splitmix64.
pub(crate) struct Random(u64);

impl Random {
    /// A new sequence; prints its seed so that a failure can be repeated.
    pub(crate) fn seeded(what: &str) -> Self {
        let given = std::env::var("PORTCULLIS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        println!("{what}: PORTCULLIS_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
