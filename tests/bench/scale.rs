//! Measures the engine itself with many simulated hosts: the plan is loaded, checked, scheduled and journaled as in a
//! real run, and each host answers at once that nothing has to change.
//!
//!     cargo run --release --example scale -- 1000 10000     # hosts; 100 steps each
//!
//! Prints CPU seconds and peak memory for each number of hosts, and the exponent with which the time grows. Also
//! measures the checks of a plan with 100,000 parallel phases between a first and a last phase.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use rollout::actions::Registry;
use rollout::connect::host::{self, File, FileKind, Read};
use rollout::connect::{CallContext, ConnectError, Effect, EffectResult, Fact, Probe, Target, World};
use rollout::engine::{Engine, Options, Renderer};
use rollout::event::Mode;
use rollout::graph::{Graph, RenderContext};
use rollout::inventory::Inventory;
use rollout::journal::{Journal, PreviousRun};
use rollout::plan::{Plan, Scope, check};
use rollout::template::Templates;
use tokio::sync::{mpsc, watch};

type Failure = Box<dyn std::error::Error>;

const STEPS: usize = 100;

/// Hosts on which nothing has to change.
struct AsItShouldBe;

#[async_trait]
impl World for AsItShouldBe {
    async fn probe(&self, _: &Target, probes: &[Probe], _: &CallContext) -> Result<Vec<Fact>, ConnectError> {
        let answer = |probe: &Probe| match probe {
            Probe::Host(host::Probe::File { path, read: Read::ContentUnless(hash) }) => {
                let (owner, group) = ("root".to_owned(), "root".to_owned());
                let sha256 = Some(rollout::digest::hex(hash));
                let size = path.len() as u64;
                let file = File {
                    kind: FileKind::Regular,
                    mode: 0o644,
                    uid: 0,
                    gid: 0,
                    owner,
                    group,
                    owner_aliases: Vec::new(),
                    group_aliases: Vec::new(),
                    size,
                    sha256,
                    content: None,
                };
                Ok(Fact::Host(host::Fact::File(Some(file))))
            }
            other => Err(ConnectError::failed(format!("nobody knows {other:?}"))),
        };
        probes.iter().map(answer).collect()
    }

    async fn perform(&self, _: &Target, _: &Effect, _: &CallContext) -> Result<EffectResult, ConnectError> {
        Err(ConnectError::failed("nothing is to be done"))
    }
}

fn plan() -> String {
    let mut text = "[plan]\nname = \"scale\"\n[vars]\nport = 80\n".to_owned();
    for n in 0..STEPS {
        let _ = write!(
            text,
            "[[phase.work.step]]\nid = \"s{n}\"\naction = \"node.file\"\nhosts = \"all\"\npath = \"/etc/scale/f{n}\"\n\
             content = \"{{{{ host.name }}}} {{{{ port }}}}\"\nmode = \"0644\"\n"
        );
    }
    text
}

fn run(hosts: usize, folder: &Path) -> Result<(), Failure> {
    let plan = Plan::parse(&folder.join("plan.toml"), &plan()).map_err(|e| format!("{e:?}"))?;
    let inventory = format!("[hosts.\"h[1:{hosts}]\"]\naddress = \"h[1:{hosts}]\"\n");
    let file = folder.join("inventory.toml");
    std::fs::write(&file, inventory)?;
    let inventory = Inventory::load(&file).map_err(|e| format!("{e:?}"))?;
    let registry = Arc::new(Registry::standard());
    check(&plan, &inventory, &*registry, &Default::default());
    let templates = Templates::new(&plan.root);
    let (scope, _) = Scope::new(&plan, &inventory, &Default::default(), &templates);
    let graph = Graph::new(
        &plan,
        |pattern| inventory.select(pattern).unwrap_or_default(),
        |_| true,
        RenderContext { templates: &templates, scope: &scope },
    )?;
    let (readers, mut events) = mpsc::unbounded_channel();
    let (_keep, interrupts) = watch::channel(0);
    let journal = Journal::create(&folder.join(format!("{hosts}.jsonl")))?;
    let engine = Engine {
        graph,
        renderer: Renderer::new(templates, scope, &*registry),
        registry,
        plan: Arc::new(plan),
        world: Arc::new(AsItShouldBe),
        mode: Mode::Run,
        run: "scale".to_owned(),
        source: None,
        journal: Some(journal),
        earlier: PreviousRun::default(),
        options: Options::default(),
        readers,
        interrupts,
        faults: Arc::new(()),
        approved: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let reader = tokio::spawn(async move { while events.recv().await.is_some() {} });
        let report = engine.run().await;
        let _ = reader.await;
        report
    })?;
    if report.summary.get("same") != hosts * STEPS {
        return Err(format!("not all is as it should be: {report:?}").into());
    }
    Ok(())
}

