"""The use cases: adapt, add, predict, evaluate, look at, forget. No HTTP, no tensor arithmetic."""
