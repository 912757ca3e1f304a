"""A real Airflow, a warehouse and the emulator, started and stopped as one: what ``make demo`` runs."""
