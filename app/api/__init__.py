"""HTTP: bodies to values, values to answers, refusals to problem details."""
