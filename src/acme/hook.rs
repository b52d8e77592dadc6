//! Somebody else's program, which puts an answer into DNS.

use std::{
    path::Path,
    pin::pin,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    time::timeout,
};

use super::Trouble;

/// So much of what it says is kept, of each stream.
const MOST: usize = 4096;

/// Its last words may come a moment after its end; others that have its streams may never end.
const LINGER: Duration = Duration::from_millis(100);

/// Runs `hook VERB NAME RECORD`, with no shell between, and waits for it: when it comes to its end, the
/// record is where the authority looks. It ends with all that it has begun when it takes too long, or
/// when nobody waits any more.
pub(super) async fn run(
    hook: &Path,
    patience: Duration,
    verb: &str,
    name: &str,
    record: &str,
) -> Result<(), Trouble> {
    let wrong = |what: &str| Trouble::ours(format!("{} {verb} {name}: {what}", hook.display()));
    let mut command = Command::new(hook);
    command.args([verb, name, record]).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| wrong(&format!("it cannot be started: {e}")))?;
    let mut group = Group::of(&child);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let mut reading =
            pin!(async { tokio::join!(read(stdout, &mut out), read(stderr, &mut err)) });
        tokio::select! {
            status = child.wait() => {
                if !status.as_ref().is_ok_and(ExitStatus::success) {
                    let _ = timeout(LINGER, reading).await;
                }
                status
            }
            _ = &mut reading => child.wait().await,
        }
    };
    let Ok(status) = timeout(patience, whole).await else {
        return Err(wrong(&format!("it was ended after {} seconds", patience.as_secs())));
    };
    group.release();
    let status = status.map_err(|e| wrong(&e.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = Some(last(&err)).filter(|line| !line.is_empty()).unwrap_or_else(|| last(&out));
    Err(wrong(&format!("{status}: {said}")))
}

/// The processes of a program, which are killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// The program has come to its end: what it has left running is meant to run.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            // They may be gone by themselves.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// Reads to the end, and keeps the last part: a program that cannot write would never end.
async fn read(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut part = [0; MOST];
    while let Ok(read @ 1..) = stream.read(&mut part).await {
        kept.extend_from_slice(&part[..read]);
        kept.drain(..kept.len().saturating_sub(MOST));
    }
}

/// The last line of this.
fn last(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::PermissionsExt, path::PathBuf};

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tokio::sync::oneshot;

    use super::*;

    fn program(name: &str, text: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("vestibule-hook-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    #[tokio::test]
    async fn it_gets_its_arguments_as_they_are() {
        let text = "#!/bin/sh\nprintf '%s|' \"$@\" >\"$0.out\"\n";
        let hook = program("arguments", text);
        run(&hook, Duration::from_secs(60), "present", "_acme-challenge.a.example", "x; $(y) z")
            .await
            .unwrap();
        let out = hook.with_extension("out");
        assert_eq!(
            fs::read_to_string(&out).unwrap(),
            "present|_acme-challenge.a.example|x; $(y) z|"
        );
        fs::remove_file(out).unwrap();
        fs::remove_file(hook).unwrap();
    }

    #[tokio::test]
    async fn its_own_words_are_told() {
        let hook = program("words", "#!/bin/sh\necho first >&2\necho 'no such zone' >&2\nexit 3\n");
        let trouble = run(&hook, Duration::from_secs(60), "present", "n", "r").await.unwrap_err();
        assert!(trouble.text.ends_with("present n: exit status: 3: no such zone"), "{trouble}");
        // However much it says before.
        let many = "i=0; while [ $i -lt 500 ]; do echo \"step $i of many\"; i=$((i + 1)); done";
        fs::write(&hook, format!("#!/bin/sh\n{many}\necho REFUSED\nexit 1\n")).unwrap();
        let trouble = run(&hook, Duration::from_secs(60), "present", "n", "r").await.unwrap_err();
        assert!(trouble.text.ends_with("exit status: 1: REFUSED"), "{trouble}");
        fs::remove_file(&hook).unwrap();
        let trouble = run(&hook, Duration::from_secs(60), "present", "n", "r").await.unwrap_err();
        assert!(trouble.text.contains("it cannot be started"), "{trouble}");
    }

    #[tokio::test]
    async fn it_is_not_waited_for_for_ever() {
        let hook = program("slow", "#!/bin/sh\nexec sleep 1000\n");
        let trouble = run(&hook, Duration::from_millis(50), "present", "n", "r").await.unwrap_err();
        assert!(trouble.text.contains("it was ended after"), "{trouble}");
        fs::remove_file(hook).unwrap();
    }

    fn pipe(hook: &Path) -> PathBuf {
        let pipe = hook.with_extension("pipe");
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        pipe
    }

    /// The end of their pipe tells that nobody has it any more.
    #[tokio::test]
    async fn all_that_it_has_begun_ends_with_it() {
        let hook = program("group", "#!/bin/sh\nexec 3>\"$0.pipe\"\necho >&3\nsleep 1000\n");
        let pipe = pipe(&hook);
        let (begun, has_begun) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let path = pipe.clone();
        std::thread::spawn(move || {
            let mut pipe = fs::File::open(path).unwrap();
            pipe.read_exact(&mut [0]).unwrap();
            begun.send(()).unwrap();
            pipe.read_to_end(&mut Vec::new()).unwrap();
            ended.send(())
        });
        let minute = Duration::from_secs(60);
        tokio::select! {
            outcome = run(&hook, minute, "present", "n", "r") => panic!("{outcome:?}"),
            begun = has_begun => begun.unwrap(),
        }
        timeout(minute, has_ended).await.unwrap().unwrap();
        fs::remove_file(pipe).unwrap();
        fs::remove_file(hook).unwrap();
    }

    /// Others may have its streams for longer.
    #[tokio::test]
    async fn its_own_end_counts() {
        let hook = program("end", "#!/bin/sh\nread line <\"$0.pipe\" &\nexit $2\n");
        let pipe = pipe(&hook);
        let minute = Duration::from_secs(60);
        run(&hook, minute, "present", "0", "r").await.unwrap();
        fs::write(&pipe, "go\n").unwrap();
        let trouble = run(&hook, minute, "present", "3", "r").await.unwrap_err();
        assert!(trouble.text.contains("exit status: 3"), "{trouble}");
        fs::write(&pipe, "go\n").unwrap();
        fs::remove_file(pipe).unwrap();
        fs::remove_file(hook).unwrap();
    }
}
