//! `GET /v1/zone`: what anyone may know.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use keycell_protocol::{RatchetPeriod, UnixMillis, Zone};
use serde::Serialize;

use crate::kdc::Kdc;

#[derive(Debug, Serialize)]
pub(super) struct ZoneView {
    zone: Zone,
    server_time: UnixMillis,
    ticket_lifetime_seconds: u32,
    clock_skew_seconds: u32,
    ratchet_period_seconds: RatchetPeriod,
    max_destinations: usize,
}

pub(super) async fn show(State(kdc): State<Arc<Kdc>>) -> Json<ZoneView> {
    let tickets = &kdc.config().tickets;
    let settings = kdc.directory().settings();
    Json(ZoneView {
        zone: kdc.zone().clone(),
        server_time: kdc.now(),
        ticket_lifetime_seconds: settings.ticket_lifetime_seconds(tickets),
        clock_skew_seconds: tickets.clock_skew_seconds,
        ratchet_period_seconds: kdc.zone_record().ratchet_period,
        max_destinations: keycell_protocol::TicketRequest::MAX_DESTINATIONS,
    })
}
