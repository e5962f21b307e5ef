//! The zone's settings and rates.

mod enrollment;

use std::sync::Arc;

use super::{AdminError, Caller, Ledger, Precondition};
use crate::api::{LimitsPatch, ZonePatch};
use crate::audit::{Action, Event};
use crate::limit::Rate;
use crate::settings::{LimitsSetting, Settings, ZoneSetting};
use crate::store::{Act, Kind, StoreError, Write};

pub(super) use enrollment::{check_hosts, check_networks};

/// Where settings are changed.
pub struct ZoneSettingsDesk {
    ledger: Arc<Ledger>,
}

impl ZoneSettingsDesk {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Changes settings of the zone.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Precondition`].
    pub async fn change_zone(
        &self,
        caller: &Caller,
        patch: &ZonePatch,
        precondition: &Precondition,
    ) -> Result<Arc<Settings>, AdminError> {
        let lifetime = patch.ticket_lifetime_seconds.flatten();
        in_range(lifetime, 10..=86_400, "ticket_lifetime_seconds", "10 to 86400")?;
        let retention = patch.audit_retention_days.flatten();
        in_range(retention, 1..=36_500, "audit_retention_days", "1 to 36500")?;
        let rotation = patch.rotate_keys_after_days.flatten();
        in_range(rotation, 1..=3650, "rotate_keys_after_days", "1 to 3650")?;

        self.ledger.catch_up().await;
        let settings = self.ledger.directory().settings();
        precondition.check(settings.zone_revision)?;
        let mut zone = settings.zone.clone();
        let mut event = caller.event(self.ledger.now(), Action::ZoneUpdate, "");
        if let Some(value) = patch.ticket_lifetime_seconds {
            event = noted(event, "ticket_lifetime_seconds", zone.ticket_lifetime_seconds, value);
            zone.ticket_lifetime_seconds = value;
        }
        if let Some(value) = patch.audit_retention_days {
            event = noted(event, "audit_retention_days", zone.audit_retention_days, value);
            zone.audit_retention_days = value;
        }
        if let Some(value) = patch.rotate_keys_after_days {
            event = noted(event, "rotate_keys_after_days", zone.rotate_keys_after_days, value);
            zone.rotate_keys_after_days = value;
        }
        if zone == settings.zone {
            return Ok(settings);
        }
        self.put(ZoneSetting::ID, settings.zone_revision, &zone, event, precondition).await
    }

    /// Changes rates of the zone.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Precondition`].
    pub async fn change_limits(
        &self,
        caller: &Caller,
        patch: &LimitsPatch,
        precondition: &Precondition,
    ) -> Result<Arc<Settings>, AdminError> {
        if patch.tickets_per_party.flatten().is_some_and(|rate| rate.burst.get() < 1000) {
            return Err(AdminError::invalid("tickets_per_party.burst", "at least 1000, the largest request"));
        }
        self.ledger.catch_up().await;
        let settings = self.ledger.directory().settings();
        precondition.check(settings.limits_revision)?;
        let mut limits = settings.limits.clone();
        let mut event = caller.event(self.ledger.now(), Action::LimitsUpdate, "");
        for (name, change, rate) in [
            ("per_address", patch.per_address, &mut limits.per_address),
            ("failures_per_address", patch.failures_per_address, &mut limits.failures_per_address),
            ("enrollments_per_address", patch.enrollments_per_address, &mut limits.enrollments_per_address),
            ("tickets_per_party", patch.tickets_per_party, &mut limits.tickets_per_party),
        ] {
            if let Some(value) = change {
                event = noted(event, name, rate.map(text), value.map(text));
                *rate = value;
            }
        }
        if limits == settings.limits {
            return Ok(settings);
        }
        self.put(LimitsSetting::ID, settings.limits_revision, &limits, event, precondition).await
    }

    async fn put(
        &self,
        id: &str,
        revision: u64,
        body: &impl serde::Serialize,
        event: Event,
        precondition: &Precondition,
    ) -> Result<Arc<Settings>, AdminError> {
        let document = self.ledger.document(Kind::Setting, id, revision + 1, body)?;
        let expected = (revision > 0).then_some(revision);
        match self.ledger.commit(&Act::new(Write::PutDocument { document, expected }, event)).await {
            Ok(_) => Ok(self.ledger.directory().settings()),
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. } | StoreError::DocumentExists { .. },
            )) if precondition.is_given() => Err(AdminError::Precondition { found: None }),
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. } | StoreError::DocumentExists { .. },
            )) => Err(AdminError::Busy),
            Err(error) => Err(error),
        }
    }
}

fn in_range(
    value: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
    field: &str,
    text: &str,
) -> Result<(), AdminError> {
    match value {
        Some(value) if !range.contains(&value) => Err(AdminError::invalid(field, text)),
        _ => Ok(()),
    }
}

fn noted<T: Into<serde_json::Value> + PartialEq>(
    event: Event,
    name: &str,
    before: Option<T>,
    after: Option<T>,
) -> Event {
    event.with(&format!("{name}_before"), before).with(name, after)
}

fn text(rate: Rate) -> String {
    format!("{}/s, burst {}", rate.per_second, rate.burst)
}
