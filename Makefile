# make demo: install everything and build an example image; make test: check everything.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
VENV ?= .venv
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get
RUN_PACKAGES := python3 python3-venv runc uidmap busybox-static
TEST_PACKAGES := $(RUN_PACKAGES) attr buildah ca-certificates crun docker-registry docker.io dpkg-dev git \
	libcap2-bin mmdebstrap procps proot skopeo slirp4netns strace umoci

.PHONY: demo test lint types suite run-packages test-packages clean

demo: run-packages $(VENV)/.runs
	examples/demo/run.sh $(VENV)/bin/pybuild

test: test-packages $(VENV)/.tests lint types suite

lint: $(VENV)/.tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.tests
	$(VENV)/bin/mypy --strict

suite: $(VENV)/.tests
	tests/run-suite.sh $(VENV)

run-packages:
	@tests/install-packages.sh "$(APT)" $(RUN_PACKAGES)

test-packages:
	@tests/install-packages.sh "$(APT)" $(TEST_PACKAGES)

$(VENV)/bin/pip: | run-packages
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runs: pyproject.toml | $(VENV)/bin/pip
	$(VENV)/bin/pip install --quiet --editable .
	@touch $@

$(VENV)/.tests: pyproject.toml | $(VENV)/bin/pip
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.runs

clean:
	rm -rf $(VENV) build dist out *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
