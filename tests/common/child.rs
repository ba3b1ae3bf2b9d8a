//! A run in a process of its own, which Ctrl-C stops.
//!
//! The test binary is started again, with the test `child_process` alone; there it finds what to run in [`arguments`].

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const VARIABLE: &str = "ERGODIC_TEST_CHILD";

/// The command line of a child process, one argument a line; `None` in an ordinary run of the tests.
pub fn arguments() -> Option<Vec<String>> {
    let lines = std::env::var(VARIABLE).ok()?;
    Some(lines.lines().map(String::from).collect())
}

/// This test's own program, running the example.
pub fn command(arguments: &[String]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.args(["--exact", "child_process", "--nocapture"]).env(VARIABLE, arguments.join("\n"));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Starts a run, interrupts it as soon as it has written `file`, and gives back what it said at its end.
pub fn interrupted_after(file: &Path, arguments: &[String]) -> String {
    let (mut child, begun) = (command(arguments).spawn().expect("a child"), Instant::now());
    while !file.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no {} after two minutes", file.display());
        assert!(child.try_wait().expect("a child").is_none(), "the child ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill").success());
    let output = child.wait_with_output().expect("a child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("add --resume to go on from "), "{said}");
    said
}
