//! Numbers that a seed decides, so that a failure can be made again (splitmix64).

pub(in crate::sled_engine) struct Random(u64);

impl Random {
    pub(in crate::sled_engine) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::sled_engine) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(in crate::sled_engine) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(in crate::sled_engine) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(from.len()).unwrap().max(1);
        from.get(usize::try_from(self.below(length)).unwrap())
    }
}
