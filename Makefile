# Each target is one line of plain Python: people without make type that line.
PYTHON ?= python3

.PHONY: course lab test train notebooks bench book test-browser assignments grade setup

course: ; $(PYTHON) -m course_utils course
lab: ; $(PYTHON) -m course_utils lab
test: ; $(PYTHON) -m course_utils test
train: ; $(PYTHON) -m course_utils train
notebooks: ; $(PYTHON) -m course_utils notebooks $(LECTURES)
bench: ; $(PYTHON) -m course_utils bench
book: ; $(PYTHON) -m course_utils book
test-browser: ; $(PYTHON) -m course_utils test-browser
assignments: ; $(PYTHON) -m course_utils assignments
grade: ; $(PYTHON) -m course_utils grade "$(SUBMISSIONS)" $(OPTIONS)
setup: ; $(PYTHON) -m course_utils setup
