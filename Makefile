# The two commands: `make audit` on a fresh machine, `make test` before a change is sent.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-done

.PHONY: audit test setup check format docs messages lock demo clean bench bench-cmv bench-detection bench-gpu bench-history bench-more-images bench-photographs bench-repair bench-report bench-runners bench-saliency bench-verdicts

## Install everything and audit the embedded demo.
audit: setup demo
	$(BIN)/saliency-audit run data_manifest.yaml

demo: setup
	@test -f demo/truth.json || $(BIN)/saliency-audit demo --out demo

## Format check, types, architecture, dead code, tests.
test: check
	@$(BIN)/python .ci/system_libraries.py browser
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/dead_code.py

## Speed beside the bare loop and the peers, and cost as images grow: an hour on two idle cores.
bench: setup
	$(BIN)/python benchmarks/speed.py

## On a machine with a GPU: agreement with the CPU, waits, memory, images/s; about five minutes.
bench-gpu: setup
	$(BIN)/python benchmarks/gpu.py

## What a task costs on each runner, and a worker killed in mid-run; ray where it is installed.
bench-runners: setup
	$(BIN)/python benchmarks/runners.py --shards 200 --kills 1 --runner dask --runner ray

## Images/s and memory of saliency methods, beside Captum and pytorch-grad-cam where they are.
bench-saliency: setup
	$(BIN)/python benchmarks/saliency.py

## CPU seconds and memory of the verdicts of 10^4 to 10^6 rows, drawn from a finished run's (RUN=DIR).
bench-verdicts: setup
	$(BIN)/python -m benchmarks.verdicts "$(RUN)"

## How often two looks err beside one, simulated; and worlds of 150 images a class, audited both ways.
bench-more-images: setup
	$(BIN)/python -m benchmarks.more_images
	$(BIN)/python -m benchmarks.detection.more

## Time, peak memory and bytes of the report for 10, 100 and 1,000 classes.
bench-report: setup
	$(BIN)/python benchmarks/report.py

## The site of docs/, with what the code says of itself, into build/docs.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

## Find what the report says and lay it into its catalogues; what is new waits for a translation.
messages: setup
	$(BIN)/pybabel -q extract -F pyproject.toml --omit-header --add-location=file --sort-by-file \
	  -w 100 -o report_templates/locales/messages.pot .
	$(BIN)/pybabel -q update -i report_templates/locales/messages.pot -d report_templates/locales \
	  --ignore-obsolete --ignore-pot-creation-date -w 100

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## Everything that both commands need; nothing is done twice.
setup: $(STAMP)
	@$(BIN)/python .ci/system_libraries.py

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

## Resolve the lock again (needs uv); read the note on ceilings in pyproject.toml first.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock

clean:
	rm -rf .venv demo

## False alarms over a year, how soon a cue is named, the words of retrainings: half an hour on one core;
## of RUNS, where there are any, the years alone.
bench-history: setup
	$(BIN)/python -m benchmarks.history $(RUNS)

## What a run survives: faults injected into real audits; half an hour on two cores.
bench-faults: setup
	$(BIN)/python -m benchmarks.faults

## How well shortcuts are found: about two hours on two cores; goes on where it was stopped.
bench-detection: setup
	$(BIN)/python -m benchmarks.detection

## The same on photographs: material and weights are one's own
## (make bench-photographs PHOTOGRAPHS=DIR|TAR WEIGHTS=DIR).
bench-photographs: setup
	$(BIN)/python -m benchmarks.photographs --photographs "$(PHOTOGRAPHS)" --weights "$(WEIGHTS)"

## What a repair brings, on worlds with a truth: about an hour on two cores.
bench-repair: setup
	$(BIN)/python -m benchmarks.repair

## Class model visualizations of 100 ImageNet classes: speed, checks, transfer, a contact sheet.
bench-cmv: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.txt
	$(BIN)/python benchmarks/cmv.py
