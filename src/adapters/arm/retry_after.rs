//! `Retry-After` in all its forms (RFC 9110 section 10.2.3, and Microsoft's headers in milliseconds).

use std::time::Duration;

use super::wire::WireAnswer;

/// How long the server asks to be left alone: milliseconds, seconds or an HTTP date.
pub(super) fn retry_after(answer: &WireAnswer) -> Option<Duration> {
    let header = |name: &str| answer.headers.get(name).map(|value| value.trim());
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].iter().find_map(|name| header(name)?.parse().ok());
    let retry = || header("retry-after");
    millis
        .map(Duration::from_millis)
        .or_else(|| retry()?.parse().ok().map(Duration::from_secs))
        .or_else(|| until(retry()?, header("date")?))
}

/// The time between two HTTP dates; both are the server's, so its clock need not be ours.
fn until(date: &str, now: &str) -> Option<Duration> {
    let read = |text: &str| time::PrimitiveDateTime::parse(text, HTTP_DATE).ok();
    (read(date)? - read(now)?).try_into().ok()
}

const HTTP_DATE: &[time::format_description::BorrowedFormatItem<'_>] = time::macros::format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);
