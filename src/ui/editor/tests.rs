//! What a person types, key by key.

use super::*;
use proptest::prelude::*;

/// Text with `|` as the cursor.
fn editor(text: &str) -> Editor {
    let mut editor = Editor::default();
    let at = text.find('|').unwrap();
    editor.set(&text.replace('|', ""));
    editor.cursor = at;
    editor
}

fn shown(editor: &Editor) -> String {
    let mut text = editor.text.clone();
    text.insert(editor.cursor, '|');
    text
}

#[test]
fn each_command_does_what_readline_does() {
    for (before, edit, after) in [
        ("ab|", Edit::Left, "a|b"),
        ("a|b", Edit::Right, "ab|"),
        ("ab|", Edit::Right, "ab|"),
        ("|ab", Edit::Left, "|ab"),
        ("日本|", Edit::Left, "日|本"),
        ("👩‍💻|x", Edit::DeleteBack, "|x"),
        ("one two-x|", Edit::WordLeft, "one two-|x"),
        ("one |two", Edit::WordLeft, "|one two"),
        ("|one two", Edit::WordRight, "one| two"),
        ("one| two", Edit::WordRight, "one two|"),
        ("a\nbc|d", Edit::LineStart, "a\n|bcd"),
        ("a\nb|cd\ne", Edit::LineEnd, "a\nbcd|\ne"),
        ("a|b", Edit::DeleteForward, "a|"),
        ("one two-x|", Edit::CutWordBack, "one |"),
        ("one two |", Edit::CutWordBack, "one |"),
        ("|one two", Edit::CutWordForward, "| two"),
        ("one t|wo", Edit::CutToStart, "|wo"),
        ("one t|wo\nx", Edit::CutToEnd, "one t|\nx"),
        ("one|\nx", Edit::CutToEnd, "one|x"),
        ("a|b", Edit::Newline, "a\n|b"),
    ] {
        let mut editor = editor(before);
        editor.edit(edit, &mut String::new());
        assert_eq!(shown(&editor), after, "{before} {edit:?}");
    }
}

#[test]
fn what_was_cut_can_be_put_back_and_undone() {
    let (mut editor, mut cut) = (editor("one two|"), String::new());
    editor.edit(Edit::CutWordBack, &mut cut);
    assert_eq!(cut, "two");
    editor.edit(Edit::CutWordForward, &mut cut);
    assert_eq!(cut, "two", "cutting nothing keeps what was cut");
    editor.edit(Edit::Paste, &mut cut);
    editor.edit(Edit::Paste, &mut cut);
    assert_eq!(shown(&editor), "one twotwo|");
    editor.edit(Edit::Undo, &mut cut);
    editor.edit(Edit::Undo, &mut cut);
    assert_eq!(shown(&editor), "one |");
    editor.edit(Edit::Undo, &mut cut);
    assert_eq!(shown(&editor), "one two|");
}

#[test]
fn a_typed_word_is_one_step_of_undo() {
    let mut editor = Editor::default();
    "hello big world".chars().for_each(|c| editor.insert(c));
    editor.edit(Edit::Undo, &mut String::new());
    assert_eq!(editor.text(), "hello big");
    editor.edit(Edit::Undo, &mut String::new());
    assert_eq!(editor.text(), "hello");
}

#[test]
fn a_paste_brings_lines_but_no_control_characters() {
    let mut editor = editor("a|z");
    editor.paste("1\r\n2\r3\n\x1b[31m\tx\x07");
    assert_eq!(shown(&editor), "a1\n2\n3\n[31m\tx|z");
}

#[test]
fn history_comes_back_and_the_draft_is_kept() {
    let mut editor = Editor::default();
    for text in ["one", "two", "two"] {
        editor.set(text);
        assert_eq!(editor.take(), text);
    }
    editor.set("draft");
    assert!(editor.up());
    assert_eq!(editor.text(), "two");
    assert!(editor.up());
    assert_eq!(editor.text(), "one");
    assert!(!editor.up());
    assert!(editor.down() && editor.down());
    assert_eq!(editor.text(), "draft");
    assert!(!editor.down());
}

#[test]
fn up_and_down_move_within_the_text_first() {
    let mut editor = editor("abc\nde|\nfgh");
    assert!(editor.down());
    assert_eq!(shown(&editor), "abc\nde\nfg|h");
    assert!(editor.up() && editor.up());
    assert_eq!(shown(&editor), "ab|c\nde\nfgh");
    assert!(!editor.up());
}

#[test]
fn rows_are_cut_at_cells_and_know_the_cursor() {
    let (rows, at) = editor("abcd|ef").rows(4);
    assert_eq!((rows, at), (vec!["abcd".to_owned(), "ef".to_owned()], (1, 0)));
    let (rows, at) = editor("abcd|").rows(4);
    assert_eq!((rows, at), (vec!["abcd".to_owned(), String::new()], (1, 0)));
    let (rows, at) = editor("日本|語\nx").rows(5);
    assert_eq!((rows, at), (vec!["日本".into(), "語".into(), "x".into()], (1, 0)));
}

proptest! {
    #[test]
    fn any_sequence_of_commands_leaves_a_valid_cursor(
        steps in prop::collection::vec((0usize..19, "[ab é日👩\u{200d}\u{301}\n]{1,3}"), 0..60),
    ) {
        const EDITS: [Edit; 15] = [
            Edit::Left, Edit::Right, Edit::WordLeft, Edit::WordRight, Edit::LineStart,
            Edit::LineEnd, Edit::DeleteBack, Edit::DeleteForward, Edit::CutWordBack,
            Edit::CutWordForward, Edit::CutToStart, Edit::CutToEnd, Edit::Paste, Edit::Undo,
            Edit::Newline,
        ];
        let (mut editor, mut cut) = (Editor::default(), String::new());
        for (step, text) in steps {
            match step {
                15 => editor.paste(&text),
                16 => drop(editor.up()),
                17 => drop(editor.down()),
                18 => text.chars().for_each(|c| editor.insert(c)),
                step => editor.edit(EDITS[step], &mut cut),
            }
            let mut bounds = editor.text.grapheme_indices(true).map(|(at, _)| at);
            let valid = editor.cursor == editor.text.len() || bounds.any(|at| at == editor.cursor);
            prop_assert!(valid, "{:?} at {}", editor.text, editor.cursor);
            let (rows, (row, column)) = editor.rows(7);
            prop_assert!(row < rows.len() && column <= 7);
            for row in &rows {
                prop_assert!(cells::width(row) <= 7, "{:?} has {}", row, cells::width(row));
            }
        }
    }
}
