# Two commands do everything: `make demo` and `make test`. Only what installs
# packages, makes networks and runs tests on real engines is elevated, by sudo
# where there is one; cargo never is.

SHELL := /bin/bash
PREFIX ?= /usr/local
CARGO ?= cargo
# sudo and Debian's users have neither cargo's directory nor sbin in PATH.
export PATH := $(HOME)/.cargo/bin:$(PATH):/usr/local/sbin:/usr/sbin:/sbin

SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
NEXTEST := $(shell PATH="$(PATH)" command -v cargo-nextest)
# Bootstrapped base images outlive a checkout; they are keyed by recipe.
export WINDLASS_TEST_CACHE ?= /var/cache/windlass-test

.PHONY: help demo build test chaos test-in-guest unit lint bench install uninstall clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: ## set up, build, bring examples/guestbook up and show it
	scripts/setup
	$(CARGO) build --release --locked
	scripts/demo

build: ## the release binary
	$(CARGO) build --release --locked

# cargo builds as whoever calls; the test programs alone run as root, because
# real engines make namespaces, bridges and mounts.
ifneq ($(SUDO),)
test chaos bench: export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := $(SUDO) -E
endif
test: ## set up, then all tests, on real engines too
	scripts/setup --tests
ifneq ($(NEXTEST),)
	$(CARGO) nextest run --locked --no-fail-fast
else
	$(CARGO) test --locked --no-fail-fast
endif

chaos: ## ten minutes of killing, deleting, filling and damaging, told as it goes
	scripts/setup --tests
	WINDLASS_CHAOS_SECONDS=$${WINDLASS_CHAOS_SECONDS:-600} \
	$(CARGO) test --locked --test chaos -- --nocapture

test-in-guest: ## the engine's tests and two reboots in a guest with systemd and cgroup v2
	scripts/setup --tests
	scripts/test-in-guest

unit: ## tests without root or engines
	$(CARGO) test --locked --lib

lint: ## formatting and clippy, as CI has them
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: ## ratios: our own time against bare shims and engines; ROWS=containers|supervisor|vm
	$(CARGO) bench --locked --bench ratios -- $(ROWS)

install: build ## `windlass` and its completions to PREFIX (/usr/local)
	@mkdir -p $(DESTDIR)$(PREFIX)/bin 2>/dev/null || true
	elevate=; [ -w $(DESTDIR)$(PREFIX)/bin ] || elevate="$(SUDO)"; \
	$$elevate install -Dm755 target/release/windlass $(DESTDIR)$(PREFIX)/bin/windlass && \
	target/release/windlass completion bash | \
	  $$elevate install -Dm644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/windlass
	@echo "installed $(DESTDIR)$(PREFIX)/bin/windlass"

uninstall: ## removes what install put there; never touches stacks
	$(SUDO) rm -f $(DESTDIR)$(PREFIX)/bin/windlass $(DESTDIR)$(PREFIX)/share/bash-completion/completions/windlass

clean: ## build products only; stacks, disks and images are not in here
	$(CARGO) clean
