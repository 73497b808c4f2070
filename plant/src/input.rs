//! What is sent, from arguments, stdin and files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use plantd_client::Body;

use crate::failure::Failure;

/// The argument that stands for stdin.
pub(crate) const STDIN: &str = "-";

/// The most that any broker can be told to take.
const BROKER: Most = Most {
    mib: 16,
    nobody: "no broker",
};

/// The most that is read, and who takes no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) mib: u64,
    pub(crate) nobody: &'static str,
}

/// Reads the frames in the order of the arguments, files last; none of them is one empty frame.
pub(crate) fn read_body(arguments: &[String], files: &[PathBuf]) -> Result<Body, Failure> {
    read_with(arguments, files, &mut io::stdin().lock())
}

fn read_with(
    arguments: &[String],
    files: &[PathBuf],
    stdin: &mut dyn Read,
) -> Result<Body, Failure> {
    let is_stdin = |path: &&PathBuf| path.as_path() == Path::new(STDIN);
    let from_stdin = arguments
        .iter()
        .filter(|argument| *argument == STDIN)
        .count();
    if from_stdin + files.iter().filter(is_stdin).count() > 1 {
        return Err(Failure::Usage(
            "stdin can be read once; `-` stands twice".to_owned(),
        ));
    }
    let mut frames = Vec::new();
    for argument in arguments {
        frames.push(match argument.as_str() {
            STDIN => BROKER.read(stdin, "stdin")?,
            text => text.as_bytes().to_vec(),
        });
    }
    for path in files {
        frames.push(if is_stdin(&path) {
            BROKER.read(stdin, "stdin")?
        } else {
            BROKER.read_file(path)?
        });
    }
    Ok(Body::from_frames(frames))
}

impl Most {
    /// Reads a file to its end.
    pub(crate) fn read_file(self, path: &Path) -> Result<Vec<u8>, Failure> {
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| reading(&name, error))?;
        self.read(&mut file, &name)
    }

    /// Reads to the end of what people know by this name.
    pub(crate) fn read(self, source: &mut dyn Read, name: &str) -> Result<Vec<u8>, Failure> {
        let Self { mib, nobody } = self;
        let most_bytes = mib << 20;
        let mut bytes = Vec::new();
        source
            .take(most_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| reading(name, error))?;
        if bytes.len() as u64 > most_bytes {
            let problem = format!("{name} has more than {mib} MiB; {nobody} takes that");
            return Err(Failure::Usage(problem));
        }
        Ok(bytes)
    }
}

fn reading(name: &str, error: io::Error) -> Failure {
    Failure::System {
        what: format!("read {name}"),
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(arguments: &[&str], files: &[&str], stdin: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let body = read_with(&arguments, &files, &mut &stdin[..])?;
        Ok(body.frames().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn each_argument_is_a_frame_and_a_dash_is_stdin() {
        let read = frames(&["a", "-", ""], &[], b"\xffin\n").unwrap();
        assert_eq!(read, [&b"a"[..], b"\xffin\n", b""]);
    }

    #[test]
    fn files_come_after_the_arguments() {
        let read = frames(&["a"], &["-"], b"in").unwrap();
        assert_eq!(read, [b"a".to_vec(), b"in".to_vec()]);
    }

    #[test]
    fn stdin_stands_once() {
        assert!(matches!(
            frames(&["-", "-"], &[], b"in"),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            frames(&["-"], &["-"], b"in"),
            Err(Failure::Usage(_))
        ));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let failure = frames(&[], &["/nonexistent/body"], b"").unwrap_err();
        assert!(
            failure.to_string().starts_with("read /nonexistent/body: "),
            "{failure}"
        );
    }

    #[test]
    fn what_no_broker_takes_is_refused_before_it_is_sent() {
        let endless = &mut io::repeat(b'x');
        let failure = read_with(&["-".to_owned()], &[], endless).unwrap_err();
        assert_eq!(
            failure.to_string(),
            "stdin has more than 16 MiB; no broker takes that"
        );
    }
}
