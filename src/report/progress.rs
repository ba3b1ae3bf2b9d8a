//! How far a run is, on standard error: a bar with the time left on a terminal, a line every ten seconds elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// A progress bar with the figures that matter.
pub struct Progress {
    name: String,
    total: u64,
    started: Instant,
    first: u64,
    output: Output,
}

enum Output {
    Bar(ProgressBar),
    Lines { sink: Box<dyn Write + Send>, interval: Duration, due: Instant },
}

impl Progress {
    /// A bar for steps `first..total`; `first` is above 0 in a run that goes on from a checkpoint.
    #[must_use]
    pub fn new(name: &str, first: u64, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::lines(name, first, total, INTERVAL, Box::new(std::io::stderr()));
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        let template = "{prefix} {wide_bar:.cyan/238} {pos}/{len}  {eta} left  {msg}";
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_string());
        bar.set_position(first);
        bar.reset_eta();
        Self { name: name.into(), total, started: Instant::now(), first, output: Output::Bar(bar) }
    }

    /// Plain lines, at most one an interval, to any writer; write errors are ignored, since a run should outlive its terminal.
    #[must_use]
    pub fn lines(name: &str, first: u64, total: u64, interval: Duration, sink: Box<dyn Write + Send>) -> Self {
        let started = Instant::now();
        let output = Output::Lines { sink, interval, due: started };
        Self { name: name.into(), total, started, first, output }
    }

    /// Shows that `step` steps are done, with figures such as `cross-entropy 12.1  ess 0.72`.
    ///
    /// `figures` are formatted only when they are shown: calling this every step costs next to nothing.
    pub fn set(&mut self, step: u64, figures: fmt::Arguments<'_>) {
        let now = Instant::now();
        match &mut self.output {
            Output::Bar(bar) => {
                bar.set_message(figures.to_string());
                bar.set_position(step);
            }
            Output::Lines { sink, interval, due } if now >= *due => {
                *due = now + *interval;
                let done = step.saturating_sub(self.first);
                let left = self.total.saturating_sub(step);
                let left = seconds(self.started.elapsed().as_secs_f64() * left as f64 / done.max(1) as f64);
                let left = if done == 0 { String::new() } else { format!("  {left} left") };
                let _ = writeln!(sink, "{} {step}/{}{left}  {figures}", self.name, self.total);
            }
            Output::Lines { .. } => {}
        }
    }

    /// Takes the bar away and leaves one last line.
    pub fn finish(mut self, figures: fmt::Arguments<'_>) {
        let took = seconds(self.started.elapsed().as_secs_f64());
        let line = format!("{} {}/{} in {took}  {figures}", self.name, self.total, self.total);
        match &mut self.output {
            Output::Bar(bar) => {
                bar.finish_and_clear();
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Output::Lines { sink, .. } => {
                let _ = writeln!(sink, "{line}");
            }
        }
    }
}

/// `42 s`, `3 min 5 s` or `2 h 10 min`.
fn seconds(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}
