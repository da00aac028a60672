# Two commands do all the set-up: `make say` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEXT ?= Hello. This is Spark-TTS, speaking from your own machine.
NANO := build/nano

.PHONY: say test test-full sanitize check format lint types nano nano-eval clean

# Into a file, so that there is something to hear on a machine without sound too; then aloud.
say: $(VENV)/.installed
	@mkdir -p build
	$(BIN)/spark-mlx say "$(TEXT)" $(or $(SAY),-o build/say.wav)
ifndef SAY
	@echo "written: build/say.wav"
	@! $(BIN)/python -c "import sounddevice as s; s.check_output_settings()" 2>/dev/null || \
		$(BIN)/spark-mlx say "$(TEXT)"
endif

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-full: $(VENV)/.installed
	$(BIN)/python -m pytest -m full -s

# The native code's tests with an extension that checks every access to memory, in a copy of the
# package made of links.
SANITIZE := build/sanitize
sanitize: $(VENV)/.installed
	rm -rf $(SANITIZE) && mkdir -p $(SANITIZE)/spark_mlx/native
	CFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover" \
		$(BIN)/python setup.py -q build_ext --build-lib $(SANITIZE) --build-temp $(SANITIZE)/objects
	ls $(SANITIZE)/spark_mlx/native/_native*.so
	ln -s $(CURDIR)/spark_mlx/native/*.py $(SANITIZE)/spark_mlx/native/
	ln -s $(filter-out $(CURDIR)/spark_mlx/native,$(wildcard $(CURDIR)/spark_mlx/*)) \
		$(CURDIR)/convert $(CURDIR)/voices $(SANITIZE)/spark_mlx/
	cd $(SANITIZE) && ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
		$(CURDIR)/$(BIN)/python -m pytest $(CURDIR)/tests/test_native_decode.py \
		$(CURDIR)/tests/test_cpu.py

check: format lint types

format: $(VENV)/.installed
	$(BIN)/ruff format --check .

lint: $(VENV)/.installed
	$(BIN)/ruff check .

# mypy has to see convert/ and voices/ where they are installed: inside the package.
types: $(VENV)/.installed
	rm -rf build/types && mkdir -p build/types/spark_mlx
	ln -s $(CURDIR)/spark_mlx/* $(CURDIR)/convert $(CURDIR)/voices build/types/spark_mlx/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p spark_mlx

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

# Trains the model that comes with the package, from nothing: hours, or minutes with DEVICE="cuda
# --half". Run again, each part goes on from where it was stopped. See docs/nano.md.
RECIPE := $(BIN)/python training/nano
DEVICE ?= cpu --half
nano: $(VENV)/.nano
	test -f $(NANO)/sentences.jsonl || $(RECIPE)/corpus.py $(NANO)/sentences.jsonl --seed 0
	test -f $(NANO)/audio/train.npz || \
		$(RECIPE)/render.py $(NANO)/sentences.jsonl $(NANO)/audio --hours 12
	$(RECIPE)/train_tokens.py $(NANO)/audio $(NANO)/tokens --device $(DEVICE)
	$(RECIPE)/train_decoder.py $(NANO)/audio $(NANO)/tokens $(NANO)/decoder --device $(DEVICE)
	$(RECIPE)/train_listener.py $(NANO)/audio $(NANO)/tokens $(NANO)/listener --device $(DEVICE)
	$(RECIPE)/train_lm.py $(NANO)/audio $(NANO)/tokens $(NANO)/lm --device $(DEVICE)
	$(RECIPE)/export.py $(NANO) $(NANO)/model
	$(RECIPE)/pack.py $(NANO)/model spark_mlx/nano voices

# Measures it on sentences and voices it was never trained on.
nano-eval: $(VENV)/.nano
	$(RECIPE)/evaluate.py spark_mlx/nano $(NANO)/evaluation.json

# DistillMOS asks for torchaudio, which it needs for reading files alone, and which must fit torch.
$(VENV)/.nano: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev,nano]'
	$(BIN)/python -m pip install --quiet --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
