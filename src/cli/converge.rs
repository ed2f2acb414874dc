//! `rollout converge`: a service that probes on a schedule, reports drift, and repairs it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rand::RngExt as _;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use super::load::{Loaded, Texts};
use super::notify::{Notifier, NotifyArgs};
use super::options::{Format, Options};
use super::selection::{DisplayArgs, Selection};
use super::session::{RunResult, Session};
use super::terminal::Terminal;
use crate::converge::{
    Clock, Drift, Notices, RepairLimits, Schedule, ScheduleError, ServiceEvent, ServiceEventKind, Ticker, VERSION,
};
use crate::document::parse_duration;
use crate::event::{EventKind, Mode, Outcome, Problem, UnitRef};
use crate::finding::{Findings, Style};
use crate::secret::{redact_value, shown, visible_json};

const DEFAULT_INTERVAL: Duration = Duration::from_secs(15 * 60);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    display: DisplayArgs,
    /// Probe at this interval, at least `30s` [default: 15m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Probe when this cron expression matches: minute hour day month weekday, such as "*/15 * * * *"
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// Time zone of `--cron`, an IANA name such as Europe/Berlin [default: that of this machine]
    #[arg(long, value_name = "NAME", requires = "cron")]
    time_zone: Option<String>,
    /// Delay each probe by a random time up to this, so that several services do not probe at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    jitter: Option<Duration>,
    /// Whether to repair drift or to report it only
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    mode: ServiceMode,
    /// Repair a step on a host at most this often within an hour; then leave it alone for an hour, or longer each time
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_repairs: u32,
    #[command(flatten)]
    notify: NotifyArgs,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum ServiceMode {
    /// Report drift and change nothing
    Detect,
    /// Repair drift
    #[default]
    Repair,
}

impl Args {
    fn schedule(&self) -> Result<Schedule, Failure> {
        let schedule = match &self.cron {
            Some(expression) => Schedule::cron(expression, self.time_zone.as_deref()),
            None => Schedule::every(self.every.unwrap_or(DEFAULT_INTERVAL)),
        };
        schedule.map_err(|ScheduleError { message, hint }| Failure::usage(Problem::new(message).hint(hint)))
    }
}

pub fn run(args: &Args, options: &Options, terminal: &Terminal) -> Result<Exit, Failure> {
    let schedule = args.schedule()?;
    let (texts, loaded, warnings) = Texts::read(&args.selection.plan, options)?;
    terminal.warnings(&warnings);
    // Names on the command line are checked before the first tick.
    args.selection.graph(&loaded)?;
    let plan = loaded.plan.name.value;
    let signals = listen()?;
    let began = Instant::now();
    let limits = RepairLimits::new(args.max_repairs as usize);
    let (notifier, notices) = (Notifier::start(&args.notify, terminal)?, Notices::default());
    let (refused, is_settled) = (None, false);
    let mode = if args.mode == ServiceMode::Repair { "repair" } else { "detect" };
    let started = ServiceEventKind::Started { plan: plan.clone(), mode };
    let mut service =
        Service { args, options, terminal, began, plan, texts, refused, limits, is_settled, notifier, notices };
    service.report(started)?;
    let mut ticker = Ticker::new(schedule, service.clock());
    let mut is_asked = false;
    loop {
        while !is_asked && !ticker.is_due(service.clock()) {
            match signals.recv_timeout(ticker.wait(service.clock())) {
                Ok(Signal::Probe) => is_asked = true,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return service.stop(),
            }
        }
        let now = service.clock();
        if service.tick()? == Next::Stop {
            return service.stop();
        }
        // A signal that came during the tick may be about something that the tick had probed already.
        is_asked = false;
        for signal in signals.try_iter() {
            match signal {
                Signal::Probe => is_asked = true,
                Signal::Stop => return service.stop(),
            }
        }
        ticker.advance(now, jitter(args.jitter.unwrap_or_default()));
    }
}

