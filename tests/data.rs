//! Readers fail with the byte that is wrong; digits have their published counts; components and mixtures keep their laws.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ergodic::data::{GaussianMixture, MnistSubset, Pca, file, idx, npy, table};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

/// An empty folder of this test's own.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-data-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn mnist() -> PathBuf {
    file::find("assets/data/mnist")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Three images of 2 x 2 pixels.
fn small_idx() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2];
    bytes.extend(0..12);
    bytes
}

/// The message of reading `bytes` as images, without the folder's name.
fn images_error(test: &str, bytes: &[u8]) -> String {
    let path = folder(test).join("file.idx");
    fs::write(&path, bytes).unwrap();
    idx::images(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE")
}

#[test]
fn the_training_labels_have_their_published_histogram() {
    let labels = idx::labels(mnist().join("train-labels-idx1-ubyte.gz")).unwrap();
    let count = |digit: u8| labels.iter().filter(|label| **label == digit).count();
    assert_eq!([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], labels[..10]);
    let published = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949];
    assert_eq!(published, std::array::from_fn(|digit| count(digit as u8)));
}

#[test]
fn the_training_images_have_their_published_mean_and_size() {
    let images = idx::images(mnist().join("train-images-idx3-ubyte.gz")).unwrap();
    assert_eq!((images.n, images.rows, images.cols), (60000, 28, 28));
    let sum: u64 = images.pixels.iter().map(|p| u64::from(*p)).sum();
    // Published to six figures: 33.3184 of 255.
    assert_eq!("33.3184", format!("{:.4}", sum as f64 / images.pixels.len() as f64));
    assert!(images.image(60000).is_empty());
}

#[test]
fn packed_and_plain_files_read_alike() {
    let folder = folder("alike");
    fs::write(folder.join("plain"), small_idx()).unwrap();
    fs::write(folder.join("packed"), packed(&small_idx())).unwrap();
    let plain = idx::images(folder.join("plain")).unwrap();
    assert_eq!(plain, idx::images(folder.join("packed")).unwrap());
    assert_eq!(plain.image(1), [4, 5, 6, 7]);
}

#[test]
fn a_wrong_idx_file_names_the_byte() {
    let whole = small_idx();
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        bytes
    };
    let message = |bytes: &[u8]| images_error("idx", bytes);
    let magic = "FILE at byte 0: starts with 0x00000801 (IDX labels), want 0x00000803 (IDX images)";
    assert_eq!(message(&with(3, 1)), magic);
    let magic = "FILE at byte 0: starts with 0x00000d03 (not an IDX file of bytes), want 0x00000803 (IDX images)";
    assert_eq!(message(&with(2, 13)), magic);
    assert_eq!(message(&whole[..9]), "FILE at byte 9: the file ends inside its header of 16 bytes");
    assert_eq!(message(&[]), "FILE at byte 0: the file ends inside its header of 16 bytes");
    let short = "FILE at byte 27: sizes [3, 2, 2] need 12 bytes of values, the file has 11";
    assert_eq!(message(&whole[..27]), short);
    let long = "FILE at byte 28: 2 bytes follow the 12 that sizes [3, 2, 2] need";
    assert_eq!(message(&[&whole[..], &[1, 2]].concat()), long);
    assert_eq!(message(&with(15, 0)), "FILE at byte 12: axis 2 of [3, 2, 0] is empty");
    let huge = "FILE at byte 4: sizes [2130706435, 2, 2] are over the 2147483648 bytes that are read";
    assert_eq!(message(&with(4, 127)), huge);
}

#[test]
fn a_damaged_gzip_stream_is_an_error_and_never_short_data() {
    let packed = packed(&small_idx());
    for cut in 2..packed.len() {
        let message = images_error("gzip", &packed[..cut]);
        assert!(message.contains("the gzip stream is damaged or cut short"), "cut at {cut}: {message}");
    }
    let trailing = images_error("gzip", &[&packed[..], b"xyz"].concat());
    assert_eq!(trailing, format!("FILE at byte {}: 3 bytes follow the gzip stream", packed.len()));
    let mut checksum = packed.clone();
    let at = packed.len() - 6;
    checksum[at] ^= 1;
    assert!(images_error("gzip", &checksum).contains("the gzip stream is damaged or cut short: corrupt gzip stream"));
}

