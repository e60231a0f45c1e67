//! Bars for whoever watches: drawn on a terminal, and nowhere else.

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use sabot::{JobError, JobHandle, JobMetrics};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks at the job.
const TICK: Duration = Duration::from_millis(50);

/// Waits for the end of a job, and shows how many of so many transactions were read.
pub(crate) fn wait(job: &JobHandle, what: &'static str, total: Option<u64>) -> Result<JobMetrics, JobError> {
    let bar =
        bar(what, total.or_else(|| job.metrics().sources.values().find_map(|source| source.rows_total)));
    if !bar.is_hidden() {
        while !job.is_finished() {
            bar.set_position(job.metrics().rows_read);
            std::thread::sleep(TICK);
        }
    }
    bar.finish_and_clear();
    job.wait()
}

/// A bar where the number of rows is known; the lines of a text file are not, and are only counted. Hidden where no
/// terminal is.
pub(crate) fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(rows) => {
            (ProgressBar::new(rows), "{msg} {wide_bar} {human_pos} of {human_len}, {rate} a second")
        }
        None => (ProgressBar::new_spinner(), "{msg} {spinner} {human_pos} transactions, {rate} a second"),
    };
    // A bar that cannot be written is nobody's loss.
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{}", HumanCount(state.per_sec() as u64));
    };
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    };
    bar.with_message(what)
}
