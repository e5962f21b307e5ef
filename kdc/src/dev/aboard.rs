//! How the parties of `keycell dev` come aboard: by themselves, over TLS, as hosts do.

use std::{fs, io};

use keycell_client::https::{EnrollOptions, enroll};
use keycell_client::protocol::{JoinToken, Name};
use keycell_client::{HostStore, StoredHost};

use super::Failure;
use super::cell::DevCell;
use crate::administration::{AdminError, Caller, Precondition};
use crate::api::{EnrollmentPatch, NewJoinToken};
use crate::enrollment::{Admission, EnrollmentMode};

impl DevCell {
    /// A host that is a stranger to the KDC, whoever it was to an earlier process. Its pair of keys stays the same, and with
    /// that its name.
    ///
    /// # Errors
    /// The KDC or the file system fails.
    pub(super) async fn stranger(&self, service: &str, host: &str) -> Result<StoredHost, Failure> {
        let store = HostStore::open(self.folder().join(HOSTS))?;
        let zone = store.install(self.bundle().await?)?.zone;
        let host = store.host(&zone, &service.parse()?, &host.parse()?)?;
        let (name, parties) = (host.full_name(), self.kdc().parties());
        match parties.delete_and_forget(&Caller::console(), &name, &Precondition::NONE).await {
            Ok(()) | Err(AdminError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match fs::remove_file(host.key_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(format!("cannot remove {}: {error}", host.key_path().display()).into())
            }
            _ => Ok(host),
        }
    }

    /// A host that comes aboard by a join token. Its key was never used, so it needs no guard against what an earlier
    /// process opened, and hears from the first moment on.
    ///
    /// # Errors
    /// It does not get in.
    pub(super) async fn aboard(
        &self,
        service: &str,
        host: &str,
        token: &JoinToken,
    ) -> Result<StoredHost, Failure> {
        let host = self.stranger(service, host).await?;
        let token = Some(token.clone());
        let name = enroll(&host, &EnrollOptions { token, ..EnrollOptions::default() }).await?;
        tracing::info!(%name, "came aboard by a join token");
        Ok(host)
    }

    /// A join token for these hosts, once each.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn join_token(&self, service: &str, hosts: &[&str]) -> Result<JoinToken, Failure> {
        let new = NewJoinToken {
            service: service.parse()?,
            hosts: hosts.iter().map(|host| host.parse()).collect::<Result<_, _>>()?,
            networks: Vec::new(),
            uses: Some(u32::try_from(hosts.len())?),
            ttl_seconds: Some(AN_HOUR),
            note: "keycell dev".to_owned(),
        };
        let created = self.kdc().join_tokens().create(&Caller::console(), &new, |_| Ok(None)).await?;
        Ok(created.token.parse()?)
    }

    /// Ends a join token.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn revoke(&self, token: &JoinToken) -> Result<(), Failure> {
        Ok(self.kdc().join_tokens().revoke(&Caller::console(), token.id()).await?)
    }

    /// From now on those get in who have a join token: what a cell begins with, whatever was tried in it since.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn wants_tokens(&self) -> Result<(), Failure> {
        let usual = EnrollmentPatch {
            mode: Some(None),
            services: Some(None),
            hosts: Some(None),
            networks: Some(None),
            ..EnrollmentPatch::default()
        };
        self.lets_in(&usual).await
    }

    /// From now on whoever comes first gets in, of one service.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn trusts_on_first_use(&self, service: &str) -> Result<(), Failure> {
        let open = EnrollmentPatch {
            mode: Some(Some(EnrollmentMode::Tofu)),
            services: Some(Some(vec![service.parse()?])),
            ..EnrollmentPatch::default()
        };
        self.lets_in(&open).await
    }

    /// By what a party came aboard, if it did.
    pub(super) fn admission(&self, name: &Name) -> Option<Admission> {
        let party = self.kdc().directory().party(name.as_str())?;
        party.record().enrollment.as_deref().map(|enrollment| enrollment.admission)
    }

    async fn lets_in(&self, patch: &EnrollmentPatch) -> Result<(), Failure> {
        self.kdc().settings().change_enrollment(&Caller::console(), patch, &Precondition::NONE).await?;
        Ok(())
    }
}

/// The hosts' keys, in the folder of the cell.
const HOSTS: &str = "hosts";
const AN_HOUR: u64 = 3600;
