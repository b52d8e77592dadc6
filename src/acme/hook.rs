//! Somebody else's program, which puts an answer into DNS.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    time::timeout,
};

use super::Trouble;

/// So much of what it says is kept.
const MOST: u64 = 4096;

/// Runs `hook VERB NAME RECORD`, with no shell between, and waits for it: when it comes to its end, the
/// record is where the authority looks.
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
    command.stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| wrong(&format!("it cannot be started: {e}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async { tokio::join!(child.wait(), tail(out), tail(err)) };
    let Ok((status, out, err)) = timeout(patience, whole).await else {
        return Err(wrong(&format!("it was ended after {} seconds", patience.as_secs())));
    };
    let status = status.map_err(|e| wrong(&e.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let said = if err.is_empty() { out } else { err };
    Err(wrong(&format!("{status}: {said}")))
}

/// The last line of what it says. What comes behind the first part is read, and not kept: a program
/// that cannot write would never end.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let _ = (&mut stream).take(MOST).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    let text = String::from_utf8_lossy(&kept);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

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
}