/// A plan with a first phase, many phases that need it, and a last phase that needs all of them.
fn diamond(phases: usize) -> String {
    let step = |id: &str| {
        format!(
            "[[phase.{id}.step]]\nid = \"{id}\"\naction = \"node.file\"\nhosts = \"pi\"\npath = \"/etc/{id}\"\ncontent = \"x\"\n"
        )
    };
    let mut text = format!("[plan]\nname = \"diamond\"\n[phase.first]\n{}", step("first"));
    let mut names = Vec::new();
    for n in 2..phases {
        let name = format!("p{n}");
        let _ = write!(text, "[phase.{name}]\nneeds = [\"first\"]\n{}", step(&name));
        names.push(format!("\"{name}\""));
    }
    let _ = write!(text, "[phase.last]\nneeds = [{}]\n{}", names.join(", "), step("last"));
    text
}

/// Reads and checks a plan of this many phases, and builds its graph.
fn examine(phases: usize, folder: &Path) -> Result<(), Failure> {
    let text = diamond(phases);
    let (begun, (before, _)) = (Instant::now(), used());
    let plan = Plan::parse(&folder.join("diamond.toml"), &text).map_err(|e| format!("{e:?}"))?;
    let read = begun.elapsed().as_secs_f64();
    let file = folder.join("pi.toml");
    std::fs::write(&file, "[hosts.pi]\naddress = \"pi\"\n")?;
    let inventory = Inventory::load(&file).map_err(|e| format!("{e:?}"))?;
    let findings = check(&plan, &inventory, &Registry::standard(), &Default::default());
    if findings.has_errors() {
        return Err(format!("{findings:?}").into());
    }
    let checked = begun.elapsed().as_secs_f64();
    let templates = Templates::new(&plan.root);
    let (scope, _) = Scope::new(&plan, &inventory, &Default::default(), &templates);
    let hosts = |pattern: &str| inventory.select(pattern).unwrap_or_default();
    let graph = Graph::new(&plan, hosts, |_| true, RenderContext { templates: &templates, scope: &scope })?;
    let (made, cpu) = (begun.elapsed().as_secs_f64(), used().0 - before);
    let nodes = graph.nodes().count();
    println!(
        "{phases} phases: read in {read:.2} s, checked in {:.2} s, graph of {nodes} nodes in {:.2} s; {cpu:.1} s CPU",
        checked - read,
        made - checked
    );
    Ok(())
}

/// CPU seconds and peak memory in MiB of this process so far.
fn used() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: f64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<f64>().ok())
        .sum();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok());
    (ticks / 100.0, peak.unwrap_or_default() / 1024)
}

fn main() -> Result<(), Failure> {
    let numbers: Vec<usize> = std::env::args().skip(1).map(|n| n.parse()).collect::<Result<_, _>>()?;
    let folder = std::env::temp_dir().join(format!("rollout-scale-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let mut before: Option<(usize, f64)> = None;
    for hosts in numbers {
        let (begun, (cpu, _)) = (Instant::now(), used());
        let done = run(hosts, &folder);
        let (after, peak) = used();
        let cpu = after - cpu;
        println!("{hosts} hosts: {cpu:.1} s CPU, {:.1} s, peak {peak} MiB", begun.elapsed().as_secs_f64());
        if let Some((fewer, less)) = before {
            println!(
                "grows with the {:.2}th power of the hosts",
                (cpu / less).ln() / (hosts as f64 / fewer as f64).ln()
            );
        }
        before = Some((hosts, cpu));
        if done.is_err() {
            std::fs::remove_dir_all(&folder)?;
            return done;
        }
    }
    let examined = examine(100_000, &folder);
    std::fs::remove_dir_all(&folder)?;
    examined
}
