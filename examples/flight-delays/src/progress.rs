//! A bar for whoever watches: drawn on a terminal, and nowhere else.

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use sabot::{JobError, JobHandle, JobMetrics};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// Between two looks at the job.
const TICK: Duration = Duration::from_millis(50);

/// Waits for the end of a job, and shows how many rows of `source` were read.
pub(crate) fn wait(job: &JobHandle, source: &str) -> Result<JobMetrics, JobError> {
    if std::io::stderr().is_terminal() {
        let bar = bar(job.metrics().sources.get(source).and_then(|source| source.rows_total));
        while !job.is_finished() {
            bar.set_position(job.metrics().sources.get(source).map_or(0, |source| source.rows_read));
            std::thread::sleep(TICK);
        }
        bar.finish_and_clear();
    }
    job.wait()
}

/// A bar where the number of rows is known; the lines of a text file are not, and are only counted.
fn bar(rows_total: Option<u64>) -> ProgressBar {
    let (bar, template) = match rows_total {
        Some(rows) => {
            (ProgressBar::new(rows), "{wide_bar} {human_pos} of {human_len} flights, {rate} a second")
        }
        None => (ProgressBar::new_spinner(), "{spinner} {human_pos} flights, {rate} a second"),
    };
    // A bar that cannot be written is nobody's loss.
    let rate = |state: &ProgressState, text: &mut dyn Write| {
        let _ = write!(text, "{}", HumanCount(state.per_sec() as u64));
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}
