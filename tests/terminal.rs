//! What a person sees who sits at a terminal: the real program on a real pty.
//! Waits are for words on the screen, never for a while.

#[path = "support/oci.rs"]
mod oci;
#[path = "support/scenario.rs"]
#[expect(dead_code, reason = "each file of scenarios uses a part of it")]
mod scenario;

use std::process::Command;
use std::time::Duration;

use expectrl::process::unix::WaitStatus;
use expectrl::session::OsSession;
use expectrl::{ControlCode, Eof, Expect, Regex, Session};
use scenario::Scenario;

const TALKS: &str = "
services:
  talk:
    image: ./image
    command: sh -c 'echo tick; exec sleep 1000000'
    stop_grace_period: GRACE
";

fn talks(name: &str, grace: &str) -> Option<Scenario> {
    Scenario::containers(name, &TALKS.replace("GRACE", grace))
}

/// A command on a terminal of its own; what does not come within a while fails.
fn at_a_terminal(command: Command) -> OsSession {
    let mut session = Session::spawn(command).expect("a terminal");
    session.set_expect_timeout(Some(Duration::from_secs(15)));
    session
}

/// A shell that runs `$WINDLASS` where `stack` lives.
fn shell(stack: &Scenario, script: &str) -> OsSession {
    let told = stack.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(stack.project()).env("WINDLASS", told.get_program());
    for (name, value) in told.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    at_a_terminal(shell)
}

/// How it ended, as a shell would say it.
fn code(session: &mut OsSession) -> i32 {
    session.expect(Eof).expect("it ends");
    match session.get_process().wait().expect("a status") {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        other => panic!("{other:?}"),
    }
}

#[test]
fn exec_gives_the_command_the_terminal_and_gives_it_back() {
    let Some(stack) = talks("tty-exec", "100ms") else { return };
    stack.ok(&["up", "-d"]);
    let script = "before=$(stty -g); \"$WINDLASS\" exec talk sh; echo rc=$?; \\
                  [ \"$before\" = \"$(stty -g)\" ] && echo as it was";
    let mut tty = shell(&stack, script);
    tty.get_process_mut().set_window_size(91, 33).expect("a size");
    tty.expect("/ #").expect("a prompt");
    for (cols, rows) in [(91, 33), (77, 22)] {
        tty.get_process_mut().set_window_size(cols, rows).expect("resized");
        // The news may take a moment to arrive inside.
        let wait = format!("until [ \"$(busybox stty size)\" = '{rows} {cols}' ]; do :; done");
        tty.send_line(format!("{wait}; echo si''zed")).expect("sent");
        tty.expect("sized").expect("the size is known inside");
    }
    tty.send_line("sh -c 'echo sta\"\"rted; exec sleep 1000'").expect("sent");
    tty.expect("started").expect("it runs");
    tty.send(ControlCode::EndOfText).expect("sent");
    tty.send_line("echo code''=$?").expect("sent");
    tty.expect("code=130").expect("Ctrl-C reached the command inside, and nobody else");
    tty.send_line("exit 7").expect("sent");
    tty.expect("rc=7").expect("the exit code is the command's");
    tty.expect("as it was").expect("the terminal is given back");
    assert_eq!(code(&mut tty), 0);
    stack.finish();
}

#[test]
fn shell_gets_one_in() {
    let Some(stack) = talks("tty-shell", "100ms") else { return };
    stack.ok(&["up", "-d"]);
    let mut tty = at_a_terminal(stack.command(&["shell", "talk"]));
    tty.expect("/ #").expect("a prompt");
    tty.send_line("busybox tty; exit 3").expect("sent");
    tty.expect("/dev/pts/").expect("a terminal of its own");
    assert_eq!(code(&mut tty), 3);
    stack.finish();
}

#[test]
fn an_attached_up_draws_in_place_shows_logs_and_stops_at_ctrl_c() {
    let Some(stack) = talks("tty-up", "100ms") else { return };
    let mut tty = at_a_terminal(stack.command(&["up"]));
    let drawn = tty.expect("up in ").expect("it comes up");
    let drawn = String::from_utf8_lossy(drawn.before()).into_owned();
    assert!(drawn.contains("✔") && drawn.contains("\x1b["), "{drawn}");
    tty.expect(Regex(r"talk[^\n]*tick")).expect("its log, with its name before it");
    tty.send(ControlCode::EndOfText).expect("sent");
    tty.expect("press Ctrl-C again").expect("what the next one does is said");
    tty.expect("stop in ").expect("it stops");
    assert_eq!(code(&mut tty), 130);
    assert_eq!(stack.ps()[0]["State"], "exited");
    stack.finish();
}

#[test]
fn ctrl_c_twice_leaves_at_once_and_the_next_up_finishes() {
    let Some(stack) = talks("tty-twice", "20s") else { return };
    let mut tty = at_a_terminal(stack.command(&["up"]));
    tty.expect(Regex(r"talk[^\n]*tick")).expect("it is up");
    tty.send(ControlCode::EndOfText).expect("sent");
    tty.expect("press Ctrl-C again").expect("it is stopping");
    tty.send(ControlCode::EndOfText).expect("sent");
    assert_eq!(code(&mut tty), 130);
    stack.write("windlass.yaml", &TALKS.replace("GRACE", "100ms"));
    stack.ok(&["up", "-d"]);
    assert_eq!(stack.run(&["plan", "--exit-code"]).code, 0);
    assert!(stack.pid("talk") > 0);
    stack.finish();
}

#[test]
fn following_logs_ends_with_ctrl_c_and_leaves_the_rest_alone() {
    let Some(stack) = talks("tty-logs", "100ms") else { return };
    stack.ok(&["up", "-d"]);
    let before = stack.pid("talk");
    let mut tty = at_a_terminal(stack.command(&["logs", "-f"]));
    tty.expect("tick").expect("the log");
    tty.send(ControlCode::EndOfText).expect("sent");
    assert_eq!(code(&mut tty), 130);
    assert_eq!(stack.pid("talk"), before);
    stack.finish();
}

#[test]
fn an_attached_up_ends_when_it_is_taken_down_elsewhere() {
    let Some(stack) = talks("tty-down", "100ms") else { return };
    let mut tty = at_a_terminal(stack.command(&["up"]));
    tty.expect(Regex(r"talk[^\n]*tick")).expect("it is up");
    stack.ok(&["down"]);
    assert_eq!(code(&mut tty), 0);
    stack.finish();
}
