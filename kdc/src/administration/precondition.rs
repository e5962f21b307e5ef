//! `If-Match`: what a change expects to find (RFC 9110 §13.1.1).

use super::AdminError;

/// At which revisions a change may be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition(Option<Vec<u64>>);

impl Precondition {
    /// At any.
    pub const NONE: Self = Self(None);

    /// At one of these.
    #[must_use]
    pub const fn one_of(revisions: Vec<u64>) -> Self {
        Self(Some(revisions))
    }

    /// Whether there is one.
    #[must_use]
    pub const fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses a change at `revision` unless it is one of those expected.
    ///
    /// # Errors
    /// [`AdminError::Precondition`].
    pub fn check(&self, revision: u64) -> Result<(), AdminError> {
        match &self.0 {
            Some(expected) if !expected.contains(&revision) => {
                Err(AdminError::Precondition { found: Some(revision) })
            }
            _ => Ok(()),
        }
    }
}
