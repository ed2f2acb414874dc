//! `node.download`: a file from the web, known by its checksum.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::content::new_file;
use super::effects::{diff_attributes, failed, file_at, lacking, look, script, which};
use super::params::{self, Mode, check_file_path};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Attributes, File, FileKind, Read, Run};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::diff::Diff;
use crate::event::{Outputs, Problem};
use crate::plan::{Output, ParamError, Role, RunsOn, refuse};

/// Has the host itself download a file, by its curl or wget, when the file at the path has not got the checksum. It is put
/// in place atomically, once the checksum is right; of a file that is there, mode and owner stay as they are unless given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// Where it comes from: `http://` or `https://`. Redirects are followed, never from https to http; the wget of
    /// busybox goes where it is sent, and verifies no certificate. Counts only when the file is fetched, since it is known by its checksum. Secrets in it need curl on the host.
    pub url: String,
    /// Absolute path on the host. Its directory must be there.
    pub path: String,
    /// SHA-256 of the file: "sha256:" and 64 hex digits.
    pub checksum: String,
    /// Further headers, such as Authorization. They need curl on the host; nobody there can see them, and a
    /// redirect takes them to no other origin (scheme, host and port). Counts only when the file is fetched.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Mode, such as "0755". Default: as it is; of a new file 0644, or 0600 where URL or headers hold a secret.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Owner, name or number. Default: as it is; of a new file the user that the step runs as.
    #[serde(default)]
    pub owner: Option<String>,
    /// Group, name or number. Default: as it is.
    #[serde(default)]
    pub group: Option<String>,
}

impl Spec for Download {
    const NAME: &'static str = "node.download";
    const SUMMARY: &'static str = "a file from the web, known by its checksum";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Change;
    const OUTPUTS: &'static [Output] = &[Output { name: "path", about: "the path" }];
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "runc"
action = "node.download"
hosts = "pis"
become = true
url = "https://github.com/opencontainers/runc/releases/download/v1.3.0/runc.arm64"
checksum = "sha256:85c5e4e4f72e442c8c17bac07527cd4f961ee48e4f2b71797f7533c94f4a52b9"
path = "/usr/local/sbin/runc"
mode = "0755"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        check_file_path("path", &self.path)?;
        let rest = ["http://", "https://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control())) {
            return refuse("url", format!("\"{}\" is no URL of http:// or https://", self.url));
        }
        if self.sha256().is_none() {
            return refuse("checksum", "write it as \"sha256:\" and 64 hex digits");
        }
        for (name, value) in &self.headers {
            let token = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(token) || value.contains(char::is_control) {
                return refuse("headers", format!("{name} is no header of one line"));
            }
        }
        Ok(())
    }
}

/// `$1` path, `$2` SHA-256, `$3` owner, `$4` mode, `$5` program, `$6` URL for wget. For curl, the URL and the headers come on standard input.
///
/// Redirects are followed by hand: curl would take the headers along to whoever the server names, and wget would leave
/// https. A redirect's URL, which may be one for its bearer alone, goes to no program as an argument. The wget of busybox
/// follows by itself, whatever it is told.
const FETCH: &str = r#"
folder=${1%/*}
if ! [ -d "${folder:-/}" ]; then
	printf 'there is no directory %s\n' "${folder:-/}" >&2
	exit 101
fi
_ro_scratch "$folder/" || exit 102
name=./${1##*/} program=$5 url=$6 headers=
case $program in
curl)
	IFS= read -r url
	headers=$(cat)
	;;
