//! What the demo shows: steps, facts and a bar, with colours and live lines only at a terminal.
//!
//! The same run is watched at a terminal and kept in CI's log; the log gets plain lines and no control
//! characters.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use crate::app::usecase::time_format::format_duration;

const BAR_WIDTH: usize = 30;
/// How often a log gets a line while something takes its time, on the simulated clock.
const LINE_EVERY: Duration = Duration::from_mins(3);

/// The demo's output.
#[derive(Debug)]
pub(super) struct Screen {
    live: bool,
    colours: bool,
    next_line: Duration,
}

impl Screen {
    /// Standard output as it is: a terminal or not. `NO_COLOR` is honoured.
    pub(super) fn new() -> Self {
        let live = stdout().is_terminal();
        let colours = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live, colours, next_line: Duration::ZERO }
    }

    /// A heading.
    pub(super) fn title(&self, text: &str) {
        Self::line(&format!("\n{}", self.paint("1", text)));
    }

    /// Something that held.
    pub(super) fn held(&self, text: &str) {
        Self::line(&format!("  {} {text}", self.paint("32", if self.colours { "✓" } else { "ok" })));
    }

    /// A fact.
    pub(super) fn fact(&self, text: &str) {
        Self::line(&format!("     {}", self.paint("2", text)));
    }

    /// Begins something that takes its time.
    pub(super) fn begin(&mut self) {
        self.next_line = Duration::ZERO;
    }

    /// Shows how far it is: a bar at a terminal, now and then a line elsewhere.
    pub(super) fn progress(&mut self, state: &str, so_far: Duration, usual: Duration) {
        let text = format!("{state}, {} simulated, usually {}", format_duration(so_far), format_duration(usual));
        if self.live {
            let bar = self.paint("36", &bar(so_far, usual));
            print!("\r\x1b[2K     {bar} {text}");
            let _ = stdout().flush();
        } else if so_far >= self.next_line {
            self.next_line = so_far + LINE_EVERY;
            Self::line(&format!("     {text}"));
        }
    }

    /// Ends it; the bar goes.
    pub(super) fn end(&self) {
        if self.live {
            print!("\r\x1b[2K");
            let _ = stdout().flush();
        }
    }

    /// A line as it is.
    pub(super) fn line(text: &str) {
        // A reader that went away (a closed pipe) ends nothing.
        let _ = writeln!(stdout(), "{text}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn bar(so_far: Duration, usual: Duration) -> String {
    let share = so_far.as_secs_f64() / usual.as_secs_f64().max(1.0);
    // The share is between 0 and 1, so the product fits.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let filled = (share.clamp(0.0, 1.0) * BAR_WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(filled), "-".repeat(BAR_WIDTH - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_never_overflows() {
        let minutes = Duration::from_mins;
        assert_eq!(bar(minutes(0), minutes(12)), format!("[{}]", "-".repeat(30)));
        assert_eq!(bar(minutes(6), minutes(12)), format!("[{}{}]", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(minutes(99), minutes(12)), format!("[{}]", "#".repeat(30)));
        assert_eq!(bar(minutes(1), minutes(0)).len(), 32);
    }
}
