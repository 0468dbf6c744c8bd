//! Tokens, field by field.

/// The fields of a well-formed token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub prefix: String,
    pub id: String,
    pub secret: String,
    pub check: String,
}

const ID: &str = "0123456789abcdefghjkmnpqrstvwxyz";
const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl Token {
    /// `prefix "_1" id "_" secret check`, whose prefix is one of these, whether or not the
    /// checksum belongs to it.
    pub fn shaped(text: &str, prefixes: &[&str]) -> Option<Self> {
        prefixes.iter().find_map(|prefix| {
            let rest = text.strip_prefix(prefix)?.strip_prefix("_1")?;
            let (id, field) = rest.split_once('_')?;
            let fits = id.len() == 16
                && id.chars().all(|c| ID.contains(c))
                && field.len() == 49
                && field.chars().all(|c| BASE62.contains(c));
            fits.then(|| Self {
                prefix: (*prefix).to_owned(),
                id: id.to_owned(),
                secret: field[..43].to_owned(),
                check: field[43..].to_owned(),
            })
        })
    }

    /// What [`Token::shaped`] reads, if the checksum belongs to it.
    pub fn parse(text: &str, prefixes: &[&str]) -> Option<Self> {
        Self::shaped(text, prefixes).filter(Self::is_whole)
    }

    pub fn is_whole(&self) -> bool {
        check(&self.body()) == self.check
    }

    pub fn print(&self) -> String {
        self.body() + &self.check
    }

    fn body(&self) -> String {
        format!("{}_1{}_{}", self.prefix, self.id, self.secret)
    }
}

/// The CRC-32 of zlib, a bit at a time, as six digits of base62.
pub fn check(body: &str) -> String {
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let digit = |place: u32| {
        let value = u64::from(!crc) / 62_u64.pow(place) % 62;
        char::from(BASE62.as_bytes()[usize::try_from(value).unwrap()])
    };
    (0..6).rev().map(digit).collect()
}

/// `[a-z][a-z0-9]*(_[a-z0-9]+)*` of 2 to 32 bytes, no segment of which is `1` and an id.
pub fn is_prefix(text: &str) -> bool {
    (2..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.split('_').all(|part| {
            let is_id = part.len() == 17
                && part.starts_with('1')
                && part.chars().skip(1).all(|c| ID.contains(c));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            !part.is_empty() && part.chars().all(plain) && !is_id
        })
}

/// Whether a text is the public form of an id.
pub fn is_key_id(text: &str) -> bool {
    text.strip_prefix("key_").is_some_and(|id| id.len() == 16 && id.chars().all(|c| ID.contains(c)))
}

/// The bits of an id's characters, five each.
pub fn id_bytes(id: &str) -> Vec<u8> {
    let number = id
        .chars()
        .fold(0_u128, |number, c| number << 5 | u128::try_from(ID.find(c).unwrap()).unwrap());
    number.to_be_bytes()[6..].to_vec()
}
