# Each target is one line of plain Python: people without make type that line.
PYTHON ?= python3

.PHONY: course lab test train notebooks bench setup

course: ; $(PYTHON) -m course_utils course
lab: ; $(PYTHON) -m course_utils lab
test: ; $(PYTHON) -m course_utils test
train: ; $(PYTHON) -m course_utils train
notebooks: ; $(PYTHON) -m course_utils notebooks $(LECTURES)
bench: ; $(PYTHON) -m course_utils bench
setup: ; $(PYTHON) -m course_utils setup
