//! The one unambiguous encoding of several fields as one: whatever a hash, a signature or associated data covers.

/// Each field after its length, 8 bytes big-endian.
pub(crate) fn fields(fields: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(fields.iter().map(|field| 8 + field.len()).sum());
    for field in fields {
        data.extend_from_slice(&(field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}
