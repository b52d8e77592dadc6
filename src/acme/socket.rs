//! Where commands that run beside the front give it answers: it holds the ports, and they do not.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixStream as Blocking},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    Trouble,
    answers::{Lent, Line},
    folder::{failed, remove},
};
use crate::certs::Challenges;

/// So many commands at a time.
const MOST: usize = 16;

/// So many answers of one command.
const ANSWERS: usize = 100;

/// The longest line.
const LINE: u64 = 1024;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What a command says when a certificate has come.
const ARRIVED: &str = "arrived";

/// A socket that is listened on. It is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    task: JoinHandle<()>,
}

impl Socket {
    /// Listens there; what is left of a front that was cut off gives way.
    pub(super) fn listen(
        path: &Path,
        challenges: Arc<Challenges>,
        arrived: mpsc::Sender<()>,
    ) -> Result<Self, Trouble> {
        if Blocking::connect(path).is_ok() {
            return Err(Trouble::ours(format!(
                "{}: another front has this state_dir: give each its own",
                path.display()
            )));
        }
        remove(path)?;
        let listener = UnixListener::bind(path).map_err(failed(path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed(path))?;
        let task = tokio::spawn(async move {
            let mut callers = JoinSet::new();
            loop {
                let caller = tokio::select! {
                    caller = listener.accept(), if callers.len() < MOST => caller,
                    Some(_) = callers.join_next(), if !callers.is_empty() => continue,
                };
                let Ok((stream, _)) = caller else {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                };
                let talk = attend(stream, challenges.clone(), arrived.clone());
                callers.spawn(timeout(PATIENCE, talk));
            }
        });
        Ok(Self { path: path.to_owned(), task })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        let _ = remove(&self.path);
    }
}

/// Answers for a command, for as long as it is there.
async fn attend(stream: UnixStream, challenges: Arc<Challenges>, arrived: mpsc::Sender<()>) {
    let mut lent = Vec::new();
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        match (&mut stream).take(LINE).read_line(&mut line).await {
            Ok(n) if n > 0 && line.ends_with('\n') => {}
            _ => return,
        }
        let line = line.trim_end();
        let answer = if line == ARRIVED {
            let _ = arrived.try_send(());
            Ok(())
        } else if lent.len() < ANSWERS
            && let Ok(line) = line.parse::<Line>()
        {
            Lent::new(&challenges, line).map(|answer| lent.push(answer))
        } else {
            return;
        };
        let said: &[u8] = if answer.is_ok() { b"ok\n" } else { b"no\n" };
        if stream.write_all(said).await.is_err() {
            return;
        }
    }
}

/// Tells a front that runs beside us that a certificate has come. `false`: there is none.
pub async fn tell(socket: &Path) -> bool {
    let telling = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{ARRIVED}\n").as_bytes()).await?;
        let mut said = [0; 3];
        stream.read_exact(&mut said).await.map(|_| said)
    };
    matches!(timeout(Duration::from_secs(10), telling).await, Ok(Ok(said)) if said == *b"ok\n")
}
