//! Files stay small: one idea each.

use super::files;

/// A file that is longer has more than one idea in it.
const MOST_LINES: usize = 600;

#[test]
fn no_file_has_grown_out_of_its_room() {
    for path in files("src", "rs") {
        let lines = std::fs::read_to_string(&path).expect("a source").lines().count();
        assert!(lines <= MOST_LINES, "{} has {lines} lines", path.display());
    }
}
