//! Walkers in an egui window: the engine on eframe's device, its steps in egui's encoder, its buffer drawn without a copy.
//!
//! Teaches: where an engine fits into egui's paint callbacks; settings of a running session from sliders.
//! Run:     cargo run --release --example embed_egui --features egui
//! Prints:  how many frames were drawn, and how many steps the walkers took

#[path = "../embed_in_host/points.rs"]
mod points;
#[path = "../embed_in_host/walkers.rs"]
mod walkers;

use clap::Parser;
use eframe::egui;
use eframe::egui_wgpu::{Callback, CallbackResources, CallbackTrait, RenderState, ScreenDescriptor};
use ergodic::gpu::{Gpu, PollMode};
use ergodic::plan::Session;
use points::Points;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// Flags.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Walkers, all in the left well at first.
    #[arg(long, default_value_t = 100_000)]
    walkers: usize,
    /// Close the window after so many frames.
    #[arg(long)]
    frames: Option<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let options = eframe::NativeOptions { renderer: eframe::Renderer::Wgpu, ..Default::default() };
    let seen = Arc::new(Mutex::new((0, 0)));
    let told = seen.clone();
    eframe::run_native(
        "walkers in two wells",
        options,
        Box::new(move |context| Ok(Box::new(App::new(context, args, told)?))),
    )?;
    let (frames, steps) = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{frames} frames, {steps} steps");
    Ok(())
}

/// What the sliders say.
#[derive(Clone, Copy, PartialEq)]
struct Settings {
    temperature: f32,
    steps: u64,
    runs: bool,
    /// Counts presses of the button that gathers the walkers.
    gathered: u32,
}

struct App {
    args: Args,
    settings: Settings,
    /// Frames and steps so far, and what went wrong.
    seen: Arc<Mutex<(u64, u64)>>,
    failure: Arc<Mutex<Option<ergodic::Error>>>,
}

/// The engine's part, kept among egui's resources.
struct Engine {
    session: Session,
    buffer: wgpu::Buffer,
    points: Points,
    applied: Settings,
}

impl App {
    fn new(
        context: &eframe::CreationContext<'_>,
        args: Args,
        seen: Arc<Mutex<(u64, u64)>>,
    ) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let state = context.wgpu_render_state.as_ref().ok_or("eframe runs without wgpu")?;
        let settings = Settings { temperature: 1.0, steps: 20, runs: true, gathered: 0 };
        let engine = Engine::new(state, args.walkers, settings)?;
        state.renderer.write().callback_resources.insert(engine);
        Ok(App { args, settings, seen, failure: Arc::default() })
    }

    fn sliders(&mut self, ui: &mut egui::Ui) {
        ui.heading("U = 2 (x² − 1)² + 2 y²");
        ui.add(egui::Slider::new(&mut self.settings.temperature, 0.05..=4.0).logarithmic(true).text("kT"));
        ui.add(egui::Slider::new(&mut self.settings.steps, 1..=200).text("steps a frame"));
        ui.checkbox(&mut self.settings.runs, "run");
        if ui.button("all into the left well").clicked() {
            self.settings.gathered += 1;
        }
        let (frames, steps) = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        ui.label(format!("{} walkers, {steps} steps, {frames} frames", self.args.walkers));
        if let Some(failure) = &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            ui.colored_label(egui::Color32::RED, failure.to_string());
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut eframe::Frame) {
        egui::Panel::left("settings").show(ui, |ui| self.sliders(ui));
        egui::CentralPanel::default().frame(egui::Frame::canvas(ui.style())).show(ui, |ui| {
            let rect = ui.available_rect_before_wrap();
            let frame = Frame {
                settings: self.settings,
                walkers: self.args.walkers as u32,
                seen: self.seen.clone(),
                failure: self.failure.clone(),
            };
            ui.painter().add(Callback::new_paint_callback(rect, frame));
        });
        let frames = self.seen.lock().unwrap_or_else(PoisonError::into_inner).0;
        if self.args.frames.is_some_and(|most| frames >= most) {
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Close);
        }
        ui.ctx().request_repaint();
    }
}

impl Engine {
    /// On eframe's device, which eframe polls.
    fn new(state: &RenderState, n: usize, applied: Settings) -> ergodic::Result<Self> {
        let (device, queue) = (state.device.clone(), state.queue.clone());
        let gpu = Gpu::from_wgpu(state.adapter.get_info(), device, queue, PollMode::Host)?;
        let buffer = walkers::buffer(&state.device, n);
        let session = walkers::session(&gpu, &buffer, n)?;
        Ok(Engine { session, buffer, points: Points::new(&state.device, state.target_format), applied })
    }

    /// Takes over what the sliders say, and records the steps of a frame.
    fn step(&mut self, settings: Settings, n: usize, encoder: &mut wgpu::CommandEncoder) -> ergodic::Result<u64> {
        if settings.temperature != self.applied.temperature {
            self.session.tensor("kT")?.write(&[settings.temperature])?;
        }
        if settings.gathered != self.applied.gathered {
            walkers::gather(&self.session, n)?;
        }
        self.applied = settings;
        let steps = if settings.runs { settings.steps } else { 0 };
        self.session.encode(encoder, steps)?;
        Ok(steps)
    }
}

/// One frame on its way through egui.
struct Frame {
    settings: Settings,
    walkers: u32,
    seen: Arc<Mutex<(u64, u64)>>,
    failure: Arc<Mutex<Option<ergodic::Error>>>,
}

impl CallbackTrait for Frame {
    fn prepare(
        &self,
        _: &wgpu::Device,
        _: &wgpu::Queue,
        _: &ScreenDescriptor,
        encoder: &mut wgpu::CommandEncoder,
        resources: &mut CallbackResources,
    ) -> Vec<wgpu::CommandBuffer> {
        let Some(engine) = resources.get_mut::<Engine>() else { return vec![] };
        match engine.step(self.settings, self.walkers as usize, encoder) {
            Ok(steps) => {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                *seen = (seen.0 + 1, seen.1 + steps);
            }
            Err(error) => *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error),
        }
        vec![] // egui submits its own encoder, with our steps in it
    }

    fn paint(&self, _: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, resources: &CallbackResources) {
        if let Some(engine) = resources.get::<Engine>() {
            engine.points.draw(pass, &engine.buffer, self.walkers);
        }
    }
}
