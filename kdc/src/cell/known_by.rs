//! By which identities a cell is known, and what its KDC remembered under those before.

use std::path::Path;

use keycell_protocol::IdentityName;

use super::{Cell, CellError};
use crate::audit::WatermarkKey;
use crate::identities::{Identity, IdentityError, secret_name, watermark_name};
use crate::keyring::Keyring;
use crate::settings::IdentitiesSetting;
use crate::store::{Kind, Store};
use crate::watermark::{IdentityMark, Watermark, WatermarkError};

impl Cell {
    /// What everybody may know of the zone's identities; none before it has any: one that an older release made gets them
    /// when its KDC is started.
    ///
    /// # Errors
    /// The database's, and [`CellError::Keyring`] for a row that Keycell did not write.
    pub async fn identities(&self) -> Result<IdentitiesSetting, CellError> {
        Ok(self.identities_document().await?.0)
    }

    /// The same with the revision of the document that says so.
    ///
    /// # Errors
    /// As [`identities`](Self::identities).
    pub(crate) async fn identities_document(&self) -> Result<(IdentitiesSetting, Option<u64>), CellError> {
        identities(&*self.store, &self.keyring).await
    }

    /// What the file at `path` says of revocations. One that was written before the primary identity took the place of
    /// another is taken over; one that was written after that, in a database from before, refuses that database.
    ///
    /// # Errors
    /// [`CellError::Watermark`].
    pub async fn remembered(&self, path: &Path) -> Result<Watermark, CellError> {
        let identities = self.identities().await?;
        let watermark = match Watermark::open(path, &self.audit_key) {
            Err(error @ WatermarkError::Altered { .. }) => {
                let here = identities.primary().map_or(IdentityName::PRIMARY, |primary| primary.name);
                if let Some(IdentityMark { primary, .. }) =
                    Watermark::retired(path).filter(|mark| mark.primary > here)
                {
                    return Err(
                        WatermarkError::Retired { path: path.to_owned(), retired: here, primary }.into()
                    );
                }
                self.taken_over(path, &identities).await?.ok_or(error)?
            }
            opened => opened?,
        };
        if let Some(mark) = identities.mark() {
            watermark.saw_identities(mark);
        }
        Ok(watermark)
    }

    /// A file that was written under an identity that is retired.
    async fn taken_over(
        &self,
        path: &Path,
        identities: &IdentitiesSetting,
    ) -> Result<Option<Watermark>, CellError> {
        for retired in identities.retired.iter().rev() {
            let Some(secret) = self.store.secret(&watermark_name(retired.name)).await? else { continue };
            let Some(key) = WatermarkKey::from_secret(&self.keyring.open_secret(&secret)?) else { continue };
            match Watermark::open_with(path, &key) {
                Ok(watermark) => {
                    tracing::warn!(
                        file = %path.display(),
                        identity = %retired.name,
                        "the file of revocations was written before this identity was retired: it is written anew"
                    );
                    return Ok(Some(watermark.under(&self.audit_key)));
                }
                Err(WatermarkError::Altered { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The zone's identities, and the revision of the document that names them.
async fn identities(
    store: &dyn Store,
    keyring: &Keyring,
) -> Result<(IdentitiesSetting, Option<u64>), CellError> {
    let document = store.document(Kind::Setting, IdentitiesSetting::ID).await?;
    let Some(document) = document else { return Ok((IdentitiesSetting::default(), None)) };
    keyring.check_document(&document)?;
    let setting = serde_json::from_str(&document.body)
        .map_err(|_| CellError::Incomplete { what: "identities".to_owned() })?;
    Ok((setting, Some(document.revision)))
}

/// The identity that the document names first; none where there is no document.
pub(super) async fn primary(store: &dyn Store, keyring: &Keyring) -> Result<Option<Identity>, CellError> {
    let mut named = None;
    loop {
        // In this order: the secrets and the document come in one transaction.
        let (identities, _) = identities(store, keyring).await?;
        let Some(public) = identities.primary() else { return Ok(None) };
        let name = secret_name(public.name);
        if let Some(secret) = store.secret(&name).await? {
            let primary = Identity::from_secret(public.name, &keyring.open_secret(&secret)?)?;
            if primary.public()? != *public {
                return Err(IdentityError { name: public.name }.into());
            }
            return Ok(Some(primary));
        }
        // Gone, and not never made: another in its place would be known to nobody. Unless another took its place between
        // the two looks.
        if named == Some(public.name) {
            return Err(CellError::Incomplete { what: name });
        }
        named = Some(public.name);
    }
}
