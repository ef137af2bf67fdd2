//! Commands that go inside a workload.

use clap::Args;

use super::parse;

/// Arguments of `exec`.
#[derive(Debug, Clone, Default, Args)]
pub struct Exec {
    /// User inside, `user[:group]`; root in a VM, the container's own otherwise
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Working directory inside
    #[arg(short, long, value_name = "PATH")]
    pub workdir: Option<String>,
    /// A variable; `NAME` alone takes the caller's value (may be repeated)
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = parse::variable)]
    pub environment: Vec<(String, Option<String>)>,
    /// No terminal, even where standard input is one
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Which workload
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What to run
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

/// Arguments of `shell`.
#[derive(Debug, Clone, Default, Args)]
pub struct Shell {
    /// User inside; the image's own when it is not said
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Which workload
    #[arg(value_name = "NAME")]
    pub name: String,
}
