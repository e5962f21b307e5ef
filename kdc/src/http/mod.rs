//! The HTTPS interface: every path on one screen.

mod admin;
mod bundle;
mod docs;
mod enroll;
mod group_keys;
mod health;
mod heavy;
mod layers;
mod operator;
mod peer;
mod problem;
mod rotation;
mod signed;
mod tickets;
mod vouchers;
mod zone;

pub(crate) use problem::chain;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, on};
use keycell_protocol::{GroupKeys, Peers, Rotation, Vouchers};

use self::signed::serve;
use crate::issuance::Tickets;
use crate::kdc::Kdc;

/// The address that a request came from: who serves a connection puts it into its requests.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// One operation.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    handler: MethodRouter<Arc<Kdc>>,
}

/// Every operation there is, as `openapi.yaml` describes them.
#[must_use]
pub fn routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::POST, TICKETS, serve::<Tickets>),
        route(M::POST, "/v1/keys/rotate", serve::<Rotation>),
        route(M::POST, "/v1/vouchers", serve::<Vouchers>),
        route(M::POST, "/v1/group-keys", serve::<GroupKeys>),
        route(M::POST, "/v1/peer/tickets", serve::<Peers>),
        route(M::POST, ENROLL, enroll::enroll),
        route(M::GET, "/v1/zone", zone::show),
        route(M::GET, "/v1/bundle", bundle::show),
        route(M::GET, "/v1/admin/whoami", admin::tokens::whoami),
        route(M::GET, "/v1/admin/status", admin::status::show),
        route(M::GET, "/v1/admin/parties", admin::parties::list),
        route(M::POST, "/v1/admin/parties", admin::parties::create),
        route(M::POST, IMPORT, admin::import::import),
        route(M::GET, "/v1/admin/parties/{name}", admin::parties::show),
        route(M::PATCH, "/v1/admin/parties/{name}", admin::parties::update),
        route(M::DELETE, "/v1/admin/parties/{name}", admin::parties::delete),
        route(M::GET, "/v1/admin/parties/{name}/keys", admin::parties::keys),
        route(M::POST, "/v1/admin/parties/{name}/keys", admin::keys::replace),
        route(M::DELETE, "/v1/admin/parties/{name}/author-key", admin::keys::forget_author),
        route(M::GET, "/v1/admin/conflicts", admin::conflicts::list),
        route(M::DELETE, "/v1/admin/conflicts/{name}", admin::conflicts::clear),
        route(M::POST, "/v1/admin/keys/rotate", admin::keys::rotate),
        route(M::GET, "/v1/admin/groups", admin::groups::list),
        route(M::POST, "/v1/admin/groups", admin::groups::create),
        route(M::GET, "/v1/admin/groups/{name}", admin::groups::show),
        route(M::PATCH, "/v1/admin/groups/{name}", admin::groups::update),
        route(M::DELETE, "/v1/admin/groups/{name}", admin::groups::delete),
        route(M::POST, "/v1/admin/groups/{name}/rotate", admin::groups::rotate),
        route(M::GET, "/v1/admin/groups/{name}/members", admin::groups::members),
        route(M::PUT, "/v1/admin/groups/{name}/excluded/{party}", admin::groups::exclude),
        route(M::DELETE, "/v1/admin/groups/{name}/excluded/{party}", admin::groups::include),
        route(M::GET, POLICY, admin::policy::show),
        route(M::PUT, POLICY, admin::policy::replace),
        route(M::POST, "/v1/admin/policy/test", admin::policy::test),
        route(M::GET, "/v1/admin/policy/profiles", admin::policy::profiles),
        route(M::GET, "/v1/admin/policy/rules", admin::policy::list),
        route(M::POST, "/v1/admin/policy/rules", admin::policy::create),
        route(M::GET, "/v1/admin/policy/rules/{id}", admin::policy::show_rule),
        route(M::PATCH, "/v1/admin/policy/rules/{id}", admin::policy::update),
        route(M::DELETE, "/v1/admin/policy/rules/{id}", admin::policy::delete),
        route(M::GET, "/v1/admin/tokens", admin::tokens::list),
        route(M::POST, "/v1/admin/tokens", admin::tokens::create),
        route(M::GET, "/v1/admin/tokens/{id}", admin::tokens::show),
        route(M::DELETE, "/v1/admin/tokens/{id}", admin::tokens::revoke),
        route(M::GET, "/v1/admin/trusts", admin::trusts::list),
        route(M::POST, "/v1/admin/trusts/offers", admin::trusts::offer),
        route(M::POST, "/v1/admin/trusts/accepted", admin::trusts::accept),
        route(M::GET, "/v1/admin/trusts/{direction}/{zone}", admin::trusts::show),
        route(M::PATCH, "/v1/admin/trusts/{direction}/{zone}", admin::trusts::update),
        route(M::DELETE, "/v1/admin/trusts/{direction}/{zone}", admin::trusts::delete),
        route(M::POST, "/v1/admin/trusts/{direction}/{zone}/rotate", admin::trusts::rotate),
        route(M::GET, "/v1/admin/zone", admin::zone::show),
        route(M::PATCH, "/v1/admin/zone", admin::zone::update),
        route(M::GET, "/v1/admin/limits", admin::zone::show_limits),
        route(M::PATCH, "/v1/admin/limits", admin::zone::update_limits),
        route(M::GET, "/v1/admin/enrollment", admin::enrollment::show),
        route(M::PATCH, "/v1/admin/enrollment", admin::enrollment::update),
        route(M::GET, "/v1/admin/join-tokens", admin::join_tokens::list),
        route(M::POST, "/v1/admin/join-tokens", admin::join_tokens::create),
        route(M::GET, "/v1/admin/join-tokens/{id}", admin::join_tokens::show),
        route(M::DELETE, "/v1/admin/join-tokens/{id}", admin::join_tokens::revoke),
        route(M::GET, "/v1/admin/enrollments", admin::enrollments::list),
        route(M::GET, "/v1/admin/enrollments/{fingerprint}", admin::enrollments::show),
        route(M::POST, "/v1/admin/enrollments/{fingerprint}/approve", admin::enrollments::approve),
        route(M::POST, "/v1/admin/enrollments/{fingerprint}/deny", admin::enrollments::deny),
        route(M::DELETE, "/v1/admin/enrollments/{fingerprint}", admin::enrollments::forget),
        route(M::GET, "/v1/admin/identities", admin::identities::show),
        route(M::GET, "/v1/admin/master-key", admin::master_key::show),
        route(M::POST, "/v1/admin/master-key/rotate", admin::master_key::rotate),
        route(M::GET, "/v1/admin/ratchet", admin::master_key::ratchet),
        route(M::POST, "/v1/admin/ratchet/confirm", admin::master_key::confirm),
        route(M::GET, "/v1/admin/audit", admin::audit::list),
        route(M::GET, "/v1/admin/audit/export", admin::audit::export),
        route(M::POST, VERIFY, admin::audit::verify),
        route(M::GET, "/v1/admin/audit/seal", admin::audit::seal),
        route(M::POST, TRIM, admin::audit::trim),
        route(M::POST, "/v1/admin/reload", admin::reload::reload),
        route(M::GET, "/livez", health::live),
        route(M::GET, "/readyz", health::ready),
        route(M::GET, "/metrics", health::metrics),
        route(M::GET, "/openapi.yaml", docs::file),
        route(M::GET, "/docs", docs::page),
    ]
}

/// The router over [`routes`], with everything around it that every request passes.
pub fn router(kdc: &Arc<Kdc>) -> Router {
    let mut router = Router::new();
    for route in routes() {
        router = router.route(route.path, route.handler);
    }
    let router = router.fallback(problem::not_found).method_not_allowed_fallback(problem::method_not_allowed);
    layers::around(router, kdc).with_state(kdc.clone())
}

fn route<H, T>(method: Method, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Kdc>>,
    T: 'static,
{
    let filter = axum::routing::MethodFilter::try_from(method.clone());
    let handler = filter.map_or_else(|_| MethodRouter::new(), |filter| on(filter, handler));
    Route { method, path, handler }
}

/// The one path that is hot.
const TICKETS: &str = "/v1/tickets";
/// The one whose body is short.
const ENROLL: &str = "/v1/enroll";
/// The one whose body is a stream.
const IMPORT: &str = "/v1/admin/parties/import";
/// Those that look through the whole audit log, however long that takes.
const VERIFY: &str = "/v1/admin/audit/verify";
const TRIM: &str = "/v1/admin/audit/trim";
/// The one whose body may hold every rule.
const POLICY: &str = "/v1/admin/policy";
