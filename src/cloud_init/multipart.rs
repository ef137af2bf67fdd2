//! Several cloud-init documents in one, as MIME knows it. Bodies stay as they
//! are: what MIME cannot carry unchanged travels as base64.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt::Write;

use crate::state::names;

/// Has lists and mappings of several cloud-configs add up.
const MERGE: &str = "list(append)+dict(recurse_list)";

/// One part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Name of the file that cloud-init keeps it in.
    pub(super) name: &'a str,
    /// MIME type.
    pub(super) kind: &'static str,
    /// The document.
    pub(super) body: &'a str,
}

/// The message.
pub(super) fn text(parts: &[Part<'_>]) -> String {
    let bodies: Vec<&str> = parts.iter().map(|part| part.body).collect();
    let boundary = format!("windlass-{}", names::hash(&bodies, 16));
    let mut text =
        format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for part in parts {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "--{boundary}\nMIME-Version: 1.0\nContent-Type: {}; charset=\"utf-8\"\n\
             Content-Disposition: attachment; filename=\"{}\"\n",
            part.kind, part.name
        );
        if matches!(part.kind, "text/cloud-config" | "text/jinja2") {
            let _ = writeln!(text, "Merge-Type: {MERGE}");
        }
        let survives = part.body.is_ascii() && !part.body.contains('\r');
        if survives {
            let _ = write!(text, "Content-Transfer-Encoding: 7bit\n\n{}\n", part.body);
        } else {
            let _ = write!(text, "Content-Transfer-Encoding: base64\n\n");
            base64(&mut text, part.body.as_bytes());
        }
    }
    let _ = writeln!(text, "--{boundary}--");
    text
}

/// Lines of 76 characters, as MIME wants them.
fn base64(text: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for line in bytes.chunks(57) {
        for group in line.chunks(3) {
            let three = [group[0], *group.get(1).unwrap_or(&0), *group.get(2).unwrap_or(&0)];
            let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            for place in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place > group.len() { '=' } else { char::from(digit) });
            }
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads() {
        let encode = |bytes: &[u8]| {
            let mut text = String::new();
            base64(&mut text, bytes);
            text
        };
        assert_eq!(encode(b"f"), "Zg==\n");
        assert_eq!(encode(b"fo"), "Zm8=\n");
        assert_eq!(encode(b"foo"), "Zm9v\n");
        assert_eq!(encode("é\r\n".as_bytes()), "w6kNCg==\n");
        assert_eq!(encode(&[0xff; 58]).lines().count(), 2);
    }
}
