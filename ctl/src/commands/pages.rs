//! Follows pages to their end.

use tonic::Status;

use crate::client::Failure;

/// The most that one page may hold; fewer questions are faster.
pub(super) const PAGE: i32 = 1_000;

/// Asks for page after page, with the token that the last one gave, until there is none or `most` are there.
pub(super) async fn all<T, F>(most: usize, mut ask: impl FnMut(String) -> F) -> Result<Vec<T>, Failure>
where
    F: Future<Output = Result<(Vec<T>, String), Status>>,
{
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = ask(token.clone()).await?;
        found.extend(page);
        if next.is_empty() || found.len() >= most {
            found.truncate(most);
            return Ok(found);
        }
        if next == token {
            // A server that says the same page again would never end.
            return Err(Failure::Other(anyhow::anyhow!("the server repeats a page; please report this as a defect")));
        }
        token = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_followed_to_the_end_and_never_for_ever() {
        let ask = |token: String| async move {
            Ok(match token.as_str() {
                "" => (vec![1, 2], "2".to_owned()),
                _ => (vec![3], String::new()),
            })
        };
        assert_eq!(all(usize::MAX, ask).await.unwrap(), [1, 2, 3]);
        assert_eq!(all(2, ask).await.unwrap(), [1, 2]);
        let stuck = all(usize::MAX, |_| async { Ok((vec![1], "same".to_owned())) }).await;
        assert!(stuck.unwrap_err().to_string().contains("repeats a page"));
    }
}