wget) wget --help 2>&1 | grep -q -e --max-redirect || program=busybox ;;
esac
authority() {
	_authority=${1#*://}
	printf '%s' "${_authority%%[/?#]*}"
}
origin() {
	_authority=$(authority "$1") && _authority=${_authority##*@}
	case $1 in
	https://*) printf 'https://%s' "${_authority%:443}" ;;
	*) printf '%s://%s' "${1%%://*}" "${_authority%:80}" ;;
	esac
}
# What a redirect's header says, as a whole URL.
whole() {
	_site=${url%%://*}://$(authority "$url") _path=${url%%[?#]*}
	case $1 in
	[a-zA-Z]*://*) printf '%s' "$1" ;;
	//*) printf '%s:%s' "${url%%://*}" "$1" ;;
	/*) printf '%s%s' "$_site" "$1" ;;
	'?'*) printf '%s%s' "$_path" "$1" ;;
	*)
		[ "$_path" != "$_site" ] || _path=$_path/
		printf '%s/%s' "${_path%/*}" "$1"
		;;
	esac
}
# Prints where the server sends on to; nothing when the file has come.
ask() {
	case $program in
	curl)
		{
			printf 'fail\nsilent\nshow-error\nproto = "=http,https"\nwrite-out = "%%{redirect_url}"\nurl = "'
			printf '%s' "$url" | sed 's/[\\"]/\\&/g'
			printf '"\n%s\n' "$headers"
		} | curl -q --config - --output "$name"
		;;
	wget)
		_said=$(printf '%s\n' "$url" | LC_ALL=C wget -nv -S --max-redirect=0 -O "$name" -i - 2>&1) && return
		_status=$?
		_answer=$(printf '%s\n' "$_said" | sed -n 's|^ *HTTP/[0-9.]* *||p' | tail -n 1)
		_to=$(printf '%s\n' "$_said" | tr -d '\r' | sed -n 's/^ *[Ll]ocation: *//p' | tail -n 1)
		case $_answer in 30[12378]*) ;; *) _to= ;; esac
		if [ -z "$_to" ]; then
			printf '%s\n' "$_said" >&2
			exit "$_status"
		fi
		whole "$_to"
		;;
	*) wget -O "$name" "$url" >&2 ;;
	esac
}
hops=0
while :; do
	to=$(ask) || exit
	[ -n "$to" ] || break
	hops=$((hops + 1))
	case $to in
	https://*) ;;
	http://*) case $url in https://*) hops=99 ;; esac ;;
	*) hops=99 ;;
	esac
	if [ "$hops" -gt 10 ]; then
		printf 'it redirects to %s, which is not followed\n' "$(origin "$to")" >&2
		exit 103
	fi
	[ "$(origin "$to")" = "$(origin "$url")" ] || headers=
	url=$to
done
got=$(sha256sum <"$name") || exit 102
if [ "${got%% *}" != "$2" ]; then
	printf 'its checksum is sha256:%s, of %s bytes\n' "${got%% *}" "$(wc -c <"$name")" >&2
	exit 100
fi
_ro_change "$name" "$3" "$4" && mv -f -- "$name" .. || exit 102
"#;

impl Download {
    /// Lower-case hex.
    fn sha256(&self) -> Option<String> {
        let hex = self.checksum.strip_prefix("sha256:")?.to_ascii_lowercase();
        (hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(hex)
    }

    fn attributes(&self) -> Attributes {
        params::attributes(self.mode, self.owner.as_ref(), self.group.as_ref())
    }

    fn is_there(&self, seen: Option<&File>) -> bool {
        seen.is_some_and(|file| file.kind == FileKind::Regular && file.sha256 == self.sha256())
    }

    fn fetch(&self, facts: &[Fact]) -> Run {
        let seen = file_at(facts, 0).filter(|file| file.kind == FileKind::Regular);
        let wanted = self.attributes();
        let number = |wanted: &Option<String>, seen: Option<u32>| wanted.clone().or(seen.map(|n| n.to_string()));
        let owner = number(&wanted.owner, seen.map(|file| file.uid)).unwrap_or_default();
        let group = number(&wanted.group, seen.map(|file| file.gid)).map(|group| format!(":{group}"));
        let owner = owner + &group.unwrap_or_default();
        // What is given to nobody without a secret is not for everybody.
        let new = || new_file(&self.config());
        let mode = format!("{:04o}", wanted.mode.or(seen.map(|file| file.mode)).unwrap_or_else(new));
        let sha256 = self.sha256().unwrap_or_default();
        let curl = lacking(facts, 1, &["curl"]).is_none();
        let (program, url) = if curl { ("curl", "") } else { ("wget", self.url.as_str()) };
        let run = script(FETCH, &[&self.path, &sha256, &owner, &mode, program, url]);
        Run { stdin: if curl { self.config().into() } else { Vec::new().into() }, ..run }
    }

    /// The URL, and headers as curl reads them.
    fn config(&self) -> Vec<u8> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let mut config = format!("{}\n", self.url);
        for (name, value) in &self.headers {
            config.push_str(&format!("header = {}\n", quoted(&format!("{name}: {value}"))));
        }
        config.into_bytes()
    }
}

