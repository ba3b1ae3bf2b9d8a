//! Tables become rows to learn from, with the volume that their scale costs; what cannot be learned from says what to do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ergodic::data::table::{self, Selection, Table};
use ergodic::data::{Plane, Prepared, Standard, TableSpec, distance, moments, npy};
use ergodic::methods::interpolant::GaussianMixture;
use ergodic::random::RngKey;
use flate2::{Compression, write::GzEncoder};

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-tabular-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// What selecting from this text says.
fn refused(text: &str, selection: &Selection) -> String {
    let path = folder("refused").join("t.csv");
    fs::write(&path, text).unwrap();
    let error = table::select(&path, selection).unwrap_err();
    assert!(matches!(error, ergodic::Error::Data { .. }), "{error}");
    error.to_string().replace(path.to_str().unwrap(), "FILE")
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

/// Correlated columns: rows of `A z + b` with normal `z`.
fn correlated(n: usize) -> Table {
    let (mut z, a) = (vec![0f32; 3 * n], [[2.0, 0.0, 0.0], [1.5, 0.5, 0.0], [-30.0, 40.0, 10.0]]);
    RngKey::new(8).fill_normal(0, 3, &mut z);
    let row = |z: &[f32]| a.map(|a| 5.0 + (0..3).map(|k| a[k] * f64::from(z[k])).sum::<f64>());
    Table { columns: names(&["a", "b", "c"]), values: z.chunks_exact(3).flat_map(row).collect() }
}

#[test]
fn text_and_arrays_packed_and_plain_with_a_header_and_without_are_one_table() {
    let folder = folder("alike");
    let rows: String = (0..5).map(|i| format!("{i},{},{}\n", i * i, 0.5 * f64::from(i))).collect();
    fs::write(folder.join("plain.csv"), format!("u,v,w\n{rows}")).unwrap();
    fs::write(folder.join("bare.csv"), &rows).unwrap();
    let mut packed = GzEncoder::new(fs::File::create(folder.join("packed.csv.gz")).unwrap(), Compression::fast());
    packed.write_all(rows.as_bytes()).unwrap();
    packed.finish().unwrap();
    let plain = table::select(folder.join("plain.csv"), &Selection::default()).unwrap();
    assert_eq!((plain.columns, plain.values.len()), (names(&["u", "v", "w"]), 15));
    let narrow: Vec<f32> = plain.values.iter().map(|v| *v as f32).collect();
    npy::write(folder.join("wide.npy"), &[5, 3], &plain.values).unwrap();
    npy::write(folder.join("narrow.npy"), &[5, 3], &narrow).unwrap();
    for file in ["bare.csv", "packed.csv.gz", "wide.npy", "narrow.npy"] {
        let found = table::select(folder.join(file), &Selection::default()).unwrap();
        assert_eq!((found.columns, found.values), (names(&["0", "1", "2"]), plain.values.clone()), "{file}");
        let chosen =
            Selection { columns: names(&["2", "0"]), only: vec![("1".into(), "4.0".into())], ..Default::default() };
        assert_eq!(table::select(folder.join(file), &chosen).unwrap().values, [1.0, 2.0], "{file}");
        let first = Selection { discard: names(&["0"]), max_rows: Some(2), ..Default::default() };
        assert_eq!(table::select(folder.join(file), &first).unwrap().values, [0.0, 0.0, 1.0, 0.5], "{file}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_named_with_its_place() {
    let all = Selection::default();
    assert_eq!(refused(" \n", &all), "FILE at byte 0: is empty; give a file with a header line and rows of numbers");
    let no_row = "FILE at byte 0: none of its 0 rows qualifies: see `only` and `max_rows`, or give more rows";
    assert_eq!(refused("a,b\n", &all), no_row);
    assert_eq!(refused("a,b\n1,2\n3\n", &all), "FILE at byte 8: line 3 has 1 cells, the first has 2");
    let end = "; drop the row, or name the column in `discard`";
    assert_eq!(refused("a,b\n1,2\n3,\n", &all), format!("FILE at byte 8: line 3: `b` is empty{end}"));
    assert_eq!(refused("a,b\n1,g\n", &all), format!("FILE at byte 4: line 2: `b` is `g`, not a number{end}"));
    assert_eq!(refused("a,b\n1,2\nNaN,2\n", &all), format!("FILE at byte 8: line 3: `a` is NaN{end}"));
    assert_eq!(refused("a,b\n1,2\n2,-inf\n", &all), format!("FILE at byte 8: line 3: `b` is -inf{end}"));
    let of = |columns: &[&str], discard: &[&str]| Selection {
        columns: names(columns),
        discard: names(discard),
        ..Default::default()
    };
    let text = "a,b\n1,2\n";
    assert_eq!(refused(text, &of(&["c"], &[])), "FILE at byte 0: has no column `c`; it has a, b");
    assert_eq!(refused(text, &of(&[], &["class"])), "FILE at byte 0: has no column `class`; it has a, b");
    assert_eq!(refused(text, &of(&["a", "a"], &[])), "FILE at byte 0: column `a` is chosen twice");
    assert_eq!(refused(text, &of(&[], &["a", "b"])), "FILE at byte 0: no column is left of a, b");
    let none = Selection { only: vec![("b".into(), "h".into())], ..Default::default() };
    assert!(refused(text, &none).contains("none of its 1 rows qualifies"));
    let path = folder("array").join("a.npy");
    npy::write(&path, &[2, 2], &[1.0, 2.0, f64::NAN, 3.0]).unwrap();
    let error = table::select(&path, &all).unwrap_err().to_string();
    assert!(error.contains(&format!("row 1: `0` is NaN{end}")), "{error}");
    npy::write(&path, &[4], &[1.0, 2.0, 5.0, 3.0]).unwrap();
    let error = table::select(&path, &all).unwrap_err().to_string();
    assert!(error.contains("has shape [4], want rows and columns: reshape it to two axes"), "{error}");
    let missing = table::select("no/such.csv", &all).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such.csv: ") && missing.contains("\n  check the path"), "{missing}");
}

#[test]
fn rows_that_no_density_can_be_learned_from_are_refused() {
    let said = |spec: &TableSpec, columns: &[&str], values: Vec<f64>| {
        spec.prepare(Table { columns: names(columns), values }).unwrap_err().to_string()
    };
    let spec = TableSpec::default();
    let ramp: Vec<f64> = (0..100).map(f64::from).collect();
    let mut holed = ramp.clone();
    holed[13] = f64::INFINITY;
    let hole = "value of the table is inf in row 6, column `b`, but must be finite; drop the row or the column";
    assert_eq!(said(&spec, &["a", "b"], holed), hole);
    let one = "test rows is 0 of 1, but must be at least 2, for an error bar; give more rows, or a larger part";
    assert_eq!(said(&spec, &["a", "b"], vec![1.0, 2.0]), one);
    let wide: Vec<String> = (0..40).map(|i| format!("c{i}")).collect();
    let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    let noise: Vec<f64> = (0..40 * 40).map(|i| f64::from(RngKey::new(1).normal(i, 0, 0))).collect();
    let few = "training rows is 33 for 40 columns, but must be more than there are columns; give more rows, or choose \
               fewer columns";
    assert_eq!(said(&spec, &wide, noise), few);
    let flat: Vec<f64> = ramp.iter().flat_map(|v| [*v, 7.5]).collect();
    let constant = "column is `flat`, which is 7.5 in all 81 training rows, but must be of more than one value; name it \
                    in `discard`";
    assert_eq!(said(&spec, &["ramp", "flat"], flat.clone()), constant);
    let recurring = TableSpec { max_recurring: Some(5), ..spec.clone() };
    let found = recurring.prepare(Table { columns: names(&["ramp", "flat"]), values: flat }).unwrap();
    assert_eq!(found.dropped, [("flat".to_string(), "7.5 occurs 100 times".to_string())]);
    let zeros = "number of columns is 0 after dropping all, but must be at least 1; raise max_recurring";
    assert_eq!(said(&recurring, &["zero"], vec![0.0; 100]), zeros);
    let noisy = TableSpec { dequantise: vec![("b".into(), 0.1)], ..spec.clone() };
    let noisy = said(&noisy, &["a"], ramp.clone());
    assert_eq!(noisy, "dequantise is `b`, which is not among a, but must be a column that is kept");
    let doubled: Vec<f64> = ramp.iter().flat_map(|v| [*v, 2.0 * v]).collect();
    let whiten = TableSpec { whiten: true, ..spec };
    let dependent = said(&whiten, &["a", "b"], doubled);
    assert!(
        dependent.starts_with("whitening is asked of columns that depend on each other linearly, but"),
        "{dependent}"
    );
}

#[test]
fn a_preparation_that_means_nothing_is_refused_before_a_file_is_opened() {
    let spec = TableSpec { path: "no/such.csv".into(), ..TableSpec::default() };
    for (spec, said) in [
        (TableSpec::default(), "path is empty, but must be the file of a table"),
        (TableSpec { test: 0.0, ..spec.clone() }, "test is 0, but must be a part between 0 and 1"),
        (TableSpec { validation: 1.0, ..spec.clone() }, "validation is 1, but"),
        (TableSpec { dequantise: vec![("a".into(), -1.0)], ..spec.clone() }, "dequantise is -1 for `a`, but"),
        (TableSpec { max_correlation: Some(1.5), ..spec.clone() }, "max_correlation is 1.5, but"),
        (TableSpec { max_recurring: Some(0), ..spec.clone() }, "max_recurring is 0, but must be at least 1"),
        (TableSpec { max_rows: Some(0), ..spec.clone() }, "max_rows is 0, but must be at least 1"),
        (spec, "cannot read no/such.csv"),
    ] {
        let text = spec.load().unwrap_err().to_string();
        assert!(text.starts_with(said), "{text}");
    }
}

#[test]
fn columns_that_recur_or_repeat_others_are_dropped_in_order() {
    let n = 400;
    let value = |i: u32, c: u32| f64::from(RngKey::new(3).normal(i, c, 0));
    // a; its mirror image with little noise; a coin; something of its own.
    let row = |i: u32| [value(i, 0), -value(i, 0) + 0.01 * value(i, 1), f64::from(i % 2), value(i, 2)];
    let table = Table { columns: names(&["a", "mirror", "coin", "own"]), values: (0..n).flat_map(row).collect() };
    let spec = TableSpec { max_recurring: Some(5), max_correlation: Some(0.98), ..TableSpec::default() };
    let found = spec.prepare(table.clone()).unwrap();
    assert_eq!(found.columns, ["mirror", "own"], "the first of a pair goes, as in the published code");
    let dropped: Vec<_> = found.dropped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(dropped, ["coin", "a"]);
    assert_eq!(found.dropped[0].1, "1 occurs 200 times");
    assert!(found.dropped[1].1.starts_with("correlates with `mirror` by -1.0"), "{:?}", found.dropped);
    // Noise makes a coin a density, and nothing recurs.
    let noisy = TableSpec { dequantise: vec![("coin".into(), 1.0)], ..spec };
    let found = noisy.prepare(table).unwrap();
    assert_eq!(found.columns, ["mirror", "coin", "own"]);
    let coins = found.standard.undo(&found.train);
    let coins: Vec<_> = coins.iter().skip(1).step_by(3).copied().collect();
    assert!(coins.iter().all(|v| (0.0..2.0).contains(v)));
    // Uniform on [0, 2): variance 1/3, whose estimate has a standard error of sqrt((1/5 - 1/9)/n); 4 of them.
    let variance = Standard::fit(&coins, 1).deviation[0].powi(2);
    assert!((variance - 1.0 / 3.0).abs() < 4.0 * (4.0 / 45.0 / coins.len() as f64).sqrt(), "{variance}");
}

#[test]
fn a_split_takes_every_row_once_and_depends_on_its_seed_alone() {
    let values: Vec<f64> = (0..1000).map(f64::from).collect();
    let split = |seed| {
        let spec = TableSpec { test: 0.2, validation: 0.25, seed, ..TableSpec::default() };
        spec.prepare(Table { columns: names(&["i"]), values: values.clone() }).unwrap()
    };
    let (found, other) = (split(4), split(5));
    assert_eq!([&found.test, &found.validation, &found.train].map(Vec::len), [200, 200, 600]);
    assert_eq!(found, split(4));
    assert_ne!(found.test, other.test);
    let all = [&found.train[..], &found.validation, &found.test].concat();
    let mut rows: Vec<i64> = found.standard.undo(&all).iter().map(|v| v.round() as i64).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..1000).collect::<Vec<_>>());
    // The control: rows are not in the file's order.
    assert!(found.standard.undo(&found.train).windows(2).any(|pair| pair[0] > pair[1]));
}

#[test]
fn standard_rows_have_unit_moments_and_come_back() {
    let table = correlated(2000);
    for whiten in [false, true] {
        let spec = TableSpec { whiten, ..TableSpec::default() };
        let Prepared { standard, train, .. } = spec.prepare(table.clone()).unwrap();
        let (mean, covariance) = moments(&train, 3);
        for i in 0..3 {
            // Means of 1620 numbers of magnitude up to 5 that were rounded to f32 once.
            assert!(mean[i].abs() < 5.0 * f64::from(f32::EPSILON) && (covariance[4 * i] - 1.0).abs() < 1e-5);
        }
        let mixed = [covariance[1], covariance[2], covariance[5]].iter().fold(0.0, |most: f64, c| most.max(c.abs()));
        // Whitening divides rounding of the rows by the smallest diagonal of the factor, 0.2 here.
        assert!(if whiten { mixed < 1e-5 } else { mixed > 0.5 }, "{covariance:?}");
        let back = standard.apply(&standard.undo(&train));
        let off = back.iter().zip(&train).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= 4.0 * f32::EPSILON * 5.0, "{off}: each value is rounded once, magnitudes are below 5");
    }
}

