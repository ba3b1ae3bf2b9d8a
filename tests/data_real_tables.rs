//! The published tables, where they are: read whole, prepared as for the density-estimation papers, learned from. They may not be
//! committed, so each test skips, with a word, where `../shared/data/tabular` is absent.

use std::path::{Path, PathBuf};

use ergodic::data::{TableSpec, moments, table};
use ergodic::methods::interpolant::GaussianMixture;

/// The file, or a word that it is not here.
fn real(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/tabular").join(file);
    let found = path.exists();
    if !found {
        eprintln!("skipped: {} is absent", path.display());
    }
    found.then_some(path)
}

fn spec(path: PathBuf, discard: &[&str]) -> TableSpec {
    TableSpec { path, discard: discard.iter().map(|s| s.to_string()).collect(), ..TableSpec::default() }
}

#[test]
fn every_table_has_the_rows_and_means_that_its_description_states() {
    for (file, rows, columns, means) in [
        ("ccpp.csv.gz", 9568, 5, vec![("AT", 19.651, 1e-3), ("AP", 1013.259, 1e-3), ("PE", 454.365, 1e-3)]),
        ("casp.csv.gz", 45730, 10, vec![("RMSD", 7.7485, 1e-4)]),
        // 1639 pulsars.
        ("htru2.csv.gz", 17898, 9, vec![("pulsar", 1639.0 / 17898.0, 1e-9)]),
    ] {
        let Some(path) = real(file) else { continue };
        let table = table::read(&path).unwrap();
        assert_eq!((table.n_rows(), table.columns.len()), (rows, columns), "{file}");
        for (name, want, digits) in means {
            let column = table.column(name).unwrap_or_else(|| panic!("{file} has {:?}", table.columns));
            let mean = column.iter().sum::<f64>() / rows as f64;
            // The description rounds to `digits`.
            assert!((mean - want).abs() < digits, "{file} {name}: {mean}");
        }
    }
}

#[test]
fn prepared_tables_are_whole_standard_and_free_of_columns_that_repeat_others() {
    for (file, discard, most) in [
        ("htru2.csv.gz", &["pulsar"][..], 8),
        ("magic04.csv.gz", &["class"], 10),
        ("miniboone_signal_first1523.csv.gz", &[], 43),
        ("ccpp.csv.gz", &[], 5),
    ] {
        let Some(path) = real(file) else { continue };
        let whole = table::select(&path, &table::Selection::default());
        let rows = whole.as_ref().map_or(0, table::Table::n_rows);
        let spec = TableSpec { max_correlation: Some(0.98), max_recurring: Some(5000), ..spec(path, discard) };
        let data = spec.load().unwrap_or_else(|error| panic!("{file}: {error}"));
        let d = data.d();
        assert_eq!(d + data.dropped.len(), most, "{file} {:?}", data.dropped);
        let parts = [&data.train, &data.validation, &data.test].map(|part| part.len() / d);
        // A table with a column of words cannot be read whole; its rows are counted by the split.
        let all = parts.iter().sum::<usize>();
        assert!(rows == 0 || rows == all, "{file}: {rows} {parts:?}");
        for (part, share) in parts.into_iter().zip([0.81, 0.09, 0.1]) {
            // Two parts are rounded down.
            assert!((part as f64 - share * all as f64).abs() < 2.0, "{file} {parts:?}");
        }
        let (mean, covariance) = moments(&data.train, d);
        for i in 0..d {
            // Rows were rounded to f32 once, of magnitude up to some 100 deviations.
            assert!(mean[i].abs() < 1e-5 && (covariance[i * d + i] - 1.0).abs() < 1e-4, "{file} {}", data.columns[i]);
        }
        let correlations = (0..d).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| covariance[i * d + j].abs());
        // The rule counts all rows, this is of the training rows: some 1000 of them or more, so 0.04/sqrt(1000) beside.
        assert!(correlations.fold(0.0, f64::max) < 0.982, "{file}");
    }
}

#[test]
fn magic_has_its_events_by_class() {
    let Some(path) = real("magic04.csv.gz") else { return };
    for (class, rows) in [("g", 12332), ("h", 6688)] {
        let only = vec![("class".to_string(), class.to_string())];
        let data = TableSpec { only, ..spec(path.clone(), &["class"]) }.load().unwrap();
        assert_eq!((data.train.len() + data.validation.len() + data.test.len()) / data.d(), rows);
    }
}

#[test]
fn a_gaussian_of_a_real_table_has_its_entropy_as_nll() {
    let Some(path) = real("ccpp.csv.gz") else { return };
    let data = TableSpec { whiten: true, ..spec(path, &[]) }.load().unwrap();
    let (mean, covariance) = moments(&data.train, data.d());
    let gaussian = GaussianMixture::new(&[1.0], &[mean], &[covariance]).unwrap();
    let nll = |rows: &[f32]| -> f64 {
        let wide: Vec<f64> = rows.iter().map(|&v| f64::from(v)).collect();
        -wide.chunks_exact(5).map(|row| gaussian.log_density(row)).sum::<f64>() * 5.0 / wide.len() as f64
    };
    // Of its own training rows a fitted Gaussian's is d/2 log(2 pi e) + log det(covariance)/2 exactly, here of the unit matrix;
    // rounding of whitened rows to f32 is 1e-5 in the covariance at most, as above.
    let entropy = 2.5 * (1.0 + std::f64::consts::TAU.ln());
    assert!((nll(&data.train) - entropy).abs() < 5e-5, "{} {entropy}", nll(&data.train));
    // Test rows are no others: 957 of them, whose log-density has a deviation of sqrt(d/2) or, with long tails, twice that.
    assert!((nll(&data.test) - entropy).abs() < 4.0 * 2.0 * (2.5f64 / 957.0).sqrt(), "{}", nll(&data.test));
}
