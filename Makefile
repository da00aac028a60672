# Two commands do all the set-up: `make say` and `make test`.

PYTHON ?=
EXTRA ?= read
VENV := .venv
BIN := $(VENV)/bin
TEXT ?= Hello. This is Spark-TTS, speaking from your own machine.
NANO := build/nano

.PHONY: say test test-plain test-timing test-full sanitize sanitize-address sanitize-thread check native-check format lint types contracts help-tables nano nano-eval clean

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

# The native code's tests with an extension that checks every access to memory, and with one that
# finds data races, each in a copy of the package made of links.
SANITIZE := build/sanitize
SANITIZED_address := -fsanitize=address,undefined -fno-sanitize-recover
SANITIZED_thread := -fsanitize=thread
TESTS_address := test_native_arguments test_native_threads test_native_decode test_cpu
TESTS_thread := test_native_arguments test_native_threads
RUN_address := env ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)"
# Without random addresses, of which some have no place in the sanitizer's tables. Libraries that
# were not compiled with it are left alone, and a child of fork() may start threads.
RUN_thread := setarch -R env \
	TSAN_OPTIONS=ignore_noninstrumented_modules=1:die_after_fork=0:exitcode=66 \
	LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)"

sanitize: sanitize-address sanitize-thread

sanitize-address sanitize-thread: sanitize-%: $(VENV)/.installed
	rm -rf $(SANITIZE)/$* && mkdir -p $(SANITIZE)/$*/spark_mlx/backends/cpu
	CC=gcc CFLAGS="-O1 -g -fno-omit-frame-pointer $(SANITIZED_$*)" SPARK_MLX_REQUIRE_NATIVE=1 \
		$(BIN)/python setup.py -q build_ext --build-lib $(SANITIZE)/$* \
		--build-temp $(SANITIZE)/$*/objects
	ln -s $(CURDIR)/spark_mlx/backends/__init__.py $(SANITIZE)/$*/spark_mlx/backends/
	ln -s $(CURDIR)/spark_mlx/backends/cpu/*.py $(SANITIZE)/$*/spark_mlx/backends/cpu/
	ln -s $(filter-out $(CURDIR)/spark_mlx/backends,$(wildcard $(CURDIR)/spark_mlx/*)) \
		$(CURDIR)/convert $(CURDIR)/voices $(SANITIZE)/$*/spark_mlx/
	cd $(SANITIZE)/$* && PYTHONPATH=$(CURDIR)/$(SANITIZE)/$* $(RUN_$*) \
		$(CURDIR)/$(BIN)/python -m pytest $(TESTS_$*:%=$(CURDIR)/tests/%.py)

check: format lint types native-check contracts

# The C code compiles without a warning by both compilers, and is formatted. Versions of clang-format
# differ, so only the one of .ci/run checks.
CSRC := spark_mlx/backends/cpu/csrc
WARNINGS := -std=gnu11 -O2 -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wno-psabi
native-check: $(VENV)/.installed
ifeq ($(shell uname),Linux)
	@mkdir -p build; headers=$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('include'))"); \
	for compiler in gcc clang; do \
		if command -v $$compiler >/dev/null; then \
			for file in $(CSRC)/*.c; do \
				$$compiler $(WARNINGS) -I$$headers -c $$file -o build/native-check.o || exit 1; \
			done; \
		else echo "native-check: skipped $$compiler, which is not installed"; fi; \
	done
	@if clang-format --version 2>/dev/null | grep -q "version 14\."; then \
		clang-format --dry-run --Werror $(CSRC)/*.[ch]; \
	else echo "native-check: skipped clang-format, of which 14 is not installed"; fi
else
	@echo "native-check: skipped, the C code is for Linux"
endif

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
	@if reason=$$(cat spark_mlx/backends/cpu/build_failure.txt 2>/dev/null); then \
		echo "no native code, so speech will be slow: $$reason"; fi
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
	$(BIN)/python -m pip install --quiet --editable '.[read,nano]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