#[test]
fn the_nll_in_own_units_is_that_of_prepared_rows_and_the_log_determinant() {
    let table = correlated(3000);
    for whiten in [false, true] {
        let data = TableSpec { whiten, ..TableSpec::default() }.prepare(table.clone()).unwrap();
        let gaussian = |x: &[f32]| {
            let (mean, covariance) = moments(x, 3);
            GaussianMixture::new(&[1.0], &[mean], &[covariance]).unwrap()
        };
        let nll = |model: &GaussianMixture, x: &[f64]| {
            -x.chunks_exact(3).map(|row| model.log_density(row)).sum::<f64>() / (x.len() / 3) as f64
        };
        let wide = |x: &[f32]| x.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let prepared = nll(&gaussian(&data.train), &wide(&data.test));
        // The same Gaussian fitted in the table's own units.
        let own = |x: &[f32]| data.standard.undo(x);
        let narrow: Vec<f32> = own(&data.train).iter().map(|v| *v as f32).collect();
        let original = nll(&gaussian(&narrow), &own(&data.test));
        // The covariance of rows rounded to f32, with a condition number of 1e3, is off by 1e3 eps relatively.
        let bound = 3.0 * 1e3 * f64::from(f32::EPSILON);
        let moved = prepared + data.standard.log_det();
        assert!((moved - original).abs() < bound, "whiten {whiten}: {moved} {original}");
        // Known: entropy of N(b, A A') is 3/2 log(2 pi e) + log|det A|, det A = 2 * 0.5 * 10; 300 rows have a deviation of
        // sqrt(3/2/300), four of them, and training on 2430 rows costs 9/2430/2 in the mean.
        let entropy = 1.5 * (1.0 + std::f64::consts::TAU.ln()) + 10f64.ln();
        assert!((original - entropy).abs() < 4.0 * (1.5f64 / 300.0).sqrt() + 0.002, "{original} {entropy}");
        // The control: without the determinant it is another number.
        assert!((prepared - original).abs() > 1.0);
    }
}

