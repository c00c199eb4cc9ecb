# Needs Python 3.11, make and a package index. `image` needs podman or docker as well, `cluster-test` kubectl and Go,
# and `bench` wrk. `make help` lists the targets.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
COMMAND := $(BIN)/text-classifier
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INSTALL := $(PIP) --require-hashes --requirement
DATA ?= ../shared/data/imdb/train.parquet
TEST ?= ../shared/data/imdb/test.parquet
export NLTK_DATA ?= $(abspath ../shared/nltk_data)
ENGINE ?= podman
ENV ?= local
WEIGHT ?= 10
SECONDS ?= 600
KUBE_SCORE := github.com/zegl/kube-score/cmd/kube-score@v1.20.0
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
REGISTRY_SERVER := github.com/google/go-containerregistry/cmd/registry@v0.22.1
TOOLS := kube-score kubeconform actionlint registry
OPERATORS := sigs.k8s.io/gateway-api@v1.6.3/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml \
	github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
	github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml \
	github.com/kedacore/keda/v2@v2.21.0/config/crd/bases/keda.sh_scaledobjects.yaml
PEERS := fastapi litserve mlserver ray earlier
# The peers that only `make .venv-bench/NAME/.installed` installs, because they take gigabytes.
LARGE_PEERS := mlserver_huggingface
PEER_STAMPS := $(PEERS:%=.venv-bench/%/.installed)
LOCK := $(CURDIR)/$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
SOURCES := benchmarks classifier cli datafiles exporter image k8s model_store monitoring serving service.py training_import ui tests

# Makes an option of a variable if it is given. An empty variable is also passed on, so that the command refuses it.
given = $(if $(filter undefined,$(origin $(2))),,--$(1) '$($(2))')
IMAGE_OPTIONS = --engine $(ENGINE) $(if $(GPU),--gpu)
DEPLOY_OPTIONS = --env $(ENV) $(call given,image,IMAGE) $(call given,bento,BENTO) $(call given,environments,ENVIRONMENTS)

export BENTOML_DO_NOT_TRACK ?= True

# Wrong variables are refused before anything is installed. A variable with an underscore in its name is not for make but for the
# programs that it starts, as in CLASSIFIER__API__PORT=8123.
VARIABLES := BENTO CHROMIUM COMMAND DATA ENGINE ENV ENVIRONMENTS GPU IMAGE KUBECONFIG ONLY PORT PYTHON REGISTRY SECONDS SEED TARGET TEST \
	VENV VERSION WEIGHT
is_unknown = $(and $(filter command,$(origin $(1))),$(if $(findstring _,$(1)),,unknown),$(if $(filter $(1),$(VARIABLES)),,unknown))
$(foreach name,$(.VARIABLES),$(if $(call is_unknown,$(name)),$(error $(name) is not a variable of this Makefile; they are $(VARIABLES))))
NEEDED_BY_push := TARGET
NEEDED_BY_canary := IMAGE VERSION
NEEDED_BY_promote := IMAGE
NEEDED_BY_abort := IMAGE
$(foreach goal,$(MAKECMDGOALS),$(foreach name,$(NEEDED_BY_$(goal)),$(if $($(name)),,\
	$(error $(name) is not given; `make $(goal)` needs it, and k8s/README.md explains it))))

.PHONY: help serve ui ui-test screenshots test test-unit fuzz lint format train-deps deploy-deps export-deps export-test train bench bench-quick \
	bench-limits bento image ui-image push audit monitoring manifests deploy rollout-status rollback canary promote abort \
	tools cluster-test lock mutants clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve $(VENV)/.command  ## Serve the bundled model; PORT=8123 uses another port
	@$(if $(PORT),CLASSIFIER__API__PORT=$(PORT)) $(COMMAND) serve

ui: $(VENV)/.ui  ## Start the web client for the service at CLASSIFIER_URL; PORT=8502 uses another port
	@echo "The web client asks the service at $${CLASSIFIER_URL:-http://127.0.0.1:3000}"
	@$(BIN)/streamlit run ui/app.py $(if $(PORT),--server.port $(PORT))

