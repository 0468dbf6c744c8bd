use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Content, Header, Ref, Required, SecurityRequirement};

use crate::integrations::admin::routes::Operation as Route;

/// What the document says of an operation.
struct Words {
    name: &'static str,
    summary: &'static str,
    parameters: Vec<Parameter>,
    body: Option<&'static str>,
    success: (&'static str, &'static str),
    errors: &'static [(&'static str, &'static str)],
}

/// Whoever asks may get one of these.
const ALWAYS: [(&str, &str); 6] = [
    ("400", "`AMBIGUOUS_API_KEY`; of a body `MALFORMED_JSON` or `INCOMPLETE_BODY`"),
    (
        "401",
        "`MISSING_API_KEY`, `INVALID_API_KEY`, `API_KEY_INACTIVE`, `API_KEY_NOT_YET_VALID`, \
         `API_KEY_EXPIRED`, or `UNAUTHORIZED`",
    ),
    (
        "403",
        "`INSUFFICIENT_PERMISSIONS`, `GRANT_EXCEEDS_ACTOR`, `IP_NOT_ALLOWED`, \
         `CROSS_SITE_REQUEST`, or `FORBIDDEN`",
    ),
    ("422", "`VALIDATION_FAILED` with every field that breaks a rule"),
    ("429", "`RATE_LIMITED` or `QUOTA_EXCEEDED`"),
    ("503", "`UNAVAILABLE`: try again"),
];

const OF_KEY: &[(&str, &str)] = &[NO_KEY];
const OF_CHANGE: &[(&str, &str)] = &[
    NO_KEY,
    ("409", "`WRONG_STATE`: the key's status doesn't allow it"),
    ("412", "`VERSION_CONFLICT`: others keep changing the key"),
];
const OF_EDIT: &[(&str, &str)] = &[
    NO_KEY,
    ("409", "`WRONG_STATE`: the key's status doesn't allow it"),
    ("412", "`VERSION_CONFLICT`: the key is at another revision"),
    ("428", "`PRECONDITION_REQUIRED`: there is no `If-Match`"),
];
const OF_ISSUE: &[(&str, &str)] = &[
    ("409", "`KEY_LIMIT_REACHED`, or `ALREADY_ISSUED` with the key and no secret"),
    ("422", "`VALIDATION_FAILED` with every field that breaks a rule, or `IDEMPOTENCY_MISMATCH`"),
];
const NO_KEY: (&str, &str) = ("404", "`KEY_NOT_FOUND`: no such key, or another owner's");

/// Of every request that may have a body.
const OF_BODY: [(&str, &str); 2] = [
    ("413", "`BODY_TOO_LARGE`: 64 KiB are the most"),
    ("415", "`UNSUPPORTED_MEDIA_TYPE`: send `application/json`"),
];

pub(super) fn describe(route: Route) -> Operation {
    let words = words(route);
    let is_public = matches!(route, Route::Document);
    let (status, schema) = words.success;
    let mut described = OperationBuilder::new()
        .operation_id(Some(words.name))
        .summary(Some(words.summary))
        .tag("API keys")
        .response(status, success(status, words.summary, schema));
    for parameter in words.parameters {
        described = described.parameter(parameter);
    }
    if is_public {
        return described.securities(Some([SecurityRequirement::default()])).build();
    }
    let reads_body = words.body.is_some() || matches!(route, Route::Delete);
    let of_body = OF_BODY.iter().filter(|_| reads_body);
    for (status, description) in ALWAYS.iter().chain(of_body).chain(words.errors) {
        described = described.response(*status, error(status, description));
    }
    described
        .request_body(words.body.map(body))
        .security(SecurityRequirement::new("bearer", [] as [&str; 0]))
        .security(SecurityRequirement::new("api_key", [] as [&str; 0]))
        .build()
}

