//! `C = A B` against its f64 twin: every tile that a device supports, layouts, edges, splits.

mod common;

use common::gpus;
use ergodic::Result;
use ergodic::gpu::shader::{Defines, preprocess};
use ergodic::gpu::{Binding, Caps, Gpu, KernelSource, Tensor};
use ergodic::kernels::matmul::{Layout, MatmulSpec, SharedTile, Variant, reference};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const LAYOUTS: [(Layout, Layout); 4] = [
    (Layout::Rows, Layout::Rows),
    (Layout::Rows, Layout::Cols),
    (Layout::Cols, Layout::Rows),
    (Layout::Cols, Layout::Cols),
];

/// What stands in C before the kernel runs, and behind its end afterwards.
const SENTINEL: f32 = -12_345.0;

/// Bindings and accessors: A, B, C, with the store as given.
fn io(s: &MatmulSpec, store: &str) -> String {
    let v = s.vectors();
    let ia = if s.a == Layout::Rows { "(i * K + k)" } else { "(k * N + i)" };
    let ib = if s.b == Layout::Rows { "(k * M + j)" } else { "(j * K + k)" };
    let (a_type, a) = operand("a", ["i", "k"], ia, v.a, false, s.n * s.k);
    let (b_type, b) = operand("b", ["k", "j"], ib, v.b, s.b_uniform, s.k * s.m);
    let (c_type, head) = match v.store {
        true => ("vec4<f32>", "fn store4(i: u32, j: u32, v: vec4<f32>) { let at = (i * M + j) / 4u;"),
        false => ("f32", "fn store1(i: u32, j: u32, v: f32) { let at = i * M + j;"),
    };
    format!(
        "@group(0) @binding(0) {a_type};\n@group(0) @binding(1) {b_type};\n\
         @group(0) @binding(2) var<storage, read_write> c: array<{c_type}>;\n{a}\n{b}\n{head} {store} }}"
    )
}

/// Declaration and accessor of an operand with this index.
fn operand(name: &str, [p, q]: [&str; 2], at: &str, vector: bool, uniform: bool, len: usize) -> (String, String) {
    let declared = match (uniform, vector) {
        (true, _) => format!("var<uniform> {name}: array<vec4<f32>, {}>", len.div_ceil(4).max(1)),
        (false, true) => format!("var<storage, read> {name}: array<vec4<f32>>"),
        (false, false) => format!("var<storage, read> {name}: array<f32>"),
    };
    let read = match (uniform, vector) {
        (_, true) => format!("fn {name}4({p}: u32, {q}: u32) -> vec4<f32> {{ return {name}[{at} / 4u]; }}"),
        (true, false) => format!("fn {name}1({p}: u32, {q}: u32) -> f32 {{ return {name}[{at} / 4u][{at} % 4u]; }}"),
        (false, false) => format!("fn {name}1({p}: u32, {q}: u32) -> f32 {{ return {name}[{at}]; }}"),
    };
    (declared, read)
}

fn source(s: &MatmulSpec, store: &str) -> Result<KernelSource> {
    let template = s.template();
    let wgsl = preprocess("matmul", &template.wgsl, &Defines::new().splice("io", io(s, store)))?;
    let binding = |uniform: bool, len| match uniform {
        true => Binding::Uniform { dynamic_offset: false, bytes: padded(len) },
        false => Binding::Read,
    };
    Ok(KernelSource {
        name: format!("{s:?}"),
        wgsl,
        bindings: vec![Binding::Read, binding(s.b_uniform, s.k * s.m), Binding::ReadWrite],
        workgroup_size: template.workgroup_size,
    })
}

fn padded(elements: usize) -> u32 {
    (elements.max(1) * 4).next_multiple_of(16) as u32
}

/// C as the device computes it, `[split * n, m]`, after checking that nothing behind its end was written.
fn run(gpu: &Gpu, s: &MatmulSpec, a: &[f32], b: &[f32], before: f32, store: &str) -> Result<Vec<f32>> {
    // Behind the end of A and B stand NaNs, which no term may pick up.
    let behind = |x: &[f32], uniform: bool| match uniform {
        true => [x, &[f32::NAN; 4][..padded(x.len()) as usize / 4 - x.len()]].concat(), // bound in full
        false => [x, &[f32::NAN; 12]].concat(),
    };
    let (a, b) = (behind(a, false), behind(b, s.b_uniform));
    let len = s.split_k * s.n * s.m;
    let a = Tensor::from_slice(gpu, "a", &[a.len()], &a)?;
    let b = Tensor::from_slice(gpu, "b", &[b.len()], &b)?;
    let c = Tensor::from_slice(gpu, "c", &[len + 9], &vec![before; len + 9])?;
    let pipeline = gpu.pipeline(&source(s, store)?)?;
    let group = gpu.bind_group(&pipeline, &[a.binding(), b.binding(), c.binding()])?;
    let [x, y, z] = s.groups();
    let mut encoder = gpu.encoder("test");
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
    gpu.submit(encoder)?;
    let mut c = c.read::<f32>()?.wait()?;
    assert!(c[len..].iter().all(|x| *x == before), "{s:?} wrote behind the end of C");
    c.truncate(len);
    Ok(c)
}

