//! Which of very many hashes occur more than once, in bounded memory.
//!
//! The hashes are given several times over, and each pass looks at those of one interval only. A pass that meets more
//! of them than it may hold narrows its interval, so that nothing need be known of their number beforehand: a multikey
//! index has any number of keys for a document.

use std::collections::HashMap;

/// Hashes of one pass, and what was found in those before.
#[derive(Debug)]
pub struct Sieve {
    /// How many hashes are held at most.
    limit: usize,
    /// The interval of this pass, both ends included.
    from: u64,
    through: u64,
    /// Those met: of each at most two more than [`compact`](Self::compact) has left, and it leaves two.
    held: Vec<u64>,
    /// How often those that are held twice were met beyond that.
    further: HashMap<u64, i64>,
}

/// A hash that was met more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeated {
    /// The hash.
    pub hash: u64,
    /// How often it was met.
    pub times: i64,
}

impl Sieve {
    /// One that holds at most `limit` hashes at a time; about so many are `expected`.
    pub fn new(limit: usize, expected: u64) -> Self {
        let limit = limit.max(16);
        let passes = expected / (limit as u64 * 3 / 4) + 1;
        let through = if passes == 1 { u64::MAX } else { u64::MAX / passes };
        Self { limit, from: 0, through, held: Vec::new(), further: HashMap::new() }
    }

    /// Whether a hash belongs to this pass.
    pub fn takes(&self, hash: u64) -> bool {
        (self.from..=self.through).contains(&hash)
    }

    /// Takes a hash, if it belongs to this pass.
    pub fn push(&mut self, hash: u64) {
        if !self.takes(hash) {
            return;
        }
        if self.held.is_empty() {
            // Once, and no more than it needs: growing would copy it.
            self.held.reserve_exact(self.limit);
        }
        self.held.push(hash);
        if self.held.len() >= self.limit {
            self.compact();
        }
    }

    /// Leaves two of each hash, and the lower half of the interval where that is too many still.
    fn compact(&mut self) {
        self.held.sort_unstable();
        let mut kept = 0;
        for at in 0..self.held.len() {
            let hash = self.held[at];
            if kept >= 2 && self.held[kept - 1] == hash && self.held[kept - 2] == hash {
                *self.further.entry(hash).or_default() += 1;
            } else {
                self.held[kept] = hash;
                kept += 1;
            }
        }
        self.held.truncate(kept);
        while self.held.len() > self.limit / 2 || self.further.len() > self.limit / 8 {
            // Each is there twice at most, so the one in the middle is above the first.
            let middle = self.held.len() / 2;
            let Some(pivot) = self.held.get(middle).copied().filter(|pivot| self.held[0] < *pivot) else { return };
            self.through = pivot - 1;
            self.held.truncate(self.held.partition_point(|hash| *hash < pivot));
            self.further.retain(|hash, _| *hash < pivot);
            self.further.shrink_to_fit();
        }
    }

    /// What of this pass was met more than once, in order; `None` as the second answer after the last pass.
    pub fn next_pass(&mut self) -> (Vec<Repeated>, Option<()>) {
        self.held.sort_unstable();
        let mut found = Vec::new();
        for run in self.held.chunk_by(|one, other| one == other).filter(|run| run.len() > 1) {
            let further = self.further.get(&run[0]).copied().unwrap_or_default();
            found.push(Repeated { hash: run[0], times: i64::try_from(run.len()).unwrap_or(i64::MAX) + further });
        }
        let few = self.held.len() < self.limit / 3;
        self.held.clear();
        self.further.clear();
        if self.through == u64::MAX {
            return (found, None);
        }
        let width = (self.through - self.from).saturating_mul(if few { 2 } else { 1 });
        self.from = self.through + 1;
        self.through = self.from.saturating_add(width);
        (found, Some(()))
    }

    /// How many numbers are in memory.
    #[cfg(test)]
    fn numbers(&self) -> usize {
        self.held.capacity() + self.further.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    use super::*;

    /// What is found among the hashes, in how many passes, and the most that was in memory.
    fn sift(limit: usize, expected: u64, hashes: impl Fn(&mut dyn FnMut(u64))) -> (Vec<Repeated>, usize, usize) {
        let mut sieve = Sieve::new(limit, expected);
        let (mut all, mut passes, mut most) = (Vec::new(), 0, 0);
        loop {
            hashes(&mut |hash| {
                sieve.push(hash);
                most = most.max(sieve.numbers());
            });
            passes += 1;
            let (found, more) = sieve.next_pass();
            all.extend(found);
            if more.is_none() {
                return (all, passes, most);
            }
        }
    }

    #[test]
    fn what_occurs_twice_is_found_whatever_may_be_held() {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        // Number n occurs once, but every hundredth n / 100 + 2 times, and one of them ten thousand times.
        let all: Vec<u64> = (0..5_000_u64)
            .flat_map(|n| {
                let times = if n == 700 {
                    10_000
                } else if n % 100 == 0 {
                    n / 100 + 2
                } else {
                    1
                };
                std::iter::repeat_n(hasher.hash_one(n), usize::try_from(times).unwrap_or_default())
            })
            .collect();
        let mut wanted: Vec<Repeated> = (0..50)
            .map(|n| Repeated { hash: hasher.hash_one(n * 100_u64), times: if n == 7 { 10_000 } else { n as i64 + 2 } })
            .collect();
        wanted.sort_by_key(|repeated| repeated.hash);
        for limit in [16, 100, 1_000, 1_000_000] {
            for expected in [0, 1_000, 1_000_000] {
                let (found, _, _) = sift(limit, expected, |see| all.iter().for_each(|hash| see(*hash)));
                assert_eq!(found, wanted, "{limit} {expected}");
            }
        }
        for edge in [0, u64::MAX] {
            let (found, _, _) =
                sift(16, 0, |see| (0..1_000).for_each(|n| see(if n % 2 == 0 { edge } else { 1 << 63 })));
            assert!(found.contains(&Repeated { hash: edge, times: 500 }), "{found:?}");
        }
    }

    /// Spreads numbers as a hash does, and much faster (the finalizer of splitmix64).
    fn spread(n: u64) -> u64 {
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    #[test]
    fn ten_million_keys_of_few_documents_are_held_in_a_bounded_part() {
        const LIMIT: usize = 3_000_000;
        // As for a multikey index: nothing says beforehand how many there are. One key in 100,000 is there twice.
        let keys = |see: &mut dyn FnMut(u64)| {
            (0..10_000_000_u64).for_each(|n| see(spread(if n % 100_000 == 1 { n - 1 } else { n })));
        };
        let (found, passes, most) = sift(LIMIT, 1_000, keys);
        assert_eq!(found.len(), 100);
        assert!(most <= LIMIT + LIMIT / 4, "{most}");
        assert!((4..=10).contains(&passes), "{passes}");
        // Every key three times.
        let (found, _, most) = sift(100_000, 0, |see| (0..300_000_u64).for_each(|n| see(spread(n / 3))));
        assert_eq!(found.len(), 100_000);
        assert!(most <= 200_000, "{most}");
    }
}
