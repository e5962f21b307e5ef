//! X-Wing's own vectors: key pair, encapsulation with the bytes of a vector for randomness, decapsulation.

use core::convert::Infallible;

use hpke::Kem as _;
use rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;

use super::{Counts, Hex, vectors};
use crate::IdentitySecret;
use crate::xwing::XWing;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    id: String,
    seed: Hex,
    eseed: Hex,
    public: Hex,
    encapsulated: Hex,
    shared: Hex,
}

pub(super) fn exchange(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<Vector>(text) {
        let secret = IdentitySecret::new(v.seed.array());
        let public = secret.public();
        assert_eq!(public.0, v.public.array(), "{}", v.id);
        let random = &mut Given(v.eseed.0);
        let (shared, encapsulated) = XWing::encap_with_rng(&public, None, random).unwrap();
        assert!(random.0.is_empty(), "{}", v.id);
        assert_eq!(encapsulated.0, v.encapsulated.array(), "{}", v.id);
        assert_eq!(shared.0[..], v.shared.0[..], "{}", v.id);
        assert_eq!(XWing::decap(&secret, None, &encapsulated).unwrap().0, shared.0, "{}", v.id);
        counts.accepted += 1;
    }
    counts
}

/// A generator that gives these bytes, and then no more.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("nothing here takes numbers")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("nothing here takes numbers")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for Given {}
