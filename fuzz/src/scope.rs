//! Scopes and expressions over them, by their segments.

/// Whether a text is a scope, or one without a wildcard.
pub fn is_scope(text: &str, wildcards: bool) -> bool {
    let parts: Vec<&str> = text.split([':', '.']).collect();
    let count = parts.len();
    text.len() <= 128
        && parts.iter().enumerate().all(|(at, part)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            let wild = wildcards && at + 1 == count && *part == "*";
            wild || (!part.is_empty() && part.chars().all(plain))
        })
}

/// Whether one scope that is held grants one that is required.
pub fn grants(held: &str, required: &str) -> bool {
    if !is_scope(required, false) {
        return false;
    }
    let below = |scope: &str, namespace: &str| scope.starts_with(namespace);
    match held.strip_suffix('*') {
        None => held == required,
        Some(above) => {
            let managed = below(required, "api.key.") && !below(above, "api.key.");
            below(required, above) && !managed
        }
    }
}

/// An expression as a tree.
#[derive(Debug)]
pub enum Tree {
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Scope(String),
}

impl Tree {
    /// Reads `any = all (OR all)*`, `all = one (AND one)*`, `one = scope | "(" any ")"`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 4096 {
            return None;
        }
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
        let mut rest = words.as_slice();
        let tree = Self::any(&mut rest, 0)?;
        (rest.is_empty() && tree.scopes().len() <= 64).then_some(tree)
    }

    fn any(rest: &mut &[&str], depth: usize) -> Option<Self> {
        let mut alternatives = vec![Self::all(rest, depth)?];
        while is_next(rest, "or") {
            alternatives.push(Self::all(rest, depth)?);
        }
        Some(Self::Any(alternatives))
    }

    fn all(rest: &mut &[&str], depth: usize) -> Option<Self> {
        let mut needed = vec![Self::one(rest, depth)?];
        while is_next(rest, "and") {
            needed.push(Self::one(rest, depth)?);
        }
        Some(Self::All(needed))
    }

    fn one(rest: &mut &[&str], depth: usize) -> Option<Self> {
        if is_next(rest, "(") {
            let inner = (depth < 32).then(|| Self::any(rest, depth + 1))??;
            return is_next(rest, ")").then_some(inner);
        }
        let (word, after) = rest.split_first()?;
        let keyword = word.eq_ignore_ascii_case("and") || word.eq_ignore_ascii_case("or");
        *rest = after;
        (!keyword && is_scope(word, false)).then(|| Self::Scope((*word).to_owned()))
    }

    pub fn holds(&self, granted: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::All(trees) => trees.iter().all(|tree| tree.holds(granted)),
            Self::Any(trees) => trees.iter().any(|tree| tree.holds(granted)),
            Self::Scope(scope) => granted(scope),
        }
    }

    /// The scopes from left to right.
    pub fn scopes(&self) -> Vec<&str> {
        match self {
            Self::All(trees) | Self::Any(trees) => trees.iter().flat_map(Self::scopes).collect(),
            Self::Scope(scope) => vec![scope],
        }
    }
}

/// Takes the next word if it is this one, in any case.
fn is_next(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if first.eq_ignore_ascii_case(word) => {
            *rest = after;
            true
        }
        _ => false,
    }
}
