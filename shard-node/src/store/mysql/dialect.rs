//! Statements with a part that is repeated for each row, as they stand in the .sql files: what is
//! between `[[` and `]]` is repeated with commas, or with what stands behind a `|` in it. Values are
//! always bound. So that prepared statements are used again, rows go out in powers of two.

use std::ops::Range;

/// The statement for this many rows.
pub(super) fn for_rows(template: &str, rows: usize) -> String {
    let Some((head, rest)) = template.split_once("[[") else { return template.to_owned() };
    let (row, tail) = rest.split_once("]]").expect("a statement of ours ends what it repeats");
    let (row, between) = row.split_once('|').unwrap_or((row, ", "));
    let mut sql = String::with_capacity(template.len() + rows * (row.len() + between.len()));
    sql.push_str(head);
    for index in 0..rows {
        if 0 < index {
            sql.push_str(between);
        }
        sql.push_str(row);
    }
    sql.push_str(tail);
    sql
}

/// Cuts a list into runs, each as long as a power of two up to `longest`, the long ones first.
pub(super) fn runs(count: usize, longest: usize) -> impl Iterator<Item = Range<usize>> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = count - done;
        if left == 0 {
            return None;
        }
        let run = (1 << left.ilog2()).min(longest);
        done += run;
        Some(done - run..done)
    })
}

/// For lists where a key may be named twice: the power of two that holds them all.
pub(super) fn padded(count: usize) -> usize {
    count.next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_is_repeated() {
        assert_eq!(for_rows("SELECT 1", 3), "SELECT 1");
        assert_eq!(for_rows("a [[(?, ?)]] b", 1), "a (?, ?) b");
        assert_eq!(for_rows("a [[(?)]] b", 3), "a (?), (?), (?) b");
        assert_eq!(for_rows("a [[x = ?| OR ]] b", 2), "a x = ? OR x = ? b");
    }

    #[test]
    fn runs_cover_a_list_in_powers_of_two() {
        for longest in [1, 4, 256] {
            for count in 0..600 {
                let mut next = 0;
                for run in runs(count, longest) {
                    assert_eq!(run.start, next);
                    assert!(run.len().is_power_of_two() && run.len() <= longest);
                    next = run.end;
                }
                assert_eq!(next, count);
            }
        }
        assert_eq!(runs(200, 256).collect::<Vec<_>>(), [0..128, 128..192, 192..200]);
    }
}
