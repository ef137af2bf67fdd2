//! The guest's word that it is ready: a line of JSON on a virtio-serial port
//! whose other end is a file that QEMU appends to. The file is watched, never
//! polled, and whoever looks later finds the same line.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::inotify::WatchFlags;
use serde::Deserialize;

use super::GuestError;
use crate::readable::Watch;

/// What the guest said about one boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Which cloud-init it runs.
    pub cloud_init: String,
    /// Its ssh host keys, `type base64`.
    pub host_keys: Vec<String>,
    /// What failed: cloud-init's words, then those of our own part.
    pub errors: Vec<String>,
    /// The last lines of cloud-init's log.
    pub log: String,
}

/// The line as `guest.sh` writes it.
#[derive(Deserialize)]
struct Line {
    nonce: String,
    #[serde(default)]
    cloud_init: String,
    #[serde(default)]
    host_keys: Vec<String>,
    result: Option<serde_json::Value>,
    #[serde(default)]
    complaints: String,
    #[serde(default)]
    log: String,
}

/// What the guest said in the boot named by `nonce`, if it has.
pub fn look(file: &Path, nonce: &str) -> Result<Option<Word>, GuestError> {
    Ok(read(file)?.and_then(|text| find(&text, |said| said == nonce)))
}

/// What the guest said last, in whichever boot.
pub fn last(file: &Path) -> Result<Option<Word>, GuestError> {
    Ok(read(file)?.and_then(|text| find(&text, |_| true)))
}

fn read(file: &Path) -> Result<Option<String>, GuestError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(GuestError::io("read", file)(error)),
    }
}

/// Waits until the guest has said it.
pub async fn wait(file: &Path, nonce: &str) -> Result<Word, GuestError> {
    let failed = |error: io::Error| GuestError::io("watch", file)(error);
    let watch = Watch::new(file, WatchFlags::MODIFY).map_err(failed)?;
    loop {
        // Looked at after the watch was set: nothing falls in between.
        if let Some(word) = look(file, nonce)? {
            return Ok(word);
        }
        watch.changed().await.map_err(failed)?;
    }
}

/// The last whole line about a boot that is meant.
fn find(text: &str, meant: impl Fn(&str) -> bool) -> Option<Word> {
    let whole = &text[..text.rfind('\n')?];
    let line = whole
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Line>(line).ok())
        .find(|line| meant(&line.nonce))?;
    let mut errors = cloud_init_errors(line.result.as_ref());
    errors.extend(decoded(&line.complaints).lines().map(str::to_owned));
    Some(Word {
        cloud_init: line.cloud_init,
        host_keys: line.host_keys,
        errors,
        log: decoded(&line.log),
    })
}

/// `v1.errors` of cloud-init's result.json. Recoverable ones are not among them.
fn cloud_init_errors(result: Option<&serde_json::Value>) -> Vec<String> {
    let Some(result) = result else {
        return vec!["cloud-init left no result".to_owned()];
    };
    let errors = result["v1"]["errors"].as_array().into_iter().flatten();
    let mut said: Vec<String> = Vec::new();
    for error in errors {
        let error = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        // Newer ones repeat in each stage what failed in those before.
        if !said.contains(&error) {
            said.push(error);
        }
    }
    said
}

fn decoded(digits: &str) -> String {
    String::from_utf8_lossy(&hex::decode(digits).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Word, last, look, wait};

    fn find(text: &str, nonce: &str) -> Option<Word> {
        super::find(text, |said| said == nonce)
    }

    fn line(nonce: &str, errors: &str) -> String {
        format!(
            r#"{{"version":1,"nonce":"{nonce}","cloud_init":"22.4.2","host_keys":["ssh-ed25519 AAAA"],"result":{{"v1":{{"datasource":"x","errors":[{errors}]}}}},"complaints":"","log":"{}"}}"#,
            hex::encode("last\nwords")
        ) + "\n"
    }

    #[test]
    fn a_word_about_another_boot_does_not_count() {
        let text = line("old", "") + "\u{0}garbage\n" + &line("new", r#""('runcmd', 1)""#);
        assert!(find(&text, "none").is_none());
        assert!(find(&text, "old").expect("old").errors.is_empty());
        let word = find(&text, "new").expect("new");
        assert_eq!(word.errors, ["('runcmd', 1)"]);
        assert_eq!(word.log, "last\nwords");
        assert_eq!(word.host_keys, ["ssh-ed25519 AAAA"]);
    }

    #[test]
    fn half_a_line_is_not_a_word() {
        let whole = line("n", "");
        for end in 0..whole.len() {
            assert!(find(&whole[..end], "n").is_none(), "{end}");
        }
    }

    #[test]
    fn no_result_and_our_own_complaints_are_errors() {
        let text = r#"{"nonce":"n","result":null,"complaints":"63616e6e6f74","log":""}"#;
        let word = find(&format!("{text}\n"), "n").expect("word");
        assert_eq!(word.errors, ["cloud-init left no result", "cannot"]);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_told() {
        let home = tempfile::tempdir().expect("directory");
        let path = home.path().join("ready");
        let mut file = std::fs::File::create(&path).expect("file");
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { wait(&path, "n").await }
        });
        tokio::task::yield_now().await;
        let line = line("n", "");
        let (head, tail) = line.split_at(20);
        file.write_all(head.as_bytes()).expect("write");
        tokio::task::yield_now().await;
        assert!(look(&path, "n").expect("look").is_none());
        file.write_all(tail.as_bytes()).expect("write");
        assert!(last(&path).expect("last").is_some());
        let word = waiting.await.expect("task").expect("word");
        assert_eq!(word.cloud_init, "22.4.2");
    }
}
