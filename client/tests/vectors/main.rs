//! The vectors of whole messages, `tests/vectors/message/`: each is opened by a receiver with keys, clock and memory.
//!
//! client/protocol/tests/vectors/ makes the files and runs the other kinds.

#[cfg(test)]
mod message;
