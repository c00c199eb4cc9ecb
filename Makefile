# Needs Python 3.11, make and a package index; `image` podman or docker, `cluster-test` kubectl and Go, `bench` wrk.
# `make help` lists what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
DATA ?= ../shared/data/imdb/train.parquet
TEST ?= ../shared/data/imdb/test.parquet
ENGINE ?= podman
ENV ?= local
WEIGHT ?= 10
SECONDS ?= 600
NAMESPACE = text-classifier-$(ENV)
NEW_MANIFESTS := reports/manifests
RENDER = $(BIN)/python -m k8s render --env $(ENV) $(addprefix --environments ,$(ENVIRONMENTS)) $(addprefix --bento ,$(BENTO))
KUBE_SCORE := github.com/zegl/kube-score/cmd/kube-score@v1.20.0
KUBECONFORM := github.com/yannh/kubeconform/cmd/kubeconform@v0.8.0
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
REGISTRY_SERVER := github.com/google/go-containerregistry/cmd/registry@v0.22.1
TOOLS := kube-score kubeconform actionlint registry
OPERATORS := sigs.k8s.io/gateway-api@v1.6.3/config/crd/standard/gateway.networking.k8s.io_httproutes.yaml \
	github.com/prometheus-operator/prometheus-operator@v0.85.0/example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml \
	github.com/kedacore/keda/v2@v2.21.0/config/crd/bases/keda.sh_scaledobjects.yaml
PEERS := fastapi litserve mlserver ray earlier
PEER_STAMPS := $(PEERS:%=.venv-bench/%/.installed)
LOCK := $(CURDIR)/$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
SOURCES := benchmarks classifier image k8s model_store serving service.py training_import tests

needs = $(foreach name,$(1),$(if $($(name)),,$(error $(name) is not given; k8s/README.md says what it is)))
not-empty = $(foreach name,$(1),$(if $(filter undefined,$(origin $(name))),,$(call needs,$(name))))
define apply
	@grep --quiet --line-regexp '  name: $(NAMESPACE)' $(1)/namespace.yaml || \
		{ echo "error: $(1) is not for $(NAMESPACE), where make looks" >&2; exit 1; }
	kubectl apply --kustomize $(1)
endef
# On failure, what its pods wait for.
define rolled-out
	@kubectl rollout status deployment/$(1) --namespace $(NAMESPACE) --timeout 5m || { \
		kubectl get pods --namespace $(NAMESPACE) --output custom-columns=POD:.metadata.name,$(call state,waiting.reason),$(call state,waiting.message); \
		echo "error: not rolled out; kubectl logs may say why, and make rollback goes back" >&2; exit 1; }
endef
state = $(subst .,-,$(1)):.status.containerStatuses[0].state.$(1)

export BENTOML_DO_NOT_TRACK ?= True

.PHONY: help serve test test-unit fuzz lint format train-deps train bench bench-quick bench-limits bento \
	image push audit manifests deploy rollout-status rollback canary promote abort cluster tools cluster-test \
	lock mutants clean

help:  ## This list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "%-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve  ## Serve the bundled model; PORT=8123 listens elsewhere
	@$(if $(filter command line,$(origin PORT)),CLASSIFIER__API__PORT=$(PORT)) $(BIN)/python -m serving

test: $(VENV)/.dev  ## All tests: unit, service, e2e
	$(BIN)/python -m pytest

test-unit: $(VENV)/.dev  ## The tests that need nothing and take seconds
	$(BIN)/python -m pytest tests/unit

fuzz: $(VENV)/.dev  ## SECONDS=600 of hostile input; SEED and ONLY repeat a failure, as it says itself
	FUZZ_SECONDS=$(SECONDS) FUZZ_SEED=$(SEED) $(BIN)/python -m pytest tests/fuzz $(addprefix -k ,$(ONLY))

lint: $(VENV)/.dev  ## ruff, mypy --strict, import-linter, vulture
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

format: $(VENV)/.dev  ## Format the code
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

train-deps: $(VENV)/.train  ## What training, evaluation and import need, into .venv

train: $(VENV)/.train  ## Train the bundled model again: DATA and TEST name the IMDB files
	$(BIN)/python -m training_import train --data $(DATA) --test $(TEST) --kind linear \
		--name imdb-sentiment --seed 0 --output models/imdb-sentiment

bench: $(VENV)/.train  ## Load the service and its peers; reports/bench tells how they do
	-@$(MAKE) --keep-going $(PEER_STAMPS)
	$(BIN)/python -m benchmarks --artifact linear,cnn

bench-quick: $(VENV)/.train .venv-bench/fastapi/.installed  ## The service beside FastAPI alone, in two minutes
	$(BIN)/python -m benchmarks --artifact linear --servers service,fastapi --connections 1,64,64new --rates ''

bench-limits: $(VENV)/.train  ## The service alone under overload, in batches and after a million requests
	$(BIN)/python -m benchmarks.limits --artifact linear
	$(BIN)/python -m benchmarks.limits --artifact cnn

