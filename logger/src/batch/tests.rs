use super::*;
use crate::metric::Window;

fn batch(values: std::ops::Range<u32>) -> Batch {
    let window = Window {
        now: "2026-01-15T12:00:00Z".parse().unwrap(),
        retention: None,
    };
    let mut open = OpenBatch::default();
    for value in values {
        let payload = format!(
            r#"{{"timestamp":"2026-01-{:02}T00:00:00Z","service":"s","name":"n{value}","value":{value}}}"#,
            10 + value % 3
        );
        open.push(&Metric::parse(payload.as_bytes(), window).unwrap());
    }
    open.close().expect("it has rows")
}

#[test]
fn a_row_is_what_the_binary_copy_expects() {
    let batch = batch(1..2);
    let expected = [
        &[0, 5][..],
        // 2026-01-11 is 9,507 days after 2000-01-01.
        &[0, 0, 0, 8],
        &(9_507_i64 * 86_400_000_000).to_be_bytes(),
        b"\0\0\0\x01s\0\0\0\x02n1",
        &[0, 0, 0, 8],
        &1f64.to_be_bytes(),
        b"\0\0\0\x03\x01{}",
    ];
    assert_eq!(batch.rows, expected.concat());
}

#[test]
fn the_days_of_its_rows_are_known() {
    let days = batch(0..7).days;
    let days: Vec<String> = days.into_iter().map(|day| day.to_string()).collect();
    assert_eq!(days, ["2026-01-10", "2026-01-11", "2026-01-12"]);
}

#[test]
fn halves_hold_each_row_once_in_order() {
    let whole = batch(0..7);
    let [first, second] = whole.halves().unwrap();
    assert_eq!((first.count, second.count), (3, 4));
    assert_eq!(first.rows, batch(0..3).rows);
    assert_eq!(second.rows, batch(3..7).rows);
    assert_eq!(batch(0..1).halves(), None);
}

#[test]
fn closing_leaves_nothing_behind() {
    let mut open = OpenBatch::default();
    assert_eq!(open.close(), None);
    let window = Window {
        now: "2026-01-15T12:00:00Z".parse().unwrap(),
        retention: None,
    };
    let payload = br#"{"timestamp":"2026-01-15T00:00:00Z","service":"s","name":"n","value":1}"#;
    open.push(&Metric::parse(payload, window).unwrap());
    assert_eq!(open.close().map(|batch| batch.count), Some(1));
    assert_eq!((open.count(), open.len_bytes()), (0, 0));
    assert_eq!(open.close(), None);
}