#[test]
fn planar_densities_integrate_to_one_and_have_the_entropy_of_their_draws() {
    for plane in [Plane::Checkerboard, Plane::Rings, Plane::Circles, Plane::Pinwheel] {
        let (n, most) = (700, 7.0);
        let at = |k: usize| most * (2.0 * (k as f64 + 0.5) / n as f64 - 1.0);
        let cell = (2.0 * most / n as f64).powi(2);
        let log = |x| plane.log_density(x).unwrap();
        let mass: f64 = (0..n * n).map(|k| log([at(k % n), at(k / n)]).exp() * cell).sum();
        // Cells of side 0.02: a ring of deviation 0.1 is smooth on them to 1e-9, and the arms reach 7 with a mass of 1e-15; edges
        // of the checkerboard lie between cells.
        assert!((mass - 1.0).abs() < 1e-6, "{plane:?}: {mass}");
        let draws = plane.draw(20_000, RngKey::new(2));
        let terms: Vec<f64> = draws.chunks_exact(2).map(|x| -log([x[0].into(), x[1].into()])).collect();
        let mean = terms.iter().sum::<f64>() / terms.len() as f64;
        let spread = terms.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / terms.len() as f64;
        let bound = 4.0 * (spread / terms.len() as f64).sqrt() + 1e-7;
        let entropy = plane.entropy().unwrap();
        assert!((mean - entropy).abs() < bound, "{plane:?}: {mean} {entropy}, bound {bound}");
    }
    for plane in [Plane::Moons, Plane::SwissRoll] {
        assert_eq!((plane.entropy(), plane.log_density([0.0, 0.0])), (None, None));
        assert!(plane.draw(1000, RngKey::new(2)).iter().all(|v| v.abs() < 5.5), "{plane:?}");
    }
}

