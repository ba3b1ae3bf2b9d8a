//! Frames in a window of the desktop: the host's event loop and surface, in plain winit and wgpu.

use super::draw::on_black;
use super::points::Points;
use super::{Args, Result, host, part_across, walkers};
use ergodic::gpu::Gpu;
use ergodic::plan::Session;
use std::sync::Arc;
use wgpu::CurrentSurfaceTexture as Current;
use winit::application::ApplicationHandler;
use winit::event::WindowEvent;
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::window::{Window, WindowId};

/// Shows frames until the window is closed, or so many as the flags ask for. Returns the part of the walkers that are in the
/// right well at the end.
pub fn run(args: &Args) -> Result<f64> {
    let mut app = App { args: args.clone(), shown: None, frames: 0, failure: None };
    EventLoop::new()?.run_app(&mut app)?;
    match (app.failure, app.shown) {
        (Some(failure), _) => Err(failure),
        (None, Some(shown)) => part_across(&shown.device, &shown.queue, &shown.gpu, &shown.session),
        (None, None) => Ok(0.0),
    }
}

struct App {
    args: Args,
    shown: Option<Shown>,
    frames: usize,
    failure: Option<Box<dyn std::error::Error>>,
}

/// A window with all that is drawn in it.
struct Shown {
    window: Arc<Window>,
    instance: wgpu::Instance,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    points: Points,
    buffer: wgpu::Buffer,
    gpu: Gpu,
    session: Session,
}

impl Shown {
    fn new(events: &ActiveEventLoop, args: &Args) -> Result<Self> {
        let title = Window::default_attributes().with_title("walkers in two wells");
        let window = Arc::new(events.create_window(title.with_inner_size(winit::dpi::LogicalSize::new(640, 640)))?);
        let instance = wgpu::Instance::default();
        let surface = instance.create_surface(window.clone())?;
        let host = host(&instance, Some(&surface))?;
        let size = window.inner_size();
        let config = surface.get_default_config(&host.adapter, size.width.max(1), size.height.max(1));
        let config = config.ok_or("this adapter cannot draw in a window: leave out --window")?;
        surface.configure(&host.device, &config);
        let (gpu, buffer) = (host.engine()?, walkers::buffer(&host.device, args.walkers));
        let session = walkers::session(&gpu, &buffer, args.walkers)?;
        let points = Points::new(&host.device, config.format);
        let (device, queue) = (host.device, host.queue);
        Ok(Shown { window, instance, surface, config, device, queue, points, buffer, gpu, session })
    }

    fn resize(&mut self, width: u32, height: u32) {
        (self.config.width, self.config.height) = (width.max(1), height.max(1));
        self.surface.configure(&self.device, &self.config);
    }

    /// One frame; `false` if there was nothing to draw on.
    fn frame(&mut self, args: &Args) -> Result<bool> {
        let texture = match self.surface.get_current_texture() {
            Current::Success(texture) | Current::Suboptimal(texture) => texture,
            Current::Timeout | Current::Occluded => return Ok(false),
            Current::Outdated | Current::Validation => {
                self.surface.configure(&self.device, &self.config);
                return Ok(false);
            }
            Current::Lost => {
                self.surface = self.instance.create_surface(self.window.clone())?;
                self.surface.configure(&self.device, &self.config);
                return Ok(false);
            }
        };
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.session.encode(&mut encoder, args.steps)?; // the engine's part of the frame
        let view = texture.texture.create_view(&Default::default());
        on_black(&self.points, &mut encoder, &view, (&self.buffer, args.walkers as u32));
        self.queue.submit([encoder.finish()]);
        self.window.pre_present_notify();
        self.queue.present(texture);
        Ok(true)
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.shown.is_none() {
            match Shown::new(events, &self.args) {
                Ok(shown) => self.shown = Some(shown),
                Err(failure) => self.fail(events, failure),
            }
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        let Some(shown) = &mut self.shown else { return };
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::Resized(size) => shown.resize(size.width, size.height),
            WindowEvent::RedrawRequested => match shown.frame(&self.args) {
                Ok(drawn) => {
                    self.frames += usize::from(drawn);
                    if self.frames >= self.args.frames { events.exit() } else { shown.window.request_redraw() }
                }
                Err(failure) => self.fail(events, failure),
            },
            _ => {}
        }
    }
}

impl App {
    fn fail(&mut self, events: &ActiveEventLoop, failure: Box<dyn std::error::Error>) {
        self.failure = Some(failure);
        events.exit();
    }
}
