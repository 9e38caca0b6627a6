//! Entries for other programs.

use domain::Timestamp;

use super::*;
use crate::{Exported, Filter, Format, export};

fn exported(home: &Home, filter: &Filter, format: Format) -> String {
    let mut out = Vec::new();
    export(&home.files(), filter, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_filter_lets_through_what_it_says() {
    let (home, _) = closed_log();
    let count = |filter: &Filter| exported(&home, filter, Format::Jsonl).lines().count();
    let at = |number| Some(Timestamp::from_unix_millis(BEGUN + number));
    let text = |text: &str| Some(text.to_owned());
    let all = Filter::default();
    for (filter, expected) in [
        (all.clone(), 20),
        (Filter { since: at(5), ..all.clone() }, 15),
        (Filter { until: at(5), ..all.clone() }, 5),
        (Filter { since: at(5), until: at(6), ..all.clone() }, 1),
        (Filter { actor: text("user:alice"), ..all.clone() }, 20),
        (Filter { actor: text("user:al"), ..all.clone() }, 0),
        (Filter { action: text("read"), ..all.clone() }, 20),
        (Filter { action: text("delete"), ..all.clone() }, 0),
        (Filter { resource: text("secret://default/default/ml/key-1"), ..all.clone() }, 11),
    ] {
        assert_eq!(count(&filter), expected, "{filter:?}");
    }
}

#[test]
fn a_table_runs_no_formula_and_splits_no_cell() {
    let home = Home::new();
    let log = home.open();
    for actor in ["=1+1", "+1", "-1", "@x", "\t=1", "a,b", "a\"b", "a\r\nb", "plain"] {
        let entry = Entry { actor: actor.to_owned(), resource: None, ..entry(1) };
        log.append(&entry).written_blocking().unwrap();
    }
    let table = exported(&home, &Filter::default(), Format::Csv);
    let cells =
        ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", "\"a,b\"", "\"a\"\"b\"", "\"a\r\nb\"", "plain"];
    let mut expected = table.split("\r\n").next().unwrap().to_owned() + "\r\n";
    for (seq, cell) in (2..).zip(cells) {
        expected += &format!("{seq},2026-01-21T12:53:20.001Z,{cell},,,read,,,1,,ok,200,\r\n");
    }
    assert_eq!(table, expected);
}

#[test]
fn lines_that_are_none_are_counted() {
    let (home, _) = closed_log();
    let mut lines = home.lines();
    lines[5] = "x".repeat(1000);
    home.write(&lines);
    let mut out = Vec::new();
    let met = export(&home.files(), &Filter::default(), Format::Jsonl, &mut out).unwrap();
    assert_eq!(met, Exported { entries: 19, malformed: 1 });
}
