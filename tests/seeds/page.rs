//! The API Keys page, read as it is served: its words and its styles.
//!
//! What it does when somebody presses a button is tried in a browser by `tests/browser`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::http_client::Client;

/// The page and every file that it loads, by path.
pub(crate) struct Page(BTreeMap<String, String>);

impl Page {
    /// Reads `/console`, then what that links to, then what those import.
    pub(crate) fn load(client: &Client) -> Self {
        let mut page = Self(BTreeMap::new());
        let mut wanted = vec!["/console".to_owned()];
        while let Some(path) = wanted.pop() {
            if let Entry::Vacant(place) = page.0.entry(path) {
                let text = client.get(place.key()).expect(200).body;
                wanted.extend(loaded(&text));
                place.insert(text);
            }
        }
        page
    }

    /// Fails unless one of the page's texts is these words. Where the products begin each word of a
    /// label with a capital, the page may begin the first alone.
    #[track_caller]
    pub(crate) fn has_label(&self, words: &str) {
        let wanted = [words, &sentence(words)];
        let mut labels = self.texts().map(|text| text.trim_end_matches('…'));
        assert!(labels.any(|label| wanted.contains(&label)), "no label `{words}`");
    }

    /// Fails unless one of the page's texts has exactly these words in it.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        assert!(self.texts().any(|text| text.contains(words)), "nowhere `{words}`");
    }

    /// The headings of the table of keys.
    pub(crate) fn columns(&self) -> Vec<&str> {
        let table = self.file("table.js");
        let (_, columns) = table.split_once("const COLUMNS = [").unwrap();
        let (columns, _) = columns.split_once("\n];").unwrap();
        let headings = columns.lines().filter_map(|line| line.strip_prefix("  [\""));
        headings.map(|line| line.split('"').next().unwrap()).collect()
    }

    /// The colour of a badge's words, as red, green and blue, by day.
    pub(crate) fn colour_of_badge(&self, status: &str) -> [u8; 3] {
        let (_, rule) = self.file("table.css").split_once(&format!(".badge.{status} {{")).unwrap();
        let (_, name) = rule.split_once(" color: var(").unwrap();
        let (name, _) = name.split_once(')').unwrap();
        let (_, value) = self.file("style.css").split_once(&format!("{name}: #")).unwrap();
        [0, 2, 4].map(|at| u8::from_str_radix(&value[at..at + 2], 16).unwrap())
    }

    fn file(&self, name: &str) -> &str {
        &self.0[&format!("/console/{name}")]
    }

    /// What stands between quotes, and the text of the page itself.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let lines = self.0.values().flat_map(|text| text.lines());
        let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
        quoted.chain(self.0["/console"].split(['<', '>']))
    }
}

/// The same words with one capital, and those of abbreviations.
fn sentence(words: &str) -> String {
    let of_word = |(place, word): (usize, &str)| {
        let is_plain = word.chars().skip(1).any(char::is_lowercase);
        if place > 0 && is_plain { word.to_lowercase() } else { word.to_owned() }
    };
    words.split(' ').enumerate().map(of_word).collect::<Vec<_>>().join(" ")
}

/// The paths of what a file loads.
fn loaded(text: &str) -> impl Iterator<Item = String> {
    let of_html = text.split('"').filter(|quoted| quoted.starts_with("console/"));
    let of_script = text.split('"').filter_map(|quoted| quoted.strip_prefix("./"));
    let of_html = of_html.map(|path| format!("/{path}"));
    of_html.chain(of_script.map(|name| format!("/console/{name}"))).collect::<Vec<_>>().into_iter()
}
