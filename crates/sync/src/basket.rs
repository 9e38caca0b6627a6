//! What fits into one merged Kubernetes Secret. Pure.

use std::collections::BTreeMap;

use domain::{KubernetesSecret, Plaintext};

/// What Kubernetes takes: the API server's `MaxSecretSize`, which counts the values only.
const MAX_VALUES: usize = 1 << 20;
/// What etcd takes in one request is 1.5 MiB. A quarter stays for labels and annotations, which
/// may come to 256 KiB.
const MAX_OBJECT: usize = MAX_VALUES + (1 << 18);
/// A key is stored twice, in the data and in `managedFields`, there with its marks of JSON.
const KEY_OVERHEAD: usize = 16;

/// The entries of a merged copy, as long as they fit.
#[derive(Default)]
pub(crate) struct Basket {
    data: BTreeMap<String, Plaintext>,
    values: usize,
    object: usize,
}

impl Basket {
    /// Adds an entry. False, and the value is dropped, when there is no room for it; a smaller one
    /// may still find some.
    pub(crate) fn put(&mut self, key: String, value: Plaintext) -> bool {
        let values = self.values + value.len();
        let object = self.object + value.len() + 2 * key.len() + KEY_OVERHEAD;
        let fits = values <= MAX_VALUES && object <= MAX_OBJECT;
        if fits {
            (self.values, self.object) = (values, object);
            self.data.insert(key, value);
        }
        fits
    }

    /// The merged copy.
    pub(crate) fn into_secret(self) -> KubernetesSecret {
        KubernetesSecret { type_: "Opaque", data: self.data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(basket: &mut Basket, key: &str, bytes: usize) -> bool {
        basket.put(key.to_owned(), Plaintext::new(vec![0; bytes]))
    }

    #[test]
    fn values_may_come_to_exactly_what_kubernetes_takes() {
        let mut basket = Basket::default();
        assert!(put(&mut basket, "a", MAX_VALUES - 2));
        assert!(put(&mut basket, "b", 2));
        assert!(!put(&mut basket, "c", 1));
        assert!(put(&mut basket, "d", 0));
        let keys: Vec<String> = basket.into_secret().data.into_keys().collect();
        assert_eq!(keys, ["a", "b", "d"]);
    }

    #[test]
    fn what_is_too_large_leaves_room_for_what_is_not() {
        let mut basket = Basket::default();
        assert!(put(&mut basket, "a", MAX_VALUES / 2));
        assert!(!put(&mut basket, "b", MAX_VALUES));
        assert!(put(&mut basket, "c", MAX_VALUES / 2));
    }

    #[test]
    fn many_long_keys_leave_room_for_the_metadata() {
        let mut basket = Basket::default();
        let key = |n: usize| format!("{n:0>253}");
        let fitting = (0..).take_while(|n| put(&mut basket, &key(*n), 1)).count();
        assert_eq!(fitting, MAX_OBJECT / (1 + 2 * 253 + KEY_OVERHEAD));
    }
}
