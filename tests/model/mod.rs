//! The decision, written a second time: lists and loops, no cleverness.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub(crate) mod case;

use std::net::IpAddr;

use keyward::{Deny, Environment};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Disabled,
    Enabled,
    Revoked,
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) standing: Standing,
    pub(crate) owner: &'static str,
    pub(crate) environment: Environment,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) allow: Vec<Net>,
    pub(crate) deny: Vec<Net>,
    pub(crate) resources: Vec<(&'static str, Vec<&'static str>)>,
    pub(crate) scopes: Vec<&'static str>,
    pub(crate) roles: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) environment: Environment,
    pub(crate) client: Option<IpAddr>,
    pub(crate) resources: Vec<(&'static str, &'static str)>,
    pub(crate) needs: Needs,
    pub(crate) at: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Needs {
    All(Vec<&'static str>),
    Any(Vec<&'static str>),
    Nothing,
    One(&'static str),
    Tree(Tree),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    And(Box<Tree>, Box<Tree>),
    Leaf(&'static str),
    Or(Box<Tree>, Box<Tree>),
}

/// A network as its address and how many bits of it count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net(pub(crate) IpAddr, pub(crate) usize);

/// Owner (none for a common role), name, scopes.
pub(crate) type RoleTable = [(Option<&'static str>, &'static str, &'static [&'static str])];

/// What refuses a request whose secret has been proven; the limits come after this.
pub(crate) fn refusal(key: &Key, roles: &RoleTable, request: &Request) -> Option<Deny> {
    if key.standing == Standing::Revoked {
        return Some(Deny::Revoked);
    }
    if key.environment != request.environment {
        return Some(Deny::WrongEnvironment);
    }
    if key.standing == Standing::Disabled {
        return Some(Deny::Disabled);
    }
    if key.not_before.is_some_and(|start| request.at < start) {
        return Some(Deny::NotYetValid);
    }
    if key.expires_at.is_some_and(|end| request.at >= end) {
        return Some(Deny::Expired);
    }
    if !network_allows(key, request.client) {
        return Some(Deny::Network);
    }
    for (kind, ids) in &key.resources {
        let named: Vec<_> = request.resources.iter().filter(|(k, _)| k == kind).collect();
        if named.is_empty() || named.iter().any(|(_, id)| !ids.contains(id)) {
            return Some(Deny::Resource);
        }
    }
    if !satisfied(&request.needs, &held(key, roles)) {
        return Some(Deny::Scope);
    }
    None
}

/// Every scope that a key holds, by itself and by its roles.
pub(crate) fn held(key: &Key, roles: &RoleTable) -> Vec<&'static str> {
    let mut held = key.scopes.clone();
    for name in &key.roles {
        let own = roles.iter().find(|role| role.0 == Some(key.owner) && role.1 == *name);
        let common = roles.iter().find(|role| role.0.is_none() && role.1 == *name);
        if let Some(role) = own.or(common) {
            held.extend(role.2);
        }
    }
    held
}

fn satisfied(needs: &Needs, held: &[&str]) -> bool {
    let has = |scope: &str| held.iter().any(|ours| grants(ours, scope));
    match needs {
        Needs::All(scopes) => !scopes.is_empty() && scopes.iter().all(|scope| has(scope)),
        Needs::Any(scopes) => scopes.iter().any(|scope| has(scope)),
        Needs::Nothing => true,
        Needs::One(scope) => has(scope),
        Needs::Tree(tree) => tree.holds(&has),
    }
}

impl Tree {
    fn holds(&self, has: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Tree::And(left, right) => {
                let (left, right) = (left.holds(has), right.holds(has));
                left && right
            }
            Tree::Leaf(scope) => has(scope),
            Tree::Or(left, right) => {
                let (left, right) = (left.holds(has), right.holds(has));
                left || right
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Tree::And(left, right) => format!("({} AND {})", left.text(), right.text()),
            Tree::Leaf(scope) => (*scope).to_owned(),
            Tree::Or(left, right) => format!("({} or {})", left.text(), right.text()),
        }
    }
}

/// Whether a granted scope answers a required one, word by word.
pub(crate) fn grants(granted: &str, required: &str) -> bool {
    let (ours, theirs) = (words(granted), words(required));
    if !is_plain(&theirs) {
        return false;
    }
    if ours.last().map(String::as_str) != Some("*") {
        return ours == theirs;
    }
    let stem = &ours[..ours.len() - 1];
    let below = theirs.len() > stem.len() && theirs[..stem.len()] == *stem;
    below && (!is_management(&theirs) || is_management(stem))
}

/// `a.b:c` as `a`, `.`, `b`, `:`, `c`.
fn words(scope: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in scope.chars() {
        if c == '.' || c == ':' {
            words.push(c.to_string());
            words.push(String::new());
        } else {
            words.last_mut().unwrap().push(c);
        }
    }
    words
}

fn is_plain(words: &[String]) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    words.iter().step_by(2).all(|word| !word.is_empty() && word.chars().all(plain))
}

fn is_management(words: &[String]) -> bool {
    words.len() >= 4 && words[..4] == ["api", ".", "key", "."].map(str::to_owned)
}

fn network_allows(key: &Key, client: Option<IpAddr>) -> bool {
    if key.allow.is_empty() && key.deny.is_empty() {
        return true;
    }
    let Some(client) = client else { return false };
    if key.deny.iter().any(|net| net.has(client)) {
        return false;
    }
    key.allow.is_empty() || key.allow.iter().any(|net| net.has(client))
}

impl Net {
    pub(crate) fn has(&self, client: IpAddr) -> bool {
        let (ours, theirs) = (bits(self.0), bits(client));
        ours.len() == theirs.len() && ours[..self.1] == theirs[..self.1]
    }

    /// The network as text, its host bits cleared.
    pub(crate) fn text(&self) -> String {
        let kept = bits(self.0).into_iter().enumerate().map(|(i, bit)| bit && i < self.1);
        let value = kept.fold(0u128, |value, bit| value << 1 | u128::from(bit));
        match self.0 {
            IpAddr::V4(_) => {
                format!("{}/{}", std::net::Ipv4Addr::from(u32::try_from(value).unwrap()), self.1)
            }
            IpAddr::V6(_) => format!("{}/{}", std::net::Ipv6Addr::from(value), self.1),
        }
    }
}

/// The bits of an address, the first one first; a mapped one as the IPv4 address it is.
fn bits(address: IpAddr) -> Vec<bool> {
    let octets = match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => match v6.octets() {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => vec![a, b, c, d],
            octets => octets.to_vec(),
        },
    };
    octets.iter().flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1 == 1)).collect()
}
