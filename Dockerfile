# Grading, apart from everything else: students' code runs with the rights of who runs it.
#
#   docker build -t grading .
#   docker run --rm --network none --memory 8g --pids-limit 500 --cap-drop ALL \
#     --security-opt no-new-privileges --user "$(id -u)" -v "$PWD/COLLECTED:/collected" \
#     grading /collected/FOLDER
FROM python:3.12-slim
WORKDIR /course
ENV COURSE_CACHE=/cache HOME=/tmp PYTHONDONTWRITEBYTECODE=1
COPY pyproject.toml constraints.txt README.md LICENSE LICENSE-TEXT ./
COPY course_utils course_utils
COPY tools tools
COPY notebooks notebooks
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
      -c constraints.txt -e ".[lab]" \
 && python -c "from course_utils.data import load_mnist; load_mnist('train')" \
 && chmod -R a+rX /cache /course
ENTRYPOINT ["python", "-m", "tools", "grade"]
