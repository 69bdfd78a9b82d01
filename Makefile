# Two commands do all the set-up on a fresh machine: `make run` and `make test`.

# The system's Python, if it is recent enough: distributions build theirs with profile-guided optimisation, version
# managers mostly do not, and then every message takes half as long again.
PYTHON ?= $(shell for python in /usr/bin/python3.1[1-9] python3; do \
	"$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; echo $$python)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PYTEST := $(BIN)/pytest --dist worksteal --numprocesses
CORES  := $(shell nproc)

# Bytecode is kept, wherever the environment says otherwise: without it each server that a test starts compiles a thousand
# modules in each of its first three processes, and takes twice as long to be ready.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test test-system crash soak fuzz check demo bench bench-peers bench-mailbox bench-micro bench-ageing compiled test-compiled man lock clean

run: $(READY)  ## start the server on loopback with ./pipeline.toml
	$(BIN)/postroad run --demo

test: $(READY)  ## every test that needs no whole server
	$(PYTEST) $(shell expr 2 \* $(CORES)) -m "not system"

test-system: $(READY)  ## whole servers: broken, operated, beside other programs; WITHOUT=peer leaves out those with that mark
	$(PYTEST) $(shell expr 1 + $(CORES)) -m "system$(if $(WITHOUT), and not $(WITHOUT))"

crash: $(READY)  ## break everything for CRASH_SECONDS while mail flows, and look for what was lost
	CRASH_SECONDS=$${CRASH_SECONDS:-120} $(BIN)/pytest -s tests/crash

soak: $(READY)  ## let mail flow for SOAK_SECONDS, an hour if not said, and look for what leaks
	SOAK_SECONDS=$${SOAK_SECONDS:-3600} $(BIN)/pytest -s tests/crash/test_soak.py

.PHONY: examples
examples: $(READY)  ## the tests that hypothesis makes examples for, with EXAMPLES times as many, 10 if not said
	EXAMPLES=$(or $(EXAMPLES),10) $(PYTEST) $(shell expr 1 + $(CORES)) -m "hypothesis and not system"

.PHONY: reload-campaign
reload-campaign: $(READY)  ## reload every second while mail flows and is read, for SECONDS, 600 if not said
	RELOAD_SECONDS=$(or $(SECONDS),600) $(BIN)/pytest -s tests/crash/test_reload_campaign.py

.PHONY: relay-campaign
relay-campaign: $(READY)  ## relay to hundreds of sites that do all sorts of things, for SECONDS, 600 if not said
	RELAY_SECONDS=$(or $(SECONDS),600) RELAY_SITES=$(or $(SITES),100) $(BIN)/pytest -s tests/relay/test_relay_campaign.py

.PHONY: queue-figures
queue-figures: $(READY)  ## say how long an operator waits for answers about a queue of MESSAGES, a million if not said
	QUEUE_MESSAGES=$(or $(MESSAGES),1000000) $(BIN)/pytest -s tests/operations/test_queue_of_a_million.py \
		tests/operations/test_queue_under_load.py

.PHONY: webmail-figures
webmail-figures: $(READY)  ## say how long lists of a mailbox of MESSAGES take, 200,000 if not said, and what 100 people take from the mail
	$(BIN)/python -m bench.webmail lists --messages $(or $(MESSAGES),200000)
	$(BIN)/python -m bench.webmail crowd

.PHONY: stress
stress: $(READY)  ## IMAP clients at random for STRESS_SECONDS, and MODEL_EXAMPLES beside models
	STRESS_SECONDS=$${STRESS_SECONDS:-600} MODEL_EXAMPLES=$${MODEL_EXAMPLES:-500} $(BIN)/pytest -s \
		tests/imap tests/mailbox/test_model.py

fuzz: $(READY)  ## coverage-guided fuzzing of every parser, FUZZ_SECONDS each
	$(BIN)/pip install -q atheris
	$(BIN)/python -m tests.fuzz --seconds $${FUZZ_SECONDS:-60}

.PHONY: mutants
mutants: $(READY)  ## change the queue and the SMTP parsers in small ways, and print what no test notices: hours. MUTANTS=engine/queue/away.py
	$(BIN)/python -m tests.mutation $(MUTANTS)

check: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

demo: $(READY)  ## two servers and a private DNS zone: the way of five real messages
	$(BIN)/postroad demo

bench: $(READY)  ## Postroad beside the other mail servers that are installed, all the usual workloads
	$(BIN)/postroad bench

bench-peers:  ## get OpenSMTPD, Exim, Dovecot and Haraka to compare with, into bench/.peers
	bench/install_peers.sh

bench-mailbox: $(READY)  ## readers beside Dovecot, mailboxes of 10,000 and 200,000 messages; MAILBOX='--stored 10000 --runs 1'
	mkdir -p bench/.stores
	POSTROAD_STORES=$(CURDIR)/bench/.stores $(BIN)/postroad bench mailbox --folder bench/.stores --disk plain $(MAILBOX)

bench-micro: $(READY)  ## the parts of the engine one by one; MICRO=--short for a quick look
	$(BIN)/python -m bench.micro $(MICRO)

bench-ageing: $(READY)  ## a million messages through the queue: its disk space and its commits; AGEING='mailboxes --folder /srv'
	$(BIN)/python -m bench.ageing $(AGEING)

compiled: $(READY)  ## a wheel for this machine in dist/, its hot modules compiled; needs a C compiler
	rm -f dist/postroad-*-cp*.whl
	POSTROAD_COMPILE=1 $(BIN)/python -m hatchling build -t wheel

.PHONY: deb
deb: $(READY)  ## a Debian package in dist/, for the Python of this system, with all libraries
	$(BIN)/python packaging/debian/build.py dist

.PHONY: test-deb
test-deb: $(READY)  ## build it quickly, install it in a layer over this machine, use it, also under a systemd, and purge it; as root
	rm -rf build/deb
	$(BIN)/python packaging/debian/build.py --quick build/deb
	POSTROAD_DEB=$$(ls build/deb/*.deb) $(BIN)/python -m pytest -rs tests/operations/test_debian_package.py \
		tests/operations/test_under_systemd.py

.PHONY: bench-compiled
bench-compiled: compiled  ## a compiled build in build/compiled, which `make bench` then measures beside the source
	rm -rf build/compiled
	$(BIN)/python -m zipfile -e dist/postroad-*-cp*.whl build/compiled

test-compiled: compiled  ## the tests that need no other programs, against the compiled modules
	rm -rf build/compiled
	$(BIN)/python -m zipfile -e dist/postroad-*-cp*.whl build/compiled
	cp -r pyproject.toml pipeline.toml filters tests build/compiled
	cd build/compiled && PYTHONPATH=$(CURDIR)/build/compiled POSTROAD_COMPILED=1 $(CURDIR)/$(BIN)/python -m pytest \
		-m "not interpreted" tests/protocols tests/engine tests/stages tests/net tests/operations tests/crash

man: $(READY)  ## renew man/ from the commands' help and docs/pipeline.md
	$(BIN)/python docs/make_man.py

.PHONY: pictures
pictures: $(READY)  ## draw the pictures of the pages anew, those of a server at work too
	$(BIN)/python docs/make_pictures.py --all
	$(BIN)/python docs/make_screenshots.py

lock: $(READY)  ## renew requirements.lock from pyproject.toml
	$(BIN)/pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-header --group dev pyproject.toml -o requirements.lock

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Postroad needs Python 3.11 or later; choose one with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## remove what was built; data in ./var stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
