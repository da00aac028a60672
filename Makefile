# Two commands do all the set-up: `make say` and `make test`.

PYTHON ?=
EXTRA ?= read
VENV := .venv
BIN := $(VENV)/bin
TEXT ?= Hello. This is Spark-TTS, speaking from your own machine.
NANO := build/nano

.PHONY: say test test-plain test-timing test-full sanitize check format lint types contracts help-tables nano nano-eval clean

# Into a file, so that there is something to hear on a machine without sound too; then aloud.
say: $(VENV)/.installed
	@mkdir -p build
	$(BIN)/spark-mlx say "$(TEXT)" $(or $(SAY),-o build/say.wav)
ifndef SAY
	@echo "written: build/say.wav"
	@! $(BIN)/python -c "import sounddevice as s; s.check_output_settings()" 2>/dev/null || \
		$(BIN)/spark-mlx say "$(TEXT)"
endif

# Two workers, each with whole files, since a file's tests share what they set up.
WORKERS ?= 2
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The same without the CPU backend: the path that a GPU runs.
test-plain: $(VENV)/.installed
	SPARK_MLX_BACKEND=mlx $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

# The limits of wall-clock time hold on a quiet machine only.
test-timing: $(VENV)/.installed
	$(BIN)/python -m pytest -m timing

test-full: $(VENV)/.installed
	$(BIN)/python -m pytest -m full -s

# The native code's tests with an extension that checks every access to memory, in a copy of the
# package made of links.
SANITIZE := build/sanitize
sanitize: $(VENV)/.installed
	rm -rf $(SANITIZE) && mkdir -p $(SANITIZE)/spark_mlx/backends/cpu
	CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover" \
		$(BIN)/python setup.py -q build_ext --build-lib $(SANITIZE) --build-temp $(SANITIZE)/objects
	ls $(SANITIZE)/spark_mlx/backends/cpu/_native*.so
	ln -s $(CURDIR)/spark_mlx/backends/__init__.py $(SANITIZE)/spark_mlx/backends/
	ln -s $(CURDIR)/spark_mlx/backends/cpu/*.py $(SANITIZE)/spark_mlx/backends/cpu/
	ln -s $(filter-out $(CURDIR)/spark_mlx/backends,$(wildcard $(CURDIR)/spark_mlx/*)) \
		$(CURDIR)/convert $(CURDIR)/voices $(SANITIZE)/spark_mlx/
	cd $(SANITIZE) && ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
		$(CURDIR)/$(BIN)/python -m pytest $(CURDIR)/tests/test_native_decode.py \
		$(CURDIR)/tests/test_cpu.py

check: format lint types contracts

format: $(VENV)/.installed
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed
	$(BIN)/ruff check .

# mypy has to see convert/ and voices/ where they are installed: inside the package.
types: $(VENV)/.installed
	rm -rf build/types && mkdir -p build/types/spark_mlx
	ln -s $(CURDIR)/spark_mlx/* $(CURDIR)/convert $(CURDIR)/voices build/types/spark_mlx/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p spark_mlx

# Imports go downwards only: the contracts in pyproject.toml.
contracts: $(VENV)/.installed types
	cd build/types && PYTHONPATH=. $(CURDIR)/$(BIN)/lint-imports --no-logo \
		--config $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/build/import_linter

# The tables of options in docs/cli.md, from the parsers.
help-tables: $(VENV)/.installed
	$(BIN)/python tests/help_tables.py

# EXTRA=cuda installs MLX's CUDA backend in place of the CPU's.
$(VENV)/.installed: pyproject.toml setup.py $(wildcard spark_mlx/backends/cpu/csrc/*)
	test -x $(BIN)/python || { \
		python=$$(scripts/find-python.sh $(PYTHON)) && "$$python" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRA)]' --group dev
	touch $@

# Trains the model that comes with the package, from nothing: hours. Run again, it goes on from
# where it was stopped. See docs/nano.md.
nano: $(VENV)/.nano
	$(BIN)/python examples/nano/corpus.py $(NANO)/sentences.jsonl --seed 0
	$(BIN)/python examples/nano/render.py $(NANO)/sentences.jsonl $(NANO)/audio --hours 20
	$(BIN)/python examples/nano/alignment.py $(NANO)/audio
	$(BIN)/python examples/nano/train_codec.py $(NANO)/audio $(NANO)/codec --export $(NANO)/model
	$(BIN)/python examples/nano/train_lm.py $(NANO)/audio $(NANO)/lm --model $(NANO)/model
	$(BIN)/python examples/nano/pack.py $(NANO)/model spark_mlx/nano voices

# Measures it on sentences and voices it was never trained on.
nano-eval: $(VENV)/.nano
	test -d $(NANO)/audio || { $(BIN)/python examples/nano/corpus.py $(NANO)/sentences.jsonl --seed 0 && \
		$(BIN)/python examples/nano/render.py $(NANO)/sentences.jsonl $(NANO)/audio --hours 0.1; }
	$(BIN)/python examples/nano/evaluate.py spark_mlx/nano $(NANO)/audio $(NANO)/evaluation.json

$(VENV)/.nano: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[read,nano]' --group dev
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
