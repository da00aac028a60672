# Two commands do all the set-up: `make say` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TEXT ?= Hello. This is Spark-TTS, speaking from your own machine.
TINY := build/tiny

.PHONY: say test test-full check format lint types clean

say: $(VENV)/.installed $(TINY)/config.json
	@if [ -n "$$SPARK_MLX_MODEL" ] || $(BIN)/python -c "from spark_mlx import hub; hub.resolve(None)" 2>/dev/null; then \
		$(BIN)/spark-mlx say "$(TEXT)" $(SAY); \
	else \
		echo "No model is downloaded yet, so a tiny one with random weights speaks:"; \
		echo "this is noise, and shows only that everything runs. For speech: spark-mlx download"; \
		$(BIN)/spark-mlx say "$(TEXT)" --model $(TINY) $(or $(SAY),-o build/noise.wav) \
			$(if $(SAY),,&& echo "written: build/noise.wav"); \
	fi

test: $(VENV)/.installed
	$(BIN)/python -m pytest

test-full: $(VENV)/.installed
	$(BIN)/python -m pytest -m full -s

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

$(TINY)/config.json: $(VENV)/.installed
	rm -rf $(TINY) $(TINY)-checkpoint
	$(BIN)/python examples/random_checkpoint.py tiny $(TINY)-checkpoint
	$(BIN)/spark-mlx convert $(TINY)-checkpoint $(TINY) > build/tiny.log

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
