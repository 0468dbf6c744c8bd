//! The page as a person uses it: look, press, type.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::driver::{Driver, Vendor};
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(40);

pub(crate) const TAB: char = '\u{e004}';
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const SHIFT: char = '\u{e008}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const DOWN: char = '\u{e015}';

/// What the page's own window collects, from before its first script.
const COLLECTOR: &str = "
    window.problems = [];
    addEventListener('securitypolicyviolation', (event) =>
        window.problems.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
    addEventListener('error', (event) => window.problems.push(`error: ${event.message}`));
    addEventListener('unhandledrejection', (event) =>
        window.problems.push(`unhandled: ${event.reason}`));
";

/// Runs a test in a browser of its own, and then fails if the console said anything but
/// network errors of these statuses: such as 422 where a refusal is what is tested.
pub(crate) fn browse<F: Future<Output = ()>>(
    name: &str,
    expected: &[u16],
    test: impl FnOnce(Page, Arc<World>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = Arc::new(World::new());
    let driver = Driver::start();
    let client = runtime.block_on(driver.open());
    let page = Page { client: client.clone(), world: Arc::clone(&world), name: name.to_owned() };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            page.prepare().await;
            test(page.clone(), world).await;
            let problems = page.problems(expected).await;
            assert!(problems.is_empty(), "the browser says:\n{}", problems.join("\n"));
        });
    }));
    runtime.block_on(async {
        if outcome.is_err() {
            page.shot("failed").await;
        }
        let _ = client.close().await;
    });
    drop(driver);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) client: Client,
    world: Arc<World>,
    name: String,
}

