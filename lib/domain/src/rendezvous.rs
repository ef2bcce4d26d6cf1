//! Which router owns a bus partition: the live one with the highest hash of (partition, router). All
//! who know the same list agree without talking; a router that comes or goes changes only its own.

use crate::slot::Partitions;
use sha2::{Digest, Sha256};

/// The index in `routers` of the one that owns `partition`; None if there is none. The order of the
/// list does not matter.
pub fn owner<S: AsRef<str>>(partition: u32, routers: &[S]) -> Option<usize> {
    (0..routers.len()).max_by_key(|index| {
        let id = routers[*index].as_ref();
        (score(partition, id), id)
    })
}

/// The owner of every partition, for look-ups: make it once per router list.
pub fn owners<S: AsRef<str>>(partitions: Partitions, routers: &[S]) -> Vec<Option<usize>> {
    (0..partitions.count()).map(|partition| owner(partition, routers)).collect()
}

/// Must never change: processes of two versions have to agree.
fn score(partition: u32, router: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(partition.to_be_bytes());
    hasher.update(router.as_bytes());
    let digest = hasher.finalize();
    let top: [u8; 8] = digest[..8].try_into().expect("a SHA-256 digest has 32 bytes");
    u64::from_be_bytes(top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ids() -> impl Strategy<Value = Vec<String>> {
        prop::collection::btree_set("[a-z]{1,8}", 1..8).prop_map(|ids| ids.into_iter().collect())
    }

    fn names(ids: &[String], partitions: Partitions) -> Vec<&str> {
        owners(partitions, ids)
            .into_iter()
            .map(|index| ids[index.expect("there are routers")].as_str())
            .collect()
    }

    fn partitions() -> Partitions {
        Partitions::new(256).expect("a power of two")
    }

    proptest! {
        #[test]
        fn a_router_that_comes_or_goes_changes_only_its_own(mut ids in ids(), new in "[A-Z]{1,8}") {
            let before: Vec<String> =
                names(&ids, partitions()).into_iter().map(str::to_owned).collect();
            ids.push(new.clone());
            for (before, after) in before.iter().zip(names(&ids, partitions())) {
                prop_assert!(after == before || after == new);
            }
        }

        #[test]
        fn the_order_of_the_list_does_not_matter(ids in ids()) {
            let reversed: Vec<String> = ids.iter().rev().cloned().collect();
            prop_assert_eq!(names(&ids, partitions()), names(&reversed, partitions()));
        }
    }

    #[test]
    fn nobody_owns_anything_without_routers() {
        assert_eq!(owner::<&str>(0, &[]), None);
    }

    #[test]
    fn each_of_four_routers_owns_its_part() {
        let ids: Vec<String> = (1..=4).map(|n| format!("router-{n}")).collect();
        let names = names(&ids, partitions());
        for id in &ids {
            let share = names.iter().filter(|name| *name == id).count();
            assert!((32..=96).contains(&share), "{id} owns {share} of 256");
        }
    }

    /// Versions that run side by side must agree: these values are for ever.
    #[test]
    fn owners_are_as_they_always_were() {
        let ids = ["router-1", "router-2", "router-3"];
        let owners: Vec<usize> = (0..12).filter_map(|partition| owner(partition, &ids)).collect();
        assert_eq!(owners, [1, 1, 0, 1, 1, 2, 2, 0, 2, 1, 1, 0]);
    }
}
