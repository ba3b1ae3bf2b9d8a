//! Digits in chosen proportions: counts, pixels and order.

use std::fs;
use std::path::{Path, PathBuf};

use ergodic::data::{Digits, MnistSubset, file, idx};
use ergodic::random::RngKey;

fn mnist() -> PathBuf {
    file::find("assets/data/mnist")
}

#[test]
fn a_subset_has_exactly_the_counts_asked_for() {
    let subset = MnistSubset::new(&[(2, 5600), (3, 2800), (6, 1400)]);
    let data = subset.train(mnist()).unwrap();
    assert_eq!([2, 3, 6].map(|digit| data.count(digit)), [5600, 2800, 1400]);
    assert_eq!((data.n(), data.x.len()), (9800, 9800 * 784));
    assert!(data.x.iter().all(|x| (-1.0..=1.0).contains(x)));
    // The first 2 of the training set is its image 5; paper is -1 and full ink +1.
    let images = idx::images(mnist().join("train-images-idx3-ubyte.gz")).unwrap();
    let expected: Vec<f32> = images.image(5).iter().map(|p| f32::from(*p) / 127.5 - 1.0).collect();
    assert_eq!(data.x[..784], expected);
}

#[test]
fn held_out_digits_keep_the_proportions() {
    let subset = MnistSubset::new(&[(2, 5600), (3, 2800), (6, 1400)]);
    let data = subset.held_out(mnist()).unwrap();
    // 1032 twos are there; 1032/5600 of the others.
    assert_eq!([2, 3, 6].map(|digit| data.count(digit)), [1032, 516, 258]);
    let all = subset.all_held_out(mnist()).unwrap();
    assert_eq!([2, 3, 6].map(|digit| all.count(digit)), [1032, 1010, 958]);
}

#[test]
fn pooling_averages_and_keeps_the_mean() {
    let subset = MnistSubset::new(&[(0, 50)]);
    let (fine, coarse) = (subset.train(mnist()).unwrap(), subset.clone().pool(2).train(mnist()).unwrap());
    assert_eq!((coarse.side, coarse.n_pixels()), (14, 196));
    let mean = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
    // Each of the values, of magnitude up to 1, is rounded twice.
    assert!((mean(&fine.x) - mean(&coarse.x)).abs() <= 2.0 * f64::from(f32::EPSILON));
    let first = (fine.x[28 * 10 + 10] + fine.x[28 * 10 + 11] + fine.x[28 * 11 + 10] + fine.x[28 * 11 + 11]) / 4.0;
    assert!((coarse.x[14 * 5 + 5] - first).abs() <= 4.0 * f32::EPSILON);
}

#[test]
fn a_seed_chooses_images_and_another_seed_others() {
    let choose = |seed| MnistSubset::new(&[(1, 20), (7, 30)]).pool(4).shuffle(seed).train(mnist()).unwrap();
    assert_eq!(choose(1), choose(1));
    assert_ne!(choose(1).x, choose(2).x);
    assert_eq!((choose(2).count(1), choose(2).count(7)), (20, 30));
}

#[test]
fn shuffled_digits_are_the_same_images_in_an_order_of_right_proportions() {
    let subset = MnistSubset::new(&[(2, 560), (3, 280), (6, 140)]).pool(4);
    let data = subset.train(mnist()).unwrap();
    let mixed = data.shuffled(RngKey::new(4));
    let sorted = |data: &Digits| {
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let mut rows: Vec<_> = data.x.chunks_exact(49).map(bits).zip(data.labels.iter().copied()).collect();
        rows.sort();
        rows
    };
    assert!(sorted(&mixed) == sorted(&data), "an image was lost, doubled or parted from its label");
    assert_eq!(mixed, data.shuffled(RngKey::new(4)));
    assert_ne!(mixed.labels, data.shuffled(RngKey::new(5)).labels);
    // 140 of 980 rows without replacement: variance n p (1 - p) (1 - n/N). In standard deviations:
    let off = |data: &Digits, digit, p: f64| {
        let found = data.labels[..140].iter().filter(|label| **label == digit).count() as f64;
        (found - 140.0 * p).abs() / (140.0 * p * (1.0 - p) * (1.0 - 140.0 / 980.0)).sqrt()
    };
    for (digit, p) in [(2, 4.0 / 7.0), (3, 2.0 / 7.0), (6, 1.0 / 7.0)] {
        // Four: one false alarm in 16,000, and the key is fixed.
        assert!(off(&mixed, digit, p) < 4.0, "digit {digit} is off by {}", off(&mixed, digit, p));
    }
    // The control: by quota, also with images chosen at random, the scarcest digit is as frequent as the others.
    for quota in [&data, &subset.shuffle(3).train(mnist()).unwrap()] {
        assert!(off(quota, 6, 1.0 / 7.0) > 4.0, "{}", off(quota, 6, 1.0 / 7.0));
    }
}

#[test]
fn a_wrong_subset_says_what_is_there() {
    let message = |subset: MnistSubset| subset.train(mnist()).unwrap_err().to_string();
    let many = "count is 6000 of digit 6, of which there are 5918, but must be no more than the files hold";
    assert_eq!(message(MnistSubset::new(&[(6, 6000)])), many);
    let twice = "digits is 6 twice, but must be each digit once";
    assert_eq!(message(MnistSubset::new(&[(6, 1), (6, 2)])), twice);
    let pool = "pool is 3, but must be a divisor of the image's side";
    assert_eq!(message(MnistSubset::new(&[(6, 1)]).pool(3)), pool);
}

#[test]
fn files_that_are_not_mnist_are_named_with_where_the_right_ones_are() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("ergodic-digits-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let (images, labels) = (folder.join("train-images-idx3-ubyte.gz"), folder.join("train-labels-idx1-ubyte.gz"));
    let message = || {
        let error = MnistSubset::new(&[(2, 1)]).train(&folder).unwrap_err();
        error.to_string().replace(folder.to_str().unwrap(), "DIR")
    };
    let there = "\n  take the file of this name from the crate's assets/data/mnist, or the four of another set";
    let missing = "cannot read DIR/train-images-idx3-ubyte.gz: No such file or directory (os error 2)\n  \
                   check the path; a relative one starts at the working directory";
    assert_eq!(message(), missing);
    // What a failed download leaves.
    fs::write(&images, "<!DOCTYPE html><html>404</html>").unwrap();
    let page = "DIR/train-images-idx3-ubyte.gz at byte 0: starts with 0x3c21444f (not an IDX file of bytes), \
                want 0x00000803 (IDX images)";
    assert_eq!(message(), format!("{page}{there}"));
    // Two images of 28 x 28, and labels of another set.
    let head = |words: &[u32]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
    fs::write(&images, [head(&[0x803, 2, 28, 28]), vec![0; 2 * 784]].concat()).unwrap();
    fs::write(&labels, [head(&[0x801, 3]), vec![2, 3, 6]].concat()).unwrap();
    let other = "DIR/train-labels-idx1-ubyte.gz at byte 4: 3 labels for 2 images in the file beside it";
    assert_eq!(message(), format!("{other}{there}"));
    // Images that are not square cannot be digits of ours.
    fs::write(&images, [head(&[0x803, 2, 28, 14]), vec![0; 2 * 392]].concat()).unwrap();
    fs::write(&labels, [head(&[0x801, 2]), vec![2, 3]].concat()).unwrap();
    let oblong = "shape mismatch in `MnistSubset`: got 2 labels for [2, 28, 14] images, want one label a square image";
    assert_eq!(message(), oblong);
}
