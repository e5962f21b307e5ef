//! Who can open an archive: recipients of age.

use std::fs;
use std::path::Path;

use age::{Encryptor, Recipient, tag, tagpq, x25519};

use super::Outcome;

/// At least one recipient.
pub(super) struct Recipients(Vec<Box<dyn Recipient + Send>>);

impl Recipients {
    /// From arguments and a file with one a line; `#` begins a comment.
    pub(super) fn read(named: &[String], file: Option<&Path>) -> Outcome<Self> {
        let text = match file {
            Some(file) => fs::read_to_string(file)
                .map_err(|error| format!("cannot read the recipients {}: {error}", file.display()))?,
            None => String::new(),
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let all = named.iter().map(String::as_str).chain(lines);
        let recipients = all.map(recipient).collect::<Outcome<Vec<_>>>()?;
        if recipients.is_empty() {
            return Err(
                "it needs a --recipient or a --recipients-file; `keycell backup keygen FILE` makes one"
                    .into(),
            );
        }
        Ok(Self(recipients))
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    /// Begins an encryption that each of them can open.
    pub(super) fn encryptor(&self) -> Outcome<Encryptor> {
        let recipients = self.0.iter().map(|recipient| -> &dyn Recipient { &**recipient });
        Ok(Encryptor::with_recipients(recipients).map_err(|error| format!("the recipients: {error}"))?)
    }
}

fn recipient(text: &str) -> Outcome<Box<dyn Recipient + Send>> {
    if let Ok(recipient) = text.parse::<x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<tagpq::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<tag::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err("that is a secret key: name the recipient that `age-keygen -y` prints of it".into());
    }
    Err(format!(
        "{text} is no recipient: write age1…, or age1tagpq1… for one that a quantum computer does not break"
    )
    .into())
}
