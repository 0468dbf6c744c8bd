//! Nothing of the pages is left out: read from these sources and the manual's chapter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A page: its heading in the manual's chapter, its module here, and its sections.
struct Page {
    heading: &'static str,
    module: &'static str,
    sections: &'static [&'static str],
}

/// The pages, section by section, in their order. A heading above others is named by those.
const PAGES: [Page; 4] = [
    Page {
        heading: "The energy platform",
        module: "powerverse",
        sections: &[
            "Overview",
            "Key Types",
            "Via Developer Portal",
            "One-Time Display",
            "Via API (Admin Only)",
            "Using API Keys",
            "Language Examples",
            "Permissions",
            "IP Allowlisting",
            "Expiration",
            "List Keys",
            "Rotate Keys",
            "Revoke Keys",
            "Storage",
            "Environment Variables",
            "Secret Managers",
            "Monitoring",
            "Invalid API Key",
            "Expired API Key",
            "IP Not Allowed",
        ],
    },
    Page {
        heading: "The IP intelligence service",
        module: "ipaware",
        sections: &[
            "Overview",
            "Creating an API Key",
            "Viewing API Keys",
            "Editing an API Key",
            "Revoking an API Key",
            "API Key Roles",
            "Authentication",
            "Best Practices",
            "Key Rotation",
            "\"Invalid API Key\" Error",
            "Key Not Working After Creation",
            "Can't Create More Keys",
            "Security Considerations",
            "Permissions Required",
            "Next Steps",
        ],
    },
    Page {
        heading: "The deployment platform",
        module: "onvera",
        sections: &[
            "API Key Format",
            "Storage",
            "Scope-Based Access",
            "Expiration",
            "Revocation",
            "Rotation",
            "Monitoring",
            "Security Best Practices",
            "Related Topics",
        ],
    },
    Page {
        heading: "The licensing platform",
        module: "licensing",
        sections: &[
            "What Is This Page?",
            "Environment Scoping",
            "Granular Permissions",
            "Lifecycle Management",
            "Generating a New Key",
            "Rotation & Security",
            "401 Unauthorized",
            "429 Too Many Requests",
            "Permission Denied (403)",
            "Related Pages",
        ],
    },
];

/// What is left out for a reason that holds for good, in the words of a comment.
const REASONS: [&str; 3] = ["advice", "another page", "other pages"];

/// Parts of this crate, or of a product, that a comment could still put something off to.
const PARTS: [&str; 8] =
    ["layer", "admin api", "console", "monitor", "header", "route", "dialog", "button"];

#[test]
fn every_section_is_in_the_manual_with_its_tests() {
    let manual = read("src/manual/product_pages.md");
    for page in PAGES {
        let rows = rows(&manual, page.heading);
        let sections: Vec<&str> = rows.iter().map(|[section, ..]| *section).collect();
        assert_eq!(sections, page.sections, "{}", page.heading);

        let named: BTreeSet<&str> = rows.iter().flat_map(|[.., tests]| quoted(tests)).collect();
        let sources: String = sources(page.module).iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(named, tests_of(&sources), "{}", page.heading);
        for [section, place, tests] in rows {
            let excused = REASONS.iter().any(|reason| place.contains(reason));
            assert!(excused || !tests.is_empty(), "nothing tests `{section}`");
        }
    }
}

#[test]
fn what_is_left_out_is_advice_or_another_page() {
    let mut found = 0;
    for (file, text) in sources("") {
        for comment in left_out(&text) {
            assert_eq!(put_off(&comment), None, "{file}: {comment}");
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn the_check_sees_what_is_put_off() {
    let mark = ["/// Not", "here:"].join(" ");
    for (comment, reason) in [
        ("the badge is the console page's.", Some("console")),
        ("reading it is the\n/// HTTP layer's; the rest is advice.", Some("layer")),
        ("the admin\n/// API's.", Some("admin api")),
        ("an alert.", Some("no reason")),
        ("\"keep keys private\" is\n/// advice.", None),
        ("of the \"Next Steps\", one is another page.", None),
    ] {
        let text = format!("/// Asserted.\n///\n{mark} {comment}\n#[test]\nfn f() {{}}\n");
        let found: Vec<String> = left_out(&text).collect();
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(put_off(&found[0]), reason, "{text}");
    }
}

#[test]
fn tests_in_a_browser_that_are_named_exist() {
    let browser = files(&root().join("tests/browser"));
    let browser: String = browser.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut found = BTreeSet::new();
    for (file, text) in sources("") {
        for comment in comments(&text).filter(|comment| comment.contains("`tests/browser`")) {
            let names = quoted(&comment).filter(|name| name.contains('_') && !name.contains('/'));
            for name in names {
                assert!(browser.contains(&format!("\nfn {name}()")), "{file}: {name}");
                found.insert(name.to_owned());
            }
        }
    }
    assert!(found.len() > 5, "{found:?}");
}

/// What a comment puts off, and to what; nothing if it has a reason that holds.
fn put_off(comment: &str) -> Option<&'static str> {
    let comment = comment.to_lowercase();
    let part = PARTS.into_iter().find(|part| comment.contains(part));
    let has_reason = REASONS.iter().any(|reason| comment.contains(reason));
    part.or((!has_reason).then_some("no reason"))
}

/// What comments say is not asserted, each in one line.
fn left_out(text: &str) -> impl Iterator<Item = String> {
    comments(text).filter_map(|comment| Some(comment.strip_prefix("Not here: ")?.to_owned()))
}

/// The paragraphs of a source's comments, each in one line.
fn comments(text: &str) -> impl Iterator<Item = String> {
    let said = |line: &str| {
        let line = line.trim_start();
        let said = line.strip_prefix("///").or_else(|| line.strip_prefix("//"))?;
        Some(said.trim().to_owned())
    };
    let lines: Vec<String> = text.lines().map(|line| said(line).unwrap_or_default()).collect();
    let paragraphs = lines.split(String::is_empty).map(|lines| lines.join(" "));
    paragraphs.filter(|paragraph| !paragraph.is_empty()).collect::<Vec<_>>().into_iter()
}

/// The rows of the table under a heading.
fn rows<'a>(manual: &'a str, heading: &str) -> Vec<[&'a str; 3]> {
    let (_, table) = manual.split_once(&format!("\n## {heading}\n")).unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let cells = rows.map(|row| row.split(" |").map(str::trim).take(3).collect::<Vec<_>>());
    cells.skip(1).map(|cells| cells.try_into().unwrap()).collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn tests_of(sources: &str) -> BTreeSet<&str> {
    let tests = sources.split("#[pollster::test]\nasync fn ").skip(1);
    tests.map(|test| test.split_once('(').unwrap().0).collect()
}

/// The files of a page's module, or all of these tests, with their text.
fn sources(module: &str) -> Vec<(String, String)> {
    let folder = root().join("tests/seeds");
    let files = files(&folder).into_iter().map(|file| {
        let name = file.strip_prefix(&folder).unwrap().display().to_string();
        (name, fs::read_to_string(&file).unwrap())
    });
    files.filter(|(name, _)| name.starts_with(module)).collect()
}

/// The Rust files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
