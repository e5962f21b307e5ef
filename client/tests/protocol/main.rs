//! The client's core against a KDC in memory: no socket, one clock, nobody sleeps.

mod agent;
mod attacks;
#[cfg(test)]
mod cell;
mod properties;
