//! Pictures are written whole, also of odd numbers and on a machine without fonts.
#![cfg(feature = "report")]

use std::fs;
use std::path::{Path, PathBuf};

use ergodic::report::{Plot, Tiles, image_grid, write_figure};

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-plots-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// What lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Width and height in a PNG's header (its first chunk, big end first).
fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (word(16), word(20))
}

#[test]
fn every_kind_of_picture_is_written_whole() {
    let folder = folder("plots");
    let x: Vec<f64> = (0..50).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| 1.0 / (1.0 + x)).collect();
    let low: Vec<f64> = y.iter().map(|y| y - 0.1).collect();
    let lines = Plot::new("lines").x("step").y("value").line("a", &x, &y).band("a", &x, &low, &y).exact(0.0);
    let logs = Plot::new("logs").log_x().log_y().points("b", &x, &y).reference("1/x", &x, &y).moment("here", 10.0);
    let histogram = Plot::new("histogram").histogram("c", &y, 10);
    let bars =
        Plot::new("bars").bars("truth", &["2", "3"], &[0.6, 0.4], &[]).bars("d", &["2", "3"], &[0.5, 0.5], &[0.1, 0.1]);
    let field = Plot::new("field").heat("u", &y, 10, (0.0, 0.0), (1.0, 2.0)).line("path", &[0.0, 1.0], &[0.0, 2.0]);
    let cloud = Plot::new("cloud").cloud("density", &x, &y, 8, (0.0, 0.0), (50.0, 1.0));
    let plots = [lines, logs, histogram, bars, field, cloud];
    write_figure(folder.join("one.png"), 1, &plots[..1]).unwrap();
    assert_eq!(png_size(&folder.join("one.png")), (1200, 800));
    write_figure(folder.join("six.png"), 2, &plots).unwrap();
    assert_eq!(png_size(&folder.join("six.png")), (2000, 1860));
    assert_eq!(names(&folder), ["one.png", "six.png"], "nothing is left beside them");
    // A title is text: without a font the page would be the same with and without.
    write_figure(folder.join("title.png"), 1, &[Plot::new("title")]).unwrap();
    write_figure(folder.join("none.png"), 1, &[Plot::new("")]).unwrap();
    assert_ne!(fs::read(folder.join("title.png")).unwrap(), fs::read(folder.join("none.png")).unwrap());
}

#[test]
fn pictures_survive_odd_numbers() {
    let path = folder("odd").join("odd.png");
    let odd = [f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0, -1.0, 1e300, 1e-300, f64::MAX, -f64::MAX];
    for (x, y) in [(&odd[..], &odd[..]), (&[], &[]), (&[1.0], &[1.0]), (&[0.0, 0.0], &[5.0, 5.0])] {
        let plot = Plot::new("odd").line("a", x, y).points("b", x, y).band("a", x, y, y).histogram("c", y, 7);
        let plot = plot
            .reference("d", x, y)
            .heat("h", y, 2, (0.0, 1.0), (f64::NAN, 1e308))
            .cloud("k", x, y, 3, (0.0, 0.0), (0.0, 0.0))
            .level("e", f64::NAN)
            .moment("f", f64::INFINITY)
            .bars("g", &["x"], y, x);
        for plot in [plot.clone(), plot.clone().log_x(), plot.log_x().log_y().y_range(1.0, f64::NAN)] {
            write_figure(&path, 1, &[plot]).unwrap();
        }
    }
    let error = write_figure(&path, 0, &[]).unwrap_err().to_string();
    assert_eq!(error, "number of plots is 0 in 0 columns, but must be at least 1, in at least 1 column");
}

#[test]
fn image_grids_show_their_tiles() {
    let folder = folder("grid");
    let pixels: Vec<f32> = (0..9 * 4).map(|i| if i == 3 { f32::NAN } else { i as f32 / 18.0 - 1.0 }).collect();
    let tiles = |title| Tiles { title, pixels: &pixels, size: (2, 2) };
    let path = folder.join("grid.png");
    image_grid(&path, &[tiles("walkers"), tiles("data")], 3, -1.0, 1.0).unwrap();
    let (width, height) = png_size(&path);
    assert!(width > 1000 && height > 600, "{width} x {height}");
    let wrong = Tiles { title: "walkers", pixels: &pixels[1..], size: (2, 2) };
    let error = image_grid(&path, &[wrong], 3, -1.0, 1.0).unwrap_err().to_string();
    assert_eq!(error, "shape mismatch in `image_grid`: got 35 pixels in `walkers`, want images of (2, 2)");
    let error = image_grid(folder.join("no/grid.png"), &[tiles("data")], 3, -1.0, 1.0).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}: ", folder.join("no/grid.png").display())), "{error}");
}
