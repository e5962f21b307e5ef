//! The client against a KDC in memory: no socket, one clock, nobody sleeps.

#[cfg(test)]
mod abroad;
mod agent;
mod attacks;
#[cfg(test)]
mod authors;
#[cfg(test)]
mod cell;
#[cfg(test)]
mod groups;
#[cfg(test)]
#[cfg(feature = "https")]
mod https;
#[cfg(test)]
mod many;
mod properties;
#[cfg(test)]
mod reenrolling;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod survival;
#[cfg(test)]
mod turns;
