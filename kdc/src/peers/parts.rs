//! Pieces of what one request wants of another zone, each of which fits into one.

use keycell_protocol::{PeerPair, PeerRequest};

/// All of them, in their order.
pub(super) fn parts(pairs: &[PeerPair]) -> Vec<&[PeerPair]> {
    let (mut parts, mut left) = (Vec::new(), pairs);
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = |pair: &&PeerPair| {
            bytes += size(pair);
            bytes <= MOST_BYTES
        };
        let count = left.iter().take(PeerRequest::MAX_REQUESTS).take_while(fits).count().max(1);
        let (part, after) = left.split_at_checked(count).unwrap_or((left, &[]));
        parts.push(part);
        left = after;
    }
    parts
}

/// In JSON. No character of a name is longer there.
fn size(PeerPair { source, destination }: &PeerPair) -> usize {
    source.as_str().len() + destination.as_str().len() + FRAME
}

const FRAME: usize = r#"{"source":"","destination":""},"#.len();
/// A KDC takes 512 KiB unless it is told otherwise; on the way they are a third longer.
const MOST_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair(length: usize, n: usize) -> PeerPair {
        let destination = format!("b{n:0>length$}@z2.example").parse().unwrap();
        PeerPair { source: "a@z1.example".parse().unwrap(), destination }
    }

    #[test]
    fn a_size_is_that_of_the_json() {
        let pairs = [pair(1, 1), pair(180, 2)];
        let json = serde_json::to_vec(&pairs).unwrap();
        assert_eq!(pairs.iter().map(size).sum::<usize>() + 1, json.len());
    }

    proptest! {
        // Thousands of names each.
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn nothing_is_lost_and_each_fits(lengths in prop::collection::vec(1_usize..180, 0..3_000)) {
            let pairs: Vec<_> = lengths.iter().enumerate().map(|(n, length)| pair(*length, n)).collect();
            let parts = parts(&pairs);
            prop_assert_eq!(parts.concat(), &pairs[..]);
            for part in &parts {
                prop_assert!(!part.is_empty() && part.len() <= PeerRequest::MAX_REQUESTS);
                prop_assert!(part.iter().map(size).sum::<usize>() <= MOST_BYTES);
            }
            // No more of them than there need be.
            for two in parts.windows(2) {
                let first = two[0].iter().chain(&two[1][..1]).map(size).sum::<usize>();
                prop_assert!(first > MOST_BYTES || two[0].len() == PeerRequest::MAX_REQUESTS);
            }
        }
    }
}
