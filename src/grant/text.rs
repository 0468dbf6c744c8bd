//! What a name may be written with.

/// Whether `text` is 1 to `longest` bytes of visible ASCII, no space.
pub(super) fn is_visible(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
