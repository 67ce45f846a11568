//! Where something that is looked for may begin, by three bytes: 32 places at once.
//!
//! What is looked for is put into buckets, each of which has a set of first, one of second and one of third bytes. A place
//! passes when some bucket has the bytes there, one of each of its sets. A byte counts as one of a set when its low and its
//! high half belong to bytes of it: that is what vector instructions can look up for many bytes together.

#[cfg(target_arch = "x86_64")]
use super::wide;

/// Sets of three.
pub(crate) const BUCKETS: usize = 16;

/// Places that are looked at together.
pub(crate) const BLOCK: usize = 32;

#[cfg(target_arch = "x86_64")]
const _: () = assert!(BLOCK == wide::BLOCK, "both ways take the same step");

/// Bytes behind those of a block that are looked at with it.
pub(crate) const MARGIN: usize = 2;

/// The buckets.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Sieve {
    /// By half of the buckets, place, and low half of the byte: a bit for each bucket.
    low: [[[u8; 16]; 3]; 2],
    /// Likewise by its high half.
    high: [[[u8; 16]; 3]; 2],
}

/// Are there vector instructions to sift with? Without, it is not worth while.
pub(crate) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return wide::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

impl Sieve {
    /// A byte that may stand at one of the three places of what is in a bucket.
    pub(crate) fn add(&mut self, bucket: usize, place: usize, byte: u8) {
        let bit = 1 << (bucket % 8);
        let [low, high] = [&mut self.low, &mut self.high].map(|half| half.get_mut(bucket / 8));
        for (rows, nibble) in [(low, byte & 15), (high, byte >> 4)] {
            if let Some(row) = rows.and_then(|rows| rows.get_mut(place)?.get_mut(usize::from(nibble))) {
                *row |= bit;
            }
        }
    }

    /// The buckets of one half that may have this byte first, second or third, a bit each.
    fn buckets(&self, half: usize, place: usize, byte: u8) -> u8 {
        let row = |rows: &[[[u8; 16]; 3]; 2], nibble: u8| {
            rows.get(half).and_then(|rows| rows.get(place)?.get(usize::from(nibble)).copied()).unwrap_or_default()
        };
        row(&self.low, byte & 15) & row(&self.high, byte >> 4)
    }

    /// The share of places that pass, about, if each byte is as common as this.
    pub(crate) fn passing(&self, commonness: impl Fn(u8) -> f64) -> f64 {
        let common: Vec<(u8, f64)> = (0..=u8::MAX).map(|byte| (byte, commonness(byte))).collect();
        let whole: f64 = common.iter().map(|(_, share)| share).sum();
        let mut all = 0.0;
        for (half, bucket) in (0..BUCKETS).map(|bucket| (bucket / 8, 1 << (bucket % 8))) {
            let share = |place: usize| {
                let members = common.iter().filter(|(byte, _)| self.buckets(half, place, *byte) & bucket != 0);
                members.map(|(_, share)| share / whole).sum::<f64>()
            };
            all += (0..3).map(share).product::<f64>();
        }
        all
    }

    /// Notes which places pass: a word for each block. Of blocks without [`MARGIN`] bytes behind them it says nothing.
    pub(crate) fn sift(&self, value: &[u8], hits: &mut [u32]) {
        #[cfg(target_arch = "x86_64")]
        if wide::is_there() {
            return wide::sift(&self.low, &self.high, value, hits);
        }
        self.sift_plainly(value, hits);
    }

    fn sift_plainly(&self, value: &[u8], hits: &mut [u32]) {
        for (start, word) in (0..).step_by(BLOCK).zip(hits) {
            let Some(block) = value.get(start..start + BLOCK + MARGIN) else { break };
            *word = 0;
            for (place, bytes) in block.array_windows::<3>().enumerate() {
                let passes =
                    |half| (0..).zip(bytes).fold(u8::MAX, |all, (next, byte)| all & self.buckets(half, next, *byte));
                *word |= u32::from(passes(0) | passes(1) != 0) << place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waf::tests::draws::draws;

    #[test]
    fn both_ways_let_the_same_pass() {
        let mut draw = draws();
        let mut passed = 0;
        for round in 1..400 {
            let mut byte = |round: usize| (b'0' as usize + draw([3, 40, 150][round % 3])) as u8;
            let keys: Vec<[u8; 3]> = (0..round % 70).map(|key| [byte(key), byte(round), byte(round)]).collect();
            let mut sieve = Sieve::default();
            for (number, key) in keys.iter().enumerate() {
                (0..).zip(key).for_each(|(place, byte)| sieve.add(number % BUCKETS, place, *byte));
            }
            let blocks = round % 5;
            let mut value: Vec<u8> = (0..blocks * BLOCK).map(|_| byte(round)).collect();
            for (there, key) in value.chunks_exact_mut(3).zip(&keys) {
                there.copy_from_slice(key);
            }
            value.resize(blocks * BLOCK + MARGIN, 0);
            let (mut one, mut other) = (vec![0; blocks], vec![0; blocks]);
            sieve.sift_plainly(&value, &mut one);
            sieve.sift(&value, &mut other);
            assert_eq!(one, other, "round {round}");
            for number in (0..keys.len()).take_while(|number| number * 3 + 3 <= blocks * BLOCK) {
                assert!(one[number * 3 / BLOCK] >> (number * 3 % BLOCK) & 1 == 1, "round {round}, key {number}");
                passed += 1;
            }
        }
        assert!(passed > 1000, "{passed}");
    }
}