#[test]
fn a_missing_file_is_named() {
    let message = idx::labels("no/such/labels").unwrap_err().to_string();
    let wrong = "cannot read no/such/labels: No such file or directory (os error 2)\n  \
                 check the path; a relative one starts at the working directory";
    assert_eq!(message, wrong);
}

/// Rows with standard deviations 3, 1 and 0.5 along three orthogonal directions of a 5-dimensional space.
fn ellipsoid(n: usize) -> Vec<f32> {
    let axes = [[0.6, 0.8, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0], [0.8, -0.6, 0.0, 0.0, 0.0]];
    let unit = GaussianMixture::new(&[1.0], &[vec![0.0; 3]], &[1.0]).unwrap().sample(n, 3);
    let point = |z: &[f32]| -> Vec<f32> {
        let at = |j: usize| (0..3).map(|a| [3.0, 1.0, 0.5][a] * f64::from(z[a]) * axes[a][j]).sum::<f64>() as f32;
        (0..5).map(|j| at(j) + j as f32).collect()
    };
    unit.x.chunks_exact(3).flat_map(point).collect()
}

#[test]
fn components_find_the_axes_of_an_ellipsoid() {
    let n = 20_000;
    let pca = Pca::fit(&ellipsoid(n), 5, 3).unwrap();
    // A sample variance of a Gaussian has relative standard error sqrt(2/n); five of them.
    let five_errors = 5.0 * (2.0 / n as f64).sqrt();
    for (found, exact) in pca.variances.iter().zip([9.0, 1.0, 0.25]) {
        assert!((found / exact - 1.0).abs() <= five_errors, "{found} for {exact}");
    }
    assert!(pca.components[1] > 0.79, "first axis {:?}", &pca.components[..5]);
    assert!(pca.explained() > 1.0 - 1e-6, "three axes hold all, up to the rounding of the data to f32");
    assert!(Pca::fit(&ellipsoid(n), 5, 1).unwrap().explained() < 0.9, "control: one axis does not");
}

#[test]
fn coordinates_have_variance_one_first_and_are_uncorrelated() {
    let (n, k) = (1000, 3);
    let data = ellipsoid(n);
    let pca = Pca::fit(&data, 5, k).unwrap();
    let z = pca.encode(&data);
    let moment =
        |a: usize, b: usize| z.chunks_exact(k).map(|z| f64::from(z[a]) * f64::from(z[b])).sum::<f64>() / n as f64;
    // Each z, of magnitude up to 5, is rounded to f32 once: a product is off by eps of at most 25.
    let bound = 25.0 * f64::from(f32::EPSILON);
    for a in 0..k {
        for b in 0..k {
            let exact = if a == b { pca.coordinate_variances()[a] } else { 0.0 };
            assert!((moment(a, b) - exact).abs() <= bound, "({a}, {b}): {} for {exact}", moment(a, b));
        }
    }
    assert_eq!(pca.coordinate_variances()[0], 1.0);
}

#[test]
fn digits_survive_all_components_and_lose_what_is_cut() {
    let data = MnistSubset::new(&[(2, 400), (3, 200), (6, 100)]).pool(2).train(mnist()).unwrap();
    let all = Pca::fit(&data.x, 196, 196).unwrap();
    let back = all.decode(&all.encode(&data.x));
    let worst = data.x.iter().zip(&back).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    // A pixel sums 196 coordinates of magnitude up to 5, each rounded once to f32, times a unit vector.
    assert!(worst <= 5.0 * all.scale as f32 * f32::EPSILON, "worst {worst:e}");
    let few = Pca::fit(&data.x, 196, 8).unwrap();
    let back = few.decode(&few.encode(&data.x));
    let lost = data.x.iter().zip(back).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>() / data.n() as f64;
    // The mean squared error is the variance that was cut (Jolliffe, section 2.1, property A2 for the least variances).
    let cut: f64 = few.variances[8..].iter().sum();
    // Each of 196 squares is rounded to relative eps a few times, of either sign.
    assert!((lost / cut - 1.0).abs() < 8.0 * f64::from(f32::EPSILON), "{lost} lost, {cut} cut");
}

