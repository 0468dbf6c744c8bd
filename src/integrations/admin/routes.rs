use axum::http::Method;

use crate::token::KeyId;

/// Where the keys are.
const BASE: &str = "/admin/api-keys";

/// What the host's router hands over: all that is at or below `/admin/api-keys`.
pub(super) const PATHS: &[&str] = &[
    BASE,
    "/admin/api-keys/",
    "/admin/api-keys/{*rest}",
    #[cfg(feature = "openapi")]
    "/admin/openapi.json",
];

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Delete,
    Disable,
    #[cfg(feature = "openapi")]
    Document,
    Enable,
    Events,
    Explain,
    FinishRotation,
    Get,
    Issue,
    List,
    Options,
    Regenerate,
    Reports,
    Revoke,
    Rotate,
    Update,
    Usage,
}

/// A method, and a path whose `{id}` stands for the id of a key.
type Route = (Method, &'static str, Operation);

/// Every route: the router and its document are both made of this table.
pub(super) const ROUTES: &[Route] = &[
    (Method::GET, "/admin/api-keys", Operation::List),
    (Method::POST, "/admin/api-keys", Operation::Issue),
    (Method::GET, "/admin/api-keys/options", Operation::Options),
    (Method::GET, "/admin/api-keys/reports", Operation::Reports),
    (Method::GET, "/admin/api-keys/{id}", Operation::Get),
    (Method::PATCH, "/admin/api-keys/{id}", Operation::Update),
    (Method::DELETE, "/admin/api-keys/{id}", Operation::Delete),
    (Method::POST, "/admin/api-keys/{id}/disable", Operation::Disable),
    (Method::POST, "/admin/api-keys/{id}/enable", Operation::Enable),
    (Method::GET, "/admin/api-keys/{id}/events", Operation::Events),
    (Method::POST, "/admin/api-keys/{id}/explain", Operation::Explain),
    (Method::POST, "/admin/api-keys/{id}/finish-rotation", Operation::FinishRotation),
    (Method::POST, "/admin/api-keys/{id}/regenerate", Operation::Regenerate),
    (Method::POST, "/admin/api-keys/{id}/revoke", Operation::Revoke),
    (Method::POST, "/admin/api-keys/{id}/rotate", Operation::Rotate),
    (Method::GET, "/admin/api-keys/{id}/usage", Operation::Usage),
    #[cfg(feature = "openapi")]
    (Method::GET, "/admin/openapi.json", Operation::Document),
];

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Something about one key.
    Key(Operation, KeyId),
    /// Something about all keys.
    Keys(Operation),
    /// Something about a key whose id is no id.
    NoKey,
}

/// Why there is nothing to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Method { allowed: String },
    Path,
}

/// The route of a request; `HEAD` is `GET`, whose body the server leaves out.
pub(super) fn find(method: &Method, path: &str) -> Result<Target, Miss> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    // `{id}` would match `options` and `reports` too.
    let is_literal = ROUTES.iter().any(|(_, template, _)| *template == path);
    let of_path = || {
        let routes = ROUTES.iter().filter_map(|(method, template, operation)| {
            Some((method, *operation, id_in(template, path)?))
        });
        routes.filter(|(.., id)| id.is_empty() || !is_literal)
    };
    match of_path().find(|(of_route, ..)| *of_route == method) {
        Some((_, operation, "")) => Ok(Target::Keys(operation)),
        Some((_, operation, id)) => {
            Ok(id.parse().map_or(Target::NoKey, |id| Target::Key(operation, id)))
        }
        None => {
            let mut allowed: Vec<&str> = of_path().map(|(method, ..)| method.as_str()).collect();
            if allowed.contains(&"GET") {
                allowed.push("HEAD");
            }
            let allowed = allowed.join(", ");
            Err(if allowed.is_empty() { Miss::Path } else { Miss::Method { allowed } })
        }
    }
}

/// The text that stands for `{id}` if the path is one of this template; of a template
/// without it the empty text.
fn id_in<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    let Some((before, after)) = template.split_once("{id}") else {
        return (template == path).then_some("");
    };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(method: &str, path: &str) -> Result<Target, Miss> {
        find(&method.parse().unwrap(), path)
    }

    #[test]
    fn every_route_is_found_and_nothing_else() {
        let id: KeyId = "key_1vkr6z0gq5m3x8ye".parse().unwrap();
        for &(ref method, template, operation) in ROUTES {
            let path = template.replace("{id}", &id.to_string());
            let target = if template.contains("{id}") {
                Target::Key(operation, id)
            } else {
                Target::Keys(operation)
            };
            assert_eq!(find(method, &path), Ok(target), "{method} {path}");
            for strange in [format!("{path}/"), format!("{path}/x"), format!("/x{path}")] {
                let found = find(method, &strange);
                let nothing = [Err(Miss::Path), Ok(Target::NoKey)].contains(&found);
                let as_id = strange == format!("{BASE}/x");
                assert!(nothing || as_id, "{method} {strange}: {found:?}");
            }
        }
        assert_eq!(at("HEAD", BASE), Ok(Target::Keys(Operation::List)));
        assert_eq!(at("GET", "/admin/api-keys/key_1"), Ok(Target::NoKey));
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        for (method, path, allowed) in [
            ("PUT", "/admin/api-keys", "GET, POST, HEAD"),
            ("OPTIONS", "/admin/api-keys/key_x", "GET, PATCH, DELETE, HEAD"),
            ("DELETE", "/admin/api-keys/options", "GET, HEAD"),
            ("PATCH", "/admin/api-keys/reports", "GET, HEAD"),
            ("GET", "/admin/api-keys/key_x/rotate", "POST"),
        ] {
            assert_eq!(at(method, path), Err(Miss::Method { allowed: allowed.into() }), "{path}");
        }
        for path in ["/", "/admin", "/admin/api-keys/", "/admin/api-keys//rotate"] {
            assert_eq!(at("GET", path), Err(Miss::Path), "{path}");
        }
    }
}
