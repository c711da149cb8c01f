# inactive_session_timeout. Every target installs what it lacks (Debian's packages, by apt) and says what it does.
#
#   PG=17                            a major version of PostgreSQL, 15 to 19, or 17-assert: 17 with asserts. Defaults to
#                                    the installed major version, and to 15 if none or several are installed
#   PG_CONFIG=/path/to/pg_config     a PostgreSQL of your own

PG ?=
PG_CONFIG ?=
DESTDIR ?=
TESTS ?=
KEEP ?=
QUICK ?=
PARTS ?=
SMOKE ?=
SERVERS ?=
SHORT ?=
FROM ?= 15
export PG PG_CONFIG DESTDIR KEEP QUICK PARTS SMOKE SERVERS SHORT

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test test-all test-pg-upgrade soak fuzz bench build install uninstall deb test-deb test-odoo bench-odoo lint advisories clean
.PHONY: all hooks test-examples test-image

help: ## This list
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
	@echo
	@sed -n 's/^#   /  /p' Makefile

demo: ## Show the extension at work on a throwaway server; KEEP=1 leaves it running
	@scripts/setup.sh
	@scripts/build.sh
	@scripts/demo.sh

demo-stop: ## Stop the server that demo KEEP=1 left
	@scripts/demo.sh stop

test: ## Run every test; TESTS=name runs those whose name contains it
	@scripts/setup.sh test
	@scripts/build.sh
	@scripts/test.sh $(TESTS)

test-all: ## Run every test on every PostgreSQL; SERVERS="16 18" on these; SHORT=1 a part
	@scripts/test-all.sh

test-pg-upgrade: ## Upgrade a PostgreSQL 15 with sessions to the one of PG, by pg_upgrade; FROM=18 one of 18
	@scripts/setup.sh test
	@PG=$(FROM) PG_CONFIG= scripts/setup.sh
	@scripts/build.sh
	@PG=$(FROM) PG_CONFIG= scripts/build.sh
	@scripts/test-pg-upgrade.sh $(FROM)

soak: ## Run the tests of crashes, restarts and volume, and the one with a model, in their long form
	@scripts/setup.sh test
	@scripts/build.sh
	@SOAK=1 scripts/test.sh $(or $(TESTS),$$(scripts/selection.sh soak))

fuzz: ## Fuzz the readers of URLs and parameters, a minute each
	@scripts/setup.sh fuzz
	@scripts/fuzz.sh

bench: ## Measure it against what people use instead, in about ten minutes; QUICK=1 in two
	@scripts/setup.sh bench
	@scripts/build.sh
	@scripts/bench.sh

all: build # what PGXN's client calls

build: ## Build the extension in release
	@scripts/setup.sh
	@scripts/build.sh

install: build ## Install it into PostgreSQL; with DESTDIR=dir, below dir
	@scripts/install.sh

uninstall: ## Remove it from PostgreSQL
	@scripts/uninstall.sh

deb: ## Make Debian packages in target/deb: for the PostgreSQL of PG, and of the Odoo addon
	@scripts/setup.sh deb
	@scripts/build.sh
	@scripts/deb.sh

test-deb: deb ## Install, use and remove the package, in a copy of the system that is thrown away
	@scripts/test-deb.sh

test-odoo: ## Run the Odoo addon's tests on a real Odoo 19; TESTS=addon those in Odoo, TESTS=name others by name
	@scripts/setup.sh
	@scripts/build.sh
	@scripts/odoo-setup.sh
	@scripts/test-odoo.sh $(TESTS)

bench-odoo: ## Measure parallel requests of one session in Odoo, with and without the addon
	@scripts/setup.sh
	@scripts/build.sh
	@scripts/odoo-setup.sh
	@scripts/test-odoo.sh bench

test-examples: ## Run the tests of examples/, for Django and SQLAlchemy; TESTS=name runs those by name
	@scripts/setup.sh examples
	@scripts/build.sh
	@scripts/test-examples.sh $(TESTS)

test-image: ## Build the container image, and use it; needs docker or podman
	@scripts/test-image.sh

lint: ## Check form, dependencies and spelling
	@scripts/setup.sh lint
	@scripts/lint.sh

advisories: ## Compare the dependencies with the known vulnerabilities
	@scripts/setup.sh lint
	@scripts/lint.sh advisories

hooks: ## Have git check the message of each commit
	@git config core.hooksPath scripts/hooks

clean: ## Remove everything that was built
	@scripts/clean.sh
