//! Pictures: both directions in space and arclength, the nucleus, the phase diagram with its line.

use super::problem::{Problem, Sweep};
use ergodic::Result;
use ergodic::methods::action::{Climb, Passage, Path};
use ergodic::report::{Plot, Run, write_figure};

/// Both directions beside each other.
pub fn paths(run: &Run, problem: &Problem, passage: &Passage) -> Result<()> {
    let plots = match problem.system().sites() {
        1 => vec![],
        2 => vec![plane(passage)],
        _ => vec![
            field("From the low state to the nucleus", &passage.up),
            field("From the high state to the nucleus", &passage.down),
        ],
    };
    let momentum = |name: &str, climb: &Climb| {
        let (s, size) = momenta(climb);
        (name.to_string(), s, size)
    };
    let mut cost = Plot::new("What a piece of the path costs").x("arclength / length").y("action per length");
    for (name, s, size) in [momentum("from low", &passage.up), momentum("from high", &passage.down)] {
        cost = cost.line(&name, &s, &size);
    }
    let all: Vec<_> = plots.into_iter().chain([cost]).collect();
    write_figure(run.path("paths.png"), all.len().min(2), &all)
}

/// Cost density along a path, over the arclength of all legs.
fn momenta(climb: &Climb) -> (Vec<f64>, Vec<f64>) {
    let length: f64 = climb.legs.iter().map(|leg| leg.path.length()).sum();
    let (mut before, mut s, mut density) = (0.0, vec![], vec![]);
    for leg in &climb.legs {
        let (at, d) = (leg.path.arclength(), leg.path.sites());
        for (i, w) in at.windows(2).enumerate() {
            let (from, to) = (leg.path.state(i), leg.path.state(i + 1));
            let theta = &leg.momenta.theta[i * d..(i + 1) * d];
            let cost: f64 = theta.iter().zip(from.iter().zip(to)).map(|(theta, (a, b))| theta * (b - a)).sum();
            s.push((before + 0.5 * (w[0] + w[1])) / length);
            density.push(cost * climb.site_weight / (w[1] - w[0]));
        }
        before += leg.path.length();
    }
    (s, density)
}

/// Two sites in their plane.
fn plane(passage: &Passage) -> Plot {
    let columns = |path: &Path| {
        let of = |x: usize| path.states().iter().skip(x).step_by(2).copied().collect::<Vec<_>>();
        (of(0), of(1))
    };
    let (up, down) = (columns(&passage.up.path()), columns(&passage.down.path()));
    let dot = |state: &[f64]| (vec![state[0]], vec![state[1]]);
    let (low, high, saddle) = (dot(&passage.low.state), dot(&passage.high.state), dot(&passage.saddle.state));
    let plot = Plot::new("Most likely paths").x("site 1").y("site 2");
    let plot = plot.line("from low", &up.0, &up.1).line("from high", &down.0, &down.1);
    let plot = plot.points("low", &low.0, &low.1).points("high", &high.0, &high.1);
    plot.points("nucleus", &saddle.0, &saddle.1)
}

/// States along a path, one row a node.
fn field(title: &str, climb: &Climb) -> Plot {
    let path = climb.path();
    let (n, d) = (path.n().min(201), path.sites());
    let even = path.respaced(n).unwrap_or(path);
    let plot = Plot::new(title).x("site").y("arclength / length");
    plot.x_range(0.5, d as f64 + 0.5).y_range(0.0, 1.0).heat(
        "state",
        even.states(),
        d,
        (0.5, 0.0),
        (d as f64 + 0.5, 1.0),
    )
}

/// The nucleus between the two states.
pub fn nucleus(run: &Run, problem: &Problem, passage: &Passage) -> Result<()> {
    let d = problem.system().sites();
    let sites: Vec<_> = (1..=d).map(|x| x as f64).collect();
    let plot = Plot::new("Critical nucleus").x("site").y("state").line("nucleus", &sites, &passage.saddle.state);
    let plot = plot.points("nucleus", &sites, &passage.saddle.state);
    let (low, _, _) = passage.low.profile();
    let (_, high, _) = passage.high.profile();
    write_figure(run.path("nucleus.png"), 1, &[plot.level("low state", low).level("high state", high)])
}

/// `S_up - S_down` over two parameters, and where it vanishes.
pub fn phase(run: &Run, sweep: &Sweep, found: &[Result<Passage>]) -> Result<()> {
    let (nx, ny) = (sweep.x.points, sweep.y.points);
    let values: Vec<_> = found.iter().map(|p| p.as_ref().map_or(f64::NAN, Passage::difference)).collect();
    let half = |from: f64, to: f64, n: usize| 0.5 * (to - from) / (n - 1) as f64;
    let (dx, dy) = (half(sweep.x.from, sweep.x.to, nx), half(sweep.y.from, sweep.y.to, ny));
    let (from, to) = ((sweep.x.from - dx, sweep.y.from - dy), (sweep.x.to + dx, sweep.y.to + dy));
    let line = line(sweep, &values);
    let plot = Plot::new("Which state is harder to leave").x(&sweep.x.parameter).y(&sweep.y.parameter);
    let plot = plot.x_range(from.0, to.0).y_range(from.1, to.1).heat("S up - S down", &values, nx, from, to);
    let (x, y): (Vec<_>, Vec<_>) = line.into_iter().unzip();
    // The first label is blue, too near to the colours of the field.
    let mut plot = plot.points("sign changes between neighbours", &x, &y).line("equal action", &x, &y);
    let resting = |i: &usize| found[*i].as_ref().is_ok_and(|passage| !passage.rests.is_empty());
    let (x, y): (Vec<_>, Vec<_>) = (0..found.len()).filter(resting).map(|i| sweep.at(i)).unzip();
    if !x.is_empty() {
        plot = plot.points("a third state beyond the nucleus", &x, &y);
    }
    write_figure(run.path("phase.png"), 1, &[plot])
}

/// Places between neighbours at which the difference changes its sign, by linear interpolation, in order of the second parameter.
fn line(sweep: &Sweep, values: &[f64]) -> Vec<(f64, f64)> {
    let nx = sweep.x.points;
    let mut places = vec![];
    let mut cross = |i: usize, j: usize| {
        let (a, b) = (values[i], values[j]);
        if a * b < 0.0 {
            let t = a / (a - b);
            let ((x0, y0), (x1, y1)) = (sweep.at(i), sweep.at(j));
            places.push((x0 + t * (x1 - x0), y0 + t * (y1 - y0)));
        }
    };
    for i in 0..values.len() {
        if i % nx + 1 < nx {
            cross(i, i + 1);
        }
        if i + nx < values.len() {
            cross(i, i + nx);
        }
    }
    places.sort_by(|a, b| a.1.total_cmp(&b.1));
    places
}
