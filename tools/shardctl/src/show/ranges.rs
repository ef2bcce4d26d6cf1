//! Numbers as the runs they form.

/// `1, 2, 3, 7` as `1-3`, `7`. The numbers ascend.
pub(super) fn ranges(numbers: &[u32]) -> Vec<String> {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    runs.filter_map(|run| match (run.first()?, run.last()?) {
        (first, last) if first == last => Some(first.to_string()),
        (first, last) => Some(format!("{first}-{last}")),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[u32], expected: &[&str]) {
        assert_eq!(ranges(numbers), expected);
    }

    #[test]
    fn runs_are_ranges_and_what_stands_alone_is_a_number() {
        check(&[], &[]);
        check(&[5], &["5"]);
        check(&[0, 1, 2, 7, 9, 10], &["0-2", "7", "9-10"]);
    }
}
