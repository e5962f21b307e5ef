//! What a message is about.

/// A topic: at most 255 bytes of UTF-8 text without control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a str);

impl<'a> Topic<'a> {
    /// The longest topic in bytes.
    pub const MAX: usize = 255;

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl<'a> TryFrom<&'a str> for Topic<'a> {
    type Error = TopicError;

    fn try_from(text: &'a str) -> Result<Self, TopicError> {
        if text.len() > Self::MAX {
            Err(TopicError::Length)
        } else if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.chars().any(char::is_control)
        {
            Err(TopicError::Control)
        } else {
            Ok(Self(text))
        }
    }
}

/// Why a text is not a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Longer than 255 bytes.
    #[error("a topic is at most 255 bytes long")]
    Length,
    /// A control character would upset whoever prints it.
    #[error("a topic has no control characters")]
    Control,
}
