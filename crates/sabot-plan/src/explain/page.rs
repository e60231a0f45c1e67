//! Lines of limited width.

/// Columns of a line. A single word that is longer is not cut.
const WIDTH: usize = 100;

/// Text that is wrapped between words as it is written.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Writes `text` behind `first`, and what does not fit on further lines behind `rest`.
    pub(super) fn line(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut empty = true;
        for word in text.split(' ') {
            let width = line.chars().count() + usize::from(!empty) + word.chars().count();
            if !empty && width > WIDTH {
                self.end(&line);
                line = rest.to_owned();
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.end(&line);
    }

    pub(super) fn blank(&mut self) {
        self.0.push('\n');
    }

    fn end(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wrapped_between_words_and_keep_their_margin() {
        let mut page = Page::default();
        page.line("* ", "  ", &["word"; 30].join(" "));
        page.line("", "", &"x".repeat(120));
        let text = page.finish();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].len(), 2 + 19 * 5 - 1);
        assert!(lines[0].starts_with("* word") && lines[1].starts_with("  word"), "{text}");
    }
}
