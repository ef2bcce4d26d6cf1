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
    columns(&heads, rows)
}

/// The same where the number of columns is not known beforehand. No row is longer than the heads.
pub(super) fn columns<R: AsRef<[String]>>(
    heads: &[(&str, Align)],
    rows: impl IntoIterator<Item = R>,
) -> String {
    let mut lines: Vec<Vec<String>> =
        vec![heads.iter().map(|(head, _)| (*head).to_owned()).collect()];
    lines.extend(rows.into_iter().map(|row| row.as_ref().to_vec()));
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells =
            line.iter().zip(&widths).zip(heads).map(|((cell, &width), (_, align))| match align {
                Align::Left => format!("{cell:<width$}"),
                Align::Right => format!("{cell:>width$}"),
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
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
