//! Tables and lists of fields for a terminal, of whatever JSON the API answers with.

use std::fmt::Write as _;

use serde_json::Value;
use unicode_width::UnicodeWidthStr as _;

/// A column: its head, and the field that is shown, with dots between the names of nested ones.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) &'static str);

/// Wider cells are cut off in a table.
const WIDTH_MAX: usize = 60;

/// Rows below a head, in columns.
pub(crate) fn rows(columns: &[Column], rows: &[Value]) -> String {
    let mut lines = vec![columns.iter().map(|column| column.0.to_owned()).collect::<Vec<_>>()];
    for row in rows {
        lines.push(columns.iter().map(|Column(_, path)| short(&cell(at(row, path)))).collect());
    }
    let width = |index: usize| lines.iter().map(|line| line[index].width()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// A field a line.
pub(crate) fn fields(value: &Value) -> String {
    let Value::Object(fields) = value else { return format!("{}\n", cell(value)) };
    let width = fields.keys().map(|name| name.width()).max().unwrap_or(0);
    fields.iter().fold(String::new(), |mut out, (name, value)| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{name:width$}  {}", cell(value));
        out
    })
}

fn at<'a>(row: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(row, |value, name| &value[name])
}

/// A value as it stands in a table.
pub(crate) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let between = if list.iter().any(Value::is_object) { ", " } else { " " };
            list.iter().map(cell).collect::<Vec<_>>().join(between)
        }
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            given.map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    };
    // What a partner has written must not move the cursor.
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn short(text: &str) -> String {
    if text.width() <= WIDTH_MAX {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.width() + 2 > WIDTH_MAX {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let columns = [Column("name", "name"), Column("hold", "hold.reason"), Column("n", "n")];
        let found = rows(
            &columns,
            &[
                json!({"name": "夢見キッチン", "hold": {"reason": "gone\u{1b}[2J"}, "n": [1, 2]}),
                json!({"name": "Till", "hold": null, "n": 7}),
                json!({"name": "x".repeat(100), "n": true}),
            ],
        );
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines[0], format!("name{}  hold      n", " ".repeat(56)));
        assert_eq!(lines[1], format!("夢見キッチン{}  gone [2J  1 2", " ".repeat(48)));
        assert_eq!(lines[2], format!("Till{}  -         7", " ".repeat(56)));
        assert_eq!(lines[3], format!("{}…  -         true", "x".repeat(59)));
    }

    #[test]
    fn one_thing_is_a_field_a_line() {
        let found = fields(&json!({
            "id": 7, "scopes": ["a", "b"], "revoked_at": null, "filter": {"state": "dead", "since": null},
            "orders": [{"order_id": 1, "version": 2}, {"order_id": 3, "version": 4}],
        }));
        let expected = "filter      state=dead\nid          7\norders      order_id=1 version=2, order_id=3 version=4\n\
                        revoked_at  -\nscopes      a b\n";
        assert_eq!(found, expected);
    }
}