# The tests of servers wait most of the time, so the others run beside them, with what processor time they leave.
test: $(VENV)/.dev  ## Run all tests: service and e2e, beside them unit and training
	@mkdir -p reports/tests
	@nice -n 19 $(BIN)/python -m pytest tests/unit tests/training >reports/tests/unit-training.txt 2>&1 & \
	beside=$$!; trap "kill $$beside" EXIT; \
	$(BIN)/python -m pytest tests/service tests/e2e; servers=$$?; \
	echo "The tests of tests/unit and tests/training, which ran beside these:"; \
	wait $$beside; others=$$?; trap - EXIT; \
	cat reports/tests/unit-training.txt; exit $$((servers + others))

test-unit: $(VENV)/.dev  ## Run the unit tests, which take minutes
	$(BIN)/python -m pytest tests/unit

ui-test: $(VENV)/.dev  ## Test the web client in a real browser: Chromium on the PATH, or CHROMIUM=its path
	$(BIN)/python -m pytest tests/ui

screenshots: $(VENV)/.dev  ## Make the pictures of all pages in reports/ui, and the two of the README
	$(BIN)/python -m pytest tests/ui/test_looks.py
	cp reports/ui/classify-light-1440-first.png docs/images/ui-classify.png
	cp reports/ui/batch-dark-1440-first.png docs/images/ui-batch.png

fuzz: $(VENV)/.dev  ## Send hostile input for SECONDS=600; a failure prints the SEED and ONLY that repeat it
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/fuzz $(addprefix -k ,$(ONLY))

export-test: $(VENV)/.dev .venv-export/.installed  ## Test the export of checkpoints with PyTorch and transformers
	$(BIN)/python -m pytest tests/export

lint: $(VENV)/.dev  ## Run ruff, mypy --strict, import-linter and vulture
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

train-deps: $(VENV)/.train  ## Install the packages for training, evaluation and import

deploy-deps: $(VENV)/.deploy  ## Install the packages for images, manifests and deployments

export-deps: .venv-export/.installed  ## Install what exports checkpoints of Hugging Face, with PyTorch: 5.6 GB

train: $(VENV)/.train  ## Train the bundled model again from the IMDB files DATA and TEST and NLTK's corpus in NLTK_DATA
	$(COMMAND) train --data $(DATA) --test $(TEST) --short sentence_polarity --phrases film_phrases \
		--groups tests/data/short_sentences.csv --name imdb-sentiment --seed 0 --output models/imdb-sentiment

bench: $(VENV)/.train  ## Measure the service and its peers under load; the reports are in reports/bench
	-@$(MAKE) --keep-going $(PEER_STAMPS)
	$(COMMAND) bench servers --artifact linear,cnn

bench-quick: $(VENV)/.train .venv-bench/fastapi/.installed  ## Measure only the service and FastAPI, in two minutes
	$(COMMAND) bench servers --artifact linear --servers service,fastapi --connections 1,64,64new --rates ''

bench-limits: $(VENV)/.train  ## Measure the service alone: overload, batches, and a million requests
	$(COMMAND) bench limits --artifact linear
	$(COMMAND) bench limits --artifact cnn

bento: $(VENV)/.deploy  ## Build the Bento of this commit with the model that the settings name
	$(COMMAND) bento

image: $(VENV)/.deploy  ## Make the Bento's container image; ENGINE=docker replaces podman, GPU=1 is for networks on a GPU
	$(COMMAND) image $(IMAGE_OPTIONS)

ui-image:  ## Make the container image of the web client, text-classifier-ui:local, with ENGINE
	$(ENGINE) build $(if $(filter podman,$(ENGINE)),--format docker) --file ui/Containerfile --tag text-classifier-ui:local \
		--build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' classifier/__init__.py) \
		--build-arg COMMIT=$$(git rev-parse HEAD) .

push: $(VENV)/.deploy  ## Push the image, or that of IMAGE, to TARGET, repository:tag, and print its reference by digest
	@$(COMMAND) push '$(TARGET)' $(call given,image,IMAGE) $(IMAGE_OPTIONS)

audit: $(VENV)/.deploy  ## Check the locked packages against known vulnerabilities
	$(COMMAND) audit

monitoring: $(VENV)/.deploy  ## Render monitoring/rendered again: rules, dashboard, configurations
	$(COMMAND) monitoring

manifests: $(VENV)/.deploy  ## Render k8s/rendered again
	$(COMMAND) manifests

deploy: $(VENV)/.deploy  ## Apply ENV to the cluster of KUBECONFIG, as committed or with IMAGE, and wait for the rollout
	$(COMMAND) deploy $(DEPLOY_OPTIONS)

