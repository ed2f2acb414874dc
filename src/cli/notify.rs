//! Sends notifications to web hooks, on a thread of its own: a server that does not answer must not delay ticks.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use super::terminal::{Terminal, YELLOW};
use crate::connect::CallContext;
use crate::connect::http::{Backend, Fact, Probe};
use crate::converge::ServiceEvent;
use crate::inventory::Inventory;
use crate::secret::redact_value;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Pauses before the second, third and fourth attempt.
const RETRY_DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// How long the end of the service waits for notifications.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct NotifyArgs {
    /// Post drift, failures and recovery to this URL. Repeatable; the variable separates URLs by blanks
    #[arg(long, value_name = "URL", env = "ROLLOUT_NOTIFY", hide_env_values = true, value_delimiter = ' ')]
    notify: Vec<String>,
    /// Format of notifications: JSON as Slack and Mattermost take it, or plain text as ntfy takes it
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    notify_format: NotifyFormat,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NotifyFormat {
    #[default]
    Json,
    Text,
}

/// Sends notifications until dropped.
pub struct Notifier {
    format: NotifyFormat,
    /// Takes bodies; `None` without a URL.
    sender: Option<Sender<String>>,
    /// Closes once the last body was sent.
    finished: Receiver<()>,
}

impl Notifier {
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(args: &NotifyArgs, terminal: &Terminal) -> std::io::Result<Self> {
        let format = args.notify_format;
        let (running, finished) = channel();
        if args.notify.is_empty() {
            return Ok(Self { format, sender: None, finished });
        }
        let (sender, receiver) = channel();
        let (urls, terminal) = (args.notify.clone(), *terminal);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("notify".to_owned()).spawn(move || {
            runtime.block_on(send_all(&urls, format, &receiver, &terminal));
            drop(running);
        })?;
        Ok(Self { format, sender: Some(sender), finished })
    }

    /// Queues a notification.
    pub fn send(&self, plan: &str, event: &ServiceEvent, text: &str) {
        let Some(sender) = &self.sender else { return };
        let text = format!("{plan}: {text}");
        let body = match self.format {
            NotifyFormat::Text => text,
            NotifyFormat::Json => {
                redact_value(json!({ "text": text, "plan": plan, "rollout": serde_json::to_value(event).ok() }))
                    .to_string()
            }
        };
        let _ = sender.send(body);
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        drop(self.sender.take());
        let _ = self.finished.recv_timeout(STOP_TIMEOUT);
    }
}

async fn send_all(urls: &[String], format: NotifyFormat, bodies: &Receiver<String>, terminal: &Terminal) {
    let backend = Backend::new(&Inventory::builtin());
    for body in bodies {
        for url in urls {
            if let Err(why) = send(&backend, url, format, &body).await {
                terminal.note(&format!("{YELLOW}warning:{YELLOW:#} a notification could not be delivered: {why}\n"));
            }
        }
    }
}

async fn send(backend: &Backend, url: &str, format: NotifyFormat, body: &str) -> Result<(), String> {
    let kind = if format == NotifyFormat::Json { "application/json" } else { "text/plain; charset=utf-8" };
    let request = Probe {
        url: url.to_owned(),
        method: "POST".to_owned(),
        headers: vec![("Content-Type".to_owned(), kind.to_owned())],
        body: Some(body.to_owned()),
        follow_redirects: false,
        ca_cert: None,
        insecure: false,
        connect_to: None,
        timeout: REQUEST_TIMEOUT,
    };
    let mut delays = RETRY_DELAYS.iter();
    loop {
        let why = match backend.probe(&request, &CallContext::silent(REQUEST_TIMEOUT)).await {
            Ok(Fact::Answer(answer)) if (200..300).contains(&answer.status) => return Ok(()),
            Ok(Fact::Answer(answer)) => format!("the server answered with status {}", answer.status),
            Ok(Fact::NoResponse { why, .. }) => why,
            // A request that cannot be sent at all is not repeated.
            Err(error) => return Err(error.problem().message),
        };
        let Some(delay) = delays.next() else { return Err(format!("{why}, {} times", RETRY_DELAYS.len() + 1)) };
        tokio::time::sleep(*delay).await;
    }
}