#[test]
fn unusable_data_for_components_are_refused() {
    let message = |data: &[f32], p, k| Pca::fit(data, p, k).unwrap_err().to_string();
    assert_eq!(message(&[1.0; 5], 2, 1), "shape mismatch in `Pca::fit`: got 5 values, want rows of 2 values");
    assert_eq!(message(&[1.0; 4], 2, 3), "number of components is 3, but must be 1 up to the row's length");
    assert_eq!(message(&[1.0; 2], 2, 1), "number of rows is 1, but must be at least 2");
    assert_eq!(message(&[1.0; 4], 2, 1), "variance of the data is 0, but must be above 0");
    let nan = "value of the data is NaN in row 1, column 0, but must be finite";
    assert_eq!(message(&[0.0, 1.0, f32::NAN, 1.0], 2, 1), nan);
}

#[test]
fn a_mixture_has_exact_counts_and_the_moments_of_its_modes() {
    let mixture = GaussianMixture::two_wells(10, -10.0, 6.0, 0.25).unwrap();
    assert_eq!(mixture.counts(10_000), [2500, 7500]);
    assert_eq!(GaussianMixture::new(&[1.0, 1.0, 8.0], &vec![vec![0.0]; 3], &[1.0; 3]).unwrap().counts(30), [3, 3, 24]);
    let data = mixture.sample(10_000, 11);
    let mean = data.x.chunks_exact(10).map(|x| f64::from(x[0])).sum::<f64>() / 1e4;
    // The counts are exact, so only the unit width within a mode scatters: five standard errors of 1/100.
    assert!((mean - 2.0).abs() <= 0.05, "mean {mean}");
    assert_eq!(data, mixture.sample(10_000, 11));
    assert_ne!(data.x, mixture.sample(10_000, 12).x);
}

#[test]
fn a_mixture_density_integrates_to_one() {
    let mixture = GaussianMixture::new(&[1.0, 3.0], &[vec![-2.0], vec![1.0]], &[0.5, 1.5]).unwrap();
    // The trapezoid sum of a smooth function that dies at both ends converges beyond any power of the step.
    let integral: f64 = (-3000..=3000).map(|i| (mixture.log_density(&[f64::from(i) * 0.005])).exp() * 0.005).sum();
    assert!((integral - 1.0).abs() < 1e-12, "{integral}");
    assert!(mixture.log_density(&[1e4]).is_finite(), "far away the density underflows, its logarithm does not");
}

#[test]
fn a_wrong_mixture_is_refused() {
    let message = |weights: &[f64], widths: &[f64]| {
        GaussianMixture::new(weights, &[vec![0.0], vec![1.0]], widths).unwrap_err().to_string()
    };
    let lengths = "shape mismatch in `GaussianMixture`: got 1 weights, 2 widths, means of lengths [1, 1], \
                   want as many of each, in one dimension of at least 1";
    assert_eq!(message(&[1.0], &[1.0, 1.0]), lengths);
    assert_eq!(message(&[1.0, -1.0], &[1.0, 1.0]), "mixture weight is -1, but must be a positive number");
    assert_eq!(message(&[1.0, 1.0], &[1.0, f64::NAN]), "mixture width is NaN, but must be a positive number");
}

#[test]
fn a_table_reads_its_columns_and_names_a_wrong_cell() {
    let path = folder("table").join("t.csv");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        table::read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "FILE"))
    };
    let good = read("step, ess\n0,1.5\n10,\n").unwrap();
    assert_eq!((good.n_rows(), good.column("step")), (2, Some(vec![0.0, 10.0])));
    assert!(good.column("ess").unwrap()[1].is_nan() && good.column("log_z").is_none());
    let wrong = "FILE at byte 15: line 3: `ess` is `lots`, not a number";
    assert_eq!(read("step,ess\n0,1.5\n1,lots\n").unwrap_err(), wrong);
    assert_eq!(read("a,b\n1,2\n3\n").unwrap_err(), "FILE at byte 8: line 3 has 1 cells, the header has 2");
    assert_eq!(read("").unwrap_err(), "FILE at byte 0: the first line names no columns");
}

