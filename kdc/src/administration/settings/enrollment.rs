//! Who may come aboard.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Serialize;

use super::super::{AdminError, Caller, Precondition};
use super::{ZoneSettingsDesk, in_range};
use crate::api::EnrollmentPatch;
use crate::audit::{Action, Event};
use crate::enrollment::{EnrollmentSetting, HostPattern};
use crate::settings::Settings;

impl ZoneSettingsDesk {
    /// Changes who may come aboard.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Precondition`].
    pub async fn change_enrollment(
        &self,
        caller: &Caller,
        patch: &EnrollmentPatch,
        precondition: &Precondition,
    ) -> Result<Arc<Settings>, AdminError> {
        check(patch)?;
        self.ledger.catch_up().await;
        let settings = self.ledger.directory().settings();
        precondition.check(settings.enrollment_revision)?;
        let event = caller.event(self.ledger.now(), Action::EnrollmentUpdate, "");
        let mut setting = settings.enrollment.clone();
        let event = apply(patch, &mut setting, event)?;
        if setting == settings.enrollment {
            return Ok(settings);
        }
        self.put(EnrollmentSetting::ID, settings.enrollment_revision, &setting, event, precondition).await
    }
}

fn check(patch: &EnrollmentPatch) -> Result<(), AdminError> {
    in_range(patch.reenroll_within_seconds.flatten(), 1..=86_400, "reenroll_within_seconds", "1 to 86400")?;
    in_range(patch.pending_most.flatten(), 1..=100_000, "pending_most", "1 to 100000")?;
    in_range(patch.pending_days.flatten(), 1..=365, "pending_days", "1 to 365")?;
    in_range(patch.tofu_most.flatten(), 1..=10_000_000, "tofu_most", "1 to 10000000")?;
    if let Some(Some(services)) = &patch.services {
        let without = "1 to 64, each once; to let nobody in without a join token, set the mode to token";
        counted(services, SOME, "services", without)?;
    }
    if let Some(Some(hosts)) = &patch.hosts {
        check_hosts(hosts)?;
    }
    if let Some(Some(networks)) = &patch.networks {
        check_networks(networks)?;
    }
    Ok(())
}

/// What can be wrong with several patterns of hosts.
pub(in crate::administration) fn check_hosts(hosts: &[HostPattern]) -> Result<(), AdminError> {
    let texts: Vec<_> = hosts.iter().map(HostPattern::as_str).collect();
    counted(&texts, SOME, "hosts", "1 to 64 patterns, each once; * stands for any host")
}

/// What can be wrong with several networks.
pub(in crate::administration) fn check_networks(networks: &[IpNet]) -> Result<(), AdminError> {
    counted(networks, 0..=MOST, "networks", "at most 64, each once")?;
    for network in networks {
        // Such an address is taken for the one of version 4 in it, and would be in no network.
        let mapped = matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        if mapped {
            let text = format!("{network} is of version 4: write it as such, for instance 192.0.2.0/24");
            return Err(AdminError::invalid("networks", text));
        }
        if *network != network.trunc() {
            let text = format!("{network} is an address in a network: write {}", network.trunc());
            return Err(AdminError::invalid("networks", text));
        }
    }
    Ok(())
}

fn counted<T: Ord>(
    items: &[T],
    range: RangeInclusive<usize>,
    field: &str,
    text: &str,
) -> Result<(), AdminError> {
    let distinct: BTreeSet<_> = items.iter().collect();
    if range.contains(&items.len()) && distinct.len() == items.len() {
        return Ok(());
    }
    Err(AdminError::invalid(field, text))
}

/// Changes the setting, and says in the event what was changed.
fn apply(
    patch: &EnrollmentPatch,
    setting: &mut EnrollmentSetting,
    mut event: Event,
) -> Result<Event, AdminError> {
    let defaults = EnrollmentSetting::default();
    macro_rules! set {
        ($($field:ident),*) => {
            // A field that is not dealt with here does not compile.
            let EnrollmentPatch { $($field),* } = patch;
            $(if let Some(value) = $field {
                let value = value.clone().unwrap_or(defaults.$field);
                if value != setting.$field {
                    let before = std::mem::replace(&mut setting.$field, value);
                    let name = stringify!($field);
                    event = event.with(&format!("{name}_before"), json(&before)?).with(name, json(&setting.$field)?);
                }
            })*
        };
    }
    set!(
        mode,
        services,
        hosts,
        networks,
        conflicts,
        clones,
        reenroll_within_seconds,
        pending_most,
        pending_days,
        tofu_most
    );
    Ok(event)
}

fn json(value: &impl Serialize) -> Result<serde_json::Value, AdminError> {
    Ok(serde_json::to_value(value)?)
}

const MOST: usize = 64;
const SOME: RangeInclusive<usize> = 1..=MOST;
