"""What the coverage page shows, as plain JSON values: no Airflow, no HTTP, and nothing is asked of a source.

``archives`` keeps what was read of each export's lake; every other module makes one kind of answer. Times go in as
ticks and come out as text. No answer fails for what lies in a lake.
"""