fn jitter(most: Duration) -> Duration {
    Duration::from_millis(rand::rng().random_range(0..=u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
}

#[derive(Debug, PartialEq, Eq)]
enum Signal {
    /// SIGHUP: probe now.
    Probe,
    /// SIGTERM or SIGINT.
    Stop,
}

/// Receives signals on a thread of its own, so that none is lost while a tick runs.
fn listen() -> std::io::Result<Receiver<Signal>> {
    let (sender, receiver) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ready, is_ready) = channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(forward(&sender, &ready)))?;
    is_ready.recv().unwrap_or_else(|_| Err(std::io::Error::other("no thread for signals")))?;
    Ok(receiver)
}

async fn forward(sender: &Sender<Signal>, ready: &Sender<std::io::Result<()>>) {
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let [mut interrupt, mut terminate, mut hangup] = match signals {
        [Ok(interrupt), Ok(terminate), Ok(hangup)] => [interrupt, terminate, hangup],
        [Err(error), ..] | [_, Err(error), _] | [.., Err(error)] => return drop(ready.send(Err(error))),
    };
    let _ = ready.send(Ok(()));
    loop {
        let signal = tokio::select! {
            Some(()) = hangup.recv() => Signal::Probe,
            Some(()) = interrupt.recv() => Signal::Stop,
            Some(()) = terminate.recv() => Signal::Stop,
            else => return,
        };
        if sender.send(signal).is_err() {
            return;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Tick,
    Stop,
}

struct Service<'a> {
    args: &'a Args,
    options: &'a Options,
    terminal: &'a Terminal,
    began: Instant,
    /// The name of the plan.
    plan: String,
    /// The plan in force.
    texts: Texts,
    /// The findings on the edited plan, if it does not check.
    refused: Option<String>,
    limits: RepairLimits,
    /// Whether the plan in force has been carried out once. Changes before that are no drift.
    is_settled: bool,
    notifier: Notifier,
    notices: Notices,
}

impl Service<'_> {
    fn clock(&self) -> Clock {
        Clock { wall: jiff::Timestamp::now(), running: self.began.elapsed() }
    }

    fn report(&mut self, kind: ServiceEventKind) -> Result<(), Failure> {
        let event = ServiceEvent { v: VERSION, at: jiff::Timestamp::now(), kind };
        if let Some(text) = self.notices.take(&event.kind) {
            self.notifier.send(&self.plan, &event, &shown(&text));
        }
        let line = match self.terminal.format {
            Format::Text => {
                format!("{} {}\n", event.at.strftime("%FT%TZ"), shown(&event.kind.to_string()))
            }
            Format::Json => {
                let json = redact_value(serde_json::to_value(&event).map_err(std::io::Error::from)?);
                format!("{}\n", visible_json(&json.to_string()))
            }
        };
        // Shown by `systemctl status`. Without systemd this does nothing.
        let first = event.kind.to_string().lines().next().map(shown).unwrap_or_default();
        let state = match event.kind {
            ServiceEventKind::Started { .. } => NotifyState::Ready,
            ServiceEventKind::Stopped => NotifyState::Stopping,
            _ => NotifyState::Status(&first),
        };
        let _ = sd_notify::notify(&[state]);
        Ok(self.terminal.data(&line)?)
    }

    fn stop(&mut self) -> Result<Exit, Failure> {
        self.report(ServiceEventKind::Stopped)?;
        Ok(Exit::Ok)
    }

    /// Puts the edited plan in force if it checks. Returns the plan, unless the last good one stays in force.
    fn reload(&mut self) -> Result<Option<Loaded>, Failure> {
        match Texts::read(&self.args.selection.plan, self.options) {
            Ok((texts, loaded, _)) => {
                let is_new = !texts.is_same(&self.texts);
                self.texts = texts;
                self.is_settled &= !is_new;
                if is_new || self.refused.take().is_some() {
                    self.refused = None;
                    self.report(ServiceEventKind::PlanReloaded)?;
                }
                Ok(Some(loaded))
            }
            Err(failure) => {
                let findings = text_of(failure);
                if self.refused.as_ref() != Some(&findings) {
                    self.refused = Some(findings.clone());
                    self.report(ServiceEventKind::PlanRefused { findings })?;
                }
                Ok(None)
            }
        }
    }

    /// Probes everything once, and repairs drift.
    fn tick(&mut self) -> Result<Next, Failure> {
        let loaded = self.reload()?;
        let began = Instant::now();
        let preview = match self.walk(Mode::Preview, loaded, Vec::new()) {
            Ok(preview) => preview,
            Err(failure) => return self.left_out(failure),
        };
        if preview.report.interrupted {
            return Ok(Next::Stop);
        }
        let drift = Drift::of(&preview.events);
        if drift.is_in_order() {
            let seconds = crate::event::seconds(began.elapsed());
            self.report(ServiceEventKind::InOrder { units: drift.same, seconds })?;
            self.is_settled = true;
            return Ok(Next::Tick);
        }
        if !drift.drifted.is_empty() {
            self.report(ServiceEventKind::drift(&drift, began.elapsed()))?;
        }
        if !drift.failed.is_empty() {
            self.report(ServiceEventKind::failed("some units could not be probed, or wait for something", &drift))?;
        }
        let suspended = self.limits.suspended(self.began.elapsed());
        let is_suspended = |unit: &UnitRef| suspended.iter().any(|suspension| suspension.unit == *unit);
        if self.args.mode == ServiceMode::Detect || drift.drifted.iter().all(|drifted| is_suspended(&drifted.unit)) {
            return Ok(Next::Tick);
        }
        // An edited plan may not have a suspended unit any more.
        let units = preview.events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, .. } => Some(unit),
            _ => None,
        });
        let left_alone = units.filter(|unit| is_suspended(unit)).map(ToString::to_string).collect();
        self.repair(left_alone)
    }

    /// Runs the plan; the units in `left_alone` count as done.
    fn repair(&mut self, left_alone: Vec<String>) -> Result<Next, Failure> {
        let began = Instant::now();
        let run = match self.walk(Mode::Run, None, left_alone) {
            Ok(run) => run,
            Err(failure) => return self.left_out(failure),
        };
        let changed = run.events.iter().filter_map(|event| match &event.kind {
            EventKind::UnitFinished { unit, outcome: Outcome::Changed, .. } => Some(unit),
            _ => None,
        });
        let now = self.began.elapsed();
        let (mut units, mut suspensions) = (Vec::new(), Vec::new());
        for unit in changed {
            units.push(unit.to_string());
            if self.is_settled {
                suspensions.extend(self.limits.record(unit, now));
            }
        }
        self.is_settled |= run.report.ok;
        self.report(ServiceEventKind::Repaired { units, seconds: crate::event::seconds(began.elapsed()) })?;
        suspensions.iter().try_for_each(|suspension| self.report(ServiceEventKind::suspended(suspension)))?;
        if run.report.interrupted {
            return Ok(Next::Stop);
        }
        if !run.report.ok {
            let drift = Drift::of(&run.events);
            self.report(ServiceEventKind::failed("some units could not be repaired", &drift))?;
        }
        Ok(Next::Tick)
    }

    /// Runs or previews `loaded`, or else the plan in force.
    fn walk(&self, mode: Mode, loaded: Option<Loaded>, done: Vec<String>) -> Result<RunResult, Failure> {
        let loaded = Some(loaded.map_or_else(|| self.texts.load(self.options), Ok)?);
        let Args { selection, display, .. } = self.args;
        let session = Session { loaded, done, is_tick: true, is_quiet: true, ..Session::new(selection, display, mode) };
        session.run(self.options, self.terminal)
    }

    /// Reports why a tick did not take place. The service goes on, unless its own output failed.
    fn left_out(&mut self, failure: Failure) -> Result<Next, Failure> {
        match failure {
            Failure::Problem(problem, Exit::Locked) => {
                self.report(ServiceEventKind::Busy { message: problem.redacted().message })?;
            }
            Failure::Problem(problem, _) => self.report(ServiceEventKind::problem(&problem))?,
            Failure::Output(error) => return Err(Failure::Output(error)),
            findings => self.report(ServiceEventKind::problem(&Problem::new(text_of(findings))))?,
        }
        Ok(Next::Tick)
    }
}

/// A failure as text without colours.
fn text_of(failure: Failure) -> String {
    let plain = |findings: &Findings| findings.text(Style { color: false, unicode: true, width: 100 });
    match failure {
        Failure::Findings(findings) => plain(&findings),
        Failure::Secrets(secrets) => plain(&secrets.findings),
        Failure::Problem(problem, _) => problem.message,
        Failure::Output(error) => error.to_string(),
    }
}
