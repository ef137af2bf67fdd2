//! `doctor`: what this host can do for Windlass, and what would mend the rest.

use super::arguments::{Doctor, Format};
use super::ui::look::{Look, Mark};
use super::ui::words::padded;
use super::{CommandError, Exit, Invocation};
use crate::doctor::{Finding, Verdict, examine};

/// What every engine needs is one line when all of it is well.
const OF_THE_HOST: [&str; 5] = ["kernel", "cgroup", "overlayfs", "nftables", "tun"];

pub(super) fn run(invocation: &Invocation, arguments: &Doctor) -> Result<Exit, CommandError> {
    let findings = examine(&invocation.directories);
    if arguments.format == Format::Json {
        invocation.screen.json(&findings)?;
    } else {
        for line in lines(&findings, invocation.screen.stdout) {
            invocation.screen.data(&line)?;
        }
    }
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Broken);
    Ok(if broken { Exit::Unavailable } else { Exit::Done })
}

fn lines(findings: &[Finding], look: Look) -> Vec<String> {
    let (host, others): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| OF_THE_HOST.contains(&finding.subject));
    let mut lines = Vec::new();
    if host.iter().all(|finding| finding.verdict == Verdict::Well) {
        let words: Vec<String> = host.iter().map(|finding| in_short(finding)).collect();
        lines.push(format!("  {} {}", look.mark(Mark::Done), words.join(", ")));
    } else {
        lines.extend(host.iter().flat_map(|finding| in_full(finding, look)));
    }
    lines.extend(others.iter().flat_map(|finding| in_full(finding, look)));
    lines
}

fn in_short(finding: &Finding) -> String {
    match finding.subject {
        subject @ ("kernel" | "cgroup") => format!("{subject} {}", finding.detail),
        subject => subject.to_owned(),
    }
}

fn in_full(finding: &Finding, look: Look) -> Vec<String> {
    let mark = look.mark(match finding.verdict {
        Verdict::Well => Mark::Done,
        Verdict::Absent => Mark::Absent,
        Verdict::Attention => Mark::Attention,
        Verdict::Broken => Mark::Failed,
    });
    let subject = if finding.subject == "room" && finding.verdict == Verdict::Well {
        String::new()
    } else {
        format!("{}  ", padded(finding.subject, 17))
    };
    let mut lines = vec![format!("  {mark} {subject}{}", finding.detail)];
    lines.extend(finding.help.iter().map(|help| format!("      help: {help}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(
        subject: &'static str,
        verdict: Verdict,
        detail: &str,
        help: Option<&str>,
    ) -> Finding {
        Finding { subject, verdict, detail: detail.into(), help: help.map(Into::into) }
    }

    #[test]
    fn a_host_that_is_well_is_one_line_and_a_failure_says_what_mends_it() {
        let well = |subject, detail| finding(subject, Verdict::Well, detail, None);
        let mut findings = vec![
            well("kernel", "6.12"),
            well("cgroup", "v2"),
            well("overlayfs", "known to the kernel"),
            finding(
                "qemu engine",
                Verdict::Broken,
                "there is no `qemu-system-x86_64`",
                Some("sudo apt-get install qemu-system-x86 qemu-utils"),
            ),
            well("room", "61 GiB free in the image store"),
        ];
        let look = Look { colour: false, unicode: true };
        insta::assert_snapshot!("one_line", lines(&findings, look).join("\n"));
        findings[1] = finding("cgroup", Verdict::Broken, "none mounted", Some("sudo mount …"));
        insta::assert_snapshot!("each_its_line", lines(&findings, look).join("\n"));
    }
}
