//! What a model has worked out before.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

/// Answers to questions that are asked again and again: the same question has the same answer.
pub(crate) struct Memo<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The lock is not held while the answer is worked out, so that one thread does not wait for another.
    pub(crate) fn get(&self, asked: K, answer: impl FnOnce() -> V) -> V {
        if let Some(known) = self.0.lock().unwrap().get(&asked) {
            return known.clone();
        }
        let answer = answer();
        self.0.lock().unwrap().insert(asked, answer.clone());
        answer
    }
}