fn words(route: Route) -> Words {
    let of_key = |name, summary, body, schema, errors| Words {
        name,
        summary,
        parameters: vec![id()],
        body,
        success: ("200", schema),
        errors,
    };
    let of_all = |name, summary, parameters, schema| Words {
        name,
        summary,
        parameters,
        body: None,
        success: ("200", schema),
        errors: &[],
    };
    let nothing = Some("Nothing");
    match route {
        Route::Delete => of_key("delete_key", "Revoke a key", None, "ChangedKey", OF_CHANGE),
        Route::Disable => {
            of_key("disable_key", "Switch a key off for now", nothing, "ChangedKey", OF_CHANGE)
        }
        Route::Document => of_all("document", "This document", Vec::new(), ""),
        Route::Enable => {
            of_key("enable_key", "Switch a key on again", nothing, "ChangedKey", OF_CHANGE)
        }
        Route::Events => Words {
            parameters: vec![id(), limit(), cursor()],
            ..of_key("key_events", "What was done to a key", None, "EventPage", OF_KEY)
        },
        Route::Explain => of_key(
            "explain_key",
            "Decide a described request, and tell every check",
            Some("DescribedRequest"),
            "Trace",
            OF_KEY,
        ),
        Route::FinishRotation => {
            let summary = "End the grace of a rotation";
            of_key("finish_rotation", summary, nothing, "ChangedKey", OF_CHANGE)
        }
        Route::Get => of_key("get_key", "One key", None, "Key", OF_KEY),
        Route::Issue => Words {
            name: "issue_key",
            summary: "Issue a key; its secret is in this answer only",
            parameters: vec![idempotency_key()],
            body: Some("NewKey"),
            success: ("201", "KeyWithSecret"),
            errors: OF_ISSUE,
        },
        Route::List => of_all("list_keys", "A page of keys", filters(), "KeyPage"),
        Route::Options => {
            of_all("key_options", "What a new key may be given", Vec::new(), "Options")
        }
        Route::Regenerate => {
            let summary = "Replace a key's secret at once";
            of_key("regenerate_key", summary, nothing, "KeyWithSecret", OF_CHANGE)
        }
        Route::Reports => of_all("key_reports", "Keys that want attention", Vec::new(), "Reports"),
        Route::Revoke => {
            of_key("revoke_key", "Revoke a key", Some("Revocation"), "ChangedKey", OF_CHANGE)
        }
        Route::Rotate => {
            let summary = "Give a key a second secret, and let the first run out";
            of_key("rotate_key", summary, Some("Rotation"), "KeyWithSecret", OF_CHANGE)
        }
        Route::Update => Words {
            parameters: vec![id(), if_match()],
            ..of_key("update_key", "Edit a key", Some("KeyEdit"), "ChangedKey", OF_EDIT)
        },
        Route::Usage => of_key("key_usage", "How a key has been used", None, "Usage", OF_KEY),
    }
}

fn success(status: &str, summary: &str, schema: &str) -> Response {
    let content = match schema {
        "" => Content::new(Some(ObjectBuilder::new().build())),
        schema => Content::new(Some(Ref::from_schema_name(schema))),
    };
    let mut response = ResponseBuilder::new().description(summary).content(JSON, content);
    if matches!(schema, "Key" | "ChangedKey" | "KeyWithSecret") {
        response = response.header("ETag", header("The revision, for `If-Match`"));
    }
    if status == "201" {
        response = response.header("Location", header("Where the key is"));
    }
    response.build()
}

fn error(status: &str, description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Error")));
    let response = ResponseBuilder::new().description(description).content(JSON, content);
    match status {
        "400" | "401" | "403" => response.header("WWW-Authenticate", header("How to authenticate")),
        "429" | "503" => response.header("Retry-After", header("After how many seconds")),
        _ => response,
    }
    .build()
}

const JSON: &str = "application/json";

fn body(schema: &str) -> RequestBody {
    // Of these the one field is needed.
    let required = if schema == "NewKey" { Required::True } else { Required::False };
    RequestBodyBuilder::new()
        .content(JSON, Content::new(Some(Ref::from_schema_name(schema))))
        .required(Some(required))
        .build()
}

fn header(description: &str) -> Header {
    let mut header = Header::new(text());
    header.description = Some(description.to_owned());
    header
}

fn id() -> Parameter {
    let shape = text().pattern(Some("^key_[0-9abcdefghjkmnpqrstvwxyz]{16}$"));
    parameter("id", ParameterIn::Path, "The public id of a key", shape)
}

fn idempotency_key() -> Parameter {
    let description = "Makes no second key of a request that is sent again with it";
    let shape = text().pattern(Some("^[!-~]{1,255}$"));
    parameter("Idempotency-Key", ParameterIn::Header, description, shape)
}

fn if_match() -> Parameter {
    let description = "The `ETag` of the key as you saw it, or `*`";
    let shape = text().pattern(Some(r#"^("[0-9]{1,19}"|\*)$"#));
    let mut parameter = parameter("If-Match", ParameterIn::Header, description, shape);
    parameter.required = Required::True;
    parameter
}

fn limit() -> Parameter {
    let shape = of_type(Type::Integer).minimum(Some(1)).maximum(Some(1_000));
    query("limit", "At most so many; 100, if left out", shape)
}

fn cursor() -> Parameter {
    query("cursor", "The `next` of the page before", text())
}

fn filters() -> Vec<Parameter> {
    let statuses = ["active", "expired", "inactive", "revoked", "scheduled", "unreadable"];
    vec![
        query("status", "Only those that stand so", text().enum_values(Some(statuses))),
        query("environment", "Only those of this environment", text()),
        query("owner", "Only this owner's", text()),
        query("created_by", "Only those issued by an actor of this name", text()),
        query("expires_before", "Only those that expire before this instant", instant()),
        query("search", "Only those with this in their name, id or owner", text()),
        query("include_revoked", "Revoked ones too", of_type(Type::Boolean)),
        limit(),
        cursor(),
    ]
}

fn query(name: &str, description: &str, shape: ObjectBuilder) -> Parameter {
    parameter(name, ParameterIn::Query, description, shape)
}

fn parameter(name: &str, place: ParameterIn, description: &str, shape: ObjectBuilder) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(Some(description))
        .schema(Some(shape.build()))
        .build()
}

fn text() -> ObjectBuilder {
    of_type(Type::String)
}

fn instant() -> ObjectBuilder {
    use utoipa::openapi::{KnownFormat, SchemaFormat};
    text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

fn of_type(of: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::new(of))
}
