//! One line of a log in CRI form: `TIME STREAM P|F TEXT`. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use jiff::Timestamp;

use super::Stream;

/// What a process wrote on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When its last part was written.
    pub time: Timestamp,
    /// Which output.
    pub stream: Stream,
    /// The text, without its end of line; lossy UTF-8.
    pub text: String,
}

/// Puts lines together again that were written in parts. The two outputs come
/// in between each other.
#[derive(Debug, Default)]
pub struct Assembler {
    parts: [Vec<u8>; 2],
    last: [Option<Timestamp>; 2],
}

impl Assembler {
    /// Takes one entry of the file; the line that it completes. An entry that is
    /// no such line (the host went down while it was written) is passed over.
    pub fn take(&mut self, entry: &[u8]) -> Option<Line> {
        let mut fields = entry.splitn(4, |byte| *byte == b' ');
        let time: Timestamp = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let whole = fields.next()? == b"F";
        self.parts[stream.index()].extend_from_slice(fields.next().unwrap_or_default());
        self.last[stream.index()] = Some(time);
        if whole { self.finish(stream) } else { None }
    }

    /// What is left of lines that never ended.
    pub fn rest(&mut self) -> Vec<Line> {
        let streams = [Stream::Stdout, Stream::Stderr];
        streams.into_iter().filter_map(|stream| self.finish(stream)).collect()
    }

    fn finish(&mut self, stream: Stream) -> Option<Line> {
        let time = self.last[stream.index()].take()?;
        let bytes = std::mem::take(&mut self.parts[stream.index()]);
        let text = String::from_utf8_lossy(&bytes);
        // A terminal's and a console's lines end in CR LF.
        Some(Line { time, stream, text: text.trim_end_matches('\r').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_become_one_line_whatever_comes_between() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(b"2026-11-23T19:00:00.5Z stdout P one "), None);
        let between = assembler.take(b"2026-11-23T19:00:00.6Z stderr F oh\r").expect("a line");
        assert_eq!((between.stream, between.text.as_str()), (Stream::Stderr, "oh"));
        let line = assembler.take(b"2026-11-23T19:00:00.7Z stdout F two").expect("a line");
        assert_eq!(line.text, "one two");
        assert_eq!(line.time.to_string(), "2026-11-23T19:00:00.7Z");
        assert_eq!(assembler.rest(), []);
    }

    #[test]
    fn empty_lines_are_lines_and_garbage_is_none() {
        let mut assembler = Assembler::default();
        let empty = assembler.take(b"2026-11-23T19:00:00Z stdout F ").expect("a line");
        assert_eq!(empty.text, "");
        for garbage in [&b""[..], b"2026", b"x stdout F y", b"2026-11-23T19:00:00Z sideways F y"] {
            assert_eq!(assembler.take(garbage), None);
        }
    }

    #[test]
    fn a_line_that_never_ended_is_left() {
        let mut assembler = Assembler::default();
        assembler.take(b"2026-11-23T19:00:00Z stdout P prompt> ");
        assert_eq!(assembler.rest().len(), 1);
        assert_eq!(assembler.rest().len(), 0);
    }
}