impl Action for Download {
    fn probes(&self) -> Vec<Probe> {
        vec![look(&self.path, Read::Hash), which(&["curl", "wget"])]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        let seen = file_at(facts, 0);
        let mut diff = Diff::default();
        match seen.map(|file| &file.kind) {
            Some(kind @ (FileKind::Directory | FileKind::Other)) => {
                let problem = Problem::new(format!("{} is a {}", self.path, kind.name()));
                return Verdict::Blocked(problem.hint("choose another path, or remove what is there first"));
            }
            Some(FileKind::Link(target)) => {
                diff.push_field("kind", Some(format!("link to {target}")), Some("file".to_owned()));
            }
            _ => {}
        }
        if !self.is_there(seen) {
            if lacking(facts, 1, &["curl"]).is_some() && !self.headers.is_empty() {
                let problem = Problem::new("there is no curl on the host, and with `headers` nothing else will do");
                return Verdict::Blocked(problem.hint("install the package `curl` in a step before this one"));
            }
            if lacking(facts, 1, &["curl"]).and(lacking(facts, 1, &["wget"])).is_some() {
                let problem = Problem::new("there is neither curl nor wget on the host");
                return Verdict::Blocked(problem.hint("install the package `curl` in a step before this one"));
            }
            let before = seen.and_then(|file| file.sha256.as_ref()).map(|sha256| format!("sha256:{sha256}"));
            let after = format!("sha256:{} from {}", self.sha256().unwrap_or_default(), self.url);
            diff.push_field(format!("{} content", self.path), before, Some(after));
        }
        diff_attributes(&mut diff, seen, &self.attributes());
        if diff.is_empty() { Verdict::Same { seen: String::new() } } else { Verdict::Change(diff) }
    }

    fn next_effect(&self, facts: &[Fact], done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        if self.is_there(file_at(facts, 0)) {
            let effect = host::Effect::Attributes { path: self.path.clone(), attributes: self.attributes() };
            return Ok(done.is_empty().then_some(Effect::Host(effect)));
        }
        let Some(EffectResult::Host(done)) = done.last() else {
            return Ok(Some(Effect::Host(host::Effect::Run(self.fetch(facts)))));
        };
        let problem = || failed(&format!("cannot download {}", self.url), done);
        match done.exit {
            0 => Ok(None),
            100 => Err(problem().hint(format!(
                "{} is what the step asks for: is it the checksum of this version and architecture?",
                self.checksum
            ))),
            101 => Err(problem().hint("make it with a `node.directory` step before this one")),
            102 => {
                Err(problem()
                    .hint("is there room on the disk, and may the step's user write there? else `become = true`"))
            }
            103 => {
                Err(problem()
                    .hint("https is not left for http, and ten redirects are enough: name a URL that is there"))
            }
            _ => Err(problem().hint("does the host reach that server, and does the file exist there?")),
        }
    }

