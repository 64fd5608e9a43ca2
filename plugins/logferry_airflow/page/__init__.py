"""The coverage page: a read-only web app inside Airflow's API server. What it starts, the browser asks of Airflow."""
