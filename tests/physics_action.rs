//! explore
use ergodic::methods::action::*;

#[test]
fn explore() {
    let o = PathOptions::default();
    let t = std::time::Instant::now();
    for (beta, want) in [(1.0, 0.5), (6.0, 0.4523427), (10.0, 0.3400414)] {
        let m = Model::new(&MaierStein, &[beta, 1.0]).unwrap();
        let start = Path::along(&[-1.0, 0.0], &[0.0, 0.0], 101, |s, x| if x == 1 { 0.3 * (std::f64::consts::PI * s).sin() } else { 0.0 }).unwrap();
        let c = m.climb_along(&start, &o).unwrap();
        println!("MS {beta}: {:.7} err {:.1e} want {want} coarse {:.7} fine {:.7} steps {} conv {} h {:e} {:?}", c.value, c.error, c.coarse, c.fine, c.steps, c.converged(), c.h_residual(), t.elapsed());
    }
    let s2 = GinzburgLandau::sites(2);
    for (d, k, up, down) in [(0.05, 0.0, 0.48, 0.48), (0.05, 0.1, 0.402646, 0.567362), (0.05, 0.26, 0.301980, 0.711926), (0.025, 0.26, 0.200393, 0.711927), (0.1, 0.26, 0.356435, 0.711927)] {
        let m = Model::new(&s2, &[d, k, 0.0]).unwrap();
        let p = m.passage(&[-1.0; 2], &[1.0; 2], &o).unwrap();
        println!("GL2 {d} {k}: {:?} idx {} up {:.6} {up} down {:.6} {down} err {:.1e} {:.1e} steps {} {} legs {} conv {} {} {:?}", p.saddle.state, p.saddle.index(), p.up.value, p.down.value, p.up.error, p.down.error, p.up.steps, p.down.steps, p.down.legs.len(), p.up.converged(), p.down.converged(), t.elapsed());
    }
    for (n, d, up, down) in [(1, 0.2, 0.0072716571, 0.0047553649), (2, 0.2, 0.0145429, 0.0095105), (2, 0.05, 0.0116024, 0.0095112), (8, 0.4, 0.0485714, 0.0380369), (8, 0.2, 0.0336728, 0.0352468), (8, 0.1, 0.0235494, 0.0294774)] {
        let s = Schloegl::new(n);
        let mut p = vec![d]; p.extend(Schloegl::RATES);
        let m = Model::new(&s, &p).unwrap();
        match m.passage(&vec![0.5; n], &vec![1.6; n], &o) { Ok(p) => 
        println!("S {n} {d}: {:?} idx {} up {:.7} {up} down {:.7} {down} err {:.1e} {:.1e} steps {} {} legs {} conv {} {} {:?}", p.saddle.profile(), p.saddle.index(), p.up.value, p.down.value, p.up.error, p.down.error, p.up.steps, p.down.steps, p.down.legs.len(), p.up.converged(), p.down.converged(), t.elapsed()),
        Err(e) => println!("S {n} {d}: {e}") }
    }
}