bento: $(VENV)/.deploy  ## Build the Bento of this commit with the model that the settings name
	$(BIN)/python -m image bento

image: $(VENV)/.deploy  ## Make its container image; ENGINE=docker instead of podman, GPU=1 for networks on a GPU
	$(BIN)/python -m image build --engine $(ENGINE) $(if $(GPU),--gpu)

push: $(VENV)/.deploy  ## Push the image to TARGET, repository:tag, and print its reference by digest
	$(call needs,TARGET)
	@$(BIN)/python -m image push $(TARGET) --engine $(ENGINE) $(if $(GPU),--gpu)

audit: $(VENV)/.deploy  ## Look the locked packages up among known vulnerabilities
	$(BIN)/python -m image audit

manifests: $(VENV)/.deploy  ## Render k8s/rendered again
	$(BIN)/python -m k8s render

deploy: $(VENV)/.deploy cluster  ## Apply ENV to the cluster of KUBECONFIG, as committed or with IMAGE, and wait until it is rolled out
	$(call not-empty,IMAGE ENVIRONMENTS BENTO)
	$(if $(BENTO),$(call needs,IMAGE))
	$(RENDER) $(addprefix --image ,$(IMAGE)) $(if $(IMAGE)$(ENVIRONMENTS),--out $(NEW_MANIFESTS),--check)
	$(call apply,$(if $(IMAGE)$(ENVIRONMENTS),$(NEW_MANIFESTS),k8s/rendered)/$(ENV))
	$(call rolled-out,text-classifier)

rollout-status:  ## Wait for a rollout in ENV, or until it fails
	$(call rolled-out,text-classifier)

rollback:  ## Take ENV back to the version before; twice is there and back
	kubectl rollout undo deployment/text-classifier --namespace $(NAMESPACE)
	$(call rolled-out,text-classifier)

canary: $(VENV)/.deploy cluster  ## Give VERSION, a tag or digest, WEIGHT=10 percent of the requests in ENV, where IMAGE runs
	$(call needs,IMAGE VERSION)
	$(RENDER) --image $(IMAGE) --canary $(VERSION) --weight $(WEIGHT) --out $(NEW_MANIFESTS)
	$(call apply,$(NEW_MANIFESTS)/$(ENV))
	$(call rolled-out,text-classifier-canary)
	$(call rolled-out,text-classifier)

promote abort:  ## Give IMAGE, the new or the old one, all the requests in ENV, and let the canary go
	$(call needs,IMAGE)
	$(MAKE) --no-print-directory deploy
	kubectl delete deployment,service --selector track=canary --namespace $(NAMESPACE)

cluster:
	@phase=$$(kubectl get namespace $(NAMESPACE) --ignore-not-found --output jsonpath={.status.phase} 2>&1) || \
		{ echo "$$phase" | tail -1 >&2; echo "error: KUBECONFIG must name a cluster that answers" >&2; exit 1; }; \
	[ "$$phase" != Terminating ] || kubectl wait --for=delete namespace/$(NAMESPACE) --timeout 2m

tools: $(TOOLS:%=.tools/%) .tools/operators  ## What cluster-test needs beside Python, into .tools

cluster-test: $(VENV)/.dev tools  ## Build, push and test on the cluster of KUBECONFIG, whose nodes must reach REGISTRY=localhost:5000
	CLUSTER_TEST=1 $(BIN)/python -m pytest tests/cluster

lock: $(VENV)/.uv  ## Resolve requirements/*.in and benchmarks/peers/*.in again
	cd requirements && for layer in serve network gpu deploy train dev mutants; do $(LOCK) $$layer.in -o $$layer.txt || exit 1; done
	cd benchmarks/peers && for peer in $(PEERS); do $(LOCK) $$peer.in -o $$peer.txt || exit 1; done

mutants: .venv-mutants/.installed  ## Change the core in a thousand ways and see which no test notices; takes two hours
	.venv-mutants/bin/mutmut run --max-children 1
	@.venv-mutants/bin/mutmut results

clean:  ## Remove what make made here; the BentoML store stays
	rm -rf $(VENV) .venv-bench .venv-mutants mutants .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: requirements/serve.txt | $(BIN)/python
	@echo "Installing the serving dependencies into $(VENV)"
	@$(INSTALL) $<
	@touch $@

$(VENV)/.deploy: requirements/deploy.txt | $(BIN)/python
	@echo "Installing what images and manifests need into $(VENV)"
	@$(INSTALL) $<
	@touch $@ $(VENV)/.serve

$(VENV)/.train: requirements/train.txt | $(BIN)/python
	@echo "Installing the training dependencies into $(VENV)"
	@$(INSTALL) $<
	@touch $@ $(VENV)/.serve

$(VENV)/.dev: requirements/dev.txt | $(BIN)/python
	@echo "Installing the training, deployment and test dependencies into $(VENV)"
	@$(INSTALL) $<
	@touch $@ $(VENV)/.serve $(VENV)/.train $(VENV)/.deploy

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

$(VENV)/.uv: | $(BIN)/python
	@$(BIN)/python -m pip install --quiet uv
	@touch $@
