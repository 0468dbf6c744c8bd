//! What a person with a screen reader or weak eyes needs, read from the page as it is shown.

use serde_json::{Value, json};

use crate::page::Page;

/// Controls without a name, ids given twice, labels of nothing, weak contrast, small targets.
const SCRIPT: &str = r"
    const faults = [];
    const shown = (node) => node.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true });
    const scope = document.querySelector('dialog[open]') ?? document.body;
    const named = (node) => node.getAttribute('aria-label')?.trim() || node.textContent.trim()
        || node.labels?.[0]?.textContent.trim() || node.getAttribute('aria-labelledby');
    for (const node of scope.querySelectorAll('button, a[href], input, select, textarea, summary, dialog, [role=region]')) {
        if (shown(node) && !named(node)) faults.push(`no name: ${node.outerHTML.slice(0, 120)}`);
    }
    const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`id twice: ${id}`);
    for (const name of ['for', 'aria-labelledby', 'aria-describedby', 'popovertarget', 'list']) {
        for (const node of document.querySelectorAll(`[${name}]`)) {
            for (const id of node.getAttribute(name).split(' ')) if (!document.getElementById(id)) faults.push(`${name} of nothing: ${id}`);
        }
    }
    if (document.querySelectorAll('h1').length !== 1) faults.push('not one h1');

    const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
    const context = canvas.getContext('2d', { willReadFrequently: true });
    const over = (colors) => {
        context.clearRect(0, 0, 1, 1);
        for (const color of colors) { context.fillStyle = color; context.fillRect(0, 0, 1, 1); }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const walker = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const node = text.parentElement;
        if (!text.data.trim() || !shown(node) || node.closest('.unseen, .skip, svg, option, [aria-disabled=true], :disabled, .gone')) continue;
        const behind = [];
        for (let at = node; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
        const ground = over(behind);
        const ink = over([...behind, getComputedStyle(node).color]);
        const [low, high] = [light(ground), light(ink)].sort((a, b) => a - b);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) faults.push(`contrast ${ratio.toFixed(2)}: ${text.data.trim().slice(0, 40)}`);
    }
    for (const node of scope.querySelectorAll('button')) {
        const { width, height } = node.getBoundingClientRect();
        if (shown(node) && (width < 24 || height < 24)) faults.push(`small: ${width}×${height} ${named(node)}`);
    }
    if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the window');
    return [...new Set(faults)];
";

/// Fails with everything that is wrong with what is in sight.
#[track_caller]
pub(crate) fn check(page: &Page, what: &str) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let what = what.to_owned();
    let page = page.clone();
    async move {
        // Faded colours of what is still moving are not what is looked at.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let faults: Value = page.js(SCRIPT, vec![]).await;
        assert_eq!(faults, json!([]), "{caller}: {what}");
    }
}
