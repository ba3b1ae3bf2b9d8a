//! The server of `benches/peers/run.py`: a process that is sent one request a line and gives one answer a line.

use super::Result;
use super::suite::Sizes;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running server. It ends when its input is closed.
pub struct Peers {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    about: Value,
}

/// What a peer measured.
pub struct Theirs {
    /// Sorted.
    pub seconds: Vec<f64>,
    /// Generator and formulation that were fastest.
    pub variant: String,
    /// Median seconds of every variant tried.
    pub variants: Value,
    /// To be scored.
    pub answer: Vec<f64>,
}

impl Peers {
    /// Start the server with this Python.
    pub fn start(python: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/run.py");
        let mut command = Command::new(python);
        command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().ok_or("no output")?);
        let mut peers = Peers { child, input, output: BufReader::new(output), about: Value::Null };
        peers.about = peers.line()?;
        Ok(peers)
    }

    /// Version and devices.
    pub fn about(&self) -> &Value {
        &self.about
    }

    /// Have one workload measured.
    pub fn measure(&mut self, id: &str, sizes: &Sizes, repeats: usize) -> Result<Theirs> {
        let sizes: Map<_, _> = sizes.0.iter().map(|(name, n)| (name.to_string(), json!(n))).collect();
        let reply = self.ask(&json!({ "id": id, "sizes": sizes, "repeats": repeats }))?;
        let numbers = |name: &str| reply[name].as_array().map(|all| all.iter().filter_map(Value::as_f64).collect());
        let variant = reply["variant"].as_str().unwrap_or_default().to_string();
        let (seconds, answer) = (numbers("seconds").ok_or("no seconds")?, numbers("answer").ok_or("no answer")?);
        Ok(Theirs { seconds, variant, variants: reply["variants"].clone(), answer })
    }

    /// What the device can do at most: `copy_gb_s` and `f32_tflop_s`, measured.
    pub fn ceilings(&mut self) -> Result<Value> {
        self.ask(&json!({ "id": "ceilings" }))
    }

    fn ask(&mut self, request: &Value) -> Result<Value> {
        let input = self.input.as_mut().ok_or("the server has no input")?;
        writeln!(input, "{request}")?;
        input.flush()?;
        let reply = self.line()?;
        match reply["error"].as_str() {
            Some(error) => Err(error.into()),
            None => Ok(reply),
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("the server ended, {}", self.child.wait()?).into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.input.take());
        if let Err(error) = self.child.wait() {
            eprintln!("bench: the JAX server: {error}");
        }
    }
}
