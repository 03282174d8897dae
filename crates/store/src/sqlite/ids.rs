//! The public ids of deliveries: `evt_` and a UUID, version 7, in 32 hex digits.

use hookit_contract::{DeliveryId, Timestamp};
use uuid::Builder;

/// A version 7 UUID's bits behind the time: 12 and 62.
const RANDOM_BITS: u32 = 74;

/// Gives ids that ascend, also within one millisecond and when the clock steps back: ids that ascend are appended to
/// the end of their index.
#[derive(Debug)]
pub(crate) struct DeliveryIds {
    seed: u64,
    millis: u64,
    tail: u128,
}

impl DeliveryIds {
    /// Ids whose random part follows from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        DeliveryIds { seed, millis: 0, tail: 0 }
    }

    /// SplitMix64: enough to keep ids of different installations and starts apart. Nothing is kept secret by them.
    fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn next(&mut self, now: Timestamp) -> DeliveryId {
        let now = u64::try_from(now.as_millis()).unwrap_or(0);
        if now > self.millis {
            self.millis = now;
            let bits = (u128::from(self.random()) << 64) | u128::from(self.random());
            // The highest bit stays free, so that a millisecond's ids cannot run out.
            self.tail = bits >> (128 - RANDOM_BITS + 1);
        } else {
            self.tail += 1 + u128::from(self.random() >> 32);
        }
        let (high, low) = (self.tail >> 62, self.tail & ((1 << 62) - 1));
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&(high as u16).to_be_bytes());
        bytes[2..].copy_from_slice(&(low as u64).to_be_bytes());
        let uuid = Builder::from_unix_timestamp_millis(self.millis, &bytes).into_uuid();
        let mut text = [0; 36];
        text[..4].copy_from_slice(b"evt_");
        uuid.simple().encode_lower(&mut text[4..]);
        DeliveryId::from(std::str::from_utf8(&text).expect("hex digits are text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_within_a_millisecond_and_when_the_clock_steps_back() {
        let mut ids = DeliveryIds::new(7);
        let mut last = String::new();
        for i in 0..10_000 {
            let millis = 1_800_000_000_000 + [0, 0, 3, 2, 1][i % 5] + i as i64 / 50;
            let id = ids.next(Timestamp::from_millis(millis)).as_str().to_owned();
            assert!(id > last, "{id} after {last}");
            last = id;
        }
    }

    #[test]
    fn an_id_is_a_version_7_uuid_of_its_time() {
        let id = DeliveryIds::new(1).next(Timestamp::from_millis(1_800_000_000_123));
        let uuid = uuid::Uuid::parse_str(id.as_str().strip_prefix("evt_").unwrap()).unwrap();
        assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
        assert_eq!(uuid.as_u128() >> 80, 1_800_000_000_123);
        assert_eq!(id.as_str().len(), 36);
    }

    #[test]
    fn different_seeds_give_different_ids() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        assert_ne!(DeliveryIds::new(1).next(now), DeliveryIds::new(2).next(now));
    }
}