rollout-status: $(VENV)/.deploy  ## Wait until a rollout in ENV is complete or fails
	$(COMMAND) rollout-status --env $(ENV)

rollback: $(VENV)/.deploy  ## Return ENV to the previous version; a second rollback undoes the first
	$(COMMAND) rollback --env $(ENV)

canary: $(VENV)/.deploy  ## Give VERSION, a tag or digest, WEIGHT=10 percent of the requests in ENV, where IMAGE runs
	$(COMMAND) canary $(DEPLOY_OPTIONS) $(call given,version,VERSION) --weight $(WEIGHT)

promote abort: $(VENV)/.deploy  ## Give IMAGE, the new or the old one, all requests in ENV, and delete the canary
	$(COMMAND) $@ $(DEPLOY_OPTIONS)

tools: $(TOOLS:%=.tools/%) .tools/operators  ## Install the programs that cluster-test needs into .tools

cluster-test: $(VENV)/.dev tools  ## Build, push and test on the cluster of KUBECONFIG, whose nodes must reach REGISTRY=localhost:5000
	CLUSTER_TEST=1 $(BIN)/python -m pytest tests/cluster

lock: $(VENV)/.uv  ## Resolve requirements/*.in and benchmarks/peers/*.in again
	cd requirements && for layer in serve network gpu transformer transformer-gpu deploy train ui dev build mutants \
		export; do $(LOCK) $$layer.in -o $$layer.txt || exit 1; done
	cd benchmarks/peers && for peer in $(PEERS) $(LARGE_PEERS); do $(LOCK) $$peer.in -o $$peer.txt || exit 1; done

mutants: .venv-mutants/.installed  ## Change the core in a thousand ways and list the changes that no test notices; two hours
	.venv-mutants/bin/mutmut run --max-children 1
	@.venv-mutants/bin/mutmut results

clean:  ## Remove everything that make created here; the BentoML store stays
	rm -rf $(VENV) .venv-bench .venv-export .venv-mutants mutants .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Each layer installs requirements/LAYER.txt, and also counts as the layers that it includes.
$(VENV)/.deploy $(VENV)/.train: INCLUDED = .serve
$(VENV)/.dev: INCLUDED = .serve .train .deploy .ui
$(VENV)/.serve $(VENV)/.deploy $(VENV)/.train $(VENV)/.ui $(VENV)/.dev: $(VENV)/.%: requirements/%.txt | $(VENV)/.command
	@echo "Installing requirements/$*.txt into $(VENV)"
	@$(INSTALL) $<
	@touch $@ $(INCLUDED:%=$(VENV)/%)

$(VENV)/.command: requirements/build.txt pyproject.toml | $(BIN)/python
	@$(INSTALL) $<
	@PYTHONWARNINGS=ignore $(PIP) --no-index --no-deps --no-build-isolation --editable .
	@touch $@

.tools/kube-score: MODULE = $(KUBE_SCORE)
.tools/kubeconform: MODULE = $(KUBECONFORM)
.tools/actionlint: MODULE = $(ACTIONLINT)
.tools/registry: MODULE = $(REGISTRY_SERVER)
$(TOOLS:%=.tools/%): Makefile
	@echo "Installing $(MODULE) into .tools"
	@CGO_ENABLED=0 GOBIN=$(CURDIR)/.tools go install $(MODULE)

.tools/operators: Makefile
	@echo "Putting the definitions of operators' objects into $@"
	@rm -rf $@.new && mkdir -p $@.new
	@for path in $(OPERATORS); do \
		go mod download "$$(expr $$path : '\(.*@v[0-9.]*\)/')" && \
		install -m 644 "$$(go env GOMODCACHE)/$$path" $@.new || exit 1; \
	done
	@rm -rf $@ && mv $@.new $@

.venv-bench/%/.installed: benchmarks/peers/%.txt
	@echo "Installing the peer $* into $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $< \
		2> $(@D)/install.log || { cat $(@D)/install.log >&2; exit 1; }
	@touch $@

.venv-mutants/.installed: requirements/mutants.txt
	@echo "Installing what mutation testing needs into $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

.venv-export/.installed: requirements/export.txt
	@echo "Installing what exports checkpoints into $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@touch $@

$(VENV)/.uv: | $(BIN)/python
	@$(PIP) uv
	@touch $@
