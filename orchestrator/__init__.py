"""How a sweep is planned, run on Ray, followed in MLflow, and compared."""
