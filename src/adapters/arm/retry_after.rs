//! `Retry-After` in all its forms (RFC 9110 section 10.2.3, and Microsoft's headers in milliseconds).

use std::time::Duration;

use super::wire::Response;

/// How long the server asks to be left alone: milliseconds, seconds or an HTTP date.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name: &str| response.header(name).map(|value| value.trim().to_owned());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| header(name)?.parse().ok());
    if let Some(millis) = millis {
        return Some(Duration::from_millis(millis));
    }
    let retry = header("retry-after")?;
    retry.parse().ok().map(Duration::from_secs).or_else(|| until(&retry, &header("date")?))
}

/// The time between two HTTP dates; both are the server's, so its clock need not be ours.
fn until(date: &str, now: &str) -> Option<Duration> {
    let read = |text: &str| httpdate::parse_http_date(text).ok();
    read(date)?.duration_since(read(now)?).ok()
}
