//! Rows and files that somebody else wrote, or changed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::AuthorPublicKey;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::mangle::edits;

fn opens_if<T>(same: bool, result: Result<T, KeyringError>) -> Result<(), TestCaseError> {
    match result {
        Ok(_) => prop_assert!(same, "it opened"),
        Err(KeyringError::Damaged { .. } | KeyringError::NoVersion { .. }) => prop_assert!(!same),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_opens_but_what_was_wrapped(edits in edits()) {
        let (keyring, mut check) = keyring();
        let mut party = party(&keyring);
        let whole = std::mem::take(&mut party.keys[0].wrapped);
        party.keys[0].wrapped = edits.bytes(&whole);
        opens_if(party.keys[0].wrapped == whole, keyring.open_key(&party, &party.keys[0]))?;

        let whole = std::mem::take(&mut check.wrapped);
        check.wrapped = edits.bytes(&whole);
        opens_if(check.wrapped == whole, keyring.open_secret(&check))?;

        let body = r#"{"effect":"deny"}"#.to_owned();
        let document = keyring.seal_document(Kind::Rule, "r".to_owned(), 1, body, &mut rng());
        let sealed = Document { sealed: edits.bytes(&document.sealed), ..document.clone() };
        opens_if(sealed == document, keyring.check_document(&sealed))?;
        let other = Document { body: edits.text(&document.body), ..document.clone() };
        opens_if(other == document, keyring.check_document(&other))?;
    }

    #[test]
    fn a_key_opens_in_its_own_row_only(
        (generation, epoch, master_version) in (2..5_u32, 6..9_u32, 0..3_u32),
        state in select(vec![KeyState::Staged, KeyState::Active, KeyState::Retiring, KeyState::Dead]),
        ends_at in select(vec![None, Some(UnixMillis(0)), Some(UnixMillis(1))]),
        (enabled, revocation_epoch) in (any::<bool>(), 0..2_u32),
        author_key in select(vec![None, Some(AuthorPublicKey::new([0; 32]))]),
    ) {
        let (keyring, _) = keyring();
        let whole = party(&keyring);
        let mut changed = PartyRecord { enabled, revocation_epoch, author_key, ..whole.clone() };
        let key = &mut changed.keys[0];
        (key.generation, key.epoch, key.state) = (Generation(generation), Epoch(epoch), state);
        (key.ends_at, key.master_version) = (ends_at, master_version);
        opens_if(changed == whole, keyring.open_key(&changed, &changed.keys[0]))?;
    }

    /// Who holds the master key may be of another release, and wrap what no key is.
    #[test]
    fn what_is_wrapped_is_a_key_or_is_not(secret in prop::collection::vec(any::<u8>(), 0..80)) {
        let (keyring, _) = keyring();
        let mut party = party(&keyring);
        let record = &mut party.keys[0];
        let binding = RowBinding::Key {
            party: &party.name,
            standing: Standing::NEW,
            generation: record.generation,
            epoch: record.epoch,
            state: record.state,
            ends_at: record.ends_at,
        };
        record.wrapped = first_key().wrap(&binding, &secret, &mut rng());
        opens_if(secret.len() == LongTermKey::SIZE, keyring.open_key(&party, &party.keys[0]))?;
    }

    #[test]
    fn a_file_of_master_keys_is_read_in_one_way(edits in edits()) {
        let secrets = [URL_SAFE_NO_PAD.encode([7; 32]), URL_SAFE_NO_PAD.encode([9; 32])];
        let [one, two] = &secrets;
        let text = edits.text(&format!("keycell-master-key-1:1:{one}\nkeycell-master-key-1:20:{two}\n"));
        match MasterKeys::parse(&text, "here") {
            Ok(keys) => {
                let again = MasterKeys::parse(&keys.text(), "here").unwrap();
                prop_assert_eq!(&*again.text(), &*keys.text());
                prop_assert_eq!(text.strip_suffix('\n').unwrap_or(&text).split('\n').count(), keys.versions().len());
            }
            Err(error) => {
                let said = format!("{error} {error:?}");
                prop_assert!(!secrets.iter().any(|secret| said.contains(&secret[..12])), "{}", said);
            }
        }
    }
}