#[test]
fn distances_tell_samples_of_one_law_from_those_of_two() {
    let draw = |plane: Plane, k| plane.draw(4000, RngKey::new(k));
    let (a, b, c) = (draw(Plane::Rings, 1), draw(Plane::Rings, 2), draw(Plane::Moons, 3));
    let sliced = |x: &[f32], y: &[f32]| distance::sliced_w2(x, y, 2, 50, RngKey::new(9)).unwrap();
    assert_eq!(sliced(&a, &a), 0.0);
    // Of one law: of the order of the width over sqrt(n), 2/60; four of them. Of two: of the order of the width.
    assert!(sliced(&a, &b) < 0.13 && sliced(&a, &c) > 0.3, "{} {}", sliced(&a, &b), sliced(&a, &c));
    let first = |x: &[f32]| x.iter().step_by(2).map(|&v| f64::from(v)).collect::<Vec<_>>();
    let level = 1.63 * (2.0f64 / 4000.0).sqrt();
    let ks = |x: &[f32], y: &[f32]| distance::kolmogorov_smirnov(&first(x), &first(y));
    assert!(ks(&a, &b) < level && ks(&a, &c) > level, "{} {} {level}", ks(&a, &b), ks(&a, &c));
    assert_eq!(distance::kolmogorov_smirnov(&[1.0, 1.0, 2.0], &[1.0, 2.0, 2.0]), 1.0 / 3.0, "ties are passed together");
    let text = distance::sliced_w2(&a, &b[2..], 2, 50, RngKey::new(1)).unwrap_err().to_string();
    assert_eq!(text, "shape mismatch in `sliced_w2`: got 8000 and 7998 values, want as many rows of 2 in both");
    assert!(distance::sliced_w2(&a, &b, 2, 0, RngKey::new(1)).is_err());
}
