//! What the end-to-end tests share: real cells, served by the real binary, on real databases.

pub mod admin;
pub mod backup;
pub mod cell;
pub mod copies;
pub mod group;
pub mod host;
pub mod http;
pub mod kdc;
pub mod markdown;
pub mod openapi;
pub mod party;
pub mod postgres;
pub mod rotation;
pub mod schema;
pub mod voucher;
pub mod wait;
pub mod wire;
pub mod zone;
