//! Names for sets of scopes, common ones and per owner.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::scope_set::ScopeSet;
use super::text::is_visible;
use crate::error::FieldError;
use crate::text::serde_as_text;

const LONGEST_NAME: usize = 64;
const LONGEST_OWNER: usize = 128;

/// The name of a role: 1 to 64 bytes of visible ASCII, spaces allowed inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleName(Box<str>);

impl RoleName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// If the name breaks the rule above.
    pub fn new(name: &str) -> Result<Self, FieldError> {
        let edges_visible = !name.starts_with(' ') && !name.ends_with(' ');
        let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if (1..=LONGEST_NAME).contains(&name.len()) && edges_visible && name.bytes().all(visible) {
            return Ok(Self(name.into()));
        }
        Err(FieldError::new(
            "role",
            name,
            "must be 1 to 64 visible ASCII characters, with spaces only inside",
        ))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoleName {
    type Err = FieldError;

    fn from_str(name: &str) -> Result<Self, FieldError> {
        Self::new(name)
    }
}

impl Borrow<str> for RoleName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(RoleName, RoleName::as_str);

/// A snapshot of what role names stand for. Clones share it.
///
/// An owner's own role comes before a common one of the same name, for that owner
/// only. A role that is in neither place grants nothing.
///
/// ```
/// use keyward::{RoleName, Roles};
///
/// let roles = Roles::none()
///     .role("Viewer", ["read:assets"])?
///     .owner_role("org_1", "Auditor", ["read:logs"])?;
///
/// let auditor = RoleName::new("Auditor")?;
/// assert!(roles.scopes("org_1", &auditor).is_some_and(|scopes| scopes.grants("read:logs")));
/// assert!(roles.scopes("org_2", &auditor).is_none());
/// # Ok::<(), keyward::FieldError>(())
/// ```
///
/// # Security
///
/// Roles are live: whoever may edit the host's role table can raise the keys
/// that hold a role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles(Option<Arc<Tables>>);

type Table = HashMap<RoleName, ScopeSet>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tables {
    common: Table,
    owned: HashMap<Box<str>, Table>,
}

impl Roles {
    /// No roles at all.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Adds a role that every owner may use.
    ///
    /// # Errors
    ///
    /// If the name or a scope is malformed, there are more than 256 scopes, or a
    /// common role of this name is already there.
    pub fn role(
        mut self,
        name: &str,
        scopes: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, FieldError> {
        define(&mut self.tables().common, name, scopes)?;
        Ok(self)
    }

    /// Adds a role of one owner (1 to 128 visible ASCII characters).
    ///
    /// # Errors
    ///
    /// As for [`Roles::role`], or if the owner is malformed.
    pub fn owner_role(
        mut self,
        owner: &str,
        name: &str,
        scopes: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<Self, FieldError> {
        if !is_visible(owner, LONGEST_OWNER) {
            let rule = "must be 1 to 128 visible ASCII characters";
            return Err(FieldError::new("owner", owner, rule));
        }
        let table = self.tables().owned.entry(owner.into()).or_default();
        define(table, name, scopes)?;
        Ok(self)
    }

    /// What `role` grants to a key of `owner`; `None` if there is no such role.
    /// Allocates nothing.
    pub fn scopes(&self, owner: &str, role: &RoleName) -> Option<&ScopeSet> {
        let tables = self.0.as_ref()?;
        let own = tables.owned.get(owner).and_then(|table| table.get(role));
        own.or_else(|| tables.common.get(role))
    }

    /// The names that stand for something with a key of `owner`, in order.
    #[cfg(feature = "axum")]
    pub(crate) fn names(&self, owner: &str) -> Vec<RoleName> {
        let Some(tables) = &self.0 else { return Vec::new() };
        let own = tables.owned.get(owner).into_iter().flat_map(HashMap::keys);
        let mut names: Vec<_> = tables.common.keys().chain(own).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn tables(&mut self) -> &mut Tables {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

fn define(
    table: &mut Table,
    name: &str,
    scopes: impl IntoIterator<Item: AsRef<str>>,
) -> Result<(), FieldError> {
    let role = RoleName::new(name)?;
    if table.contains_key(&role) {
        return Err(FieldError::new("role", name, "must be defined once"));
    }
    let field = format!("roles.{role}");
    let scopes = ScopeSet::parse_all(&field, scopes).map_err(|errors| {
        let first = errors.into_iter().next();
        first.unwrap_or_else(|| FieldError::unshown(field, "must list scopes"))
    })?;
    table.insert(role, scopes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(roles: &Roles, owner: &str, role: &str) -> Option<Vec<String>> {
        let scopes = roles.scopes(owner, &RoleName::new(role).unwrap())?;
        Some(scopes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_owners_role_comes_first_and_stays_with_the_owner() {
        let roles = Roles::none()
            .role("admin", ["a", "b"])
            .unwrap()
            .owner_role("org_1", "admin", ["c"])
            .unwrap()
            .owner_role("org_1", "own", ["d"])
            .unwrap();
        assert_eq!(granted(&roles, "org_1", "admin"), Some(vec!["c".into()]));
        let common = Some(vec!["a".into(), "b".into()]);
        assert_eq!(granted(&roles, "org_2", "admin"), common);
        assert_eq!(granted(&roles, "org_1", "own"), Some(vec!["d".into()]));
        assert_eq!(granted(&roles, "org_2", "own"), None);
        assert_eq!(granted(&roles, "org_1", "Admin"), None);
        assert_eq!(granted(&Roles::none(), "org_1", "admin"), None);
    }

    #[test]
    fn a_snapshot_does_not_change_under_its_clones() {
        let before = Roles::none().role("a", ["x"]).unwrap();
        let after = before.clone().role("b", ["y"]).unwrap();
        assert_eq!(granted(&before, "o", "b"), None);
        assert!(granted(&after, "o", "a").is_some() && granted(&after, "o", "b").is_some());
    }

    #[test]
    fn bad_definitions_are_named() {
        let roles = Roles::none().role("a", ["x"]).unwrap();
        let roles = roles.owner_role("o", "b", ["x"]).unwrap();
        for (result, field) in [
            (roles.clone().role("a", ["y"]), "role"),
            (roles.clone().owner_role("o", "b", ["y"]), "role"),
            (roles.clone().role("c", ["x", "y z"]), "roles.c[1]"),
            (roles.clone().role("", ["x"]), "role"),
            (roles.clone().owner_role("", "c", ["x"]), "owner"),
            (roles.clone().owner_role("o 1", "c", ["x"]), "owner"),
        ] {
            assert_eq!(result.unwrap_err().field(), field);
        }
        assert!(roles.role("empty", [""; 0]).is_ok());
    }

    #[test]
    fn names_follow_the_rule() {
        let (longest, long) = ("r".repeat(64), "r".repeat(65));
        for name in ["a", "Read Only", "!~", &longest] {
            let role = RoleName::new(name).unwrap();
            let json = serde_json::to_string(&role).unwrap();
            assert_eq!(serde_json::from_str::<RoleName>(&json).unwrap(), role);
        }
        let huge = "r".repeat(1 << 20);
        for name in ["", " a", "a ", " ", "a\n", "a\u{7f}", "ä", &long, &huge] {
            assert!(RoleName::new(name).is_err(), "{name:?}");
            assert!(serde_json::from_value::<RoleName>(name.into()).is_err());
        }
    }

    #[test]
    fn looking_up_allocates_nothing() {
        let roles = Roles::none().owner_role("o", "a", ["x"]).unwrap();
        let (known, unknown) = (RoleName::new("a").unwrap(), RoleName::new("b").unwrap());
        let counted = allocation_counter::measure(|| {
            std::hint::black_box((roles.scopes("o", &known), roles.scopes("p", &unknown)));
        });
        assert_eq!(counted.count_total, 0);
    }
}
