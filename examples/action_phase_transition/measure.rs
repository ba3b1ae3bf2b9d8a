//! Numbers of a run.

use super::problem::{Problem, Sweep};
use ergodic::Result;
use ergodic::methods::action::{Passage, Transition};
use ergodic::report::{History, Metrics, Run};

const COLUMNS: [&str; 9] = [
    "s_up",
    "s_down",
    "s_error",
    "h_residual_max",
    "iterations",
    "saddle_min",
    "saddle_max",
    "saddle_mean",
    "saddle_index",
];

fn figures(passage: &Passage) -> [f64; 9] {
    let (min, max, mean) = passage.saddle.profile();
    [
        passage.up.value,
        passage.down.value,
        passage.up.error.max(passage.down.error),
        passage.up.h_residual().max(passage.down.h_residual()),
        (passage.up.steps + passage.down.steps) as f64,
        min,
        max,
        mean,
        passage.saddle.index() as f64,
    ]
}

/// `-1` where the low state is the harder one to leave, `1` where the high one is, `0` where errors do not tell.
fn preferred(passage: &Passage) -> f64 {
    match passage.difference() {
        small if small.abs() <= passage.error() => 0.0,
        difference => -difference.signum(),
    }
}

/// Names of a point begin with `prefix`.
pub fn passage(metrics: &mut Metrics, prefix: &str, passage: &Passage) {
    for (name, value) in COLUMNS.iter().zip(figures(passage)) {
        metrics.set(format!("{prefix}{name}"), value);
    }
    metrics.set(format!("{prefix}preferred"), preferred(passage));
    let stops = passage.up.through.len() + passage.down.through.len();
    metrics.set(format!("{prefix}stops"), stops as f64).set(format!("{prefix}rests"), passage.rests.len() as f64);
    let all = passage.up.converged() && passage.down.converged();
    metrics.set(format!("{prefix}converged"), f64::from(u8::from(all)));
}

/// One line a point.
pub fn history(run: &Run, points: &[(Vec<f64>, Option<&Passage>)], names: &[&str]) -> Result<()> {
    let columns: Vec<_> = names.iter().copied().chain(COLUMNS).collect();
    let mut history = History::create(run.path("history.csv"), &columns)?;
    for (i, (at, passage)) in points.iter().enumerate() {
        let found = passage.map_or([f64::NAN; 9], figures);
        history.append(i as u64 + 1, &[&at[..], &found].concat())?;
    }
    Ok(())
}

/// Numbers of a sweep, point by point, and what was found.
pub fn sweep(run: &mut Run, sweep: &Sweep, found: &[Result<Passage>]) -> Result<String> {
    let at = |i: usize| <[f64; 2]>::from(sweep.at(i)).to_vec();
    let points: Vec<_> = found.iter().enumerate().map(|(i, passage)| (at(i), passage.as_ref().ok())).collect();
    history(run, &points, &[&sweep.x.parameter, &sweep.y.parameter])?;
    for (i, found) in found.iter().enumerate() {
        if let Ok(found) = found {
            passage(&mut run.metrics, &format!("point_{:03}.", i + 1), found);
        }
    }
    let bistable = found.iter().flatten().count();
    let high = found.iter().flatten().filter(|passage| passage.difference() < 0.0).count();
    run.metrics.set("points", found.len() as f64);
    run.metrics.set("bistable_points", bistable as f64);
    run.metrics.set("high_points", high as f64);
    let resting = found.iter().flatten().filter(|passage| !passage.rests.is_empty()).count();
    run.metrics.set("resting_points", resting as f64);
    let rests = match resting {
        0 => String::new(),
        n => {
            format!("; beyond the nucleus of {n} lies a third state, where neither action is that of the whole passage")
        }
    };
    let none = found.iter().enumerate().find_map(|(i, found)| found.as_ref().err().map(|error| (sweep.at(i), error)));
    let why = none.map(|((at_x, at_y), error)| {
        let (x, y, said) = (&sweep.x.parameter, &sweep.y.parameter, error.to_string());
        format!("; at {x} = {at_x:.4}, {y} = {at_y:.4}: {}", said.lines().next().unwrap_or_default())
    });
    let why = why.unwrap_or_default();
    Ok(format!("{bistable} of {} points have two states; {high} of them prefer the high one{rests}{why}", found.len()))
}

pub fn nearest_to_the_line(found: &[Result<Passage>]) -> Option<&Passage> {
    found.iter().flatten().min_by(|a, b| a.difference().abs().total_cmp(&b.difference().abs()))
}

pub fn said(passage: &Passage) -> String {
    let verdict = match preferred(passage) {
        p if p < 0.0 => "the low state is preferred",
        p if p > 0.0 => "the high state is preferred",
        _ => "no state is preferred",
    };
    let rests = if passage.rests.is_empty() { "" } else { "; beyond it lies a third state, not the other one" };
    format!(
        "S up {:.6} +- {:.1e}, down {:.6} +- {:.1e}: {verdict}; the nucleus has index {}{rests}",
        passage.up.value,
        passage.up.error,
        passage.down.value,
        passage.down.error,
        passage.saddle.index()
    )
}

pub fn transition(metrics: &mut Metrics, problem: &Problem, found: &Transition) {
    if let Some(search) = &problem.transition {
        metrics.set(format!("transition_{}", search.parameter), found.at);
        metrics.set(format!("transition_{}_error", search.parameter), found.error);
        metrics.set("transition_s", found.passage.up.value);
        metrics.set("transition_tried", found.tried as f64);
    }
}

pub fn said_transition(problem: &Problem, found: &Transition) -> String {
    let name = problem.transition.as_ref().map_or("", |search| &search.parameter);
    format!("both directions cost {:.6} at {name} = {:.6} +- {:.1e}", found.passage.up.value, found.at, found.error)
}
