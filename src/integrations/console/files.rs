/// A file of the page.
pub(super) struct File {
    /// Where it is served.
    pub(super) path: &'static str,
    /// Its content type.
    pub(super) kind: &'static str,
    /// What is in it.
    pub(super) text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($kind:ident, $name:literal) => {
        file!($kind, $name, concat!("/console/", $name))
    };
    ($kind:ident, $name:literal, $path:expr) => {
        File { path: $path, kind: $kind, text: include_str!(concat!("page/", $name)) }
    };
}

/// The page, its styles in the order they are read, and its scripts.
pub(super) const FILES: &[File] = &[
    file!(HTML, "index.html", "/console"),
    file!(CSS, "style.css"),
    file!(CSS, "controls.css"),
    file!(CSS, "table.css"),
    file!(CSS, "key.css"),
    file!(JS, "actions.js"),
    file!(JS, "api.js"),
    file!(JS, "app.js"),
    file!(JS, "audit.js"),
    file!(JS, "badge.js"),
    file!(JS, "chart.js"),
    file!(JS, "copy.js"),
    file!(JS, "create.js"),
    file!(JS, "date.js"),
    file!(JS, "detail.js"),
    file!(JS, "dialog.js"),
    file!(JS, "dom.js"),
    file!(JS, "edit.js"),
    file!(JS, "explain.js"),
    file!(JS, "field.js"),
    file!(JS, "format.js"),
    file!(JS, "hold.js"),
    file!(JS, "icon.js"),
    file!(JS, "keyform.js"),
    file!(JS, "limits.js"),
    file!(JS, "list.js"),
    file!(JS, "menu.js"),
    file!(JS, "reports.js"),
    file!(JS, "roles.js"),
    file!(JS, "rotation.js"),
    file!(JS, "rows.js"),
    file!(JS, "say.js"),
    file!(JS, "secret.js"),
    file!(JS, "signin.js"),
    file!(JS, "table.js"),
    file!(JS, "tags.js"),
];