/// Each sum has k products and at most k + 1 additions (the splits' own among them), each rounded by at most half an
/// ulp of a partial sum that is no larger than `scale = sum |a||b|`: (1 + u)^(k + 2) - 1, u = 2^-24, and one to spare.
fn bound(s: &MatmulSpec, scale: f64) -> f64 {
    (s.k as f64 + 3.0) * f64::from(f32::EPSILON) / 2.0 * scale
}

fn random(rng: &mut StdRng, n: usize) -> Vec<f32> {
    (0..n).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

fn check(gpu: &Gpu, s: &MatmulSpec, rng: &mut StdRng) -> Result<()> {
    let (a, b) = (random(rng, s.n * s.k), random(rng, s.k * s.m));
    let got = run(gpu, s, &a, &b, SENTINEL, "c[at] = v;")?;
    let (want, scale) = reference::matmul(s.n, s.k, s.m, (&a, s.a), (&b, s.b));
    for at in 0..want.len() {
        let sum: f64 = (0..s.split_k).map(|part| f64::from(got[part * want.len() + at])).sum();
        let err = (sum - want[at]).abs();
        assert!(
            err <= bound(s, scale[at]),
            "{s:?} at {at}: got {sum}, want {}, bound {}",
            want[at],
            bound(s, scale[at])
        );
    }
    Ok(())
}

/// The tiles that a device can run, small ones so that edges are near.
fn variants(caps: &Caps) -> Vec<Variant> {
    let lanes = caps.subgroups.filter(|(low, high)| low == high && low % 4 == 0).map(|(size, _)| size);
    let mut all = vec![
        Variant::Register { lanes: 8, rows: 4, cols: 8 },
        Variant::Register { lanes: 64, rows: 8, cols: 4 },
        Variant::Shared(SharedTile { threads: [4, 2], sums: [4, 8], depth: 16, slices: 2 }),
    ];
    all.extend(SharedTile::all(caps).into_iter().map(Variant::Shared));
    all.extend(
        lanes
            .iter()
            .flat_map(|&lanes| [Variant::Subgroup { lanes, rows: 4, cols: 12 }, Variant::Resident { lanes, rows: 2 }]),
    );
    all
}

/// The tile is only for A by rows and whole sums.
fn possible(s: &MatmulSpec) -> bool {
    !matches!(s.variant, Variant::Resident { .. }) || (s.a == Layout::Rows && s.split_k == 1)
}

#[test]
fn every_tile_agrees_with_f64_on_random_problems() -> Result<()> {
    let sizes = [1, 2, 3, 4, 5, 8, 13, 16, 31, 32, 33, 64, 65];
    for (tier, gpu) in gpus() {
        let mut rng = StdRng::seed_from_u64(11);
        let size = |rng: &mut StdRng| sizes[rng.random_range(0..sizes.len())];
        for (round, variant) in (0..4).flat_map(|round| variants(gpu.caps()).into_iter().map(move |v| (round, v))) {
            let (a, b) = LAYOUTS[round % 4];
            let (n, k, m) = (size(&mut rng), size(&mut rng), size(&mut rng));
            let b_uniform = rng.random_bool(0.5);
            let split_k = rng.random_range(1..4);
            let whole = matches!(variant, Variant::Resident { .. });
            let a = if whole { Layout::Rows } else { a };
            let s = MatmulSpec { n, k, m, a, b, variant, split_k: if whole { 1 } else { split_k }, b_uniform };
            check(&gpu, &s, &mut rng).inspect_err(|_| eprintln!("{tier}: {s:?}"))?;
        }
    }
    Ok(())
}

#[test]
fn the_chosen_tile_agrees_with_f64_on_the_products_of_a_network() -> Result<()> {
    use Layout::{Cols, Rows};
    for (_, gpu) in gpus() {
        let mut rng = StdRng::seed_from_u64(12);
        for (n, k, m, a, b) in [
            (130, 24, 128, Rows, Rows),
            (130, 128, 128, Rows, Cols),
            (130, 128, 1, Rows, Rows),
            (130, 1, 128, Rows, Cols),
            (24, 1031, 128, Cols, Rows),
            (17, 300, 20, Rows, Rows),
        ] {
            let s = MatmulSpec::choose(n, k, m, a, b, gpu.caps());
            check(&gpu, &s, &mut rng)?;
            check(&gpu, &s.with_storage_b(), &mut rng)?;
        }
    }
    Ok(())
}

#[test]
fn nothing_is_stored_for_no_rows_and_zeros_for_no_terms() -> Result<()> {
    let mut rng = StdRng::seed_from_u64(13);
    for (_, gpu) in gpus() {
        for ((n, k, m), variant) in [(0, 5, 3), (4, 5, 0), (5, 0, 4), (3, 0, 3)]
            .into_iter()
            .flat_map(|size| variants(gpu.caps()).into_iter().map(move |v| (size, v)))
        {
            let s = MatmulSpec { n, k, m, a: Layout::Rows, b: Layout::Rows, variant, split_k: 1, b_uniform: false };
            assert_eq!(s.groups().contains(&0), n * m == 0, "{s:?}");
            check(&gpu, &s, &mut rng)?;
        }
    }
    Ok(())
}

#[test]
fn every_element_passes_through_the_epilogue_once() -> Result<()> {
    for (_, gpu) in gpus() {
        for variant in variants(gpu.caps()) {
            for m in [9, 12] {
                let s = MatmulSpec {
                    n: 70,
                    k: 20,
                    m,
                    a: Layout::Rows,
                    b: Layout::Rows,
                    variant,
                    split_k: 1,
                    b_uniform: false,
                };
                let c = run(&gpu, &s, &[1.0; 70 * 20], &vec![1.0; 20 * m], 0.0, "c[at] = c[at] + v;")?;
                assert!(c.iter().all(|x| *x == 20.0), "{s:?}"); // sums of ones are exact
            }
        }
    }
    Ok(())
}

#[test]
fn an_infinity_stays_in_its_row_and_column() -> Result<()> {
    let (n, k, m) = (67, 21, 66);
    for (_, gpu) in gpus() {
        for (variant, (la, lb)) in variants(gpu.caps()).into_iter().flat_map(|v| LAYOUTS.map(|l| (v, l))) {
            let s = MatmulSpec { n, k, m, a: la, b: lb, variant, split_k: 1, b_uniform: false };
            if !possible(&s) {
                continue;
            }
            let (mut a, mut b) = (vec![1.0; n * k], vec![1.0; k * m]);
            // The last row of A and the last column of B: what clamped indices read again.
            (0..k).for_each(|t| a[if la == Layout::Rows { (n - 1) * k + t } else { t * n + n - 1 }] = f32::INFINITY);
            (0..k).for_each(|t| b[if lb == Layout::Rows { t * m + m - 1 } else { (m - 1) * k + t }] = f32::INFINITY);
            let c = run(&gpu, &s, &a, &b, SENTINEL, "c[at] = v;")?;
            for (i, j) in (0..n).flat_map(|i| (0..m).map(move |j| (i, j))) {
                let want = if i == n - 1 || j == m - 1 { f32::INFINITY } else { k as f32 };
                assert_eq!(c[i * m + j], want, "{s:?} at {i}, {j}");
            }
        }
    }
    Ok(())
}

#[test]
fn grids_over_65535_groups_reach_every_row() -> Result<()> {
    let n = 65_535 * 8 + 9;
    let (_, gpu) = &gpus()[0];
    let variant = Variant::Register { lanes: 8, rows: 1, cols: 4 };
    let s = MatmulSpec { n, k: 1, m: 1, a: Layout::Rows, b: Layout::Rows, variant, split_k: 1, b_uniform: false };
    assert_eq!(s.groups(), [32_769, 2, 1]);
    let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
    assert_eq!(run(gpu, &s, &a, &[2.0], SENTINEL, "c[at] = v;")?, a.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn every_choice_is_valid_and_short_enough_to_compile() -> Result<()> {
    let portable = Caps::portable();
    let plain = Caps { device_type: wgpu::DeviceType::Cpu, ..portable.clone() };
    let software = Caps { subgroups: Some((8, 8)), features: wgpu::Features::SUBGROUP, ..plain.clone() };
    let sizes = [1, 3, 24, 128, 2048];
    let triples = sizes.into_iter().flat_map(|n| sizes.map(|k| sizes.map(|m| (n, k, m)))).flatten();
    for ((n, k, m), (a, b)) in triples.flat_map(|size| LAYOUTS.map(|layouts| (size, layouts))) {
        for caps in [&portable, &plain, &software] {
            let s = MatmulSpec::choose(n, k, m, a, b, caps);
            for s in [s, s.with_storage_b()] {
                let kernel = source(&s, "c[at] = v;")?;
                kernel.reflect(caps)?;
                // A thousand unrolled multiply-adds take a software driver about a second; each line has four.
                assert!(kernel.wgsl.matches(" += ").count() <= 300, "{s:?}");
            }
        }
    }
    Ok(())
}

#[test] // the control: one term less than all of them is seen
fn a_missing_term_is_over_the_bound() {
    let mut rng = StdRng::seed_from_u64(14);
    let (n, k, m) = (16, 128, 16);
    let s = MatmulSpec::choose(n, k, m, Layout::Cols, Layout::Rows, &Caps::portable());
    let (a, b) = (random(&mut rng, n * k), random(&mut rng, k * m));
    let (want, scale) = reference::matmul(n, k, m, (&a, Layout::Cols), (&b, Layout::Rows));
    let (less, _) =
        reference::matmul(n, k - 1, m, (&a[..n * (k - 1)], Layout::Cols), (&b[..(k - 1) * m], Layout::Rows));
    let seen = (0..n * m).filter(|&at| (want[at] - less[at]).abs() > bound(&s, scale[at])).count();
    assert!(seen * 100 > n * m * 99, "{seen} of {}", n * m);
}
