//! Runs a scenario under valgrind and sorts what it reports.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use roxmltree::{Document, Node};

/// Places that depend on a secret.
#[derive(Default)]
pub(crate) struct Findings {
    /// Where nothing says that it may.
    pub(crate) secret: BTreeSet<String>,
    /// Where the library's source says that the answer is public.
    pub(crate) public: BTreeSet<String>,
}

impl Findings {
    pub(crate) fn of(scenario: &str) -> Self {
        let xml = std::env::temp_dir().join(format!("keyward-{}.xml", std::process::id()));
        let program = std::env::current_exe().expect("a path to this program");
        let run = Command::new("valgrind")
            .args(["--quiet", "--read-inline-info=yes", "--num-callers=60", "--error-limit=no"])
            .args(["--xml=yes", &format!("--xml-file={}", xml.display())])
            .arg(program)
            .arg(scenario)
            .output()
            .expect("valgrind is installed");
        let says = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{scenario}: {}\n{says}", run.status);
        let text = fs::read_to_string(&xml).expect("a report");
        fs::remove_file(&xml).expect("a report of our own");
        let mut findings = Self::default();
        let document = Document::parse(&text).expect("XML");
        for error in document.descendants().filter(|node| node.has_tag_name("error")) {
            findings.sort(error);
        }
        findings
    }

    fn sort(&mut self, error: Node<'_, '_>) {
        let kind = child(error, "kind").unwrap_or("?");
        let stack = error.children().find(|node| node.has_tag_name("stack")).expect("a stack");
        let frames: Vec<_> = stack.children().filter_map(Frame::of).collect();
        let ours = frames.iter().find(|frame| frame.file.starts_with(library()));
        match ours {
            Some(frame) if frame.is_public() => self.public.insert(frame.place()),
            _ => {
                let places = frames.first().into_iter().chain(ours).map(Frame::place);
                self.secret.insert(format!("{kind} {}", places.collect::<Vec<_>>().join(" in ")))
            }
        };
    }
}

struct Frame {
    file: PathBuf,
    line: usize,
    function: String,
}

impl Frame {
    fn of(node: Node<'_, '_>) -> Option<Self> {
        if !node.has_tag_name("frame") {
            return None;
        }
        let file = Path::new(child(node, "dir").unwrap_or_default())
            .join(child(node, "file").unwrap_or_default());
        let line = child(node, "line").and_then(|line| line.parse().ok()).unwrap_or_default();
        Some(Self { file, line, function: child(node, "fn").unwrap_or("?").to_owned() })
    }

    /// Whether the comment above the line says so.
    fn is_public(&self) -> bool {
        let Ok(text) = fs::read_to_string(&self.file) else { return false };
        let lines: Vec<_> = text.lines().take(self.line).collect();
        let mut above = lines.iter().rev().skip(1).take_while(|line| is_comment(line));
        above.any(|line| line.trim_start().starts_with("// Public: "))
    }

    fn place(&self) -> String {
        let file = self.file.strip_prefix(library()).unwrap_or(&self.file);
        format!("{}:{} {}", file.display(), self.line, self.function)
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn library() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the repository").join("src")
}

fn child<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| child.has_tag_name(name))?.text()
}
