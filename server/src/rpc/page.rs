//! Pages of listings. Page tokens are opaque: callers hand them back and never look inside.

use tonic::Status;

use super::error;

/// The size of a page when the caller names none.
const SIZE_DEFAULT: usize = 100;

/// The largest page.
const SIZE_MAX: usize = 1_000;

/// The longest page token: a name, a prefix, and the overhead of hexadecimal.
const TOKEN_MAX: usize = 512;

/// How many items a page shall have.
///
/// # Errors
/// When the caller asks for a negative number. More than [`SIZE_MAX`] is cut to that.
pub fn size(asked: i32) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(SIZE_DEFAULT),
        Ok(size) => Ok(size.min(SIZE_MAX)),
        Err(_) => Err(error::invalid("page_size", "must not be negative; 0 means 100")),
    }
}

/// A page token for "after this key" of one listing.
#[must_use]
pub fn token(listing: &str, after: &str) -> String {
    format!("{listing}:{after}").bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The key in a page token of this listing; null at the first page.
///
/// # Errors
/// When the token is not one that [`token`] made for this listing.
pub fn after(listing: &str, token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let text = (token.len() <= TOKEN_MAX).then(|| decode(token)).flatten();
    text.and_then(|it| it.strip_prefix(listing)?.strip_prefix(':').map(str::to_owned))
        .map(Some)
        .ok_or_else(|| error::invalid("page_token", "is not one that this listing gave out; leave it empty to begin"))
}

/// One page of items in the order of their keys, and the token of the next.
#[must_use]
pub fn cut<T>(
    listing: &str,
    mut items: Vec<T>,
    after: Option<&str>,
    size: usize,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, String) {
    if let Some(after) = after {
        items.retain(|it| key(it).as_str() > after);
    }
    // By the very text that tokens hold: otherwise `h-1` and `h` could change places between two pages.
    items.sort_by_cached_key(&key);
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).map(|it| token(listing, &key(it))).unwrap_or_default();
    (items, next)
}

fn decode(token: &str) -> Option<String> {
    let digits = token.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_cover_a_listing_once() {
        let all: Vec<String> = (0..25).map(|n| format!("h{n:02}")).collect();
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let start = after("hosts", &token).unwrap();
            let (page, next) = cut("hosts", all.clone(), start.as_deref(), 10, Clone::clone);
            assert!(page.len() <= 10);
            seen.extend(page);
            if next.is_empty() {
                break;
            }
            token = next;
        }
        assert_eq!(seen, all);
        // A page that ends with the listing has no next one.
        assert_eq!(cut("hosts", all.clone(), Some("h14"), 10, Clone::clone).1, "");
    }

    #[test]
    fn bad_tokens_and_sizes_are_errors() {
        for bad in ["x", "zz", "abc", &"00".repeat(400), &token("targets", "a"), "ff"] {
            assert_eq!(after("hosts", bad).unwrap_err().code(), tonic::Code::InvalidArgument, "{bad}");
        }
        assert!(size(-1).is_err());
        assert_eq!((size(0).unwrap(), size(5).unwrap(), size(i32::MAX).unwrap()), (100, 5, 1_000));
    }
}