#[test]
fn an_array_file_is_what_numpy_writes() {
    let path = folder("npy").join("a.npy");
    npy::write(&path, &[2, 3], &[0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    let bytes = fs::read(&path).unwrap();
    // numpy.save of numpy.arange(6, dtype='<f4').reshape(2, 3), format version 1.0.
    let mut expected = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }".to_vec();
    expected.resize(127, b' ');
    expected.push(b'\n');
    expected.extend((0..6).flat_map(|i| (i as f32).to_le_bytes()));
    assert_eq!(bytes, expected);
    npy::write(&path, &[3], &[1u8, 2, 3]).unwrap();
    let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
    assert!(text.contains("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"), "{text}");
}

#[test]
fn a_wrong_array_file_says_why() {
    let path = folder("npy-wrong").join("a.npy");
    let message = || npy::read::<f32>(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "FILE");
    fs::write(&path, b"not an array").unwrap();
    assert_eq!(message(), "FILE at byte 0: is not a NumPy array file");
    npy::write(&path, &[2], &[1f64, 2.0]).unwrap();
    assert_eq!(message(), "FILE at byte 10: holds <f8, want <f4: convert it with astype");
    npy::write(&path, &[2], &[1f32, 2.0]).unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    assert_eq!(message(), "FILE at byte 133: shape [2] needs 8 bytes, the file has 5");
    let fortran = String::from_utf8_lossy(&bytes[10..118]).replace("False", "True ");
    fs::write(&path, [&bytes[..10], fortran.as_bytes(), &bytes[118..]].concat()).unwrap();
    assert_eq!(message(), "FILE at byte 10: is in Fortran order, want C order: save numpy.ascontiguousarray(a)");
    let shape = npy::write(&path, &[2, 2], &[1f32]).unwrap_err().to_string();
    assert_eq!(shape, "shape mismatch in `npy::write`: got 1 values, want 4 for shape [2, 2]");
}

/// What lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = folder("atomic");
    let path = folder.join("state");
    file::write_atomic(&path, b"old").unwrap();
    let full_disk = |temporary: &Path| {
        fs::write(temporary, b"ne")?;
        Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
    };
    let message = file::replace(&path, full_disk).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot write {}: no storage space\n", path.display())), "{message}");
    assert_eq!((fs::read(&path).unwrap(), names(&folder)), (b"old".to_vec(), vec!["state".to_string()]));
    file::write_atomic(&path, b"new").unwrap();
    assert_eq!((fs::read(&path).unwrap(), names(&folder)), (b"new".to_vec(), vec!["state".to_string()]));
}

#[test]
fn a_write_into_a_missing_folder_is_named() {
    let path = folder("missing").join("no/such/file");
    let message = file::write_atomic(&path, b"x").unwrap_err().to_string();
    let wrong = "No such file or directory (os error 2)\n  create its folder first";
    assert_eq!(message, format!("cannot write {}: {wrong}", path.display()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arrays_come_back_bit_for_bit(shape in prop::collection::vec(0usize..5, 0..4), seed in any::<u32>()) {
        let n: usize = shape.iter().product();
        let values: Vec<f32> = (0..n as u32).map(|i| f32::from_bits(seed.wrapping_mul(i.wrapping_add(1)))).collect();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-npy-{}.npy", std::process::id()));
        npy::write(&path, &shape, &values).unwrap();
        let back = npy::read::<f32>(&path).unwrap();
        prop_assert_eq!(back.shape, shape);
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&back.values), bits(&values));
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0usize..28) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-fuzz-{}.idx", std::process::id()));
        for bytes in [bytes.clone(), [&small_idx()[..cut], &bytes].concat(), packed(&bytes), [b"\x93NUMPY", &bytes[..]].concat()] {
            fs::write(&path, &bytes).unwrap();
            let _ = (idx::images(&path), idx::labels(&path), npy::read::<f64>(&path), table::read(&path));
        }
    }

    #[test]
    fn counts_are_floors_and_add_up(weights in prop::collection::vec(0.01f64..1.0, 1..6), n in 0usize..5000) {
        let modes = weights.len();
        let mixture = GaussianMixture::new(&weights, &vec![vec![0.0]; modes], &vec![1.0; modes]).unwrap();
        let counts = mixture.counts(n);
        prop_assert_eq!(counts.iter().sum::<usize>(), n);
        for (count, weight) in counts[..modes - 1].iter().zip(mixture.weights()) {
            prop_assert!((n as f64 * weight - *count as f64).abs() <= 1.0);
        }
    }
}
