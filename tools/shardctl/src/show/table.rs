//! Columns as wide as their widest cell.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A line of heads and a line for each row, two spaces between columns.
pub(super) fn table<const N: usize>(
    heads: [(&str, Align); N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut lines = vec![heads.map(|(head, _)| head.to_owned())];
    lines.extend(rows);
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> = (0..N)
            .map(|column| {
                let (cell, width) = (&line[column], widths[column]);
                match heads[column].1 {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let heads = [("N", Align::Right), ("NAME", Align::Left), ("X", Align::Left)];
        let rows = [["1", "a", "b"], ["200", "länger", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(heads, rows), "  N  NAME    X\n  1  a       b\n200  länger\n");
    }
}
