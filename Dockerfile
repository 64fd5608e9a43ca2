# One image for every Airflow service of docker-compose.yml: locked packages, then the project, as an ordinary user.
FROM python:3.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    AIRFLOW_HOME=/opt/airflow

# The folders that become volumes must belong to the user before a volume copies their owner.
RUN useradd --uid 50000 --create-home airflow \
    && mkdir -p /opt/airflow/logs /opt/airflow/auth /opt/logferry/lake /opt/logferry/lake-sandbox \
    && chown -R airflow:airflow /opt/airflow /opt/logferry

WORKDIR /opt/logferry
COPY requirements-compose.txt ./
RUN pip install --require-hashes -r requirements-compose.txt

COPY --chown=airflow:airflow pyproject.toml README.md LICENSE ./
COPY --chown=airflow:airflow include ./include
COPY --chown=airflow:airflow plugins ./plugins
COPY --chown=airflow:airflow dags ./dags
COPY --chown=airflow:airflow compose ./compose
# Editable, so that the definitions in include/exports and the lake folder are those of this directory.
RUN pip install --no-deps --no-build-isolation -e . && chown -R airflow:airflow /opt/logferry

USER airflow
CMD ["airflow", "version"]
