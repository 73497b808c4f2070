//! What is told once everything serves: where, and what to try.

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;

use plantd_broker::BoundBus;
use plantd_daemon::VERSION;
use plantd_daemon::config::LogFormat;
use plantd_module_echo::Endpoint;

/// What `plant` dials when it is told nothing.
const DEFAULT_BROKER: &str = "tcp://127.0.0.1:9797";

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Welcome<'a> {
    pub(crate) broker: &'a str,
    pub(crate) broker_health: Option<SocketAddr>,
    pub(crate) buses: &'a [BoundBus],
    /// The first of them is the one to be asked.
    pub(crate) modules: Vec<Served<'a>>,
}

/// A module that serves.
#[derive(Debug)]
pub(crate) struct Served<'a> {
    pub(crate) name: &'a str,
    pub(crate) service: &'a str,
    pub(crate) health: Option<SocketAddr>,
}

impl Welcome<'_> {
    /// Tells it on stdout: as text where the logs are text, else as a line of the log.
    pub(crate) fn show(&self, format: LogFormat) {
        let is_text = match format {
            LogFormat::Auto => io::stdout().is_terminal(),
            LogFormat::Json => false,
            LogFormat::Text => true,
        };
        // `cargo run` tells its programs so.
        let plant = match env::var_os("CARGO") {
            Some(_) => "cargo run --release -p plant --",
            None => "plant",
        };
        let commands = self.commands(plant);
        if is_text {
            // A terminal that went away has nobody before it.
            let _ = io::Write::write_all(&mut io::stdout(), self.text(&commands).as_bytes());
        } else {
            tracing::info!(
                context = "plantd.started",
                endpoint = self.broker,
                service_name = self.service(),
                try_request = commands[0],
                try_bus = commands[1],
                try_services = commands[2],
                try_health = commands[3],
                "plantd serves"
            );
        }
    }

    fn text(&self, commands: &[String; 4]) -> String {
        let rows = self.modules.iter();
        let rows = rows.map(|module| (module.name, module.service, module.health));
        let mut rows: Vec<_> = rows.collect();
        rows.insert(0, ("broker", self.broker, self.broker_health));
        let width = |column: fn(&(&str, &str, Option<SocketAddr>)) -> usize| {
            rows.iter().map(column).max().unwrap_or_default()
        };
        let (names, places) = (width(|row| row.0.len()), width(|row| row.1.len()));
        let mut text = format!("\nplantd {VERSION} serves\n");
        for (name, place, health) in rows {
            let health = Health(health);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:<names$}  {place:<places$}  {health}");
        }
        for bus in self.buses {
            text.push_str(&row(bus));
        }
        text.push_str("\nTry in another terminal:\n");
        for command in commands {
            let _ = writeln!(text, "  {command}");
        }
        text.push_str("\nCtrl-C drains and stops.\n\n");
        text
    }

    /// The service that is asked for a try.
    fn service(&self) -> &str {
        self.modules.first().map_or("", |module| module.service)
    }

    /// A request, a look at the bus, a list of what is served, and a look at the health.
    fn commands(&self, plant: &str) -> [String; 4] {
        let at = match self.broker {
            DEFAULT_BROKER => String::new(),
            broker => format!(" --broker {broker}"),
        };
        let modules = self.modules.iter().map(|module| module.health);
        let health = match self.broker_health.or(modules.flatten().next()) {
            Some(address) => format!("curl {}", url(address)),
            None => format!("{plant} ping{at}"),
        };
        [
            format!("{plant} request{at} {} hello", self.service()),
            format!("{plant} bus{at} sub org.plantd.metric."),
            format!("{plant} services{at}"),
            health,
        ]
    }
}

/// The line of a bus.
fn row(bus: &BoundBus) -> String {
    let list = |endpoints: &[Endpoint]| {
        let texts: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
        texts.join(" ")
    };
    let (frontend, backend) = (list(&bus.frontend), list(&bus.backend));
    let name = format!("bus {}", bus.name);
    format!("  {name:<12} publish {frontend}  subscribe {backend}\n")
}

/// Where a part's health is served.
struct Health(Option<SocketAddr>);

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "health {}", url(address)),
            None => f.write_str("no health"),
        }
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/healthz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome(broker: &str) -> Welcome<'_> {
        Welcome {
            broker,
            broker_health: Some(([127, 0, 0, 1], 8081).into()),
            buses: &[],
            modules: vec![
                Served {
                    name: "module-echo",
                    service: "org.plantd.module.Echo",
                    health: None,
                },
                Served {
                    name: "module-metric",
                    service: "org.plantd.module.Metric",
                    health: Some(([127, 0, 0, 1], 8084).into()),
                },
            ],
        }
    }

    #[test]
    fn the_text_has_every_endpoint_and_four_commands() {
        let welcome = welcome("tcp://127.0.0.1:9797");
        let expected = "
plantd 0.1.0 serves
  broker         tcp://127.0.0.1:9797      health http://127.0.0.1:8081/healthz
  module-echo    org.plantd.module.Echo    no health
  module-metric  org.plantd.module.Metric  health http://127.0.0.1:8084/healthz

Try in another terminal:
  plant request org.plantd.module.Echo hello
  plant bus sub org.plantd.metric.
  plant services
  curl http://127.0.0.1:8081/healthz

Ctrl-C drains and stops.

";
        assert_eq!(welcome.text(&welcome.commands("plant")), expected);
    }

    #[test]
    fn another_endpoint_is_named_in_the_commands() {
        let [request, bus, services, _] = welcome("tcp://127.0.0.1:5000").commands("plant");
        assert_eq!(
            request,
            "plant request --broker tcp://127.0.0.1:5000 org.plantd.module.Echo hello"
        );
        assert_eq!(
            bus,
            "plant bus --broker tcp://127.0.0.1:5000 sub org.plantd.metric."
        );
        assert_eq!(services, "plant services --broker tcp://127.0.0.1:5000");
    }
}