impl Page {
    async fn prepare(&self) {
        let script = json!({ "source": COLLECTOR });
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &script).await;
        let origin = format!("http://{}", self.world.served.address);
        let allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        let granted = json!({ "origin": origin, "permissions": allowed });
        self.devtools("Browser.grantPermissions", &granted).await;
        self.client.goto(&format!("{origin}/console")).await.unwrap();
        self.see("#admin-key").await;
    }

    pub(crate) async fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.client.issue_cmd(Vendor::devtools(command, parameters)).await.unwrap()
    }

    /// What the console and the collector have against the page.
    pub(crate) async fn problems(&self, expected: &[u16]) -> Vec<String> {
        let log = self.client.issue_cmd(Vendor::log()).await.unwrap();
        let said = log.as_array().unwrap().iter();
        let mut problems: Vec<String> = said
            .filter(|entry| {
                let message = entry["message"].as_str().unwrap();
                let network = entry["source"] == "network";
                !network || !expected.iter().any(|status| message.contains(&status_text(*status)))
            })
            .map(ToString::to_string)
            .collect();
        let collected = self.js("return window.problems", vec![]).await;
        problems.extend(collected.as_array().unwrap().iter().map(ToString::to_string));
        problems
    }

    pub(crate) async fn js(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client
            .execute(script, arguments)
            .await
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until a script answers something else than `false` and `null`.
    #[track_caller]
    pub(crate) fn wait(
        &self,
        what: String,
        script: &str,
        arguments: Vec<Value>,
    ) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            loop {
                let answer = self.client.execute(script, arguments.clone()).await;
                match answer {
                    Ok(answer) if answer != json!(false) && !answer.is_null() => return answer,
                    _ if start.elapsed() > PATIENCE => {
                        let shown = self.js("return document.body.innerText", vec![]).await;
                        panic!(
                            "{caller}: {what} ({answer:?}); the page says:\n{}",
                            shown.as_str().unwrap_or_default()
                        );
                    }
                    _ => tokio::time::sleep(GLANCE).await,
                }
            }
        }
    }

    /// Waits for an element that is shown.
    #[track_caller]
    pub(crate) fn see(&self, css: &str) -> impl Future<Output = Element> {
        let shown = self.wait(
            format!("no {css}"),
            "return [...document.querySelectorAll(arguments[0])].some((node) => node.checkVisibility())",
            vec![json!(css)],
        );
        let css = css.to_owned();
        async move {
            shown.await;
            self.client.find(Locator::Css(&css)).await.unwrap()
        }
    }

    /// Waits until one of the elements says this.
    #[track_caller]
    pub(crate) fn says(&self, css: &str, text: &str) -> impl Future<Output = ()> {
        let said = self.wait(
            format!("no {css} says `{text}`"),
            "return [...document.querySelectorAll(arguments[0])].some((node) => \
             node.checkVisibility() && node.textContent.includes(arguments[1]))",
            vec![json!(css), json!(text)],
        );
        async move {
            said.await;
        }
    }

    /// Waits until there is no such element.
    #[track_caller]
    pub(crate) fn gone(&self, css: &str) -> impl Future<Output = ()> {
        let gone = self.wait(
            format!("{css} is still there"),
            "return document.querySelector(arguments[0]) === null",
            vec![json!(css)],
        );
        async move {
            gone.await;
        }
    }

    pub(crate) async fn text(&self, css: &str) -> String {
        self.see(css).await;
        let text =
            self.js("return document.querySelector(arguments[0]).textContent", vec![json!(css)]);
        text.await.as_str().unwrap().to_owned()
    }

    pub(crate) async fn count(&self, css: &str) -> u64 {
        let count =
            self.js("return document.querySelectorAll(arguments[0]).length", vec![json!(css)]);
        count.await.as_u64().unwrap()
    }

    /// Clicks the button, link or summary with this text: in the dialog if one is open.
    #[track_caller]
    pub(crate) fn press(&self, label: &str) -> impl Future<Output = ()> {
        let control = format!(
            "*[self::button or self::a or self::summary][normalize-space()=\"{label}\"][not(ancestor-or-self::*[@hidden])]"
        );
        let path = format!("//dialog[@open]//{control} | //body[not(.//dialog[@open])]//{control}");
        self.click_on(Locating::Path(path))
    }

    #[track_caller]
    pub(crate) fn click(&self, css: &str) -> impl Future<Output = ()> {
        self.click_on(Locating::Css(css.to_owned()))
    }

    #[track_caller]
    fn click_on(&self, what: Locating) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let start = Instant::now();
            loop {
                let done = match self.client.find(what.locator()).await {
                    Ok(element) => element.click().await,
                    Err(error) => Err(error),
                };
                match done {
                    Ok(()) => return,
                    Err(error) if start.elapsed() > PATIENCE => {
                        panic!("{caller}: {what:?}: {error}")
                    }
                    Err(_) => tokio::time::sleep(GLANCE).await,
                }
            }
        }
    }

    /// Types at the end of an input; a newline is Enter.
    #[track_caller]
    pub(crate) fn type_into(&self, css: &str, text: &str) -> impl Future<Output = ()> {
        let seen = self.see(css);
        let text = text.replace('\n', &ENTER.to_string());
        async move { seen.await.send_keys(&text).await.unwrap() }
    }

    /// Replaces what an input holds.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) -> impl Future<Output = ()> {
        let seen = self.see(css);
        let text = text.to_owned();
        async move {
            let input = seen.await;
            input.clear().await.unwrap();
            input.send_keys(&text).await.unwrap();
        }
    }

    /// Sets an input whose keys depend on the language of the browser, such as a date's.
    pub(crate) async fn set(&self, css: &str, value: &str) {
        self.see(css).await;
        let script = "const input = document.querySelector(arguments[0]); input.value = arguments[1]; \
                      input.dispatchEvent(new Event('input', { bubbles: true }))";
        self.js(script, vec![json!(css), json!(value)]).await;
    }

    #[track_caller]
    pub(crate) fn choose(&self, css: &str, value: &str) -> impl Future<Output = ()> {
        let seen = self.see(css);
        let value = value.to_owned();
        async move { seen.await.select_by_value(&value).await.unwrap() }
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) async fn keys(&self, keys: &[char]) {
        for &key in keys {
            let stroke = KeyActions::new("keyboard".into())
                .then(KeyAction::Down { value: key })
                .then(KeyAction::Up { value: key });
            self.client.perform_actions(stroke).await.unwrap();
        }
    }

    pub(crate) async fn sign_in(&self) {
        self.sign_in_again().await;
        self.see("#create").await;
        self.see(".keys, .empty").await;
    }

    /// To whatever view was asked for.
    pub(crate) async fn sign_in_again(&self) {
        let key = self.world.admin.clone();
        self.type_into("#admin-key", &format!("{key}\n")).await;
        self.gone("#admin-key").await;
    }

    /// Goes to a view by its part of the address.
    pub(crate) async fn go(&self, hash: &str) {
        self.js("location.hash = arguments[0]", vec![json!(hash)]).await;
    }

    /// Keeps a picture of what is in sight.
    pub(crate) async fn shot(&self, what: &str) {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        // What moves has come to rest by then.
        tokio::time::sleep(Duration::from_millis(250)).await;
        if let Ok(picture) = self.client.screenshot().await {
            std::fs::write(folder.join(format!("{}-{what}.png", self.name)), picture).unwrap();
        }
    }
}

#[derive(Debug)]
enum Locating {
    Css(String),
    Path(String),
}

impl Locating {
    fn locator(&self) -> Locator<'_> {
        match self {
            Self::Css(css) => Locator::Css(css),
            Self::Path(path) => Locator::XPath(path),
        }
    }
}

/// How Chromium's console names an answer; 0 is none.
fn status_text(status: u16) -> String {
    if status == 0 { "net::ERR_".to_owned() } else { format!("a status of {status}") }
}
