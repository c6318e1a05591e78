//! The `Retry-After` header (RFC 9110 section 10.2.3), and Microsoft's headers in milliseconds.

use std::time::Duration;

use super::Response;

/// How long the server asks the client to wait: milliseconds, seconds or an HTTP date.
pub(in super::super) fn retry_after(response: &Response) -> Option<Duration> {
    let header = |name: &str| response.header(name).map(|value| value.trim().to_owned());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| header(name)?.parse().ok());
    if let Some(millis) = millis {
        return Some(Duration::from_millis(millis));
    }
    let retry = header("retry-after")?;
    // The time between two dates, both of the server's clock, which need not be this machine's.
    let until = |date: &str| {
        let now = httpdate::parse_http_date(&header("date")?).ok()?;
        httpdate::parse_http_date(date).ok()?.duration_since(now).ok()
    };
    retry.parse().ok().map(Duration::from_secs).or_else(|| until(&retry))
}