    fn outputs(&self, _facts: &[Fact], _done: &[EffectResult]) -> Outputs {
        Outputs::from_iter([("path".to_owned(), json!(self.path))])
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::testing::{at, blocked, build, change, file, is_same, perform, ran, refused};
    use super::*;
    use crate::actions::node::content::tests::regular;
    use crate::connect::host::sha256;

    fn step(url: &str, path: &str, content: &str, rest: &str) -> Download {
        let sum = sha256(content.as_bytes());
        build(&format!("url = '{url}'\npath = '{path}'\nchecksum = 'sha256:{sum}'\n{rest}")).unwrap()
    }

    #[test]
    fn a_file_with_the_checksum_is_not_asked_for_again() {
        let step = step("https://x/y", "/y", "a", "mode = '0755'");
        let programs = ran(0, "curl\nwget\n", "");
        assert!(is_same(&step.verdict(&[file(Some(regular("a", 0o755))), programs.clone()])));
        let facts = [file(Some(regular("a", 0o644))), ran(0, "", "")];
        assert_eq!(change(&step.verdict(&facts)), ["~ mode: 0644 → 0755"]);
        let facts = [file(Some(regular("b", 0o755))), programs.clone()];
        let lines = change(&step.verdict(&facts));
        assert!(
            lines[0].starts_with("~ /y content: sha256:3e23e") && lines[0].ends_with("from https://x/y"),
            "{lines:?}"
        );
        assert!(blocked(&step.verdict(&[file(Some(at(FileKind::Directory, 0o755))), programs])).contains("directory"));
    }

    #[test]
    fn a_host_without_the_programs_blocks() {
        let plain = step("https://x/y", "/y", "a", "");
        assert!(blocked(&plain.verdict(&[file(None), ran(0, "", "")])).contains("neither curl nor wget"));
        assert!(matches!(plain.verdict(&[file(None), ran(0, "wget\n", "")]), Verdict::Change(_)));
        let headers = step("https://x/y", "/y", "a", "headers = { Accept = 'x' }");
        assert!(blocked(&headers.verdict(&[file(None), ran(0, "wget\n", "")])).contains("no curl"));
    }

    #[test]
    fn headers_go_to_standard_input_only() {
        let step = step("https://x/\"y", "/y", "a", "headers = { Authorization = 'Bearer s3cret\\' }");
        let run = step.fetch(&[file(None), ran(0, "curl\n", "")]);
        let config = String::from_utf8(run.stdin.as_slice().to_vec()).unwrap();
        assert!(config.contains("https://x/\"y\nheader = \"Authorization: Bearer s3cret\\\\\"\n"), "{config}");
        assert!(!run.command.to_string().contains("s3cret"));
    }

    /// Answers each request by `answer`; tells the requests.
    fn serve(answers: usize, answer: &str) -> (String, std::thread::JoinHandle<Vec<String>>) {
        serve_each(vec![answer.to_owned(); answers])
    }

    fn serve_each(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/f", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let one = |answer: String| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
                let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                stream.write_all(answer.as_bytes()).unwrap();
                request.join("\n")
            };
            answers.into_iter().map(one).collect()
        });
        (url, server)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

    #[tokio::test]
    async fn both_programs_bring_the_file_and_only_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let at = path.to_str().unwrap();
        for (program, rest) in [("curl\n", "mode = '0750'\nheaders = { X-Key = 'k' }"), ("wget\n", "mode = '0750'")] {
            let (url, server) = serve(2, OK);
            let facts = [file(None), ran(0, program, "")];
            let right = step(&url, at, "hello", rest);
            let done = [EffectResult::Host(perform(&right.fetch(&facts)).await)];
            assert!(
                matches!(right.next_effect(&facts, &done), Ok(None)),
                "{:?}",
                right.next_effect(&facts, &done).err()
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello");
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
            let wrong = step(&url, at, "other", rest);
            let done = [EffectResult::Host(perform(&wrong.fetch(&facts)).await)];
            let message = wrong.next_effect(&facts, &done).err().unwrap().message;
            assert!(message.contains("its checksum is sha256:2cf24dba"), "{message}");
            assert_eq!(server.join().unwrap()[0].contains("X-Key: k"), program == "curl\n");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
        }
    }

    #[tokio::test]
    async fn a_redirect_takes_no_header_to_another_origin() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (end, at_the_end) = serve(1, OK);
        let (start, at_the_start) = serve(1, &redirect(&end));
        let facts = [file(None), ran(0, "curl\n", "")];
        let step = step(&start, path.to_str().unwrap(), "hello", "headers = { PRIVATE-TOKEN = 'k' }");
        let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
        assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
        assert!(at_the_start.join().unwrap()[0].contains("PRIVATE-TOKEN: k"));
        let request = at_the_end.join().unwrap().concat();
        assert!(request.contains("GET /f") && !request.contains("PRIVATE-TOKEN"), "{request}");
    }

    #[test]
    fn what_a_secret_is_needed_for_is_not_for_everybody() {
        crate::secret::register("token-of-a-download");
        let mode = |rest: &str| step("https://x/y", "/y", "a", rest).fetch(&[file(None), ran(0, "curl\n", "")]);
        let secret = "headers = { PRIVATE-TOKEN = 'token-of-a-download' }\n";
        assert!(mode(secret).command.to_string().contains(" 0600 curl "));
        assert!(mode(&format!("{secret}mode = '0755'")).command.to_string().contains(" 0755 curl "));
        assert!(mode("headers = { Accept = 'x' }").command.to_string().contains(" 0644 curl "));
    }

    #[tokio::test]
    async fn wget_is_sent_on_by_hand() {
        for (to, then) in [("/g?x", "GET /g?x "), ("g", "GET /g "), ("?q=1", "GET /f?q=1 "), ("../g", "GET /g ")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            let (start, server) = serve_each(vec![redirect(to), OK.to_owned()]);
            let facts = [file(None), ran(0, "wget\n", "")];
            let step = step(&start, path.to_str().unwrap(), "hello", "");
            let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
            assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
            let requests = server.join().unwrap();
            assert!(requests[1].starts_with(then), "{to}: {requests:?}");
        }
    }

    #[tokio::test]
    async fn busybox_brings_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (start, server) = serve_each(vec![redirect("/g"), OK.to_owned()]);
        let facts = [file(None), ran(0, "wget\n", "")];
        let step = step(&start, path.to_str().unwrap(), "hello", "");
        let run = step.fetch(&facts);
        let shell = format!("wget() {{ busybox wget \"$@\"; }}\n{}", run.command);
        let run = Run { command: host::Command::Shell(shell), ..run };
        let done = [EffectResult::Host(perform(&run).await)];
        assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
        assert_eq!(server.join().unwrap().len(), 2);
    }

    /// Answers one request over TLS, with a certificate that lies in the folder.
    fn serve_with_tls(folder: &std::path::Path, answer: String) -> (String, std::thread::JoinHandle<()>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(folder.join("ca.pem"), cert.pem()).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/f", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let stream = stream.get_mut();
            stream.write_all(answer.as_bytes()).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        });
        (url, server)
    }

    #[tokio::test]
    async fn https_is_not_left_for_http() {
        for program in ["curl\n", "wget\n"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f");
            let (url, server) = serve_with_tls(folder.path(), redirect("http://127.0.0.1:1/f?token=x"));
            let facts = [file(None), ran(0, program, "")];
            let step = step(&url, path.to_str().unwrap(), "hello", "");
            let run = step.fetch(&facts);
            // The certificate is this test's own.
            let trust = format!(
                "ca={}\ncurl() {{ command curl \"$@\" --cacert \"$ca\"; }}\n\
                 wget() {{ command wget --ca-certificate=\"$ca\" \"$@\"; }}\n",
                folder.path().join("ca.pem").display()
            );
            let run = Run { command: host::Command::Shell(format!("{trust}{}", run.command)), ..run };
            let done = [EffectResult::Host(perform(&run).await)];
            let problem = step.next_effect(&facts, &done).err().unwrap();
            server.join().unwrap();
            assert!(
                problem.message.contains("it redirects to http://127.0.0.1:1, which is not"),
                "{}",
                problem.message
            );
            assert!(problem.hint.unwrap().contains("https is not left for http"));
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn a_redirect_within_its_origin_keeps_the_headers_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (start, server) = serve(11, &redirect("/g?x"));
        let facts = [file(None), ran(0, "curl\n", "")];
        let step = step(&start, path.to_str().unwrap(), "hello", "headers = { PRIVATE-TOKEN = 'k' }");
        let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
        let message = step.next_effect(&facts, &done).err().unwrap().message;
        assert!(message.contains("which is not followed"), "{message}");
        let requests = server.join().unwrap();
        assert!(requests.iter().all(|request| request.contains("PRIVATE-TOKEN: k")), "{requests:?}");
        assert!(requests[1].starts_with("GET /g?x"), "{requests:?}");
    }

    fn redirect(to: &str) -> String {
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn what_the_server_refuses_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (url, server) = serve(1, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let facts = [file(None), ran(0, "curl\n", "")];
        let step = step(&url, path.to_str().unwrap(), "hello", "");
        let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
        assert!(step.next_effect(&facts, &done).err().unwrap().message.contains("404"));
        server.join().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn wrong_parameters_are_refused() {
        let sum = format!("checksum = 'sha256:{}'", "0".repeat(64));
        for (toml, parameter) in [
            (format!("url = 'ftp://x'\npath = '/x'\n{sum}"), "/url"),
            (format!("url = 'https://x y'\npath = '/x'\n{sum}"), "/url"),
            (format!("url = 'https://x'\npath = '/x/'\n{sum}"), "/path"),
            ("url = 'https://x'\npath = '/x'\nchecksum = 'md5:00'".to_owned(), "/checksum"),
            (format!("url = 'https://x'\npath = '/x'\n{sum}\nheaders = {{ A = \"b\\nc\" }}"), "/headers"),
        ] {
            assert_eq!(refused::<Download>(&toml), parameter, "{toml}");
        }
    }
}
