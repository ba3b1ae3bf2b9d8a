//! Paths of least action on a device: the f64 answers, many parameter points at once.
mod common;

use common::gpu;
use ergodic::Error;
use ergodic::methods::action::{
    Climber, GinzburgLandau, LinearSde, MaierStein, Model, Path, PathOptions, Paths, Schloegl, System,
};
use std::f64::consts::PI;

/// `n eps max |theta| |d phi|` of a path whose states and momenta are of order 1.
const FLOOR: f64 = 101.0 * f32::EPSILON as f64;

#[test]
fn maier_and_steins_barriers_are_found_together() {
    let gpu = gpu();
    let known = [(1.0, 0.5), (6.0, 0.4523427), (10.0, 0.3400414)];
    let bump = |s: f64, x: usize| if x == 1 { 0.3 * (PI * s).sin() } else { 0.0 };
    let start = Path::along(&[-1.0, 0.0], &[0.0, 0.0], 101, bump).unwrap();
    let job = |(beta, _): &(f64, f64)| (Model::new(&MaierStein, &[*beta, 1.0]).unwrap(), start.clone());
    let jobs: Vec<_> = known.iter().map(job).collect();
    let climber = Climber::new(&gpu, &MaierStein, 3, 101).unwrap();
    let found = climber.climb(&jobs, &PathOptions::default()).unwrap();
    for ((beta, want), climb) in known.iter().zip(&found) {
        assert!((climb.value - want).abs() < 1e-5 * want + FLOOR, "beta {beta}: {} {want}", climb.value);
        assert!(climb.converged() && climb.h_residual() < 1e-14, "beta {beta}");
        let ratio = (climb.coarse - want) / (climb.fine - want);
        assert!((ratio - 4.0).abs() < 0.4, "beta {beta}: ratio {ratio}");
    }
}

#[test]
fn two_sites_have_the_barriers_of_the_table_at_all_parameters_in_one_launch() {
    let (gpu, system) = (gpu(), GinzburgLandau::sites(2));
    let known = [(0.05, 0.10, 0.402646, 0.567362), (0.05, 0.26, 0.301980, 0.711926), (0.10, 0.26, 0.356435, 0.711927)];
    let climber = Climber::new(&gpu, &system, 6, 101).unwrap();
    let points: Vec<_> = known.iter().map(|(d, kappa, ..)| vec![*d, *kappa, 0.0]).collect();
    let ends = (&[-1.0; 2][..], &[1.0; 2][..]);
    let found = climber.passages(&system, &points, ends, &PathOptions::default()).unwrap();
    for ((d, kappa, up, down), found) in known.iter().zip(found) {
        let found = found.unwrap();
        for (got, want) in [(found.up.value, up), (found.down.value, down)] {
            assert!((got - want).abs() < 2e-5 * want + FLOOR, "D {d}, kappa {kappa}: {got} {want}");
        }
        assert_eq!(found.down.through.len(), usize::from(*kappa > 0.2 && *d < 1.0 / 16.0));
    }
    // Beyond the spinodal there is one state, and that point alone says so.
    let alone =
        climber.passages(&system, &[vec![0.1, 0.26, 3.0], points[2].clone()], ends, &PathOptions::default()).unwrap();
    assert!(matches!(alone[0], Err(Error::Invalid { .. })) && alone[1].is_ok());
}

#[test]
fn particles_that_hop_between_two_sites_have_their_poisson_law() {
    let (gpu, system) = (gpu(), Schloegl::new(2));
    let climber = Climber::new(&gpu, &system, 2, 41).unwrap().fine_on_device().unwrap();
    let (start, end) = ([1.0, 1.0], [2.0, 0.6]);
    let exact: f64 = end.iter().map(|rho: &f64| rho * rho.ln() - rho + 1.0).sum();
    let job =
        |d: f64| (Model::new(&system, &[d, 1.0, 1.0, 0.0, 0.0]).unwrap(), Path::straight(&start, &end, 41).unwrap());
    let options = PathOptions { free_end: true, ..PathOptions::default() };
    for climb in climber.climb(&[job(0.3), job(1.0)], &options).unwrap() {
        assert!((climb.value - exact).abs() < 1e-5 * exact + climb.error, "{} {exact}", climb.value);
        assert!(climb.converged());
    }
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    let gpu = gpu();
    let few = Paths::new(&gpu, &MaierStein, 1, 4).err().unwrap();
    assert_eq!(few.to_string(), "size of a batch is 4 nodes at 1 points, but must be at least 5 nodes at 1 point");
    struct Wide(GinzburgLandau);
    impl System for Wide {
        fn sites(&self) -> usize {
            self.0.sites()
        }
        fn parameters(&self) -> &[&str] {
            &["D", "kappa", "h"]
        }
        fn noise(&self) -> ergodic::methods::action::Noise {
            self.0.noise()
        }
        fn hamiltonian<'g>(
            &self,
            phi: ergodic::graph::Var<'g>,
            theta: ergodic::graph::Var<'g>,
            p: ergodic::methods::action::Parameters<'g>,
        ) -> ergodic::graph::Var<'g> {
            self.0.hamiltonian(phi, theta, p)
        }
    }
    let dense = Paths::new(&gpu, &Wide(GinzburgLandau::sites(9)), 1, 9).err().unwrap();
    assert!(matches!(dense, Error::LimitExceeded { needed: 9, limit: 8, .. }), "{dense}");
    let system = LinearSde::new(&[-1.0]);
    let paths = Paths::new(&gpu, &system, 1, 9).unwrap();
    let job = || (Model::new(&system, &[]).unwrap(), Path::straight(&[0.0], &[1.0], 9).unwrap());
    assert!(matches!(paths.minimise(&[job(), job()], &PathOptions::default()), Err(Error::Shape { .. })));
    assert!(matches!(paths.minimise(&[], &PathOptions::default()), Err(Error::Shape { .. })));
}
