# Each target is one line of plain Python: people without make type that line.
PYTHON ?= python3

.PHONY: course lab test check train study notebooks bench book test-browser assignments grade setup

course: ; $(PYTHON) -m tools course
lab: ; $(PYTHON) -m tools lab
test: ; $(PYTHON) -m tools test
check: ; $(PYTHON) -m tools check
train: ; $(PYTHON) -m tools train
study: ; $(PYTHON) -m tools study $(PARTS) $(OPTIONS)
notebooks: ; $(PYTHON) -m tools notebooks $(LECTURES)
bench: ; $(PYTHON) -m tools bench
book: ; $(PYTHON) -m tools book
test-browser: ; $(PYTHON) -m tools test-browser
assignments: ; $(PYTHON) -m tools assignments $(SEED)
grade: ; $(PYTHON) -m tools grade "$(SUBMISSIONS)" $(OPTIONS)
setup: ; $(PYTHON) -m tools setup
