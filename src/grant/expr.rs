//! Required scopes joined by AND and OR.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::scope::validate_required;
use crate::error::FieldError;

const LONGEST: usize = 4096;
const DEEPEST: usize = 32;
const MOST_TERMS: usize = 64;

/// A parsed expression over required scopes.
///
/// Scopes joined by `AND` and `OR`, grouped by parentheses; `AND` binds tighter.
/// The keywords are recognised in any case, so an expression cannot name a scope
/// that is spelled like one. Wildcards are refused. At most 4,096 bytes, 64
/// scopes and 32 levels of parentheses. Shown as it was written.
///
/// ```
/// use keyward::ScopeExpr;
///
/// let expr = ScopeExpr::parse("(deployments:write OR deployments:admin) AND org:read")?;
/// assert!(expr.eval(&mut |scope| scope != "deployments:write"));
/// assert!(!expr.eval(&mut |scope| scope != "org:read"));
/// # Ok::<(), keyward::FieldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScopeExpr {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// A program for one truth value: a skip passes over the right-hand side that
/// can no longer change it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Skip { when: bool, over: usize },
    Term(Range<usize>),
}

impl ScopeExpr {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// If it breaks the grammar or a limit above; the error names the position,
    /// in bytes from 1.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        if text.len() > LONGEST {
            let rule = "must be at most 4096 bytes";
            return Err(FieldError::new(FIELD, text, rule));
        }
        let mut parser = Parser { text, at: 0, terms: 0, steps: Vec::new() };
        parser.alternatives(0)?;
        match parser.peek() {
            (Token::End, _) => Ok(Self { text: text.into(), steps: parser.steps.into() }),
            (_, found) => Err(parser.error(&found, "must go on with AND or OR, or end,")),
        }
    }

    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scopes, in the order of the text.
    pub fn terms(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| match step {
            Step::Term(at) => self.text.get(at.clone()),
            Step::Skip { .. } => None,
        })
    }

    /// Whether the expression holds, given which scopes are granted.
    ///
    /// Asks at most once for each scope in the text, and not for those that can
    /// no longer change the answer. Allocates nothing and does not recurse.
    pub fn eval(&self, granted: &mut dyn FnMut(&str) -> bool) -> bool {
        let mut holds = false;
        let mut rest = &*self.steps;
        while let Some((step, next)) = rest.split_first() {
            rest = next;
            match step {
                Step::Skip { when, over } if *when == holds => {
                    rest = next.get(*over..).unwrap_or_default();
                }
                Step::Skip { .. } => {}
                Step::Term(at) => holds = self.text.get(at.clone()).is_some_and(&mut *granted),
            }
        }
        holds
    }
}

impl FromStr for ScopeExpr {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        Self::parse(text)
    }
}

impl fmt::Display for ScopeExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

const FIELD: &str = "expression";

struct Parser<'a> {
    text: &'a str,
    at: usize,
    terms: usize,
    steps: Vec<Step>,
}

#[derive(PartialEq)]
enum Token {
    And,
    Close,
    End,
    Open,
    Or,
    Scope,
}

impl Parser<'_> {
    fn alternatives(&mut self, depth: usize) -> Result<(), FieldError> {
        self.joined(&Token::Or, true, |parser| {
            parser.joined(&Token::And, false, |parser| parser.operand(depth))
        })
    }

    /// Operands joined by `keyword`; one that comes out as `decided` decides.
    fn joined(
        &mut self,
        keyword: &Token,
        decided: bool,
        mut operand: impl FnMut(&mut Self) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        operand(self)?;
        while self.take(keyword) {
            let skip = self.steps.len();
            self.steps.push(Step::Skip { when: decided, over: 0 });
            operand(self)?;
            let length = self.steps.len() - skip - 1;
            if let Some(Step::Skip { over, .. }) = self.steps.get_mut(skip) {
                *over = length;
            }
        }
        Ok(())
    }

    fn operand(&mut self, depth: usize) -> Result<(), FieldError> {
        let (token, found) = self.peek();
        match token {
            Token::Open if depth == DEEPEST => {
                Err(self.error(&found, "must have at most 32 levels of parentheses, exceeded"))
            }
            Token::Open => {
                self.at = found.end;
                self.alternatives(depth + 1)?;
                if self.take(&Token::Close) {
                    return Ok(());
                }
                let (_, found) = self.peek();
                Err(self.error(&found, "must go on with AND, OR or `)`"))
            }
            Token::Scope if self.terms == MOST_TERMS => {
                Err(self.error(&found, "must have at most 64 scopes, exceeded"))
            }
            Token::Scope => {
                let scope = self.text.get(found.clone()).unwrap_or_default();
                validate_required(scope)
                    .map_err(|error| self.error(&found, &format!("{},", error.rule())))?;
                self.at = found.end;
                self.terms += 1;
                self.steps.push(Step::Term(found));
                Ok(())
            }
            Token::And | Token::Close | Token::End | Token::Or => {
                Err(self.error(&found, "must have a scope or `(`"))
            }
        }
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let (next, found) = self.peek();
        let matches = next == *wanted;
        if matches {
            self.at = found.end;
        }
        matches
    }

    fn peek(&self) -> (Token, Range<usize>) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let rest = rest.trim_ascii_start();
        let start = self.text.len() - rest.len();
        let word = rest
            .split(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | ')'))
            .next()
            .unwrap_or_default();
        let (token, length) = match rest.as_bytes().first() {
            None => (Token::End, 0),
            Some(b'(') => (Token::Open, 1),
            Some(b')') => (Token::Close, 1),
            Some(_) if word.eq_ignore_ascii_case("and") => (Token::And, word.len()),
            Some(_) if word.eq_ignore_ascii_case("or") => (Token::Or, word.len()),
            Some(_) => (Token::Scope, word.len()),
        };
        (token, start..start + length)
    }

    fn error(&self, found: &Range<usize>, rule: &str) -> FieldError {
        let given = self.text.get(found.clone()).unwrap_or_default();
        let rule = format!("{rule} at position {}", found.start + 1);
        if given.is_empty() {
            FieldError::new(FIELD, "the end", rule)
        } else {
            FieldError::new(FIELD, given, rule)
        }
    }
}

#[cfg(test)]
#[path = "expr_tests.rs"]
mod tests;
